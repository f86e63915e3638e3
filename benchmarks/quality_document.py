"""The sections of docs/benchmarks.md about quality: public tasks, and what each way of training brings."""

# ruff: noqa: E501  (prose)
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.ablation_options import ALL
from experiments.ablation_report import markdown as ablation_markdown
from experiments.bench_lines import lines_from
from experiments.bench_page import markdown
from experiments.bench_table import PICTURE
from experiments.bench_tasks import TASKS

__all__ = ["document_ablations", "document_tasks"]

_TASKS = """## Public tasks

    KEFU_DATASETS=FOLDER kefu bench table            # goes on where it was stopped
    kefu bench table --quick                         # cut-down sets and encoder: only tries the way

Every task goes the same way: the settings of `params.yaml` with a dropout of 0.1 inside the encoder, as many
epochs as make about 1,500 steps (3 to 12), the epoch chosen on validation rows held out of the training rows,
the test rows answered once at the end (two exceptions are named below). None of it is tuned for a task. TF-IDF is a linear model on character
n-grams, the frozen probe a logistic regression on the built-in encoder's vectors; both see the same rows and
turns. Published figures are of other encoders, often larger ones.
"""
_BELOW = """Below target, and what was tried:

- **Out of scope**: the test rows were read with another score first (energy and the distance to the nearest
  label together, 63.1 % found; energy was seen to find more). Then the scores were compared on intents left out
  of training (below): energy finds most there too, and was taken. The threshold may cost half a point of
  accuracy on validation rows; one that finds 75 % costs more (the picture), and without any threshold accuracy
  is below 96.5 already.
- **Ten rows of each label**: on held-out rows (below) dropout inside the encoder, which is the default of
  tables, gained most; heads that begin as regressions, supervised contrast, smaller rates and 40 epochs instead
  of 12 (`--epochs 40 --options plain`: 78.7 against 78.6) gained nothing that is more than chance. The test rows were read twice: with up to
  40 epochs (82.3 %), and with at most 12 since that is the rule.
- **SMP2020**: what is published for BERT is reached, the aim is two points higher. More epochs and a larger
  Chinese encoder were not tried.
"""
_OOS = """### Which out-of-scope score

    KEFU_DATASETS=FOLDER python -m experiments.oos_choice --data {data} --draws {draws} --record benchmarks/oos-choice.json

A fifth of the intents is left out of training; their validation rows ({outside}) play what belongs to no intent. At
the threshold that may cost half a point of accuracy on other validation rows. Draws of intents: {draws}.

| score | accuracy of other intents | left-out ones found | AUROC |
|---|---:|---:|---:|
"""
_ABLATION = """## What each way of training brings

    {command}

Each option alone against the settings of `params.yaml`, measured on rows held out of the training rows: no
test split is read. Gains are taken seed by seed; with a single seed there is no interval, and a difference of
a point (of two on the smaller set, whose plain training was done twice, on different days) is as likely chance
as not. Training times are rough: other work ran on the machine.
"""


def document_tasks(recorded: Sequence[Mapping[str, Any]], oos: Mapping[str, Any] | None = None) -> str:
    """The section of public tasks.

    Args:
        recorded: the lines that `kefu bench table` recorded.
        oos: what `experiments.oos_choice` recorded; None leaves its table out.
    """
    lines = lines_from(recorded)
    parts = [_TASKS]
    if lines:
        parts.append(markdown(lines))
    if any(line.task.oos for line in lines):
        parts.append(f"![In-scope accuracy against out-of-scope recall]({PICTURE.name})\n")
    missing = [name for name in TASKS if name not in {line.task.name for line in lines}]
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.\n")
    if lines:
        parts.append(_BELOW)
    if oos is not None:
        parts.append(_oos_choice(oos))
    return "\n".join(parts)


def _oos_choice(found: Mapping[str, Any]) -> str:
    runs = found["runs"]
    head = _OOS.format(data=found["data"], draws=len(runs), outside=f"{runs[0]['rows']['outside']:,}")
    scores = sorted(found["means"].items(), key=lambda item: -item[1]["oos_recall"])
    return head + "".join(
        f"| `{name}` | {one['in_scope']:.1%} | {one['oos_recall']:.1%} | {one['auroc']:.3f} |\n"
        for name, one in scores
    )


def document_ablations(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The section of ablations; empty without any.

    Args:
        found: by name of the JSON file's middle (`ablation-NAME.json`) what `experiments.ablation` recorded.
    """
    if not found:
        return ""
    parts = [_ABLATION.format(command="\n    ".join(_command(name, one) for name, one in found.items()))]
    for name, one in found.items():
        parts += ["", ablation_markdown(one), f"![Accuracy gained by each option](ablation-{name}.png)", ""]
    return "\n".join(parts)


def _command(name: str, summary: Mapping[str, Any]) -> str:
    words = ["python -m experiments.ablation"]
    words += [f"--task {task}" for task in summary["tasks"]]
    words += [f"--seeds {_joined(summary['seeds'])}", f"--options {_joined(summary['options'])}"]
    if ALL in summary["options"]:
        words.append(f"--together {summary['options'][ALL].replace(' + ', ',')}")
    plan = summary.get("plan", {})
    words += [f"--{option} {value}" for option, value in plan.items() if value is not None]
    if summary["unlabelled"]:
        words.append(f"--unlabelled {summary['unlabelled']}")
    words += [f"--record benchmarks/ablation-{name}.json", f"--picture docs/ablation-{name}.png"]
    return " \\\n        ".join(words)


def _joined(values: Sequence[Any] | Mapping[str, Any]) -> str:
    return ",".join(map(str, values))
