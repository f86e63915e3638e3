"""Answers for a file of messages, by the same predictor as the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from tqdm import tqdm

from data.files import read_jsonl, write_jsonl
from serving.package import open_champions
from serving.predictor import Predictor
from serving.schema import AnalyzeRequest, reason_of
from serving.settings import ServiceSettings

__all__ = ["packaged_predictor", "predict_file"]


def packaged_predictor(threads: int | None = None) -> Predictor:
    """The packaged champions, with the device and artefact that a service started now would use.

    Raises:
        serving.package.NotPackagedError: nothing was packaged yet, or the store lost it.
    """
    settings = ServiceSettings.from_environment()
    return open_champions(None, threads, settings.device, settings.artefact)


def predict_file(source: Path, target: Path, batch_size: int = 64, predictor: Predictor | None = None) -> int:
    """Answer rows `{"id", "text", "context"?}`; writes `{"id", …answer}` in the same order.

    Args:
        predictor: answers; the packaged champions when None.

    Returns:
        The number of rows.

    Raises:
        ValueError: names line and field of the first bad row; nothing is written.
    """
    requests = list(_requests(source))
    predictor = predictor or packaged_predictor()
    with tqdm(total=len(requests), unit="message", disable=len(requests) < 200) as progress:

        def rows() -> Iterator[dict[str, Any]]:
            for start in range(0, len(requests), batch_size):
                part = requests[start : start + batch_size]
                answers = predictor.analyze([request for _, request in part])
                for (identity, _), answer in zip(part, answers, strict=True):
                    yield {"id": identity, **answer.model_dump()}
                progress.update(len(part))

        return write_jsonl(target, rows())


def _requests(source: Path) -> Iterator[tuple[Any, AnalyzeRequest]]:
    for number, row in read_jsonl(source):
        where = f"{source}:{number}"
        if "id" not in row:
            raise ValueError(f"{where}: id: is missing")
        known = {name: row[name] for name in ("text", "context") if row.get(name) is not None}
        try:
            yield row["id"], AnalyzeRequest.model_validate(known)
        except ValidationError as error:
            problem = reason_of(dict(error.errors()[0]))
            raise ValueError(f"{where}: {problem['field']}: {problem['reason']}") from error
