"""Complete replies to a message, with reasons, and learning from what agents do."""

from __future__ import annotations

import zlib
from dataclasses import replace
from threading import Thread

import numpy as np
import pytest
from pydantic import ValidationError

from assist.reading import Reading
from assist.scripts.feedback import FeedbackStore
from assist.scripts.index import ScriptIndex
from assist.scripts.library import load_library
from assist.scripts.off_policy import position_propensities
from assist.scripts.ranking import RankingSettings, searched_categories
from assist.scripts.recommend import Recommender
from assist.scripts.schema import RecommendRequest, ReplyFeedback, SaidTurn
from assist.wording import find_wording


def embed(texts):
    """Hashed pairs of characters: enough meaning for tests."""
    out = np.zeros((len(texts), 64), np.float32)
    for row, text in enumerate(texts):
        for at in range(len(text) - 1):
            out[row, zlib.crc32(text[at : at + 2].encode()) % 64] += 1
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


@pytest.fixture(scope="module")
def library():
    return load_library()


@pytest.fixture(scope="module")
def index(library):
    return ScriptIndex(library.solutions, embed)


@pytest.fixture
def recommender(library, index):
    return Recommender(library, embed, index=index, seed=1)


def reading(text, category="urge_shipping", score=0.9, **more):
    values = {"categories": ((category, score), ("ship_time", 0.06)), **more}
    return Reading(text, category=category, category_score=score, embedding=embed([text])[0], **values)


def ask(recommender, text="都五天了还没发货", k=3, **more):
    mood = {name: more.pop(name) for name in ("emotion", "alert", "abstain", "categories") if name in more}
    return recommender.recommend(RecommendRequest(text=text, k=k, **more), reading(text, **mood))


def test_replies_are_complete(recommender, library):
    answer = ask(recommender, k=5)
    assert [reply.position for reply in answer.replies] == [1, 2, 3, 4, 5]
    assert len({reply.script for reply in answer.replies}) == 5
    for reply in answer.replies:
        assert reply.id.startswith(answer.request_id)
        assert reply.text == "".join(part.text for part in reply.parts)
        assert "solution" in {part.stage for part in reply.parts}
        assert library.by_id[reply.script].category == reply.category
        assert "{" not in reply.text
        assert bool(reply.missing) == ("【" in reply.text)
        assert 0 < reply.propensity <= 1
        assert {"category", "similarity"} <= {reason.kind for reason in reply.reasons}
        assert not find_wording(reply.text, ("forbidden", "promise"))


def test_slots_come_from_the_chat_and_the_desk(recommender):
    context = [SaidTurn(role="customer", text="我的订单号是2026110500123456789")]
    known = {"hours": "24", "date": "11月20日", "time": "18点", "days": "2", "warehouse": "一号仓"}
    replies = ask(recommender, k=8, context=context, slots=known).replies
    filled = {slot.name: slot.value for reply in replies for slot in reply.filled}
    assert filled.items() & known.items()
    for reply in replies:
        assert not set(reply.missing) & set(known)
        for slot in reply.filled:
            assert slot.value in reply.text


def test_an_angry_customer_is_soothed_first(recommender):
    for reply in ask(recommender, emotion="angry", alert=3).replies:
        stages = [part.stage for part in reply.parts]
        assert stages.index("soothing") < stages.index("solution")
        assert any(reason.kind == "emotion" and reason.value == 3 for reason in reply.reasons)
    calm = ask(recommender, emotion="neutral", alert=0).replies
    assert not any(part.stage == "soothing" for reply in calm for part in reply.parts)


def test_nothing_lively_at_an_alert(recommender, library):
    for reply in ask(recommender, k=8, emotion="dissatisfied", alert=2).replies:
        assert library.by_id[reply.script].tone != "lively"


def test_conditions_filter_and_lift(recommender, library):
    shipped = ask(recommender, k=8, conditions=["shipped"], categories=(("logistics_query", 0.9),)).replies
    for reply in shipped:
        assert not {"unpaid", "paid_unshipped", "signed"} & set(library.by_id[reply.script].when)
    unknown = [one for one in ask(recommender, k=8).replies if library.by_id[one.script].when]
    assert all(any(note.startswith("请确认") for note in reply.check) for reply in unknown)
    with pytest.raises(ValueError, match="conditions: 'melted' is unknown"):
        ask(recommender, conditions=["melted"])


