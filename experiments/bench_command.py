"""The words of `kefu bench` and what they call; imports nothing heavy before a word is chosen."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

__all__ = ["add_bench_parser", "run_command", "table_command"]


def add_bench_parser(commands: Any) -> None:
    """Add `bench` with its verbs `run` and `table` to a parser's subcommands."""
    text = "train and measure on any labelled table, and on public tasks beside published figures"
    verbs = commands.add_parser("bench", help=text, description=text).add_subparsers(
        dest="verb", required=True, metavar="VERB"
    )
    text = "train on a table with the defaults, measure on another: figures, predictions, pictures"
    run = verbs.add_parser("run", help=text, description=text)
    run.set_defaults(action=run_command)
    source = "CSV, TSV, JSON Lines, Parquet or XLSX file; public:NAME/PART; hub:OWNER/NAME@SPLIT"
    run.add_argument("--train", required=True, help=source)
    run.add_argument("--test", help="the same kinds; left out with --folds")
    run.add_argument("--text-column", default="text")
    run.add_argument("--label-column", default="label")
    run.add_argument("--context-column", help="turns before the text: a list, or one line for each turn")
    run.add_argument("--group-column", help="rows of one value (a conversation) are never parted")
    run.add_argument("--output", required=True, type=Path, help="folder of the results")
    run.add_argument("--encoding", default="utf-8", help="of CSV, TSV and JSON Lines")
    run.add_argument("--sheet", help="of an XLSX workbook (default: the first)")
    run.add_argument("--skip-empty", action="store_true", help="leave out rows without text or label")
    run.add_argument(
        "--unseen", choices=("count", "drop", "error"), default="count",
        help="test rows whose label no training row has: errors of the model, left out, or refused",
    )  # fmt: skip
    run.add_argument("--folds", type=int, default=0, help="cross-validate --train, by group")
    run.add_argument("--shots", type=int, default=0, help="learn from so many rows of each label")
    run.add_argument("--seeds", type=int, nargs="+", default=[], help="one model for each")
    run.add_argument("--epochs", type=int, help="instead of the number that follows from the rows")
    run.add_argument("--model", default="shared", help="entry of models or baselines in params.yaml")
    run.add_argument("--export", action="store_true", help="also write the model's folder")
    run.add_argument("--no-record", action="store_true", help="keep no MLflow run")
    text = "public tasks: ours beside baselines, published figures and targets; goes on where it was stopped"
    table = verbs.add_parser("table", help=text, description=text)
    table.set_defaults(action=table_command)
    table.add_argument("--quick", action="store_true", help="cut-down sets and encoder: only tries the way")
    table.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these tasks")
    table.add_argument("--seeds", type=int, nargs="+", default=[7], help="of training (default: 7)")
    table.add_argument("--folder", type=Path, default=Path(".kefu/bench"), help="where cells are kept")
    text = "JSON file of the lines, which keeps those of other tasks (default: %(default)s)"
    table.add_argument("--record", type=Path, default=Path("benchmarks/tasks.json"), help=text)
    table.add_argument("--fresh", action="store_true", help="measure again what is there")


def _quiet() -> None:
    for name in ("pytorch_lightning", "lightning.pytorch", "torch.onnx", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


def run_command(options: argparse.Namespace) -> None:
    """`kefu bench run`."""
    from experiments.bench_run import bench_run

    _quiet()
    names = (
        "train", "test", "text_column", "label_column", "context_column", "output", "group_column",
        "encoding", "sheet", "skip_empty", "unseen", "model", "epochs", "seeds", "folds", "shots", "export",
    )  # fmt: skip
    metrics = bench_run(**{name: getattr(options, name) for name in names}, record=not options.no_record)
    print(f"accuracy {metrics['accuracy']:.4f}, macro-F1 {metrics['macro_f1']:.4f}, {metrics['n']:,} rows")
    print(f"-> {options.output}")


def table_command(options: argparse.Namespace) -> None:
    """`kefu bench table`."""
    from experiments.bench_cells import Plan
    from experiments.bench_table import bench_table

    _quiet()
    plan = Plan(folder=options.folder, quick=options.quick, seeds=options.seeds, fresh=options.fresh)
    bench_table(options.only, plan, options.record)
