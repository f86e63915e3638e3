"""Every rule of the inspection on examples: what it must find, and what it must leave alone."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from assist.inspection.conformity import ScriptIndex
from assist.inspection.facts import PassageCheck
from assist.inspection.inspector import Inspector
from assist.inspection.quantities import quantities
from assist.inspection.schema import InspectRequest, InspectTurn

START = datetime.fromisoformat("2026-11-05T09:00:00+08:00")
CHECK = PassageCheck([
    "保温杯容量480毫升，保温12小时。保温杯不能放微波炉。",
    "满99元包邮，不满99元收8元运费。",
    "支持七天无理由退货。吊牌剪掉、洗过的不支持退货。",
    "尺码：M适合95到110斤，L适合110到125斤。",
    "四件套可以机洗，水温不超过40度。",
])  # fmt: skip
SCRIPTS = ScriptIndex([
    ("a", "您好，这款现在有现货，今天付款当天就可以发出，请您放心下单。"),
    ("b", "您的退款已经提交，仓库签收后两天内处理，原路退回，请您留意到账短信。"),
])  # fmt: skip
CALM = {"positive": 0.1, "neutral": 0.9}
COLD = {"angry": 0.6, "dissatisfied": 0.39, "neutral": 0.01}


def talk(*turns, emotions=None, until=None, gap=10, timed=True):
    """Turns "C text" or "A text", or (seconds since the one before, "C text"); emotions by position."""
    at, found = START, []
    for place, turn in enumerate(turns):
        wait, words = turn if isinstance(turn, tuple) else (gap if place else 0, turn)
        at += timedelta(seconds=wait)
        role = "customer" if words[0] == "C" else "agent"
        label = (emotions or {}).get(place)
        found.append(
            InspectTurn(role=role, text=words[2:], sent_at=at if timed else None, emotion=label)
        )  # fmt: skip
    return InspectRequest(turns=found, complete_until=until)


def inspect(request, **parts):
    return Inspector(**parts).inspect(request)


def found(inspection, indicator):
    """(turn, words) of an indicator's findings."""
    return [(one.turn, one.words) for one in inspection.findings if one.indicator == indicator]


def score(inspection, indicator):
    return next(
        row.score for part in inspection.dimensions for row in part.indicators if row.indicator == indicator
    )


# --- 服务态度 ---


def test_politeness_needs_a_word_somewhere():
    rude = inspect(talk("C 有货吗", "A 有", "C 几天到", "A 三天"))
    assert found(rude, "politeness") == [(1, "有")]
    assert score(rude, "politeness") == 0
    kind = inspect(talk("C 有货吗", "A 有的亲", "C 几天到", "A 一般三天"))
    assert not found(kind, "politeness")
    assert "politeness" in inspect(talk("C 有货吗", "A 有")).not_judged


@pytest.mark.parametrize(
    ("words", "feelings", "unfriendly"),
    [
        ("又不是我弄坏的", COLD, True),
        ("又不是我弄坏的", CALM, False),
        ("快递确实送错了，我来联系", {"angry": 0.9, "neutral": 0.1}, False),
        ("垃圾一样的天气", {"angry": 0.99, "neutral": 0.01}, True),
        ("实在对不起，这件坏得太快了，您生气是应该的", COLD, False),
        ("麻烦您把坏掉的地方拍一下", COLD, False),
    ],
)
def test_friendliness_listens_with_the_emotion_model(words, feelings, unfriendly):
    def read(texts):
        return [feelings if text == words else CALM for text in texts]

    inspection = inspect(talk("C 坏了", f"A {words}"), read_emotion=read)
    assert bool(found(inspection, "friendliness")) == unfriendly
    assert "friendliness" in inspect(talk("C 坏了", f"A {words}")).not_judged


