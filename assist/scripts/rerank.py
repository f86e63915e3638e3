"""The trained reranker, opened for inference: an exported folder of ONNX network and manifest, hashes
checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from data.files import sha256_file
from data.reply_features import EXTRAS, PairView, Side, code_points, side_of

__all__ = ["FORMAT", "BrokenRerankerError", "Reranker"]

FORMAT = 1
_NETWORK = "reranker.onnx"


class BrokenRerankerError(RuntimeError):
    """The folder is no whole exported reranker; the message names the file and the mend."""


class Reranker:
    """Does a reply answer the message? Thread-safe.

    Args:
        folder: what `experiments.reply_training` exported.
        threads: of ONNX Runtime for one call; the network is small, so one is best.

    Raises:
        BrokenRerankerError: a file is missing or changed, or was made by another version.
    """

    def __init__(self, folder: Path | str, threads: int = 1) -> None:
        self.folder = Path(folder)
        self.manifest = _verified(self.folder)
        self.width = int(self.manifest["width"])
        self.threshold = float(self.manifest["threshold"])
        """Logit from which a reply counts as an answer."""
        self.encoder = str(self.manifest.get("encoder", ""))
        """Name of the encoder whose vectors it learnt; others mean something else."""
        self.version = str(self.manifest["files"][_NETWORK])[:12]
        self._view = PairView(int(self.manifest["buckets"]), int(self.manifest["limit"]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(self.folder / _NETWORK), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise BrokenRerankerError(f"{folder}: {_NETWORK} cannot be loaded ({error})") from error

    def logits(
        self,
        text: str,
        vector: NDArray[np.float32],
        sides: Sequence[Side],
        vectors: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Log-odds that each reply answers, float32 [replies].

        Args:
            text: the message.
            vector: its unit vector (width,).
            sides: wording of the replies (`ScriptIndex.side`).
            vectors: their unit vectors [replies, width].

        Raises:
            ValueError: vectors are not of the width that it learnt.
        """
        if not len(sides):
            return np.zeros(0, np.float32)
        if vector.shape != (self.width,) or vectors.shape != (len(sides), self.width):
            raise ValueError(
                f"vectors: {vector.shape} and {vectors.shape}, but the reranker learnt {self.width} "
                "numbers each; train it anew for this encoder (kefu scripts train)"
            )
        query = side_of(code_points(text))
        inputs = {
            "query": np.repeat(vector[None, :].astype(np.float32), len(sides), 0),
            "reply": np.ascontiguousarray(vectors, np.float32),
            "numbers": self._view.numbers(query, sides, (vectors @ vector).astype(np.float32)),
            "grams": self._view.grams(query, sides),
        }
        return np.asarray(self._session.run(["logit"], inputs)[0], np.float32)


def _verified(folder: Path) -> dict[str, Any]:
    mend = "train it anew (kefu scripts train)"
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        files = dict(manifest["files"])
    except FileNotFoundError as error:
        raise BrokenRerankerError(f"{folder}: manifest.json is missing; {mend}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenRerankerError(f"{folder}: manifest.json is damaged ({error}); {mend}") from error
    if manifest.get("format") != FORMAT or list(manifest.get("numbers", [])) != list(EXTRAS):
        raise BrokenRerankerError(f"{folder}: was made by another version of the project; {mend}")
    missing = [name for name in ("width", "buckets", "limit", "threshold") if name not in manifest]
    if missing or _NETWORK not in files:
        raise BrokenRerankerError(f"{folder}: manifest.json lacks {(missing or [_NETWORK])[0]}; {mend}")
    for name, expected in files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise BrokenRerankerError(f"{folder}: {name} is missing; {mend}")
        if sha256_file(path) != expected:
            raise BrokenRerankerError(f"{folder}: {name} was changed after export (hash); {mend}")
    return manifest
