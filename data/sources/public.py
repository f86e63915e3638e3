"""Public sets by name, from the folder that `KEFU_DATASETS` names.

The files are the originals, as their makers publish them; none is part of this project.
The folder's own README says what may be done with each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.sources.files import Columns, open_bytes, read_file
from data.sources.rows import Rows, rows_of

__all__ = ["OUT_OF_SCOPE", "PUBLIC", "PublicSet", "datasets_folder", "read_public"]

OUT_OF_SCOPE = "oos"
"""The label of rows that belong to none of CLINC150's intents; only in the parts whose name begins so."""
_PAST = 24  # turns kept before a message: more than any model here reads
Parts = dict[str, Rows]


@dataclass(frozen=True, slots=True)
class PublicSet:
    """One task of a public set."""

    files: tuple[str, ...]
    read: Callable[[Path], Parts]
    about: str


def datasets_folder(folder: Path | str | None = None) -> Path:
    """Where public sets lie: the argument, else `KEFU_DATASETS`, else `../shared/datasets`.

    Raises:
        FileNotFoundError: it is no folder; says what to set.
    """
    path = Path(folder or os.environ.get("KEFU_DATASETS") or "../shared/datasets")
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path}: no folder of public sets; download them and set KEFU_DATASETS to it"
        )
    return path


def read_public(name: str, folder: Path | str | None = None) -> Parts:
    """The parts of a public set by name: `train`, `val`, `test` as published, `all` where it is one file.

    Raises:
        ValueError: the name is unknown (lists those that are known), or a row is not as published.
        FileNotFoundError: the folder or one of the set's files is missing.
    """
    if name not in PUBLIC:
        raise ValueError(f"public set {name!r} is unknown; known: {', '.join(PUBLIC)}")
    place = datasets_folder(folder)
    for file in PUBLIC[name].files:
        if not (place / file).is_file():
            raise FileNotFoundError(
                f"{place / file}: is missing; {name} needs {', '.join(PUBLIC[name].files)}"
            )
    return PUBLIC[name].read(place)


def _banking77(folder: Path) -> Parts:
    columns = Columns("text", "category")
    return {part: read_file(folder / f"banking77_{part}.csv", columns) for part in ("train", "test")}


def _clinc150(folder: Path) -> Parts:
    with open_bytes(folder / "clinc150.json.gz") as handle:
        parts = json.loads(handle.read())
    return {
        part: rows_of(((text, intent, None, ()) for text, intent in rows), f"clinc150-{part}")
        for part, rows in parts.items()
    }


def _jddc(field: str) -> Callable[[Path], Parts]:
    def read(folder: Path) -> Parts:
        return {"all": rows_of(_turns(folder / "jddc_valid.jsonl", field), f"jddc-{field}")}

    return read


def _turns(path: Path, field: str) -> Iterator[tuple[str, str, str, list[dict[str, str]]]]:
    """Every customer turn that carries `field`, with the turns before it; the dialogue is the group."""
    for row in _objects(path):
        past: list[dict[str, str]] = []
        for turn in row["turns"]:
            if turn[field] not in (None, ""):
                yield turn["customer"], str(turn[field]), str(row["id"]), past[-_PAST:]
            for role in ("customer", "agent"):
                if (turn[role] or "").strip():
                    past.append({"role": role, "text": turn[role]})


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    with open_bytes(path) as handle:
        for number, raw in enumerate(handle, 1):
            try:
                yield json.loads(raw)
            except ValueError as error:
                raise ValueError(f"{path}: line {number}: not JSON in UTF-8 ({error})") from error


def _smp2020(folder: Path) -> Parts:
    train = read_file(folder / "smp2020_usual_train.jsonl.gz", skip_empty=True)
    return {"train": train, "test": read_file(folder / "smp2020_usual_eval.jsonl", skip_empty=True)}


def _one(file: str, label: str) -> Callable[[Path], Parts]:
    return lambda folder: {"all": read_file(folder / file, Columns("text", label), skip_empty=True)}


def _pairs(name: str) -> Callable[[Path], Parts]:
    """The second question stands as the turn before the first, so that one encoder reads both together."""

    def read(folder: Path) -> Parts:
        rows = (
            (row["a"], "same" if row["same"] else "different", None, [{"role": "customer", "text": row["b"]}])
            for row in _objects(folder / f"{name}_train.jsonl.gz")
            if row["a"].strip()
        )
        return {"all": rows_of(rows, name)}

    return read


PUBLIC: dict[str, PublicSet] = {
    "banking77": PublicSet(
        ("banking77_train.csv", "banking77_test.csv"), _banking77, "77 intents of a bank, English"
    ),
    "clinc150": PublicSet(("clinc150.json.gz",), _clinc150, "150 intents and out-of-scope rows, English"),
    "jddc-intents": PublicSet(
        ("jddc_valid.jsonl",), _jddc("intent"), "intents of JD.com customers, by dialogue"
    ),
    "jddc-satisfaction": PublicSet(
        ("jddc_valid.jsonl",),
        _jddc("satisfaction"),
        "satisfaction of each turn (0 low, 1, 2 high), by dialogue",
    ),
    "smp2020": PublicSet(
        ("smp2020_usual_train.jsonl.gz", "smp2020_usual_eval.jsonl"), _smp2020, "6 emotions of Weibo posts"
    ),
    "shop-reviews": PublicSet(
        ("online_shopping_reviews_train.jsonl.gz",),
        _one("online_shopping_reviews_train.jsonl.gz", "label"),
        "shop reviews, positive or negative",
    ),
    "cped": PublicSet(
        ("cped_valid.jsonl.gz",), _one("cped_valid.jsonl.gz", "sentiment"), "3 sentiments of lines"
    ),
    "cped-emotion": PublicSet(
        ("cped_valid.jsonl.gz",), _one("cped_valid.jsonl.gz", "emotion"), "13 emotions of lines"
    ),
    "afqmc": PublicSet(("afqmc_train.jsonl.gz",), _pairs("afqmc"), "question pairs of a payment platform"),
    "atec": PublicSet(("atec_train.jsonl.gz",), _pairs("atec"), "question pairs of a payment platform"),
}
"""By name. JDDC's turns whose intent is null or empty are no examples, but stand in the context of others."""