def test_unwanted_scripts_stay_away(recommender):
    first = [reply.script for reply in ask(recommender, explore=False).replies]
    again = [reply.script for reply in ask(recommender, explore=False, exclude=first).replies]
    assert not set(first) & set(again)


def test_without_exploration_the_order_is_fixed(recommender):
    orders = {tuple(reply.script for reply in ask(recommender, explore=False).replies) for _ in range(5)}
    assert len(orders) == 1
    assert all(reply.propensity == 1.0 for reply in ask(recommender, explore=False).replies)
    scores = [reply.score for reply in ask(recommender, explore=False).replies]
    assert scores == sorted(scores, reverse=True)


def test_propensities_are_those_of_the_draw(library, index, tmp_path):
    store = FeedbackStore(tmp_path / "f.sqlite")
    recommender = Recommender(library, embed, feedback=store, index=index, seed=3)
    for _ in range(3):
        ask(recommender, k=3)
    for answer in store.answers(judged=False):
        chance = position_propensities([one.score for one in answer.pool], answer.temperature, 3)
        names = [one.script for one in answer.pool]
        for shown in answer.shown:
            assert shown.propensity == pytest.approx(
                chance[names.index(shown.script), shown.place - 1], abs=1e-3
            )


def test_feedback_changes_the_ranking(library, index, tmp_path):
    store = FeedbackStore(tmp_path / "f.sqlite", refresh=0.0)
    settings = RankingSettings(feedback=2.0)
    recommender = Recommender(library, embed, feedback=store, index=index, settings=settings, seed=5)
    before = [reply.script for reply in ask(recommender, explore=False).replies]
    loved = before[2]
    for _ in range(25):
        answer = ask(recommender)
        for reply in answer.replies:
            action = "accepted" if reply.script == loved else "rejected"
            recommender.learn(ReplyFeedback(reply_id=reply.id, action=action))
    after = ask(recommender, explore=False).replies
    assert after[0].script == loved
    assert any(reason.kind == "feedback" and reason.value > 0.4 for reason in after[0].reasons)


def test_no_store_no_learning(recommender):
    with pytest.raises(ValueError, match="keeps no feedback"):
        recommender.learn(ReplyFeedback(reply_id="x-1", action="accepted"))


def test_an_unsure_model_searches_further():
    chances = tuple((f"c{number}", 0.12 - number / 1000) for number in range(8))
    known = dict.fromkeys(f"c{number}" for number in range(8))
    unsure = Reading("什么", categories=chances, abstain=True)
    assert len(searched_categories(unsure, RankingSettings(), known)) == 8
    assert len(searched_categories(replace(unsure, abstain=False), RankingSettings(), known)) == 4
    sure = Reading("什么", categories=(("c1", 0.97), ("c2", 0.02)))
    assert list(searched_categories(sure, RankingSettings(), known)) == ["c1"]


def test_a_message_without_categories_finds_something(recommender):
    bare = Reading("七天无理由能退吗")
    answer = recommender.recommend(RecommendRequest(text="七天无理由能退吗"), bare)
    assert len(answer.replies) == 3


def test_the_library_can_run_out(recommender):
    every = [script.id for script in recommender.library.by_category["urge_shipping"]]
    answer = ask(recommender, k=3, categories=(("urge_shipping", 1.0),), exclude=every[1:])
    assert [reply.script for reply in answer.replies] == every[:1]


def test_threads_do_not_disturb_each_other(library, index, tmp_path):
    store = FeedbackStore(tmp_path / "f.sqlite")
    recommender = Recommender(library, embed, feedback=store, index=index)
    found = []

    def work():
        found.extend(ask(recommender).request_id for _ in range(5))

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 20
    assert len(list(store.answers(judged=False))) == 20


@pytest.mark.parametrize(
    "bad",
    [
        {"text": " "},
        {"text": "x", "k": 0},
        {"text": "x", "k": 99},
        {"text": "x", "other": 1},
        {"text": "x", "tone": "rude"},
    ],
)
def test_bad_requests_are_refused(bad):
    with pytest.raises(ValidationError):
        RecommendRequest(**bad)


def test_bad_slots_are_named(recommender):
    with pytest.raises(ValueError, match=r"slots\.moon"):
        ask(recommender, slots={"moon": "x"})
