"""API keys: who may ask, and how often. The file holds hashes, never keys.

A key is 256 random bits, so one SHA-256 is as good as a slow hash: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.files import write_json

__all__ = ["ApiKey", "ApiKeyError", "KeyRing", "add_key", "open_keys", "read_keys", "remove_key"]

DEFAULT_RATE = 50.0
_LOOK_EVERY = 1.0  # seconds between looks at the file


class ApiKeyError(ValueError):
    """The file of keys is damaged, or a name is taken or unknown."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One caller."""

    name: str
    sha256: str
    rate: float
    """Requests a second, on average; twice as many at once."""
    created: str


def read_keys(path: Path) -> list[ApiKey]:
    """The keys of a file; none if it is not there.

    Raises:
        ApiKeyError: the file is damaged.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["keys"]
        return [ApiKey(**row) for row in rows]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise ApiKeyError(f"{path}: is no file of API keys ({error})") from error


def add_key(path: Path, name: str, rate: float = DEFAULT_RATE) -> str:
    """Make a key; it is shown once and cannot be read again.

    Raises:
        ApiKeyError: the name is taken.
    """
    keys = read_keys(path)
    if any(key.name == name for key in keys):
        raise ApiKeyError(f"name: {name!r} has a key already; remove it first: kefu keys remove {name}")
    if not rate > 0:
        raise ApiKeyError(f"rate: {rate} must be above 0 requests a second")
    token = f"kefu_{secrets.token_urlsafe(32)}"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    _write(path, [*keys, ApiKey(name, _hash(token), rate, now)])
    return token


def remove_key(path: Path, name: str) -> None:
    """Withdraw a key; running services refuse it within a second or two.

    Raises:
        ApiKeyError: there is none of that name.
    """
    keys = read_keys(path)
    left = [key for key in keys if key.name != name]
    if len(left) == len(keys):
        raise ApiKeyError(f"name: there is no key {name!r}; see: kefu keys list")
    _write(path, left)


def _write(path: Path, keys: list[ApiKey]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"keys": [asdict(key) for key in keys]})
    path.chmod(0o600)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(slots=True)
class _Bucket:
    """Token bucket of one key; on the monotonic clock, so that a clock change lets nobody in or out."""

    left: float
    filled: float


class KeyRing:
    """The keys of a file, followed while the service runs.

    Args:
        path: what `kefu keys add` writes.
        share: part of each key's rate that this process grants (1 / workers).
    """

    def __init__(self, path: Path, share: float = 1.0) -> None:
        self._path, self._share = path, share
        self._keys = read_keys(path)
        self._stamp = self._file_stamp()
        self._looked = time.monotonic()
        self._buckets: dict[str, _Bucket] = {}

    def find(self, token: str) -> ApiKey | None:
        """The key that this token is; compared in constant time with every one."""
        self._follow()
        digest, found = _hash(token), None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def wait(self, key: ApiKey) -> float:
        """Take one request from the key's allowance: 0, or the seconds until one is free."""
        now, rate = time.monotonic(), key.rate * self._share
        most = max(1.0, 2 * rate)
        bucket = self._buckets.setdefault(key.name, _Bucket(most, now))
        bucket.left = min(most, bucket.left + (now - bucket.filled) * rate)
        bucket.filled = now
        if bucket.left >= 1:
            bucket.left -= 1
            return 0.0
        return (1 - bucket.left) / rate

    def _file_stamp(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - once a second, on the way of requests
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _follow(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        stamp = self._file_stamp()
        if stamp != self._stamp:
            # A file that vanished or is damaged locks everybody out rather than letting anybody in.
            self._stamp = stamp
            try:
                self._keys = read_keys(self._path)
            except ApiKeyError:
                self._keys = []


def open_keys(path: Path | None, workers: int = 1) -> KeyRing | None:
    """The ring of a file; None where no file is configured: then only this machine may ask."""
    return KeyRing(path, 1 / workers) if path else None
