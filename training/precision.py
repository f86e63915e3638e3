"""Which number format a run computes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

__all__ = ["pick_precision"]


def pick_precision(config: str, accelerator: str) -> Any:
    """Lightning's precision for `train.precision`; `auto` is bf16 only where it is native."""
    if config == "32":
        return "32-true"
    if config == "bf16":
        return "bf16-mixed"
    if accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "bf16-mixed" if "avx512_bf16" in flags or "amx_bf16" in flags else "32-true"
