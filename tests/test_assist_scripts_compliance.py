"""What makes a script or a reply silly, each rule on an example that breaks it and one that does not."""

from __future__ import annotations

import copy

import pytest
import yaml

from assist.scripts.compliance import DEFAULT_PATH, Compliance, load_compliance
from assist.scripts.library import Library, Script
from data.taxonomy import load_taxonomy

RULES = load_compliance()


def solution(text, when=(), category="ship_time", tone="warm", id="s"):
    return Script(id, "solution", text, tone, category, tuple(when))


def part(kind, text, tone="warm", alerts=(0, 1, 2, 3), **fields):
    if kind == "soothing":
        fields = {"method": "LAMA", "step": "listen", "emotions": ("angry",)} | fields
    return Script(f"{kind}-1", kind, text, tone, alerts=alerts, **fields)


def rules(issues):
    return {issue.rule for issue in issues}


GOOD = "您的订单今天出库，单号出来我发给您，最晚晚上六点前。"


def test_a_plain_solution_has_no_findings():
    assert RULES.check_script(solution(GOOD)) == []


@pytest.mark.parametrize(
    ("text", "when", "rule"),
    [
        ("您好，您的订单今天出库，单号出来我发给您。", (), "foreign:greeting"),
        ("实在抱歉，您的订单今天出库，单号出来我发给您。", (), "foreign:apology"),
        ("您的订单今天出库，单号出来我发给您，祝您生活愉快。", (), "foreign:farewell"),
        ("您的订单保证明天到，单号出来我发给您。", (), "wording:promise"),
        ("这个您自己看详情页吧，上面都有，不用问我。", (), "wording:forbidden"),
        ("收到货给个五星好评，我给您返现三元，截图发我。", (), "wording:pressure"),
        ("您的包裹已经发出，正在路上，请耐心等一等。", ("paid_unshipped",), "state:said_shipped"),
        ("您的包裹已经发出，正在路上，请耐心等一等。", ("unpaid",), "state:said_shipped"),
        ("这一单还没付款，付好我就让仓库安排发出去。", ("shipped",), "state:said_unpaid"),
        ("您已经签收了，有问题请在订单里申请售后处理。", ("shipped",), "state:said_signed"),
        ("这款目前缺货，到货以后我第一时间发消息给您。", ("in_stock",), "state:said_no_stock"),
        (GOOD, ("unpaid", "shipped"), "exclusive"),
        (GOOD, ("opened", "unopened"), "exclusive"),
        (GOOD, ("over_7_days", "within_7_days"), "exclusive"),
        ("今天发。", (), "length"),
        ("很长" * 61, (), "length"),
        ("付款后24小时内发货，最晚48小时内发出，请您放心。", (), "two_limits"),
    ],
)
def test_a_solution_with_a_fault_is_named(text, when, rule):
    issues = RULES.check_script(solution(text, when))
    assert rule in rules(issues)
    assert all(issue.scripts == ("s",) and issue.reason for issue in issues)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("物流显示已签收而您没拿到，我去问网点，今天六点前回您。", ("shipped",)),
        ("如果已经发货，就请拒收，我这边联系快递退回仓库。", ("paid_unshipped",)),
        ("我们不能保证明天到，预计后天送到，以物流页面为准。", ()),
        ("24小时内回复您，退款通过后3天内到账，以支付页为准。", ()),
        ("仓库收到货后当天验，验完就给您退款，您不用再操作。", ("returning",)),
    ],
)
def test_what_only_looks_like_a_fault_is_none(text, when):
    assert RULES.check_script(solution(text, when)) == []