@pytest.mark.parametrize(
    ("answers", "late"),
    [
        (("请稍等", "在查"), True),
        (("真的很抱歉", "在查"), False),
        (("在查", "换成我也会着急，是我们没做好"), False),
        (("在查", "还在查"), True),
        (("感谢您的理解", "请耐心等待"), True),
    ],
)
def test_soothing_must_come_within_two_turns(answers, late):
    request = talk("C 气死我了", f"A {answers[0]}", "C 快点", f"A {answers[1]}", emotions={0: "angry"})
    inspection = inspect(request)
    assert found(inspection, "soothing") == ([(1, answers[0])] if late else [])


def test_soothing_follows_given_alerts_and_repeated_displeasure():
    request = talk("C 有点慢", "A 在查", "C 还是慢", "A 在查了")
    one = request.turns[0].model_copy(update={"alert": 2})
    assert found(inspect(request.model_copy(update={"turns": [one, *request.turns[1:]]})), "soothing")
    mild = [turn.model_copy(update={"alert": 1, "emotion": "dissatisfied", "emotion_score": 0.6})
            if turn.role == "customer" else turn for turn in request.turns]  # fmt: skip
    assert found(inspect(request.model_copy(update={"turns": mild})), "soothing")
    once = [*mild[:2], *request.turns[2:]]
    assert "soothing" in inspect(request.model_copy(update={"turns": once})).not_judged
    assert inspect(request).not_judged["soothing"] == "没有预警等级，也没有情绪模型"


def test_words_that_an_agent_must_not_use():
    inspection = inspect(talk("C 怎么办", "A 这关我什么事，闭嘴"))
    words = [words for _, words in found(inspection, "forbidden")]
    assert "闭嘴" in words
    assert inspection.red_line
    assert inspection.score <= 59
    assert not found(inspect(talk("C 客服骂我闭嘴", "A 对不起，这是不允许的")), "forbidden")


# --- 专业能力 ---


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("保温杯多大", "您好，480毫升的", "support"),
        ("保温杯多大", "您好，500毫升的", "contradiction"),
        ("保温杯能放微波炉吗", "可以放的，热两分钟", "contradiction"),
        ("保温杯能放微波炉吗", "不能放微波炉的", "support"),
        ("四件套水温有要求吗", "60度都行", "contradiction"),
        ("四件套水温有要求吗", "30度就行", "support"),
        ("我120斤穿什么码", "120斤穿M就可以", "contradiction"),
        ("我120斤穿什么码", "120斤拿L合适", "support"),
        ("吊牌剪掉了能退吗", "能退的亲", "contradiction"),
        ("运费多少", "不满99元收8元运费", "support"),
        ("明天会下雨吗", "会的", "unknown"),
        ("有黑色吗", "有的，三件", "unknown"),
    ],
)
def test_answers_are_held_against_passages(question, answer, kind):
    assert CHECK(question, answer).kind == kind


def test_accuracy_cites_the_passage_and_the_words():
    inspection = inspect(talk("C 保温杯多大", "A 您好，500毫升的"), knowledge=CHECK)
    [finding] = [one for one in inspection.findings if one.indicator == "accuracy"]
    assert finding.words == "500毫升"
    assert "480毫升" in finding.reason
    silent = inspect(talk("C 明天会下雨吗", "A 会的"), knowledge=CHECK)
    assert silent.not_judged["accuracy"] == "知识库里没有能对照的内容"


def test_quantities_read_chinese_numerals_ranges_and_bounds():
    assert [(one.low, one.high, one.unit) for one in quantities("三到五天,一百二十斤,半小时")] == [
        (3, 5, "天"), (120, 120, "斤"), (0.5, 0.5, "小时"),
    ]  # fmt: skip
    assert quantities("不超过40度")[0].bound == "most"
    assert not quantities("七天无理由")


