"""Versions by day, withdrawal, counters, and two processes on one file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from assist.knowledge.base import KnowledgeBase
from assist.knowledge.file import KnowledgeStoreError
from assist.knowledge.intake import import_folder, knowledge_import, knowledge_unanswered
from assist.knowledge.schema import KnowledgeSearchRequest
from assist.knowledge.store import KnowledgeStore

ROOT = Path(__file__).resolve().parent.parent
DAY = date(2026, 11, 23)


def write(folder, name, days, version="1", **more):
    lines = {"title": "退货规则", "kind": "服务政策", "version": f'"{version}"', **more}
    front = "\n".join(f"{key}: {value}" for key, value in lines.items())
    (folder / name).write_text(f"---\n{front}\n---\n# 退货\n\n签收后 {days} 天内可以退货。", encoding="utf-8")


def said(store, at):
    base = KnowledgeBase(store.path, record=False)
    found = base.search(KnowledgeSearchRequest(question="签收后几天内可以退货", at=at))
    return [(one.version, one.text) for one in found.passages]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "documents").mkdir()
    return tmp_path / "documents"


@pytest.fixture
def store(tmp_path):
    return KnowledgeStore(tmp_path / "knowledge.sqlite")


def test_an_import_can_be_repeated(folder, store):
    write(folder, "returns.md", 7)
    assert import_folder(store, folder, on=DAY).added == ["returns 1"]
    generation = store.generation()
    assert import_folder(store, folder, on=DAY).unchanged == ["returns 1"]
    assert store.generation() == generation


def test_a_new_version_counts_from_its_day_and_the_old_one_before(folder, store):
    write(folder, "returns.md", 7, valid_from="2026-01-01")
    import_folder(store, folder, on=date(2026, 1, 1))
    write(folder, "returns.md", 15, version="2", valid_from="2026-10-01")
    assert import_folder(store, folder, on=date(2026, 9, 1)).changed == ["returns 2"]
    assert said(store, "2026-09-30") == [("1", "签收后 7 天内可以退货。")]
    assert said(store, "2026-10-01") == [("2", "签收后 15 天内可以退货。")]


def test_a_correction_counts_from_its_import_and_gets_a_name(folder, store):
    write(folder, "returns.md", 7, valid_from="2026-01-01")
    import_folder(store, folder, on=date(2026, 1, 1))
    write(folder, "returns.md", 10, valid_from="2026-01-01")
    report = import_folder(store, folder, on=DAY)
    assert report.changed == ["returns 1-r2"]
    assert "changed, but not its version" in report.notes[0]
    assert import_folder(store, folder, on=DAY).unchanged == ["returns 1-r2"]
    assert said(store, "2026-11-22") == [("1", "签收后 7 天内可以退货。")]
    assert said(store, "2026-11-23") == [("1-r2", "签收后 10 天内可以退货。")]


def test_an_expired_version_does_not_bring_its_forerunner_back(folder, store):
    write(folder, "old.md", 7, id="promotion", valid_from="2026-01-01")
    write(
        folder, "new.md", 30, version="2", id="promotion", valid_from="2026-11-01", valid_until="2026-11-11"
    )
    import_folder(store, folder, on=date(2026, 1, 1))
    assert said(store, "2026-11-11") == [("2", "签收后 30 天内可以退货。")]
    assert said(store, "2026-11-12") == []


def test_what_is_gone_from_the_folder_is_withdrawn_for_later_days_only(folder, store):
    write(folder, "returns.md", 7)
    write(folder, "other.md", 9)
    import_folder(store, folder, on=date(2026, 1, 1))
    (folder / "returns.md").unlink()
    assert import_folder(store, folder, on=DAY).withdrawn == []
    assert import_folder(store, folder, on=DAY, prune=True).withdrawn == ["returns"]
    assert [text for _, text in said(store, "2026-11-22")][:1] != []
    assert {text for _, text in said(store, "2026-11-23")} == {"签收后 9 天内可以退货。"}
    write(folder, "returns.md", 7)
    assert import_folder(store, folder, on=DAY).restored == ["returns 1"]


def test_nothing_is_withdrawn_while_a_file_is_refused(folder, store):
    write(folder, "returns.md", 7)
    import_folder(store, folder, on=DAY)
    (folder / "returns.md").write_text("---\nkind: 错\n---\n# 题\n\n内容", encoding="utf-8")
    report = import_folder(store, folder, on=DAY, prune=True)
    assert report.withdrawn == []
    assert "nothing was withdrawn" in report.notes[-1]
    assert any("refused: returns.md: kind" in line for line in report.lines())


def test_unanswered_questions_are_masked_counted_and_listed(folder, store):
    write(folder, "returns.md", 7)
    knowledge_import(folder, store.path)
    base = KnowledgeBase(store.path)
    for question in ("你们招聘司机吗 电话13812345678", "请问你们招聘司机吗 电话13812345678", "招聘厨师吗"):
        assert base.search(KnowledgeSearchRequest(question=question)).status == "none"
    rows = base.unanswered()
    assert [(row.count, row.question) for row in rows] == [
        (2, "你们招聘司机吗 电话[手机]"),
        (1, "招聘厨师吗"),
    ]
    assert (
        b"13812345678"
        not in store.path.read_bytes() + store.path.with_name(store.path.name + "-wal").read_bytes()
        if store.path.with_name(store.path.name + "-wal").exists()
        else store.path.read_bytes()
    )
    assert knowledge_unanswered(store.path)[0].startswith("    2  20")
    assert store.settle("招聘厨师吗")
    assert len(base.unanswered()) == 1


def test_use_is_counted(folder, store):
    write(folder, "returns.md", 7)
    knowledge_import(folder, store.path)
    base = KnowledgeBase(store.path)
    for _ in range(3):
        base.search(KnowledgeSearchRequest(question="签收后几天内可以退货"))
    assert [(row.document, row.section, row.shown, row.answered) for row in base.usage()] == [
        ("returns", "退货", 3, 0)
    ]


def test_vectors_are_kept_by_encoder(folder, store):
    write(folder, "returns.md", 7)
    knowledge_import(folder, store.path)
    asked = []

    def embed(texts):
        asked.append(len(texts))
        return np.ones((len(texts), 4), dtype=np.float32) / 2

    for _ in range(2):
        base = KnowledgeBase(store.path, embed=embed, encoder="one", record=False)
        base.search(KnowledgeSearchRequest(question="退货"), embedding=np.ones(4, dtype=np.float32) / 2)
    assert asked == [1]
    KnowledgeBase(store.path, embed=embed, encoder="two", record=False).nearest(
        KnowledgeSearchRequest(question="退货")
    )
    assert asked == [1, 1, 1]
    with pytest.raises(ValueError, match="encoder: is empty"):
        KnowledgeBase(store.path, embed=embed)


def test_an_open_base_sees_what_another_process_imports(folder, store):
    write(folder, "returns.md", 7)
    knowledge_import(folder, store.path)
    base = KnowledgeBase(store.path, record=False)
    request = KnowledgeSearchRequest(question="签收后几天内可以退货")
    assert base.search(request).passages[0].version == "1"
    write(folder, "returns.md", 15, version="2")
    code = "import sys; from assist.knowledge.intake import knowledge_import; knowledge_import(*sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, str(folder), str(store.path)], check=True, cwd=ROOT)
    assert base.search(request).passages[0].version == "2"


def test_an_empty_base_answers_none(tmp_path):
    base = KnowledgeBase(tmp_path / "none.sqlite", record=False)
    found = base.search(KnowledgeSearchRequest(question="退货"))
    assert (found.status, found.passages) == ("none", [])
    assert not (tmp_path / "none.sqlite").exists()


def test_a_file_that_is_no_store_is_named(tmp_path):
    (tmp_path / "a.sqlite").write_text("x" * 5000)
    with pytest.raises(KnowledgeStoreError, match=r"a\.sqlite: is damaged or no knowledge base"):
        KnowledgeStore(tmp_path / "a.sqlite").generation()
    newer = tmp_path / "b.sqlite"
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(KnowledgeStoreError, match="is of version 9"):
        KnowledgeStore(newer).generation()