@pytest.mark.parametrize(
    ("one", "other", "rule"),
    [
        (part("opening", "您好，我在。"), part("soothing", "您好，您的话我都看了。"), "once:greeting"),
        (part("soothing", "让您久等，抱歉。"), part("closing", "再次向您道歉。"), "once:apology"),
        (part("opening", "您好，感谢您的等候。"), part("closing", "谢谢您。"), "once:thanks"),
        (
            solution("请把照片发我，我核实后今天回您。"),
            part("closing", "祝您生活愉快。"),
            "apart:asks/farewell",
        ),
        (
            solution("我查到包裹在分拣，今天派送到您那里。"),
            part("opening", "您好，这就帮您看。"),
            "apart:has_looked/will_look",
        ),
        (
            solution("我请主管看，直接转给专人，今天六点前回您。"),
            part("opening", "您好，由我负责处理。"),
            "apart:hands_over/takes_over",
        ),
        (solution(GOOD, tone="formal"), part("closing", "有事说。", tone="lively"), "tone"),
        (solution(GOOD), part("closing", "单号出来我发给您。"), "repeated"),
    ],
)
def test_parts_that_cannot_stand_together(one, other, rule):
    assert rule in rules(RULES.clashes(one, other))
    assert rule in rules(RULES.clashes(other, one))


def test_parts_that_go_together_do_not_clash():
    assert RULES.clashes(part("opening", "您好，消息收到了。"), solution(GOOD)) == []
    assert RULES.clashes(solution(GOOD), part("closing", "祝您生活愉快。")) == []


@pytest.mark.parametrize(
    ("one", "around", "alert", "rule"),
    [
        (part("opening", "您好，欢迎光临。"), solution(GOOD), 3, "quiet"),
        (part("closing", "有事说😊"), solution(GOOD), 2, "quiet"),
        (part("closing", "有事说。", tone="lively"), solution(GOOD), 2, "quiet"),
        (part("closing", "有事说。", alerts=(0,)), solution(GOOD), 1, "alert"),
        (part("closing", "有事说。", after=("coupon",)), solution(GOOD), 0, "after"),
        (
            part("opening", "您好，很高兴为您服务。"),
            solution(GOOD, category="package_lost"),
            0,
            "category:cheerful",
        ),
        (
            part("soothing", "让您一再等待。"),
            solution(GOOD, category="product_spec"),
            1,
            "category:waiting",
        ),
        (part("closing", "收到货有问题找我。"), solution(GOOD, ("signed",)), 0, "state:on_receipt"),
        (
            part("closing", "有进展我发消息。"),
            solution("面料是纯棉的，洗水标上也写着。"),
            0,
            "needs:follows_up",
        ),
    ],
)
def test_parts_that_do_not_suit(one, around, alert, rule):
    assert rule in rules(RULES.misfits(one, around, alert))


def test_a_reply_is_read_as_one_text():
    parts = [part("opening", "您好，我在。"), solution(GOOD), part("closing", "有事说一声。")]
    text = "".join(one.text for one in parts)
    assert RULES.check_reply(parts, text, 0, "neutral") == []
    assert rules(RULES.check_reply(parts, text, 2, "angry")) == {"unsoothed"}
    wrong_order = [parts[1], parts[0], parts[2]]
    assert rules(RULES.check_reply(wrong_order, text, 0, "neutral")) == {"order"}
    # A value that the caller filled in is read as well.
    assert "wording:promise" in rules(RULES.check_reply(parts, text + "保证明天到", 0, "neutral"))
    other = part("soothing", "您生气我明白。")
    assert "emotion" in rules(RULES.check_reply([parts[0], other, parts[1]], text, 2, "anxious"))


def test_too_few_solutions_are_counted():
    issues = RULES.check_library(Library((solution(GOOD),)))
    assert sum(issue.rule == "count" for issue in issues) == 71
    assert not [one for one in RULES.check_library(Library((solution(GOOD),)), 1) if one.words == "ship_time"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.pop("version"), "version"),
        (lambda raw: raw.pop("once"), "once"),
        (lambda raw: raw["features"]["greeting"].update(any=["("]), "rule is incomplete or wrong"),
        (lambda raw: raw["once"].update(hello="x"), "feature 'hello' is used and not defined"),
        (lambda raw: raw["exclusive"].append(["lost"]), "condition 'lost' is unknown"),
        (lambda raw: raw["categories"][0]["only"].append("nothing"), "category 'nothing' is unknown"),
    ],
)
def test_a_wrong_file_of_rules_is_refused(change, message):
    raw = copy.deepcopy(yaml.safe_load(DEFAULT_PATH.read_text(encoding="utf-8")))
    change(raw)
    with pytest.raises(ValueError, match=message):
        Compliance(raw, load_taxonomy(), "rules")
