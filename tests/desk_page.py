"""The page's desk over the mock's rooms, for tests in a browser: what was asked and answered is kept."""

from __future__ import annotations

import contextlib
import json

import httpx

from serving.assist_schema import AssistPart
from serving.mock import MemoryFeedback, MockEngine, running_mock
from serving.mock_desk import MockHelper
from serving.operations import Operations

__all__ = [
    "CHAT",
    "LAST",
    "TABS",
    "Remembering",
    "card",
    "drafts",
    "first_with_gap",
    "posted",
    "running_desk",
    "tab",
    "texts",
]


class KnowingEngine(MockEngine):
    """The mock, told what single messages want and how they sound: a person's labels in place of a hash."""

    LABELS = (
        ("没发货", {"category": "urge_shipping", "emotion": "anxious", "score": 0.91}),
        ("还能退吗", {"category": "return_policy", "emotion": "neutral", "score": 0.88}),
        ("退款", {"category": "refund_progress", "emotion": "angry", "score": 0.93}),
        ("保修", {"category": "repair_warranty", "emotion": "neutral", "score": 0.9}),
        ("在吗", {"category": "greeting", "emotion": "neutral", "score": 0.97}),
    )

    def _wishes(self, text, field):
        found = super()._wishes(text, field)
        for words, labels in self.LABELS:
            if words in text:
                return {**labels, **found}
        return {"category": "thanks_closing", "emotion": "neutral", "score": 0.6, **found}


class Remembering(MockHelper):
    """The real rooms; keeps what was asked and answered. `trouble`: states of parts that went wrong."""

    def __init__(self, engine):
        super().__init__(engine)
        self.asked, self.answers, self.learned, self.trouble = [], [], [], {}

    async def assist(self, request):
        answer = await super().assist(request)
        hit = {part: None for part in self.trouble if part in request.parts}
        parts = [
            AssistPart(part=one.part, state=self.trouble[one.part], took_ms=None, reason="private words")
            if one.part in hit
            else one
            for one in answer.parts
        ]
        answer = answer.model_copy(update={**hit, "parts": parts})
        self.asked.append(request)
        self.answers.append(json.loads(answer.model_dump_json()))
        return answer

    async def recommend(self, request):
        self.asked.append(request)
        return await super().recommend(request)

    async def learn(self, request):
        receipt = await super().learn(request)
        self.learned.append(request)
        return receipt

    def forget(self):
        for kept in (self.asked, self.answers, self.learned, self.trouble):
            kept.clear()


@contextlib.contextmanager
def running_desk():
    """A service with a desk: its address, and what it remembers. The rooms are open, which takes seconds."""
    service = Remembering(KnowingEngine())
    operations = Operations(KnowingEngine(), MemoryFeedback(), helper=service)
    with running_mock(operations=operations) as address:
        httpx.post(f"{address}/assist", json={"text": "在吗"}, timeout=120).raise_for_status()
        yield address, service


LAST = "那个保温杯刻了字还能退吗，我才收到两天"
CHAT = f"客户：在吗，买的保温杯都五天了还没发货\n客服：你急什么，保证明天一定到\n客户：{LAST}"
TABS = ("scripts", "knowledge", "inspection", "routing", "reading")


def tab(page, name):
    page.window.execute_script(f"document.getElementById('tab-{name}').click()")
    assert page.find(f"#pane-{name}").is_displayed()


def posted(page):
    return [one["url"].rsplit("/", 1)[1] for one in page.asked() if one["method"] == "POST"]


def texts(page, selector):
    return page.run("[...document.querySelectorAll(arguments[0])].map(one => one.innerText.trim())", selector)


def drafts(page):
    """What stands in the composer, and who says it."""
    return page.run(
        "[document.getElementById('draft').value, document.querySelector('[name=role]:checked').value]"
    )


def first_with_gap(page):
    """Position of the first reply that has an open gap."""
    return page.run(
        "[...document.querySelectorAll('.reply')].findIndex(one => one.querySelector('.slot.open'))"
    )


def card(page, place, selector):
    return page.window.find_elements("css selector", ".reply")[place].find_element("css selector", selector)
