"""The history of champions and the way back, on a real SQLite store."""

from __future__ import annotations

import json
import shutil

import pytest

from experiments.champions import former_champions
from experiments.registry import Reign
from tests.conftest import script


def history(*changes):
    """Entries of a history: `3` promotes a version, `-3` goes back to it."""
    entries, now = [], ""
    for change in changes:
        action, version = ("rollback", str(-change)) if change < 0 else ("promote", str(change))
        entries.append(
            Reign("category", action, version, "run", now, "2026-01-01T00:00:00+00:00", "Mei", "why")
        )
        now = version
    return entries


@pytest.mark.parametrize(
    ("changes", "back"),
    [
        ((), []),
        ((1,), []),
        ((1, 2, 3), ["2", "1"]),
        ((1, 2, 3, -2), ["1"]),
        ((1, 2, 3, -2, -1), []),
        ((1, 2, 3, -1), []),
        ((1, 2, -1, 3), ["1"]),
        ((1, 2, -1, 2), ["1"]),
        ((1, 2, 3, -2, 3), ["2", "1"]),
    ],
)
def test_the_way_back_leads_past_what_was_rolled_back(changes, back):
    assert former_champions(history(*changes)) == back


def test_a_champion_set_by_hand_is_on_the_way_back():
    one, two = history(1, 3)
    by_hand = Reign("category", "promote", "3", "run", "2", two.when, "Mei", "why")
    assert former_champions([by_hand]) == ["2"]
    assert former_champions([one, by_hand]) == ["2", "1"]


STORY = """
import json, sys
from pathlib import Path
from data.files import write_json
from experiments import registry, tracking
from experiments.champions import champions, rollback, show_champions
from experiments.promote import Approval, promote
from training.config import GateConfig

exported, report = Path("models/shared/exported"), Path("models/shared/report")
gate = GateConfig(maximum={"test/category_ece": 1.0})

def version(number):
    manifest = json.loads((exported / "manifest.json").read_text())
    write_json(exported / "manifest.json", {**manifest, "git_commit": f"commit {number}"})

def now():
    return [(tracking.champion_run(f"kefu-{task}") or ("none",))[0] for task in ("category", "emotion")]

def refused(action, *arguments, **more):
    try:
        action(*arguments, **more)
    except (tracking.TrackingError, ValueError) as error:
        return str(error)
    raise AssertionError("was not refused")
"""


@pytest.fixture(scope="module")
def story(recorded, tmp_path_factory):
    """Three promotions and the ways back, told in one process: what it printed, by name."""
    folder = shutil.copytree(recorded, tmp_path_factory.mktemp("story") / "copy")
    code = """
    told = {}
    told["nobody"] = refused(rollback, None, Approval("why", "Mei"))
    version(1)
    promote(exported, report, gate)
    told["only one"] = refused(rollback, None, Approval("why", "Mei"))
    version(2)
    told["no reason"] = refused(promote, exported, report, gate)
    found = tracking.connect().search_model_versions("name='kefu-category'")
    told["registered"] = [int(one.version) for one in found]
    promote(exported, report, gate, Approval("better on refunds", "Jin"))
    version(3)
    promote(exported, report, gate, Approval("数字更好", "Mei"))
    told["three"] = now()
    told["rollback without reason"] = refused(rollback, None, Approval())
    rollback("emotion", Approval("angry customers missed", "Jin"))
    told["one task"] = now()
    rollback(None, Approval("complaints", "Mei"), to="1")
    told["both to 1"] = now()
    told["end"] = refused(rollback, "category", Approval("why", "Mei"))
    told["never"] = refused(rollback, "category", Approval("why", "Mei"), to="7")
    told["again"] = [one.promoted for one in promote(exported, report, gate, Approval("was right", "Jin"))]
    told["after"] = now()
    told["history"] = champions("category")
    told["tags"] = [registry.version_tags("kefu-category", number) for number in ("2", "3")]
    registry.move_champion("kefu-category", "2", "3")  # by hand, beside kefu
    told["outside"] = champions("category")[-1]
    told["moved"] = refused(registry.move_champion, "kefu-category", "1", "3")
    rollback("category", Approval("not approved", "Mei"))
    told["back from outside"] = now()
    show_champions("category")
    print(json.dumps(told))
    """
    done = script(STORY + "\n".join(line[4:] for line in code.splitlines()), folder)
    *shown, last = done.stdout.strip().splitlines()
    return {**json.loads(last), "shown": "\n".join(shown)}


@pytest.mark.slow
def test_what_cannot_be_done_is_said(story):
    assert "kefu train && kefu promote" in story["nobody"]
    assert "version 1 has no champion before it" in story["only one"]
    assert (
        "kefu-category: this would replace the champion, version 1; say why: kefu promote --reason"
        in story["no reason"]
    )
    assert story["registered"] == [1]  # a promotion without a reason leaves nothing behind
    assert "kefu rollback --reason" in story["rollback without reason"]
    assert "no champion before it" in story["end"]
    assert "version 7 was no champion before; there were: 2, 3" in story["never"]
    assert "changed meanwhile from version 3 to 2" in story["moved"]


@pytest.mark.slow
def test_rollback_and_promotion_again(story):
    assert story["three"] == ["3", "3"]
    assert story["one task"] == ["3", "2"]
    assert story["both to 1"] == ["1", "1"]
    assert story["again"] == [True, True]
    assert story["after"] == ["3", "3"]
    assert story["back from outside"][0] == "3"


@pytest.mark.slow
def test_the_history_keeps_who_when_and_why(story):
    rows = story["history"]
    assert [(row["action"], row["version"], row["previous"]) for row in rows] == [
        ("promote", "1", ""), ("promote", "2", "1"), ("promote", "3", "2"), ("rollback", "1", "3"),
        ("promote", "3", "1"),
    ]  # fmt: skip
    assert [row["reviewer"] for row in rows[1:]] == ["Jin", "Mei", "Mei", "Jin"]
    assert [row["reason"] for row in rows] == [
        "first champion", "better on refunds", "数字更好", "complaints", "was right",
    ]  # fmt: skip
    assert [row["current"] for row in rows] == [False] * 4 + [True]
    assert 0 < rows[0]["macro_f1"] <= 1
    assert [rows[0]["gate"][0][0], rows[0]["gate"][0][2]] == ["test/category_ece", "at most 1"]
    two, three = story["tags"]
    assert (two["reviewer"], two["reason"], two["previous_champion"]) == ("Jin", "better on refunds", "1")
    assert three["reason"] == "was right"
    assert three["rolled_back_because"] == "complaints"
    assert story["outside"]["action"] == "unrecorded"
    assert story["outside"]["version"] == "2"
    assert story["outside"]["current"]
    assert "was right" in story["shown"]
    assert "macro-F1" in story["shown"]


@pytest.mark.slow
def test_commands_end_with_a_line_and_an_exit_code(tmp_path):
    done = script(
        """
        from kefu import main
        main(["champions"])
        main(["rollback"])
        """,
        tmp_path,
        check=False,
    )
    assert "no champion yet; make one with: kefu train && kefu promote" in done.stdout
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("kefu rollback: say why: kefu rollback --reason")
