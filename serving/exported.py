"""An exported model folder, opened for inference with ONNX Runtime after its hashes were checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from data.encoding import EncodedInput, InputEncoder, Message
from data.files import sha256_file
from data.ngrams import NgramView
from data.taxonomy import Taxonomy, parse_taxonomy

__all__ = [
    "DEFAULT_ARTEFACT",
    "DEVICES",
    "BrokenModelError",
    "ExportedModel",
    "Opinions",
    "default_threads",
    "open_model",
    "verify_folder",
]

FORMAT = 4
DEFAULT_ARTEFACT = "float32"
DEVICES = ("cpu", "cuda")
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# More messages at once fill a GPU; on a CPU they only leave its caches.
_LARGEST = {"cpu": 16, "cuda": 256}
_RUN_COST = 16  # of one run of the network, in tokens of one message; measured on CPUs
_EMBEDDING = "message_embedding"
REQUIRED = (
    "model.onnx",
    "tokenizer.json",
    "input.json",
    "label_map.json",
    "taxonomy.json",
    "calibration.json",
)


class BrokenModelError(RuntimeError):
    """The folder is not a whole exported model; the message names the file and the mend."""


@dataclass(frozen=True, slots=True)
class Opinions:
    """What a model thinks of some messages, in their order."""

    probabilities: dict[str, NDArray[np.float32]]
    """Calibrated, by task; float32 [messages, labels]."""
    labels: dict[str, list[str]]
    """By task the label of each column."""
    embedding: NDArray[np.float32]
    """The encoder's view of the message, not of unit length; float32 [messages, hidden]."""


