"""The data of an earlier run: in a folder, in DVC's cache, or made again from the commit of that run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["DataNotFoundError", "find_snapshot", "from_cache", "from_commit"]

PROCESSED = Path("data/processed")


class DataNotFoundError(RuntimeError):
    """A snapshot is in none of the places; the message says which these were and how to get it."""


def find_snapshot(
    identity: str, dvc: str, commit: str, places: Sequence[Path], scratch: Path
) -> tuple[Path, str]:
    """A folder with the snapshot of this id, and in words where it came from.

    Looks in `places` and `data/processed`, then in DVC's cache, then makes it from the run's commit.

    Args:
        dvc: hash of its folder in DVC (`….dir`), empty if unknown.
        commit: of the run that read it.
        scratch: an empty folder for a copy.

    Raises:
        DataNotFoundError: says what was tried.
    """
    tried = []
    for folder in [*places, PROCESSED]:
        found = _identity(folder)
        if found == identity:
            return folder, f"is in {folder}"
        tried.append(f"{folder} holds {f'snapshot {found}' if found else 'no snapshot'}")
    for way, name in ((from_cache, dvc), (from_commit, commit)):
        reason = way(name, scratch / way.__name__)
        folder = scratch / way.__name__
        if not reason and _identity(folder) == identity:
            source = f"DVC's cache ({dvc})" if way is from_cache else f"made again from commit {commit[:12]}"
            return folder, f"is from {source}" if way is from_cache else f"was {source}"
        tried.append(reason or f"commit {commit[:12]} makes snapshot {_identity(folder)}, not this one")
    raise DataNotFoundError(
        f"snapshot {identity} is not here:\n- " + "\n- ".join(tried) + "\n"
        "get it from the machine that trained the run: copy its data/processed and name it with --snapshot, "
        f"or copy its .dvc/cache{f' (it holds {dvc})' if dvc else ''}"
    )


def _identity(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / "snapshot.json").read_text(encoding="utf-8"))["id"])
    except (OSError, ValueError, KeyError):
        return None


def from_cache(dvc: str, output: Path, cache: Path | None = None) -> str:
    """Copy a folder out of DVC's cache.

    Args:
        dvc: its hash, which ends in `.dir`.
        cache: the cache's folder; the project's if left out.

    Returns:
        Why it could not; empty if it could.
    """
    if not dvc.endswith(".dir"):
        return "the run does not name the data's hash in DVC"
    cache = cache or _cache()
    if cache is None:
        return "this is no DVC project, so it has no cache"
    listing = _cached(cache, dvc)
    if not listing.is_file():
        return f"DVC's cache in {cache} does not hold {dvc}"
    files = json.loads(listing.read_text(encoding="utf-8"))
    missing = [one["relpath"] for one in files if not _cached(cache, one["md5"]).is_file()]
    if missing:
        return f"DVC's cache in {cache} lacks {len(missing)} files of {dvc}, e.g. {missing[0]}"
    for one in files:
        target = output / one["relpath"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_cached(cache, one["md5"]), target)
    return ""


def _cached(cache: Path, name: str) -> Path:
    return cache / "files" / "md5" / name[:2] / name[2:]


def _cache() -> Path | None:
    done = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def from_commit(commit: str, output: Path) -> str:
    """Make the snapshot with code, settings and data of an earlier commit, in a worktree beside this one.

    Works where the commit holds its data (the embedded corpus); what was pulled from Label Studio lies
    outside git.

    Returns:
        Why it could not; empty if it could.
    """
    name, *changes = commit.split("+")
    uncommitted = " (the run had uncommitted changes besides)" if changes else ""
    known = subprocess.run(["git", "cat-file", "-e", f"{name}^{{commit}}"], capture_output=True)
    if known.returncode:
        return f"commit {name} is not in this git repository; fetch it{uncommitted}"
    tree = output.with_name(f"{output.name}-tree")
    added = _git("worktree", "add", "--detach", "--force", str(tree), name)
    if added:
        return f"commit {name[:12]} could not be checked out: {added}"
    try:
        # Its own code: `python -m` takes packages from the working folder first.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        command = [sys.executable, "-m", "dvc", "repro", "split"]
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(tree)}
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
        if done.returncode or not (tree / PROCESSED).is_dir():
            lines = (done.stderr or done.stdout).strip().splitlines()
            return (
                f"commit {name[:12]} could not make its snapshot{uncommitted}: {lines[-1] if lines else ''}"
            )
        shutil.copytree(tree / PROCESSED, output)
    finally:
        _git("worktree", "remove", "--force", str(tree))
    return ""


def _git(*arguments: str) -> str:
    """Run git; what it complained of, empty if nothing."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    return done.stderr.strip() or "git failed" if done.returncode else ""
