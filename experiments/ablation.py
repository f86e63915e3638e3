"""What each part of the recipe brings: every option alone and all together, over tasks and seeds.

Nothing here reads a test split: of each task's training rows a part is held out once, whole groups, and every
option is measured on it with every seed. Differences are taken seed by seed against the plain settings, so
the intervals say how far training's chance explains them, not how other rows would answer.

    python -m experiments.ablation --task corpus:category --task public:jddc-intents --seeds 1,2,3 \
        --rows 2000 --epochs 5 --unlabelled CHATS.jsonl.gz --output .kefu/ablation \
        --record benchmarks/ablation-mine.json --picture docs/ablation-mine.png

Killed, it goes on with the same command: finished trainings are read from the output folder, and an
unfinished one goes on from its last epoch.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.files import write_json
from experiments.ablation_options import OPTIONS, TOGETHER, Option, changed, choose
from experiments.ablation_report import draw_gains, write_table
from experiments.ablation_task import Plan, Task
from training.config import TrainingConfig, load_training_config

__all__ = ["ablate", "main"]

_log = logging.getLogger(__name__)


def ablate(plan: Plan, base: TrainingConfig, output: Path, progress: bool = True) -> dict[str, Any]:
    """Try every option on every task with every seed; writes `ablation.json`, `.md` and `.png`.

    An option whose settings a task refuses (an encoder with too few positions) stands in the table with the
    reason.

    Raises:
        ValueError: an unknown option or task, or a task too small; nothing was trained for it.
    """
    from tqdm import tqdm

    options = choose(plan.options, plan.together, plan.unlabelled is not None)
    tasks = [Task(name, plan, options, base, output / "runs") for name in plan.tasks]
    runs: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    total = len(tasks) * len(options) * len(plan.seeds)
    with tqdm(total=total, disable=not progress, unit="training") as bar:
        for task in tasks:
            for option in options:
                bar.set_postfix_str(f"{task.name} {option}")
                try:
                    for seed in plan.seeds:
                        runs.append(task.run(option, seed))
                        bar.update()
                except ValueError as error:
                    refused.append({"task": task.name, "option": option, "reason": str(error)})
                    _log.warning("%s %s: %s", task.name, option, error)
                write_table(output, _summary(plan, tasks, options, runs, refused))
    return write_table(output, _summary(plan, tasks, options, runs, refused))


def _summary(
    plan: Plan,
    tasks: Sequence[Task],
    options: Mapping[str, Option],
    runs: Sequence[dict[str, Any]],
    refused: Sequence[dict[str, str]],
) -> dict[str, Any]:
    sizes = {
        task.name: {part: len(getattr(task.parts, part)) for part in ("train", "val", "held")}
        | {"labels": len(task.parts.train.counts())}
        for task in tasks
    }
    return {
        "seeds": list(plan.seeds),
        "tasks": sizes,
        "options": {name: option.about for name, option in options.items()},
        "unlabelled": plan.unlabelled.name if plan.unlabelled else None,
        "plan": {"rows": plan.rows, "epochs": plan.epochs} | ({"shots": plan.shots} if plan.shots else {}),
        "settings": {task.name: task.config.flat() for task in tasks},
        "runs": list(runs),
        "refused": list(refused),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Train each option alone and all together, and write the table of what each brings."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--task", action="append", required=True, help="corpus:category, public:smp2020/train, …"
    )
    parser.add_argument(
        "--options", default="", help=f"by comma, of {', '.join(OPTIONS)}, all (default: all)"
    )
    parser.add_argument("--together", default=",".join(TOGETHER), help="what the row all joins")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--rows", type=int, help="most labelled rows of a task")
    parser.add_argument("--shots", type=int, help="learn from so many rows of each label")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--layers", type=int, help="keep the encoder's first so many layers")
    parser.add_argument("--backbone", help="instead of backbone.name")
    parser.add_argument("--model", default="shared", help="an entry of models in params.yaml")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--unlabelled", type=Path, help="chats as JSONL, also .gz")
    parser.add_argument("--adapt-epochs", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(".kefu/ablation"), help="trainings and table")
    parser.add_argument("--record", type=Path, help="also keep the figures in this JSON file")
    parser.add_argument("--picture", type=Path, help="also keep the picture in this PNG file")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    plan = Plan(
        tuple(given.task), _names(given.options), _names(given.together),
        tuple(int(seed) for seed in _names(given.seeds)), given.rows, given.epochs, given.unlabelled,
        given.adapt_epochs, given.shots,
    )  # fmt: skip
    base = load_training_config(given.model, given.params)
    changes = {"backbone.layers": given.layers, "backbone.name": given.backbone}
    base = changed(base, {name: value for name, value in changes.items() if value is not None})
    found = ablate(plan, base, given.output)
    if given.record:
        write_json(given.record, found)
    if given.picture:
        draw_gains(found["standings"], given.picture)
    print((given.output / "ablation.md").read_text(encoding="utf-8"))
    print(f"table -> {given.output / 'ablation.md'}", file=sys.stderr)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


if __name__ == "__main__":
    main()
