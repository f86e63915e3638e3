"""The reranker of replies: trained, exported, opened again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from assist.scripts.rerank import BrokenRerankerError, Reranker
from data.reply_features import EXTRAS, PairView, code_points, side_of
from training.replies import PairRows, RerankConfig, best_threshold, logits_of, train_reranker
from training.reply_export import export_reranker

ASKED = ["什么时候发货", "穿多大的码", "能开发票吗", "怎么退货"]
ANSWERED = ["今天下午发货，单号见订单", "身高体重报给我，我看尺码", "发票三天内开好", "申请退货后寄回"]


def made(count, seed):
    """Pairs in which a reply answers where it is of the message's kind; vectors say the kind, not quite."""
    random = np.random.default_rng(seed)
    kinds = np.eye(4, 16, dtype=np.float32)
    query, reply = random.integers(0, 4, count), random.integers(0, 4, count)
    noise = random.normal(0, 0.15, (2, 4, 16)).astype(np.float32)
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in kinds + noise]
    return PairRows(
        unit[0], unit[1], [side_of(code_points(text)) for text in ASKED],
        [side_of(code_points(text)) for text in ANSWERED], query, reply, (query == reply).astype(np.int64),
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    config = RerankConfig(hidden=16, buckets=2048, epochs=8, wording_epochs=4, batch_size=100, lr=2e-2)
    return train_reranker(made(400, 1), made(120, 1), config)


def test_it_learns_who_answers(trained):
    rows = made(200, 1)
    logits = logits_of(trained, rows)
    threshold = best_threshold(logits, rows.answers)
    assert ((logits >= threshold) == (rows.answers == 1)).mean() > 0.97


def test_exported_it_says_the_same(trained, tmp_path):
    folder = export_reranker(trained, tmp_path / "exported", 0.25, {"encoder": "e@1"}, "# Card\n")
    opened = Reranker(folder)
    assert (opened.width, opened.threshold, opened.encoder) == (16, 0.25, "e@1")
    rows = made(1, 1)
    for asked in range(4):
        got = opened.logits(ASKED[asked], rows.query_vectors[asked], rows.reply_sides, rows.reply_vectors)
        each = PairRows(
            rows.query_vectors, rows.reply_vectors, rows.query_sides, rows.reply_sides,
            np.full(4, asked), np.arange(4), np.zeros(4, np.int64),
        )  # fmt: skip
        assert np.allclose(got, logits_of(trained, each), atol=1e-3)
        assert int(got.argmax()) == asked
    assert opened.logits("x", rows.query_vectors[0], [], np.zeros((0, 16), np.float32)).shape == (0,)
    with pytest.raises(ValueError, match="learnt 16"):
        opened.logits("x", np.zeros(8, np.float32), rows.reply_sides, rows.reply_vectors)


def test_a_changed_folder_is_refused(trained, tmp_path):
    folder = export_reranker(trained, tmp_path / "exported", 0.0, {}, "# Card\n")
    (folder / "README.md").write_text("other", encoding="utf-8")
    with pytest.raises(BrokenRerankerError, match=r"README\.md was changed"):
        Reranker(folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"numbers": []}), encoding="utf-8")
    with pytest.raises(BrokenRerankerError, match="another version"):
        Reranker(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(BrokenRerankerError, match=r"manifest\.json is missing"):
        Reranker(folder)


def test_one_kind_of_answer_teaches_nothing():
    rows = made(20, 2)
    only = PairRows(
        rows.query_vectors, rows.reply_vectors, rows.query_sides, rows.reply_sides, rows.query, rows.reply,
        np.ones(20, np.int64),
    )  # fmt: skip
    with pytest.raises(ValueError, match="held: needs pairs"):
        train_reranker(rows, only)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="positive"):
        RerankConfig(hidden=0)
    with pytest.raises(ValueError, match="dropout"):
        RerankConfig(dropout=1.0)


def test_the_best_threshold_is_the_best():
    random = np.random.default_rng(0)
    logits, answers = random.normal(size=200), random.integers(0, 2, 200)

    def f1(threshold):
        said = logits >= threshold
        return 2 * (said & (answers == 1)).sum() / (said.sum() + answers.sum())

    assert f1(best_threshold(logits, answers)) == pytest.approx(max(f1(value) for value in logits))


def test_numbers_say_what_is_shared():
    view = PairView(1024)
    query, same, other = (side_of(code_points(text)) for text in ("几天发货", "几天发货", "尺码表？"))
    numbers = view.numbers(query, [same, other], np.array([1.0, 0.0], np.float32))
    row = dict(zip(EXTRAS, numbers.T, strict=True))
    assert row["covered_pairs"].tolist() == [1.0, 0.0]
    assert row["shared_characters"][0] == pytest.approx(0.4)
    assert row["reply_is_question"].tolist() == [0.0, 1.0]


def test_crosses_fit_their_buckets():
    view = PairView(64, limit=10)
    query, reply = side_of(code_points("穿多大")), side_of(code_points("按尺码表选"))
    grams = view.grams(query, [reply, side_of(code_points(""))])
    assert grams.min() == 0
    assert 0 < grams[0].min() <= grams.max() < 64
    assert not grams[1].any()
    assert len(grams[0]) == 5 + 4 + 10 + 8