def default_threads() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def verify_folder(folder: Path | str) -> dict[str, Any]:
    """Check that every file of an exported model is there and unchanged; returns its manifest.

    Raises:
        BrokenModelError: names the first file that is missing or changed.
    """
    folder = Path(folder)
    mend = "train it anew (kefu train) or take a registered version (kefu package)"
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        files = dict(manifest["files"])
    except FileNotFoundError as error:
        raise BrokenModelError(f"{folder}: manifest.json is missing; {mend}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenModelError(f"{folder}: manifest.json is damaged ({error}); {mend}") from error
    if manifest.get("format") != FORMAT:
        raise BrokenModelError(
            f"{folder}: format {manifest.get('format')!r} is not {FORMAT}; this model was exported by "
            "another version of the project"
        )
    artefacts = manifest.get("artefacts", {})
    needed = [str(entry[key]) for entry in artefacts.values() for key in ("file", "calibration")]
    for name in (*REQUIRED, *needed):
        if name not in files:
            raise BrokenModelError(f"{folder}: manifest.json does not list {name}; {mend}")
    for name, expected in files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise BrokenModelError(f"{folder}: {name} is missing; {mend}")
        if sha256_file(path) != expected:
            raise BrokenModelError(f"{folder}: {name} was changed after export (hash); {mend}")
    return manifest


class ExportedModel:
    """Probabilities of every task that the model has learnt. Thread-safe.

    Args:
        folder: an exported model.
        threads: ONNX Runtime's threads for one call; all usable cores when None.
        device: "cpu" or "cuda"; where CUDA does not work, ONNX Runtime takes the CPU and `device` says so.
        artefact: which of the folder's networks: "float32", "int8", "float16".

    Raises:
        BrokenModelError: the folder is damaged, or lacks the artefact.
    """

    def __init__(
        self,
        folder: Path | str,
        threads: int | None = None,
        device: str = "cpu",
        artefact: str = DEFAULT_ARTEFACT,
    ) -> None:
        self.folder = Path(folder)
        self.manifest = verify_folder(self.folder)
        self.artefact = artefact
        entry = self._entry(artefact)
        self.taxonomy: Taxonomy = parse_taxonomy(self._json("taxonomy.json"), "taxonomy.json")
        self.labels: dict[str, list[str]] = self._json("label_map.json")
        self.calibration: dict[str, dict[str, float]] = self._json(str(entry["calibration"]))
        self.encoder = InputEncoder.load(self.folder)
        buckets = int(self.manifest.get("ngram_buckets", 0))
        self.ngrams = NgramView(buckets) if buckets else None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or default_threads()
        options.inter_op_num_threads = 1
        # Spinning threads win a little latency and take the cores from every other worker.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        providers = [_PROVIDERS["cpu"]] if device == "cpu" else [_PROVIDERS[device], _PROVIDERS["cpu"]]
        # ONNX Runtime's fused skip-and-normalise is a scalar loop on CPUs, several times slower than the
        # two operators that it replaces (benchmarks/artefacts.py measures it).
        slow = ["SkipLayerNormFusion"] if device == "cpu" else []
        try:
            self.session = onnxruntime.InferenceSession(
                str(self.folder / entry["file"]), options, providers=providers, disabled_optimizers=slow
            )
        except Exception as error:
            raise BrokenModelError(f"{folder}: {entry['file']} cannot be loaded ({error})") from error
        self.threads = options.intra_op_num_threads
        self._check_outputs()

    def _entry(self, artefact: str) -> Mapping[str, str]:
        entries = self.manifest.get("artefacts", {})
        if artefact == DEFAULT_ARTEFACT and artefact not in entries:
            return {"file": "model.onnx", "calibration": "calibration.json"}
        if artefact not in entries:
            raise BrokenModelError(
                f"{self.folder}: has no artefact {artefact!r}, only {sorted({DEFAULT_ARTEFACT, *entries})}"
            )
        found: Mapping[str, str] = entries[artefact]
        return found

    def _json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def _check_outputs(self) -> None:
        outputs = {output.name: output.shape[-1] for output in self.session.get_outputs()}
        for task in self.tasks:
            size = outputs.get(f"{task}_logits")
            if size != len(self.labels.get(task, [])):
                raise BrokenModelError(
                    f"{self.folder}: label_map.json has {len(self.labels.get(task, []))} labels for "
                    f"{task}, but the network answers {size}"
                )
        width = outputs.get(_EMBEDDING)
        if not isinstance(width, int):
            raise BrokenModelError(f"{self.folder}: model.onnx has no output {_EMBEDDING} of a fixed width")
        self._hidden = width

    @property
    def tasks(self) -> list[str]:
        """What the model answers: "category", "emotion" or both."""
        return list(self.manifest["tasks"])

    @property
    def device(self) -> str:
        """ "cuda" or "cpu"."""
        return "cuda" if _PROVIDERS["cuda"] in self.session.get_providers() else "cpu"

    def inputs(self, messages: Sequence[Message]) -> dict[str, NDArray[np.int64]]:
        """What the network reads: padded int64 arrays [messages, …] by input name."""
        return self._inputs(messages, self.encoder.encode(messages))

    def _inputs(
        self, messages: Sequence[Message], encoded: Sequence[EncodedInput]
    ) -> dict[str, NDArray[np.int64]]:
        inputs = self.encoder.pad(encoded).inputs()
        return inputs | self.ngrams.batch(messages) if self.ngrams else inputs

    def logits(
        self, messages: Sequence[Message], batch_size: int | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Uncalibrated logits by task, [messages, labels], in the messages' order."""
        found = self._run(messages, batch_size, embedding=False)
        return {task: found[f"{task}_logits"] for task in self.tasks}

    def probabilities(
        self, messages: Sequence[Message], batch_size: int | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Calibrated probabilities by task, float32 [messages, labels], in the messages' order."""
        return self._calibrated(messages, self._run(messages, batch_size, embedding=False))

    def opinions(self, messages: Sequence[Message], batch_size: int | None = None) -> Opinions:
        """Calibrated probabilities of every task and the messages' embeddings, in one pass."""
        found = self._run(messages, batch_size, embedding=True)
        labels = {task: self.labels[task] for task in self.tasks}
        return Opinions(self._calibrated(messages, found), labels, found[_EMBEDDING])

    def _run(
        self, messages: Sequence[Message], batch_size: int | None, embedding: bool
    ) -> dict[str, NDArray[np.float32]]:
        sizes = {f"{task}_logits": len(self.labels[task]) for task in self.tasks}
        if embedding:
            sizes[_EMBEDDING] = self._hidden
        largest = batch_size or _LARGEST[self.device]
        encoded = self.encoder.encode(messages)
        out: dict[str, NDArray[np.float32]] = {
            name: np.zeros((len(messages), size), np.float32) for name, size in sizes.items()
        }
        order = sorted(range(len(encoded)), key=lambda row: len(encoded[row].ids))
        for start, end in _batches([len(encoded[row].ids) for row in order], largest):
            rows = order[start:end]
            inputs = self._inputs([messages[row] for row in rows], [encoded[row] for row in rows])
            for name, values in zip(out, self.session.run(list(out), inputs), strict=True):
                out[name][rows] = values
        return out

    def _calibrated(
        self, messages: Sequence[Message], found: dict[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float32]]:
        result = {}
        in_context = np.array([bool(context) for _, context in messages], bool)
        for task in self.tasks:
            logits, stored = found[f"{task}_logits"], self.calibration[task]
            temperature = np.where(in_context, stored["context_temperature"], stored["temperature"])
            scaled = logits / temperature[:, None].astype(np.float32)
            scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf))
            result[task] = scaled / scaled.sum(axis=1, keepdims=True)
        return result


def _batches(lengths: Sequence[int], largest: int) -> list[tuple[int, int]]:
    """Parts (start, end) of messages sorted by length that cost least together.

    A part of n messages costs its longest message n times, and a fixed price: many parts pad little, few
    parts run little. Dynamic programming finds the best parts.
    """
    best, cut = [0.0], [0]
    for end in range(1, len(lengths) + 1):
        longest = lengths[end - 1]
        cost, start = min(
            (best[start] + _RUN_COST + (end - start) * longest, start)
            for start in range(max(0, end - largest), end)
        )
        best.append(cost)
        cut.append(start)
    parts, end = [], len(lengths)
    while end:
        parts.append((cut[end], end))
        end = cut[end]
    return parts[::-1]


def open_model(
    folder: Path | str,
    artefacts: Mapping[str, str] | None = None,
    threads: int | None = None,
    device: str | None = None,
) -> ExportedModel:
    """Open the artefact that suits the device.

    Args:
        artefacts: device ("cpu", "cuda") to artefact; float32 where it names none.
        device: None takes CUDA where ONNX Runtime has it and it works, else the CPU.

    Raises:
        BrokenModelError: the folder is damaged, or CUDA was asked for and does not work.
    """
    artefacts = artefacts or {}
    has_cuda = _PROVIDERS["cuda"] in onnxruntime.get_available_providers()
    if device != "cpu" and has_cuda:
        model = ExportedModel(folder, threads, "cuda", artefacts.get("cuda", DEFAULT_ARTEFACT))
        if model.device == "cuda":
            return model
    if device == "cuda":
        why = "its libraries do not load" if has_cuda else "this onnxruntime is built without it"
        raise BrokenModelError(
            f"{folder}: CUDA was asked for, but {why}; install onnxruntime-gpu instead of onnxruntime, "
            "or leave KEFU_DEVICE unset"
        )
    return ExportedModel(folder, threads, "cpu", artefacts.get("cpu", DEFAULT_ARTEFACT))
