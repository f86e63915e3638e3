"""The words of `kefu bench`: each arrives where it belongs."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from experiments.bench_command import add_bench_parser, run_command, table_command


def parse(*words):
    parser = argparse.ArgumentParser()
    add_bench_parser(parser.add_subparsers(dest="command", required=True))
    return parser.parse_args(["bench", *words])


def test_run_hands_every_word_on(monkeypatch, capsys):
    seen = {}

    def bench_run(**given):
        seen.update(given)
        return {"accuracy": 0.5, "macro_f1": 0.25, "n": 1200}

    monkeypatch.setattr("experiments.bench_run.bench_run", bench_run)
    options = parse(
        "run", "--train", "a.csv", "--test", "b.csv", "--text-column", "t", "--label-column", "l",
        "--context-column", "c", "--output", "out", "--no-record", "--seeds", "1", "2",
    )  # fmt: skip
    assert options.action is run_command
    options.action(options)
    expected = {
        "train": "a.csv",
        "test": "b.csv",
        "text_column": "t",
        "label_column": "l",
        "context_column": "c",
    }
    expected |= {"output": Path("out"), "record": False, "seeds": [1, 2], "folds": 0, "unseen": "count"}
    assert {name: seen[name] for name in expected} == expected
    assert "accuracy 0.5000, macro-F1 0.2500, 1,200 rows" in capsys.readouterr().out


def test_table_hands_every_word_on(monkeypatch):
    seen = []
    monkeypatch.setattr("experiments.bench_table.bench_table", lambda *given: seen.append(given))
    options = parse("table", "--quick", "--only", "clinc150", "--seeds", "1", "2", "--record", "x.json")
    assert options.action is table_command
    options.action(options)
    ((only, plan, record),) = seen
    assert (only, record) == (["clinc150"], Path("x.json"))
    assert (plan.quick, list(plan.seeds)) == (True, [1, 2])
    with pytest.raises(ValueError, match="seeds: expected at least one, each once"):
        table_command(parse("table", "--seeds", "1", "1"))


def test_a_run_needs_a_table_and_a_folder():
    with pytest.raises(SystemExit):
        parse("run", "--test", "b.csv")
