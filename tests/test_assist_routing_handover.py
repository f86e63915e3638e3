"""The background that goes with a chat: extracted, masked, short."""

from __future__ import annotations

import pytest

from assist.routing.desk import Desk
from assist.routing.schema import HandoverRequest, RouteRequest

TURNS = [
    ("customer", "在吗"),
    ("customer", "我的电热水壶底部漏水，能换吗？"),
    ("agent", "抱歉给您添麻烦了。我先帮您核实一下订单。"),
    ("agent", "已经帮您登记换货，今天下午5点前给您回复。"),
    ("customer", "好的"),
    ("customer", "都六点了怎么还没回复，我电话13800138000"),
]


@pytest.fixture(scope="module")
def desk():
    return Desk()


def request(turns=TURNS, **fields):
    return HandoverRequest.model_validate(
        {"turns": [{"role": role, "text": text} for role, text in turns], **fields}
    )


def test_who_asked_what_what_was_tried_promised_and_is_open(desk):
    found = desk.handover(request(category="quality_issue", emotion="anxious", alert=1, from_agent="kefu-02"))
    assert found.asked[0] == "我的电热水壶底部漏水，能换吗？"
    assert "已经帮您登记换货，今天下午5点前给您回复。" in found.tried
    assert found.promised == ["已经帮您登记换货，今天下午5点前给您回复。"]
    assert found.open.startswith("都六点了怎么还没回复")
    assert found.turns == len(TURNS)
    for part in ("商品质量问题", "焦急", "预警1级", "kefu-02已处理", "答应过", "待回复"):
        assert part in found.summary


def test_nothing_personal_goes_along(desk):
    assert "13800138000" not in str(desk.handover(request()).model_dump())


def test_nothing_is_invented(desk):
    found = desk.handover(request([("customer", "你好"), ("agent", "您好，请讲")]))
    assert (found.asked, found.tried, found.promised, found.open) == ([], [], [], "")
    assert found.summary == "客户还没有说明诉求。客服还没有采取措施。"


def test_every_entry_is_a_sentence_of_the_chat_and_there_are_few(desk):
    turns = [("customer", f"第{number}个问题怎么办？" + "很长的话" * 40) for number in range(9)]
    found = desk.handover(request(turns))
    assert len(found.asked) == 4
    assert found.asked[0] == "第0个问题怎么办？"
    assert all(len(one) <= 60 for one in [*found.asked, found.open])


def test_an_answered_question_is_not_open(desk):
    assert desk.handover(request(TURNS[:4])).open == ""
    assert desk.handover(request(TURNS[:5])).open == ""


def test_routing_carries_it_along(desk):
    turns = [{"role": role, "text": text} for role, text in TURNS]
    decision = desk.route(RouteRequest.model_validate({"category": "quality_issue", "turns": turns}), [])
    assert decision.handover is not None
    assert decision.handover.asked
    assert desk.route(RouteRequest(category="quality_issue"), []).handover is None


def test_bad_input_names_the_field(desk):
    with pytest.raises(ValueError, match="category: "):
        desk.handover(request(category="weather"))
    with pytest.raises(ValueError, match="emotion: "):
        desk.handover(request(emotion="bored"))
