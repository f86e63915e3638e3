"""The settings of a running service, read from the environment in one place."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from serving.exported import default_threads

__all__ = ["ServiceSettings", "SettingsError"]


class SettingsError(ValueError):
    """An environment variable has a value that cannot be used; the message names it."""


@dataclass(frozen=True)
class ServiceSettings:
    """How one service process works. Defaults suit a small machine."""

    workers: int = 1
    """Processes (`KEFU_WORKERS`)."""
    threads: int = 1
    """Passes that a worker computes side by side, a core each (`KEFU_THREADS`; default cores / workers)."""
    artefact: str | None = None
    """Artefact to serve instead of the one chosen at packaging (`KEFU_ARTEFACT`)."""
    device: str | None = None
    """`cpu` or `cuda` (`KEFU_DEVICE`; default: CUDA where it works)."""
    max_waiting: int = 1024
    """Messages that may wait in one worker; more get a 503 (`KEFU_MAX_WAITING`)."""
    timeout: float = 15.0
    """Seconds until a request is given up (`KEFU_TIMEOUT`)."""
    keys: Path | None = None
    """File of API keys (`KEFU_API_KEYS`, default `.kefu/api_keys.json` if it exists)."""
    feedback: Path = Path(".kefu/feedback.sqlite")
    """Where feedback is kept (`KEFU_FEEDBACK`)."""
    log_text: bool = False
    """Write texts, masked, into the log (`KEFU_LOG_TEXT`)."""
    reload_seconds: float = 2.0
    """How often the pinned models are looked at for a change; 0 never (`KEFU_RELOAD_SECONDS`)."""

    @classmethod
    def from_environment(cls) -> ServiceSettings:
        """The settings that the environment asks for.

        Raises:
            SettingsError: names the variable.
        """
        workers = int(_number("KEFU_WORKERS", 1, 1, 256))
        threads = int(_number("KEFU_THREADS", 0, 0, 1024)) or max(1, default_threads() // workers)
        device = os.environ.get("KEFU_DEVICE") or None
        if device not in {None, "cpu", "cuda"}:
            raise SettingsError(f"KEFU_DEVICE: {device!r} is neither cpu nor cuda")
        default_keys = Path(".kefu/api_keys.json")
        keys = os.environ.get("KEFU_API_KEYS")
        return cls(
            workers=workers,
            threads=threads,
            artefact=os.environ.get("KEFU_ARTEFACT") or None,
            device=device,
            max_waiting=int(_number("KEFU_MAX_WAITING", cls.max_waiting, 1, 1_000_000)),
            timeout=_number("KEFU_TIMEOUT", cls.timeout, 0.05, 3600),
            keys=Path(keys) if keys else default_keys if default_keys.is_file() else None,
            feedback=Path(os.environ.get("KEFU_FEEDBACK") or cls.feedback),
            log_text=os.environ.get("KEFU_LOG_TEXT", "").lower() in {"1", "true", "yes"},
            reload_seconds=_number("KEFU_RELOAD_SECONDS", cls.reload_seconds, 0, 3600),
        )

    def check_host(self, host: str) -> None:
        """Refuse to listen to other machines without API keys.

        Raises:
            SettingsError: says how to make a key.
        """
        if self.keys is None and not ipaddress.ip_address(host).is_loopback:
            raise SettingsError(
                f"host: {host} can be reached from other machines, which need API keys; "
                "make one first: kefu keys add NAME"
            )


def _number(name: str, default: float, least: float, most: float) -> float:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise SettingsError(f"{name}: {text!r} is not a number from {least:g} to {most:g}")
    return value