@pytest.mark.parametrize(
    ("end", "bad"),
    [
        (("C 算了 不买了", "A 好的"), True),
        (("C 谢谢啦", "A 不客气"), False),
        (("C 还没到怎么办",), True),
        (("C 好的",), False),
        (("C 我找平台了！", "A 您别急"), True),
    ],
)
def test_effectiveness_reads_the_customers_last_words(end, bad):
    inspection = inspect(talk("C 到哪了", "A 在路上", *end))
    assert bool(found(inspection, "effectiveness")) == bad


def test_effectiveness_is_not_judged_where_the_end_says_nothing():
    request = talk("C 到哪了", "A 在路上", "C 我家在五楼", "A 送上门")
    assert "effectiveness" in inspect(request).not_judged
    upset = [*request.turns[:2], request.turns[2].model_copy(update={"emotion": "angry"}), request.turns[3]]
    assert found(inspect(request.model_copy(update={"turns": upset})), "effectiveness") == [(2, "我家在五楼")]


def test_promises_that_a_shop_must_not_make():
    assert found(inspect(talk("C 明天能到吗", "A 保证明天到")), "overpromise")
    assert not found(inspect(talk("C 明天能到吗", "A 一般两天，我们不能保证明天到")), "overpromise")


@pytest.mark.parametrize(
    ("turns", "until", "broken"),
    [
        (("A 10分钟内回复您", "C 好", (7200, "A 开好了")), None, True),
        (("A 10分钟内回复您", "C 好", (300, "A 开好了")), None, False),
        (("A 10分钟内回复您", (300, "C 人呢"), (200, "A 开好了")), None, False),
        (("A 一个小时内告诉您结果", (5000, "C 结果呢")), None, True),
        (("A 今天内给您答复", "C 好"), START + timedelta(days=2), True),
        (("A 今天内给您答复", "C 好"), None, False),
        (("A 退款在签收后48小时内处理", (200000, "C 还没到账")), None, False),
        (("A 下午3点前给您消息", (8 * 3600, "A 师傅明天到")), None, True),
        (("A 下午3点前给您消息", (3 * 3600, "A 师傅明天到")), None, False),
        (("A 今天发出", (30 * 3600, "C 怎么还没发")), None, True),
        (("A 一个半小时内给您答复", (4800, "A 查到了")), None, False),
        (("A 半个小时内给您答复", (4800, "A 查到了")), None, True),
        (("A 99999999999小时内给您答复", (4800, "A 查到了")), None, False),
        (("A 今天发出", (30 * 3600, "C 收到了 不错")), None, False),
    ],
)
def test_deadlines_are_kept_or_not(turns, until, broken):
    inspection = inspect(talk("C 什么时候有结果", *turns, until=until))
    assert bool(found(inspection, "broken_promise")) == broken


def test_evasion_counts_turns_that_answer_nothing():
    away = inspect(talk("C 承重多少", "A 看详情页哦", "C 没看到", "A 以详情页为准", "C 晕"))
    assert found(away, "evasion")
    told = inspect(talk("C 承重多少", "A 详情页有写，单层15公斤", "C 没看到", "A 我再发您一遍"))
    assert not found(told, "evasion")
    [(turn, words)] = found(inspect(talk("C 能修吗", "A 这谁知道呢")), "evasion")
    assert (turn, words) == (1, "这谁知道")


# --- 沟通技巧 ---


def test_understanding_sees_answers_to_something_else():
    missed = inspect(talk("C 优惠券怎么用不了", "A 四件套可以机洗", "C 我是问优惠券", "A 满199可以用的"))
    assert found(missed, "understanding") == [(1, "四件套可以机洗")]
    restated = inspect(talk("C 优惠券怎么用不了", "A 优惠券要满199"))
    assert score(restated, "understanding") == 100
    assert "understanding" in inspect(talk("C 到家了", "A 好的")).not_judged


