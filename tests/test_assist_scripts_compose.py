"""Three-part replies: the right parts in the right order, the same for the same seed, no clashes."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from assist.scripts.check import (
    MOODS,
    check_replies,
    every_solution,
    main,
    naive_findings,
    report,
    sample_replies,
    write_docs,
)
from assist.scripts.compose import Composer, soothing_plans
from assist.scripts.counting import count_replies
from assist.scripts.library import Library, Script, load_library
from assist.scripts.slots import find_slots
from data.example import Turn

ROOT = Path(__file__).resolve().parent.parent
ORDER = "2026110500123456789"


@pytest.fixture(scope="module")
def composer():
    return Composer(load_library())


def first(composer, category, **wanted):
    for script in composer.library.by_category[category]:
        if all(getattr(script, name) == value for name, value in wanted.items()):
            return script
    raise AssertionError(f"no {wanted} in {category}")


def stages(reply):
    return [part.stage for part in reply.parts]


def test_a_calm_reply_has_three_parts_and_one_tone(composer):
    for tone in ("warm", "formal", "lively"):
        reply = composer.compose(first(composer, "size_recommendation", tone=tone), seed="a")
        assert stages(reply) == ["opening", "solution", "closing"]
        assert {composer.library.by_id[part.id].tone for part in reply.parts} == {tone}
        assert reply.text == "".join(part.text for part in reply.parts)
        assert reply.issues == ()


def test_the_same_seed_gives_the_same_reply_and_others_vary(composer):
    solution = first(composer, "ship_time", tone="warm")
    again = [composer.compose(solution, seed=7, alert=2, emotion="angry").text for _ in range(2)]
    assert again[0] == again[1]
    assert Composer(composer.library).compose(solution, seed=7, alert=2, emotion="angry").text == again[0]
    assert len({composer.compose(solution, seed=seed).text for seed in range(40)}) > 15


def test_no_greeting_where_the_agent_spoke_already(composer):
    solution = first(composer, "logistics_stalled", tone="warm")
    context = [Turn("customer", "在吗"), Turn("agent", "您好，在的"), Turn("customer", "快递不动了")]
    assert stages(composer.compose(solution, seed=1, context=context)) == ["solution", "closing"]
    assert stages(composer.compose(solution, seed=1, context=context[:1])) == [
        "opening",
        "solution",
        "closing",
    ]


@pytest.mark.parametrize(
    ("alert", "emotion", "method", "steps"),
    [
        (1, "anxious", "HEAT", [("empathise",), ("hear",)]),
        (1, "dissatisfied", "LAMA", [("listen",), ("apologise",)]),
        (2, "disappointed", "LAMA", [("listen", "apologise"), ("apologise", "make_right")]),
        (2, "neutral", "LAMA", [("listen", "apologise"), ("apologise", "make_right")]),
        (
            3,
            "angry",
            "HEAT",
            [("empathise", "apologise"), ("hear", "apologise"), ("apologise", "take_action")],
        ),
    ],
)
def test_feelings_come_first(composer, alert, emotion, method, steps):
    solution = first(composer, "logistics_stalled", tone="formal")
    for seed in range(10):
        reply = composer.compose(solution, seed=seed, alert=alert, emotion=emotion)
        before = stages(reply)
        assert before[0] == "opening"
        assert before.index("soothing") < before.index("solution")
        soothing = [composer.library.by_id[part.id] for part in reply.parts if part.stage == "soothing"]
        assert tuple(script.step for script in soothing) in steps
        assert {script.method for script in soothing} == {method}


def test_nothing_is_soothed_where_nobody_is_hurt():
    assert soothing_plans(0, "neutral", False) == ("", ())
    assert soothing_plans(1, "neutral", False) == ("", ())
    assert soothing_plans(1, "anxious", True)[0] == "HEAT"


def test_an_apology_is_not_repeated_over_turns(composer):
    solution = first(composer, "logistics_stalled", tone="warm")
    context = [Turn("agent", "您好，给您添麻烦了，实在抱歉"), Turn("customer", "道歉有什么用")]
    for seed in range(20):
        reply = composer.compose(solution, seed=seed, alert=3, emotion="angry", context=context)
        assert "apology" not in composer.compliance.says(reply.text)
        assert not [word for word in ("抱歉", "对不起", "致歉", "向您道歉") if word in reply.text]
        assert "soothing" in stages(reply)


def test_lively_solutions_do_not_suit_an_upset_customer(composer):
    lively = first(composer, "ship_time", tone="lively")
    assert composer.suits(lively, 0)
    assert not composer.suits(lively, 2)
    assert composer.compose(lively, seed=1, alert=2, emotion="angry").issues


def test_slots_are_filled_and_the_rest_is_named(composer):
    solution = next(one for one in composer.library.by_category["urge_shipping"] if "order_id" in one.slots)
    values = find_slots([Turn("customer", f"订单{ORDER}怎么还没发")])
    reply = composer.compose(solution, seed=1, values=values)
    assert reply.filled == {"order_id": ORDER}
    assert ORDER in reply.text
    assert "order_id" not in reply.missing
    assert set(reply.missing) == set(solution.slots) - {"order_id"}
    assert solution.note in reply.notes
    assert "【订单号】" in composer.compose(solution, seed=1).text


def test_wrong_questions_are_refused(composer):
    solution = first(composer, "ship_time")
    with pytest.raises(ValueError, match=r"solution: .* is of kind opening"):
        composer.compose(composer.library.openings[0], seed=1)
    with pytest.raises(ValueError, match="alert: 4"):
        composer.compose(solution, seed=1, alert=4)
    with pytest.raises(ValueError, match="emotion: 'sad'"):
        composer.compose(solution, seed=1, emotion="sad")


def small_library():
    return Library(
        (
            Script("s1", "solution", "请把照片发我，我核实后今天六点前回您。", "warm", "quality_issue"),
            Script("s2", "solution", "这款面料是棉的，洗水标上写着，能机洗。", "formal", "product_material"),
            Script("o1", "opening", "您好，我在。", "warm", alerts=(0,)),
            Script("o2", "opening", "您好，欢迎光临。", "lively", alerts=(0,)),
            Script("c1", "closing", "祝您生活愉快。", "warm", alerts=(0,)),
            Script("c2", "closing", "有进展我发消息。", "warm", alerts=(0,)),
            Script("x1", "soothing", "您的话我都看了。", "warm", alerts=(1,), method="LAMA", step="listen",
                   emotions=("dissatisfied",)),
        )
    )  # fmt: skip


def test_replies_are_counted_one_by_one():
    composer = Composer(small_library())
    # s1: o1 only (a cheerful opening at a fault), c2 only (still waits for a photo).
    # s2: o1 only (formal beside lively), c1 only (nothing to report later).
    assert count_replies(composer, 0, "neutral") == {"quality_issue": 1, "product_material": 1}


def test_the_count_agrees_with_trying_everything():
    composer = Composer(load_library())
    library = composer.library
    some = Library(
        (library.by_category["coupon"][0], library.by_category["package_lost"][0], *library.openings,
         *library.closings, *library.soothing)
    )  # fmt: skip
    composer = Composer(some)
    counted = count_replies(composer, 0, "neutral")
    tried = dict.fromkeys(counted, 0)
    for solution, opening, closing in product(some.solutions, some.openings, some.closings):
        parts = [opening, solution, closing]
        text = "".join(part.text for part in parts)
        issues = composer.compliance.check_reply(parts, text, 0, "neutral")
        if not [issue for issue in issues if not issue.rule.startswith(("wording", "two", "twice"))]:
            tried[solution.category] += 1
    assert counted == tried


def test_the_library_gives_well_over_a_hundred_thousand_replies(composer):
    assert sum(count_replies(composer, 0, "neutral").values()) > 150_000


def test_a_sample_of_replies_has_no_findings(composer):
    found, count, different = check_replies(composer, sample_replies(composer, 1000, seed=11))
    assert found == []
    assert count == 1000
    assert different > 950
    moods = {(alert, emotion) for alert, emotion, _ in sample_replies(composer, 300)}
    assert moods == set(MOODS)


@pytest.mark.slow
def test_every_solution_makes_a_complete_reply_in_every_mood(composer):
    found, count, _ = check_replies(composer, every_solution(composer))
    assert found == []
    assert count > 10_000


def test_blind_combinations_are_caught(composer):
    broken = naive_findings(composer, 400, seed=3)
    assert broken["any"] > 200
    assert {"after", "tone", "once:takes_over", "category:welcome"} <= set(broken)


def test_the_page_has_the_figures_of_the_library(tmp_path):
    page = (ROOT / "docs" / "scripts.md").read_text(encoding="utf-8")
    library = load_library()
    assert f"{len(library.solutions):,} solutions, {len(library.openings)} openings" in page
    for key, scripts in library.by_category.items():
        assert f"| `{key}` |" in page
        row = next(line for line in page.splitlines() if f"| `{key}` |" in line)
        assert row.split("|")[4].strip() == str(len(scripts))
    empty = tmp_path / "page.md"
    empty.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="has no <!-- figures -->"):
        write_docs(empty, report(small_library(), 20))


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    assert main(["--folder", str(tmp_path), "--sample", "0"]) == 2
    assert "is missing" in capsys.readouterr().out
