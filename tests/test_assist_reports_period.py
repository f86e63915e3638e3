"""The report of a period: counting of contacts, waits, ends and returns, and the figures made of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from assist.inspection.schema import Inspection, InspectionFinding
from assist.inspection.standards import load_standards
from assist.reports.facts import chat_facts, contacts_of
from assist.reports.period import period_report
from assist.reports.schema import ChatReading, MessageReading
from data.chats import Chat, TimedTurn

MORNING = datetime.fromisoformat("2026-11-05T09:00:00+08:00")
STANDARDS = load_standards()


def chat(number, *turns, agent="kefu-01", day=0, channel="app"):
    """A chat and its reading, of (seconds after the turn before, who, text, emotion, category, alert)."""
    at, said, read = MORNING + timedelta(days=day, minutes=number), [], {}
    for place, (seconds, role, text, *labels) in enumerate(turns):
        at += timedelta(seconds=seconds)
        said.append(TimedTurn("customer" if role == "c" else "agent", text, at))
        if role == "c":
            emotion, category, alert = (*labels, *("neutral", "logistics_query", 0)[len(labels) :])
            read[place] = MessageReading(category=category, emotion=emotion, alert=alert)
    return Chat(f"c{number:03d}", agent, channel, tuple(said)), read


def facts(*turns, taxonomy, **more):
    one, read = chat(1, *turns)
    return chat_facts(one, ChatReading(messages=read, **more), STANDARDS, taxonomy)


ASK, ANSWER = (0, "c", "快递到哪了"), (20, "a", "我看下，今晚到")
THANKS = (10, "c", "好的谢谢", "positive", "thanks_closing")


def test_thirty_silent_minutes_begin_a_new_contact():
    one, _ = chat(1, ASK, ANSWER, (1799, "c", "嗯"), (1800, "c", "还没到"))
    assert [(part.start, part.stop) for part in contacts_of(one, STANDARDS.silence)] == [(0, 3), (3, 4)]


def test_handling_time_leaves_the_silence_out(taxonomy):
    found = facts(ASK, ANSWER, (36_000, "a", "已经签收啦"), (40, "c", "收到了"), taxonomy=taxonomy)
    assert found.handling == (20, 40)
    assert found.first_answers == (20,)
    assert found.waits == (20,)
    # The agent came back, not the customer: one matter, and nobody had to return.
    assert (found.matters, found.not_returned, found.solved) == (1, 1, 1)


def test_a_late_first_answer_counts_in_full(taxonomy):
    found = facts(ASK, (7200, "a", "在的"), taxonomy=taxonomy)
    assert (found.asked, found.answered) == (1, 1)
    assert found.first_answers == found.waits == (7200,)


def test_after_thanks_nobody_waits(taxonomy):
    found = facts(ASK, ANSWER, THANKS, (50_000, "a", "给您寄了小礼物"), taxonomy=taxonomy)
    assert found.waits == (20,)
    late = facts(ASK, ANSWER, (10, "c", "那我的赠品呢"), (50_000, "a", "补了"), taxonomy=taxonomy)
    assert late.waits == (20, 50_000)


def test_a_contact_that_only_says_thanks_needs_no_answer(taxonomy):
    found = facts(ASK, ANSWER, (9000, "c", "收到了 谢谢", "positive", "thanks_closing"), taxonomy=taxonomy)
    assert len(found.contacts) == 2
    assert (found.asked, found.answered) == (1, 1)
    assert found.not_returned == 1
    assert not found.left_open


def test_unanswered_is_unanswered(taxonomy):
    found = facts(ASK, taxonomy=taxonomy)
    assert (found.asked, found.answered, found.waits, found.handling) == (1, 0, (), ())
    assert found.left_open


@pytest.mark.parametrize(
    ("later", "hours", "returned"),
    [
        (("还没到啊", "anxious", "urge_delivery"), 20, True),  # the same group of categories
        (("能开发票吗", "neutral", "invoice_request"), 20, False),  # another matter
        (("在吗", "neutral", "greeting"), 20, True),  # no matter of its own
        (("还没到啊", "anxious", "urge_delivery"), 24 * 8, False),  # later than a week
    ],
)
def test_who_comes_back_about_the_same(taxonomy, later, hours, returned):
    text, emotion, category = later
    found = facts(
        ASK, ANSWER, (hours * 3600, "c", text, emotion, category), (30, "a", "好"), taxonomy=taxonomy
    )
    assert found.matters == (1 if returned else 2)
    assert found.not_returned == (0 if returned else 2)


@pytest.mark.parametrize(
    ("last", "end"),
    [
        (("谢谢啊", "positive", "thanks_closing"), "content"),
        (("好的", "neutral", "thanks_closing"), "content"),
        (("算了", "neutral", "order_cancel"), "discontent"),
        (("行 算了", "neutral", "order_cancel"), "unclear"),
        (("写大一点", "neutral", "customization"), "unclear"),
        (("你等着", "angry", "service_complaint", 3), "discontent"),
        (("我去打那个电话", "neutral", "dispute_escalation", 3), "discontent"),
    ],
)
def test_how_a_chat_ended(taxonomy, last, end):
    assert facts(ASK, ANSWER, (10, "c", *last), taxonomy=taxonomy).end == end


def test_resigned_words_after_anger_are_not_content(taxonomy):
    angry = (10, "c", "你们怎么回事", "angry", "service_complaint", 2)
    found = facts(ASK, ANSWER, angry, (300, "a", "请耐心等待"), (9, "c", "行吧", "neutral", "thanks_closing"),
                  taxonomy=taxonomy)  # fmt: skip
    assert found.end == "unclear"
    assert found.negative
    assert (found.matters, found.not_returned, found.solved) == (1, 1, 0)


def test_thanks_hours_later_end_the_matter_well(taxonomy):
    angry = (10, "c", "你们怎么回事", "angry", "service_complaint", 2)
    promise, thanks = (20, "a", "八点前给您消息"), (20_000, "c", "收到了 靠谱", "positive", "thanks_closing")
    found = facts(ASK, ANSWER, angry, promise, thanks, taxonomy=taxonomy)
    assert (len(found.contacts), found.matters, found.solved, found.end) == (2, 1, 1, "content")
    assert facts(ASK, ANSWER, angry, promise, taxonomy=taxonomy).solved == 0


def test_wrong_readings_are_named(taxonomy):
    one, read = chat(1, ASK, ANSWER, THANKS)
    with pytest.raises(ValueError, match="c001: turn 2 of the customer has none"):
        chat_facts(one, ChatReading(messages={0: read[0]}), STANDARDS, taxonomy)
    wrong = {**read, 2: MessageReading(category="weather", emotion="positive")}
    with pytest.raises(ValueError, match="turn 2: category: 'weather' is not in the schema"):
        chat_facts(one, ChatReading(messages=wrong), STANDARDS, taxonomy)
    with pytest.raises(ValueError, match="turned_at: 1 is no turn of the customer"):
        chat_facts(one, ChatReading(messages=read, turned_at=1), STANDARDS, taxonomy)


def log(days=14, slow_from=7):
    """Three chats a day; from `slow_from` on slow, and customers angry at the end."""
    chats, readings = [], {}
    for day in range(days):
        for number in range(3):
            slow = day >= slow_from
            agent = f"kefu-0{1 + number % 2}"
            turns = [ASK, (300 if slow else 10, "a", "电话13812345678" if slow else "今晚八点到")]
            turns.append((10, "c", "你们太慢了", "angry", "urge_delivery", 3) if slow else THANKS)
            one, read = chat(
                10 * day + number, *turns, agent=agent, day=day, channel=("app", "web")[number % 2]
            )
            chats.append(one)
            readings[one.id] = ChatReading(
                messages=read,
                trajectory="escalating" if slow else "recovering",
                turned_at=2,
            )
    return chats, readings


def finding():
    return InspectionFinding(
        indicator="soothing", zh="情绪安抚", severity="major", turn=1, words="打13812345678", start=0, end=3,
        reason="", advice="",
    )  # fmt: skip


@pytest.fixture(scope="module")
def report():
    chats, readings = log()
    inspections = [
        Inspection(id=one.id, agent=one.agent, standards=1, score=60.0 if one.began.day > 11 else 90.0,
                   red_line=False, dimensions=[], not_judged={}, sessions=1,
                   findings=[finding()] if one.began.day > 11 else [])
        for one in chats
    ]  # fmt: skip
    teams = {"kefu-01": "售前组", "kefu-02": "售后组"}
    return period_report(chats, readings, inspections, since=date(2026, 11, 12), teams=teams)


def test_figures_of_a_known_week(report):
    assert (report.first_day, report.last_day) == (date(2026, 11, 12), date(2026, 11, 18))
    assert (report.chats, report.messages) == (21, 42)
    first = report.figure("first_answer")
    assert (first.value, first.standard, first.met, first.sure) == (300, 30, False, True)
    assert report.figure("first_in_time").value == 0
    assert report.figure("average_answer").met is False
    handling = report.figure("handling")
    assert handling.value == pytest.approx(310 / 60)
    assert handling.met
    assert (report.figure("one_contact").value, report.figure("no_return").value) == (0.0, 1.0)
    assert (report.figure("satisfaction").count, report.figure("satisfaction").of) == (0, 21)
    assert report.figure("negative").value == 1.0
    assert report.figure("left_open").value == 1.0
    with pytest.raises(KeyError, match="nps"):
        report.figure("nps")


def test_the_week_before_is_compared(report):
    assert report.before == (date(2026, 11, 5), date(2026, 11, 11))
    verdicts = {one.key: one.verdict for one in report.changes}
    assert verdicts["first_answer"] == verdicts["satisfaction"] == verdicts["negative"] == "worse"
    assert verdicts["chats"] == verdicts["messages"] == "none"
    assert verdicts["answer_rate"] == "cannot tell"
    first = next(one for one in report.changes if one.key == "first_answer")
    assert (first.before, first.now, first.difference) == (10, 300, 290)


def test_accounts_teams_channels_days_and_hours_cover_every_chat(report):
    for groups in (report.agents, report.teams, report.channels):
        assert sum(one.chats for one in groups) == 21
    assert {one.name: one.chats for one in report.teams} == {"售前组": 14, "售后组": 7}
    assert {one.name: one.chats for one in report.agents} == {"kefu-01": 14, "kefu-02": 7}
    few = next(one for one in report.agents if one.chats == 7).figures
    assert few["satisfaction"].value is None  # seven chats: a count, no rate
    assert (few["satisfaction"].count, few["satisfaction"].of) == (0, 7)
    assert few["first_answer"].value == 300
    assert few["first_answer"].low is None
    assert [one.chats for one in report.days] == [3] * 7
    assert sum(one.chats for one in report.hours) == 21
    assert report.days[2].three_days.of == 9
    assert report.days[2].three_days.rate is None
    assert [one.day.day for one in report.days] == [12, 13, 14, 15, 16, 17, 18]


def test_feelings_causes_and_turning_points(report):
    emotions = {one.name: one for one in report.emotions}
    assert (emotions["angry"].count, emotions["angry"].rate) == (21, 0.5)
    assert emotions["angry"].low < 0.5 < emotions["angry"].high
    [cause] = report.causes
    assert (cause.category, cause.emotion, cause.messages, cause.share.rate) == (
        "urge_delivery",
        "angry",
        21,
        1.0,
    )
    assert report.table["urge_delivery"]["angry"] == 21
    assert sum(one.count for one in report.categories) == 42
    assert {one.name: one.count for one in report.trajectories} == {
        "escalating": 21, "recovering": 0, "steady": 0,
    }  # fmt: skip
    point = report.turning_points[0]
    assert (point.emotion_before, point.emotion_after, point.after) == ("neutral", "angry", "你们太慢了")
    assert "13812345678" not in point.agent_said
    assert "13812345678" not in report.model_dump_json()


def test_inspections_of_the_period_are_summed_up(report):
    assert (report.inspection.chats, report.inspection.score) == (21, 60.0)
    [fault] = report.inspection.faults
    assert (fault.zh, fault.count, fault.rate) == ("情绪安抚", 21, 1.0)
    assert report.inspection.examples == {"soothing": "打[手机]"}
    assert {one.agent: one.score for one in report.inspection.agents} == {"kefu-01": 60.0, "kefu-02": None}
    assert {row.score for row in report.rows} == {60.0}


def test_no_comparison_says_why():
    chats, readings = log(days=10)
    whole = period_report(chats, readings)
    assert whole.whole_log
    assert whole.changes == []
    assert "整份记录" in whole.no_comparison
    short = period_report(chats, readings, since=date(2026, 11, 9), until=date(2026, 11, 14))
    assert short.before is None
    assert "2026-11-05" in short.no_comparison
    assert whole.inspection is None


def test_wrong_periods_are_named():
    chats, readings = log(days=2)
    with pytest.raises(ValueError, match="no chat began between 2027"):
        period_report(chats, readings, since=date(2027, 1, 1), until=date(2027, 1, 2))
    with pytest.raises(ValueError, match="until: 2026-11-01 is before since"):
        period_report(chats, readings, since=date(2026, 11, 5), until=date(2026, 11, 1))
    with pytest.raises(ValueError, match="c000: has none"):
        period_report(chats, {})
    with pytest.raises(ValueError, match="there are none"):
        period_report([], {})


def test_a_standard_reached_exactly_is_kept_but_not_sure(taxonomy):
    chats, readings = [], {}
    for number in range(20):
        one, read = chat(number, ASK, (10 if number % 2 else 50, "a", "在"), THANKS)
        chats.append(one)
        readings[one.id] = ChatReading(messages=read)
    first = period_report(chats, readings).figure("first_answer")
    assert (first.value, first.met, first.sure) == (30, True, False)
    assert first.low < 30 < first.high


def test_accounts_with_names_are_masked_and_kept_apart():
    chats, readings = [], {}
    for number in range(24):
        agent = ("客服 13812345678", "客服 13912345678")[number % 2]
        one, read = chat(number, ASK, ANSWER if number % 2 else (90, "a", "在"), THANKS, agent=agent)
        chats.append(one)
        readings[one.id] = ChatReading(messages=read, trajectory="recovering", turned_at=2)
    report = period_report(chats, readings)
    first = {one.name: one.figures["first_answer"].value for one in report.agents}
    assert first == {"客服 [手机]": 90, "客服 [手机] 2": 20}
    assert {one.agent for one in report.rows} == {one.agent for one in report.turning_points} == set(first)
    assert "12345678" not in report.model_dump_json()


def test_a_silent_day_stands_in_the_report():
    chats, readings = log(days=3, slow_from=9)
    gap = [one for one in chats if one.began.day != 6]
    days = period_report(gap, readings).days
    assert [(one.day.day, one.chats, one.first_answer) for one in days] == [
        (5, 3, 10),
        (6, 0, None),
        (7, 3, 10),
    ]
