"""The pipeline behind a plain BentoML API, as BentoML's own "Hello world" has it.

BENCHMARK_MODEL=models/shared/exported python -m bentoml serve benchmarks.rival_bentoml:PipelineService
"""

from __future__ import annotations

import bentoml

from benchmarks.rivals import load_pipeline

__all__ = ["PipelineService"]


@bentoml.service
class PipelineService:
    """One worker, one request at a time, PyTorch on all cores: the defaults."""

    def __init__(self) -> None:
        self.pipeline = load_pipeline()

    @bentoml.api
    def analyze(self, text: str, context: list) -> dict:
        """Label and score of category and emotion."""
        return self.pipeline({"text": text, "context": context})