def test_script_conformity_needs_scripts_and_long_turns():
    near = ("A 您好，这款现在有现货，今天付款当天发出", "C 好", "A 仓库签收后两天内处理退款，原路退回")
    assert not found(inspect(talk("C 有吗", *near), library=SCRIPTS), "script")
    far = ("A 哎哟喂我家那只猫天天趴上头睡大觉", "C ？", "A 嗐凑合着使呗谁还量尺子吃饭呀")
    assert len(found(inspect(talk("C 有吗", *far), library=SCRIPTS), "script")) == 1
    assert inspect(talk("C 有吗", *far)).not_judged["script"] == "没有话术库可以对照"
    assert SCRIPTS.nearest("原路退回")[1] == "b"
    with pytest.raises(ValueError, match="scripts: are none"):
        ScriptIndex([])


def test_repeated_canned_answers():
    canned = "A 您好，我们会尽快为您处理，请耐心等待"
    twice = inspect(talk("C 退款呢", canned, "C 什么时候", canned))
    assert [turn for turn, _ in found(twice, "repetition")] == [3]
    closing = "A 不客气，祝您生活愉快"
    assert not found(inspect(talk("C 谢谢", closing, "C 好", closing)), "repetition")
    numbers = inspect(talk("C 第一单", "A 单号是[单号]，中通发出", "C 第二单", "A 也发了，单号[单号]"))
    assert not found(numbers, "repetition")


@pytest.mark.parametrize(
    ("given", "asked", "again"),
    [
        ("订单号[订单号] 退货", "请提供一下您的订单号", True),
        ("我要退货", "请提供一下您的订单号", False),
        ("订单号[订单号] 退货", "麻烦发一下退货的快递单号", False),
        ("162 108斤 穿什么", "请问您的身高体重是多少", True),
        ("坏了 [图片]", "麻烦您拍个照", True),
        ("坏了 [图片]", "照片收到了，麻烦再拍一张杯底的", False),
        ("我电话[手机]", "请您提供下单时的手机号", True),
    ],
)
def test_asking_for_what_was_given(given, asked, again):
    assert bool(found(inspect(talk(f"C {given}", f"A {asked}")), "asks_again")) == again


def test_begging_for_reviews():
    assert found(inspect(talk("C 收到了", "A 给个五星，截图返您5块")), "pressure")
    assert not found(inspect(talk("C 收到了", "A 我们没有好评返现，您按感受写")), "pressure")


# --- 效率 ---


@pytest.mark.parametrize(("seconds", "slow"), [(30, False), (31, True)])
def test_first_answer_within_thirty_seconds(seconds, slow):
    inspection = inspect(talk("C 在吗", (seconds, "A 您好")))
    assert found(inspection, "first_response") == ([(1, "")] if slow else [])


def test_waits_begin_with_the_first_unanswered_turn_and_not_with_thanks():
    waiting = inspect(talk("C 在吗", (20, "C 人呢"), (20, "A 您好")))
    assert found(waiting, "first_response")
    thanks = inspect(talk("C 在吗", (5, "A 在"), "C 好的谢谢", (900, "A 不客气")))
    assert not found(thanks, "average_response")
    slow = inspect(talk("C 在吗", (5, "A 在"), "C 能退吗", (400, "A 能")))
    assert found(slow, "average_response") == [(3, "")]


def test_a_long_silence_cuts_a_chat_in_two():
    cut = inspect(talk("C 能退吗", (5, "A 能"), (1800, "C 怎么退"), (5, "A 点申请")))
    assert cut.sessions == 2
    assert not found(cut, "handling_time")
    whole = inspect(talk("C 能退吗", (5, "A 能"), (1799, "C 怎么退"), (5, "A 点申请")))
    assert whole.sessions == 1
    assert found(whole, "handling_time") == [(3, "")]


def test_without_times_efficiency_is_not_judged():
    inspection = inspect(talk("C 在吗", "A 您好", timed=False))
    dimension = inspection.dimensions[-1]
    assert (dimension.dimension, dimension.score) == ("efficiency", None)
    assert {"first_response", "average_response", "handling_time", "broken_promise"} <= set(
        inspection.not_judged
    )
