"""Files, examples, sources, splits and checks."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest

from data.card import data_card
from data.checks import CheckConfig, check_examples, implicit_shares, read_obvious_words
from data.checks import main as check_main
from data.example import Example, Turn, read_examples, write_examples
from data.files import atomic_write, read_jsonl, write_jsonl
from data.sources import CORPUS, read_source
from data.split import SplitConfig, check_labels, load_snapshot, split_examples, write_snapshot


def row(identity, text, category="greeting", emotion="neutral", **more):
    return Example(identity, text, category, emotion, more.pop("author", "a"), **more)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"a": 1}])

    def broken():
        yield {"a": 2}
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_jsonl(path, broken())
    assert [value for _, value in read_jsonl(path)] == [{"a": 1}]
    assert [item.name for item in tmp_path.iterdir()] == ["rows.jsonl"]


def test_atomic_write_gives_ordinary_permissions(tmp_path):
    with atomic_write(tmp_path / "new.txt") as handle:
        handle.write("x")
    assert (tmp_path / "new.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\nnot json\n', ":2: not JSON"),
        (b'{"a": 1}\n\xff\xfe\n', ":2: not UTF-8"),
        (b"[1]\n", ":1: expected an object"),
    ],
)
def test_bad_lines_are_named(tmp_path, content, message):
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_jsonl(tmp_path / "x.jsonl"))


def test_examples_round_trip(tmp_path):
    examples = [
        row("1", "还没到", context=(Turn("agent", "您好"), Turn("customer", "快递")), conversation="c")
    ]
    write_examples(tmp_path / "e.jsonl", examples)
    assert read_examples(tmp_path / "e.jsonl") == examples


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": 3}, "text: expected a text"),
        ({"context": [{"role": "boss", "text": ""}]}, r"context\[0\].role"),
    ],
)
def test_bad_examples_are_named(tmp_path, change, message):
    value = {"id": "1", "text": "x", "category": "greeting", "emotion": "neutral", "author": "a", **change}
    (tmp_path / "e.jsonl").write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_examples(tmp_path / "e.jsonl")


def test_corpus_turns_carry_what_was_said_before(corpus):
    chats: dict[str, list[Example]] = {}
    for example in corpus:
        if example.conversation:
            chats.setdefault(example.conversation, []).append(example)
    assert len(chats) >= 60
    for turns in chats.values():
        for before, after in itertools.pairwise(turns):
            assert before.context == after.context[: len(before.context)]
            assert Turn("customer", before.text) in after.context


def test_missing_source_says_what_to_use(tmp_path):
    with pytest.raises(ValueError, match="data/corpus"):
        read_source(tmp_path / "nothing")


def test_splits_never_tear_a_conversation_or_a_near_duplicate(few):
    copies = [
        dataclasses.replace(one, id=f"{one.id}-copy", text=one.text + "。", conversation=None, context=())
        for one in few
        if one.conversation is None and len(one.text) > 12
    ][:60]
    splits = split_examples([*few, *copies], SplitConfig(val=0.2, test=0.2))
    where = {one.id: name for name, rows in splits.items() for one in rows}
    assert len(where) == len(few) + len(copies)
    for one in copies:
        assert where[one.id] == where[one.id.removesuffix("-copy")]
    chats: dict[str, set[str]] = {}
    for one in few:
        if one.conversation:
            chats.setdefault(one.conversation, set()).add(where[one.id])
    assert all(len(names) == 1 for names in chats.values())


def test_split_shares_and_repeatability(corpus):
    config = SplitConfig(val=0.1, test=0.1)
    first, second = split_examples(corpus, config), split_examples(list(corpus), config)
    assert first == second
    assert 0.07 < len(first["test"]) / len(corpus) < 0.13
    categories = {one.category for one in corpus}
    assert {one.category for one in first["val"]} == categories


def test_authors_can_be_left_out(corpus):
    author = corpus[0].author
    splits = split_examples(corpus, SplitConfig(test_authors=(author,)))
    assert author not in {one.author for one in splits["train"] + splits["val"]}
    assert {one.author for one in splits["test"] if one.author == author}
    with pytest.raises(ValueError, match="nobody"):
        split_examples(corpus, SplitConfig(test_authors=("nobody",)))
    with pytest.raises(ValueError, match=r"split.val_authors: 'nobody'"):
        split_examples(corpus, SplitConfig(val_authors=("nobody",)))
    with pytest.raises(ValueError, match="val_authors and in test_authors"):
        SplitConfig(val_authors=("lin",), test_authors=("lin",))


def test_validation_and_test_may_each_be_an_author(corpus):
    splits = split_examples(corpus, SplitConfig(val_authors=("wong",), test_authors=("chen",)))
    assert {one.author for one in splits["train"]} == {one.author for one in corpus} - {"wong", "chen"}
    for name, author in (("val", "wong"), ("test", "chen")):
        mine = [one for one in splits[name] if one.author == author]
        assert len(mine) > 0.98 * len(splits[name])


def test_snapshot_round_trip_and_tampering(tmp_path, snapshot, taxonomy):
    identity = write_snapshot(snapshot.splits, taxonomy, tmp_path / "s")
    loaded = load_snapshot(tmp_path / "s")
    assert loaded.id == identity
    assert loaded.splits["val"] == snapshot.splits["val"]
    assert write_snapshot(snapshot.splits, taxonomy, tmp_path / "again") == identity
    moved = {**snapshot.splits, "train": snapshot.splits["train"][1:]}
    assert write_snapshot(moved, taxonomy, tmp_path / "other") != identity
    (tmp_path / "s" / "snapshot.json").write_text('{"id": "000000000000"}', encoding="utf-8")
    with pytest.raises(ValueError, match="do not match"):
        load_snapshot(tmp_path / "s")
    with pytest.raises(FileNotFoundError, match="dvc repro split"):
        load_snapshot(tmp_path / "none")


def test_unknown_label_is_named(taxonomy):
    with pytest.raises(ValueError, match=r"x1: category 'gift'"):
        check_labels([row("x1", "礼物", category="gift")], taxonomy)


def test_embedded_corpus_is_fit(corpus, taxonomy):
    """With the very settings of params.yaml."""
    from training.config import read_section

    assert check_examples(corpus, taxonomy, CheckConfig(**read_section("checks"))) == []


LENIENT = CheckConfig(
    min_per_category=0,
    min_out_of_scope=0,
    min_conversations=0,
    min_authors=0,
    min_emotion_share=0,
    min_emotions_per_category=0,
    min_hard_per_category=0,
)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("1", "亲在吗在吗", category="hello")], "category 'hello' is not in"),
        ([row("1", "亲在吗在吗", neighbour="greeting")], "own neighbour"),
        ([row("1", "  ")], "text is empty"),
        ([row("1", "请问这个怎么退"), row("2", "请问這個怎么退")], "same text as 1"),
        ([row("1", "在吗"), row("2", "在吗", category="human_agent")], "same text as 1"),
        (
            [
                row("1", "上周买的那个电饭煲内胆掉漆了怎么处理呀"),
                row("2", "上周买的那个电饭煲内胆掉漆了怎么处理呢"),
            ],
            "nearly the same",
        ),
        ([row("1", "打我电话13800138000")], "personal data"),
        ([row("1", "身份证11010519491231002X")], "personal data"),
        (
            [row(str(n), f"请问一下亲你家这款{x}还有吗") for n, x in enumerate("甲乙丙丁戊己庚")],
            "template smell",
        ),
    ],
)
def test_checks_find(rows, message, taxonomy):
    findings = check_examples(rows, taxonomy, dataclasses.replace(LENIENT, near_duplicate=0.8))
    assert any(message in finding for finding in findings), findings


def test_checks_pass_clean_rows(taxonomy):
    assert check_examples([row("1", "在吗"), row("2", "在吗")], taxonomy, LENIENT) == []


def test_counts_are_checked(taxonomy):
    findings = check_examples([row("1", "在吗")], taxonomy, CheckConfig())
    for part in (
        "messages, at least 80",
        "authors, at least 8",
        "conversations",
        "emotion angry",
        "hard messages",
    ):
        assert any(part in finding for finding in findings), part


def test_messages_that_name_their_category_outright(tmp_path, taxonomy):
    words = tmp_path / "words.yaml"
    words.write_text("invoice_request: 发票|开票\n", encoding="utf-8")
    rows = [
        row("1", "发票能开吗", category="invoice_request"),
        row("2", "要報銷的單子", category="invoice_request"),
    ]
    config = dataclasses.replace(LENIENT, obvious_words=str(words), min_implicit_share=0.5)
    assert implicit_shares(rows, read_obvious_words(words, taxonomy)) == {"invoice_request": 0.5}
    assert check_examples(rows, taxonomy, config) == []
    findings = check_examples([*rows, row("3", "開票嗎", category="invoice_request")], taxonomy, config)
    assert findings == [
        "category invoice_request: 0.33 of the messages lack its obvious words, at least 0.5 are wanted"
    ]


@pytest.mark.parametrize(("entry", "problem"), [("bill: 票", "'bill'"), ("greeting: '('", "no regular")])
def test_wrong_obvious_words_are_named(tmp_path, taxonomy, entry, problem):
    (tmp_path / "words.yaml").write_text(entry, encoding="utf-8")
    with pytest.raises(ValueError, match=problem):
        read_obvious_words(tmp_path / "words.yaml", taxonomy)


def test_check_stage_writes_the_card_and_fails(tmp_path, few, capsys):
    write_examples(tmp_path / "e.jsonl", few)
    with pytest.raises(SystemExit):
        check_main(["--examples", str(tmp_path / "e.jsonl"), "--output", str(tmp_path / "card")])
    assert "not fit" in capsys.readouterr().err
    card = json.loads((tmp_path / "card" / "card.json").read_text(encoding="utf-8"))
    assert card["rows"] == len(few)
    assert (tmp_path / "card" / "card.png").stat().st_size > 10_000
    assert "| category |" in (tmp_path / "card" / "README.md").read_text(encoding="utf-8")


def test_card_counts(few, taxonomy):
    card = data_card(few, taxonomy)
    assert sum(card["emotions"].values()) == card["rows"] == len(few)
    assert card["category_by_emotion"]["greeting"]["neutral"] > 0


def test_corpus_folder_exists():
    assert list((CORPUS / "messages").glob("*.jsonl"))
