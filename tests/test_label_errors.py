"""Label errors: folds that leak nothing, flipped labels that are found, errors that say the mend."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict

import numpy as np
import pytest

from data.example import Example, Turn, write_examples
from experiments.embeddings import embed
from experiments.label_errors import Suspect, find_label_errors, main, rank_suspects
from experiments.label_flips import flip_labels, recovery
from experiments.out_of_fold import deal_folds, out_of_fold


def row(number, text, category="greeting", emotion="neutral", **more):
    return Example(f"r{number}", text, category, emotion, "a", **more)


@pytest.fixture(scope="module")
def answers(few, taxonomy):
    return out_of_fold(few, taxonomy)


@pytest.mark.parametrize("task", ["category", "emotion"])
def test_flipped_labels_stand_first(few, taxonomy, task):
    copies, flipped = flip_labels(few, taxonomy, task, 0.08, seed=3)
    suspects = find_label_errors(copies, taxonomy)
    assert len(suspects) == 2 * len(few)
    wrong = {one.id for one, is_flipped in zip(copies, flipped, strict=True) if is_flipped}
    found = recovery("uniform", task, suspects, wrong)
    assert found.flipped == round(0.08 * len(few))
    assert found.in_first_12 >= 0.7
    assert found.average_precision >= 0.5
    assert found.counted_precision >= 3 * 0.08
    # Nothing was done to the other task: there the same rows stand where chance puts them.
    other = {"category": "emotion", "emotion": "category"}[task]
    assert recovery("uniform", other, suspects, wrong).in_first_12 < 0.4


def test_the_guess_is_what_the_label_was(few, taxonomy):
    copies, flipped = flip_labels(few, taxonomy, "category", 0.08, seed=4)
    before = {one.id: one.category for one, is_flipped in zip(few, flipped, strict=True) if is_flipped}
    top = [one for one in find_label_errors(copies, taxonomy) if one.task == "category"][: len(before) // 2]
    hits = [one for one in top if one.id in before]
    assert len(hits) >= 0.7 * len(top)
    assert np.mean([one.guess == before[one.id] for one in hits]) > 0.8
    one = hits[0]
    named = f"「{taxonomy.category[one.label].zh}」", f"「{taxonomy.category[one.guess].zh}」"
    assert one.reason.startswith(f"标注为{named[0]}")
    assert f"模型在没见过这条的情况下认为是{named[1]}({one.guess_probability:.2f})" in one.reason
    assert one.quality < 0.5 < one.guess_probability
    assert one.probable_error


def test_the_list_is_in_order_and_complete(few, taxonomy, answers):
    suspects = rank_suspects(few, taxonomy, answers.probabilities)
    assert [one.quality for one in suspects] == sorted(one.quality for one in suspects)
    assert {(one.id, one.task) for one in suspects} == {
        (example.id, task) for example in few for task in ("category", "emotion")
    }
    by_id = {(one.id, one.task): one for one in suspects}
    labels = taxonomy.label_map("category")
    for place in (0, 100, len(few) - 1):
        one = by_id[few[place].id, "category"]
        said = answers.probabilities["category"][place]
        assert one.label_probability == pytest.approx(said[labels.label2id[few[place].category]], abs=1e-4)
        assert one.guess == labels.labels[said.argmax()]


def test_a_rule_of_the_schema_stands_in_the_reason(taxonomy):
    probabilities = np.full((2, 71), 0.0001)
    labels = taxonomy.label_map("category").label2id
    probabilities[:, labels["urge_shipping"]] = 0.9
    rows = [row(1, "怎么还不发", "ship_time"), row(2, "快发货", "urge_shipping")]
    (first, second) = rank_suspects(rows, taxonomy, {"category": probabilities})
    assert "界线：发货时间咨询 / 催发货：没付款，或付了只问何时发 → 发货时间咨询" in first.reason
    assert "也认为是「催发货」(0.90)" in second.reason


def test_conversations_and_near_duplicates_are_never_known_and_asked(few, taxonomy):
    twins = [dataclasses.replace(one, id=f"twin-{one.id}", conversation=None) for one in few[:40]]
    rows = [*few, *twins]
    fold = deal_folds(rows, taxonomy, 5, seed=1)
    where = defaultdict(set)
    for one, number in zip(rows, fold.tolist(), strict=True):
        if one.conversation:
            where[one.conversation].add(number)
        if len(one.text) >= 6:
            where[one.text].add(number)
    assert any(one.conversation for one in few)
    assert all(len(numbers) == 1 for numbers in where.values())
    assert fold.tolist() == deal_folds(rows, taxonomy, 5, seed=1).tolist()
    assert fold.tolist() != deal_folds(rows, taxonomy, 5, seed=2).tolist()
    for category in {one.category for one in rows}:
        sizes = np.bincount([n for one, n in zip(rows, fold, strict=True) if one.category == category])
        assert len(sizes) == 5
        assert sizes.max() - sizes.min() <= 8


def test_labels_that_mean_nothing_cannot_be_known(taxonomy):
    rng = np.random.default_rng(5)
    characters = list("天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳")
    rows = [
        row(number, "".join(rng.choice(characters, 9)), str(rng.choice(["greeting", "coupon"])),
            str(rng.choice(["neutral", "angry"])))
        for number in range(240)
    ]  # fmt: skip
    found = out_of_fold(rows, taxonomy, tasks=("category",), vectors=rng.normal(size=(240, 20)))
    labels = taxonomy.label_map("category")
    right = [labels.labels[said.argmax()] == one.category for one, said in
             zip(rows, found.probabilities["category"], strict=True)]  # fmt: skip
    assert 0.35 < np.mean(right) < 0.65
    # Nothing is known, and the probabilities say so.
    assert found.probabilities["category"].max(1).mean() < 0.65


def test_probabilities_are_calibrated_and_over_the_schema(few, taxonomy, answers):
    for task, values in answers.probabilities.items():
        labels = taxonomy.label_map(task)
        assert values.shape == (len(few), len(labels.labels))
        assert values.sum(1) == pytest.approx(np.ones(len(few)))
        right = np.mean([labels.labels[said.argmax()] == getattr(one, task) for one, said in
                         zip(few, values, strict=True)])  # fmt: skip
        assert right > {"category": 0.85, "emotion": 0.5}[task]
        assert abs(values.max(1).mean() - right) < {"category": 0.08, "emotion": 0.15}[task]


def test_context_decides_where_the_message_cannot(taxonomy):
    rng = np.random.default_rng(1)
    asked = {"invoice_request": "请问需要开电子发票吗", "return_request": "请问是要申请退货吗"}
    rows = []
    for number in range(120):
        category = list(asked)[number % 2]
        turn = Turn("agent", asked[category] + str(rng.integers(1000)))
        emotion = ("neutral", "positive")[number % 3 == 0]
        rows.append(row(number, "是的", category, emotion, context=(turn,), conversation=f"c{number}"))
    values = out_of_fold(rows, taxonomy, tasks=("category",)).probabilities["category"]
    labels = taxonomy.label_map("category").labels
    assert all(labels[said.argmax()] == one.category for one, said in zip(rows, values, strict=True))


def test_vectors_are_a_second_view(few, taxonomy, answers):
    rng = np.random.default_rng(2)
    labels = taxonomy.label_map("category").label2id
    hints = rng.normal(size=(71, 16))
    vectors = np.array([hints[labels[one.category]] for one in few]) + 0.3 * rng.normal(size=(len(few), 16))
    both = out_of_fold(few, taxonomy, tasks=("category",), vectors=vectors).probabilities["category"]
    given = np.array([labels[one.category] for one in few])
    own = np.arange(len(few)), given
    assert np.log(both[own]).mean() > np.log(answers.probabilities["category"][own]).mean()
    assert (both.argmax(1) == given).mean() > 0.97


def test_bad_input_is_named_with_its_mend(few, taxonomy):
    with pytest.raises(ValueError, match=r"category: all 1 examples of 'coupon' .* label more of them"):
        find_label_errors([*few, row(1, "券怎么用啊亲", "coupon")], taxonomy)
    turns = [row(n, f"第{n}句话说券", "coupon", conversation="c") for n in range(6)]
    with pytest.raises(ValueError, match="category: all 6 examples of 'coupon' stand in one fold"):
        find_label_errors([*few, *turns], taxonomy)
    with pytest.raises(ValueError, match="3 are fewer than 5 folds"):
        find_label_errors(few[:3], taxonomy)
    with pytest.raises(ValueError, match="folds: expected 2 or more, got 1"):
        find_label_errors(few, taxonomy, folds=1)
    with pytest.raises(ValueError, match=r"r1: category 'x' is not in the schema"):
        find_label_errors([*few, row(1, "在吗", "x")], taxonomy)
    with pytest.raises(ValueError, match=r"vectors: 2 for \d+ examples"):
        find_label_errors(few, taxonomy, vectors=np.zeros((2, 4)))


def test_flips_are_as_declared(few, taxonomy):
    copies, flipped = flip_labels(few, taxonomy, "emotion", 0.1, seed=1)
    assert flipped.sum() == round(0.1 * len(few))
    for before, after, is_flipped in zip(few, copies, flipped, strict=True):
        assert (before.emotion != after.emotion) == is_flipped
        assert dataclasses.replace(after, emotion=before.emotion) == before
    rows = [row(n, f"文字{n}", neighbour="coupon" if n < 20 else None) for n in range(39)]
    rows.append(row(39, "有券吗", "coupon"))
    copies, flipped = flip_labels(rows, taxonomy, "category", 0.25, "neighbour", seed=1)
    assert flipped.sum() == 10
    assert not flipped[20:].any()
    assert {one.category for one, is_flipped in zip(copies, flipped, strict=True) if is_flipped} == {"coupon"}
    copies, flipped = flip_labels(rows, taxonomy, "category", 0.25, "uniform", seed=1)
    assert all(
        {before.category, after.category} == {"greeting", "coupon"}
        for before, after, is_flipped in zip(rows, copies, flipped, strict=True)
        if is_flipped
    )
    said = np.tile(np.linspace(0.1, 0.9, 71), (40, 1))
    copies, flipped = flip_labels(rows, taxonomy, "category", 0.25, "confusable", 1, said)
    most = taxonomy.label_map("category").labels[70]
    assert {one.category for one, is_flipped in zip(copies, flipped, strict=True) if is_flipped} == {most}
    with pytest.raises(ValueError, match="only 20 name a neighbour"):
        flip_labels([*rows, *rows[20:]], taxonomy, "category", 0.49, "neighbour")
    with pytest.raises(ValueError, match="confusable flips need"):
        flip_labels(rows, taxonomy, "category", 0.1, "confusable")
    with pytest.raises(ValueError, match="share"):
        flip_labels(rows, taxonomy, "category", 0.0)


def test_recovery_of_a_hand_made_list():
    suspects = [
        Suspect(str(n), "category", "a", n / 50, "b", 1 - n / 50, n / 50, n < 4, "") for n in range(50)
    ]
    found = recovery("uniform", "category", suspects, {"0", "3", "10"})
    assert (found.rows, found.flipped, found.counted) == (50, 3, 4)
    assert found.in_first_12 == pytest.approx(2 / 3)  # the first six
    assert found.precision_at_1 == 1.0
    assert found.precision_at_5 == 0.5
    assert found.average_precision == pytest.approx((1 + 2 / 4 + 3 / 11) / 3)
    assert (found.counted_precision, found.counted_recall) == (0.5, pytest.approx(2 / 3))
    with pytest.raises(ValueError, match="none of the 50"):
        recovery("uniform", "category", suspects, {"x"})


def test_the_command_writes_suspects_and_answers(few, tmp_path, capsys):
    write_examples(tmp_path / "e.jsonl", few)
    arguments = ["--examples", str(tmp_path / "e.jsonl"), "--no-encoder"]
    output = ["--output", str(tmp_path / "suspects.jsonl"), "--answers", str(tmp_path / "answers.jsonl")]
    main([*arguments, *output, "--limit", "30"])
    suspects = [json.loads(line) for line in (tmp_path / "suspects.jsonl").read_text().splitlines()]
    assert len(suspects) == 30
    assert set(suspects[0]) == {field.name for field in dataclasses.fields(Suspect)}
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [one["id"] for one in answers] == [one.id for one in few]
    assert sum(answers[0]["emotion"].values()) == pytest.approx(1, abs=1e-3)
    assert f"{len(few)} labels" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(arguments)


@pytest.mark.slow
def test_the_rehearsal_prints_its_table(few, tmp_path, capsys):
    write_examples(tmp_path / "e.jsonl", few)
    # Too few of these rows name a neighbour: that kind is left out.
    main(["--examples", str(tmp_path / "e.jsonl"), "--no-encoder", "--rehearse", "0.05",
          "--output", str(tmp_path / "table.json")])  # fmt: skip
    table = json.loads((tmp_path / "table.json").read_text())
    assert [(one["flips"], one["task"]) for one in table] == [
        ("uniform", "category"), ("uniform", "emotion"), ("confusable", "category"),
        ("confusable", "emotion"),
    ]  # fmt: skip
    assert table[0]["in_first_12"] >= 0.7
    assert "confusable" in capsys.readouterr().out


@pytest.mark.slow
def test_vectors_are_kept_by_message_and_read_the_context(few, tmp_path):
    cache = tmp_path / "vectors.npz"
    rows = few[:6]
    first = embed(rows, cache)
    assert first.shape == (6, 384)
    stamp = cache.stat().st_mtime_ns
    assert np.array_equal(embed(rows[::-1], cache), first[::-1])
    assert cache.stat().st_mtime_ns == stamp
    other = dataclasses.replace(rows[0], context=(Turn("agent", "请问您要退货吗"),))
    more = embed([*rows, other], cache)
    assert np.array_equal(more[:6], first)
    similarity = more[0] @ more[6] / np.linalg.norm(more[0]) / np.linalg.norm(more[6])
    assert 0.5 < similarity < 0.9999
    assert embed(rows, None) == pytest.approx(first, abs=0.03)
