"""Lets MLflow load a registered model: `mlflow.pyfunc.load_model("models:/kefu-category@champion")`.

No pickle is involved: the logged model is the exported folder, opened by the predictor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from serving.exported import ExportedModel

__all__ = ["AnalysisModel"]


class AnalysisModel:
    """Answers a frame with the column `text` by one with label and score of every task."""

    def __init__(self, folder: Path) -> None:
        self.model = ExportedModel(folder)

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Labels and calibrated scores, one row for each row of `frame`."""
        if "text" not in frame:
            raise ValueError("text: the frame has no such column")
        found = self.model.probabilities([(str(text), ()) for text in frame["text"]])
        columns: dict[str, list[Any]] = {}
        for task, scores in found.items():
            columns[task] = [self.model.labels[task][index] for index in scores.argmax(axis=1)]
            columns[f"{task}_score"] = scores.max(axis=1).astype(float).tolist()
        return pd.DataFrame(columns, index=frame.index)


def _load_pyfunc(data_path: str) -> AnalysisModel:
    """MLflow's hook: opens the exported folder of a logged model."""
    return AnalysisModel(Path(data_path))
