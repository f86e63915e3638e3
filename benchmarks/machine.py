"""What a figure was measured on: cores, the instructions that decide, memory, versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from serving.exported import default_threads

__all__ = ["describe_machine"]

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")
_PACKAGES = (
    "onnxruntime", "tokenizers", "numpy", "bentoml", "fastapi", "uvicorn", "uvloop", "httptools",
    "transformers", "torch", "aiohttp",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """Cores that may be used, CPU, its instructions for int8 and bfloat16, memory, load, versions.

    What the system does not tell is None or left out.
    """
    import psutil

    cpu = _cpu_info()
    flags = set(cpu.get("flags", "").split())
    return {
        "cores": default_threads(),
        "cpu": cpu.get("model name") or platform.processor() or None,
        "flags": [flag for flag in _FLAGS if flag in flags],
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": dict(_versions()),
    }


def _cpu_info() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    rows = (line.split(":", 1) for line in path.read_text(encoding="utf-8").splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in rows}


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
