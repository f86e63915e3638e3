"""The desk beside the chat in a real browser, over the rooms' own code: replies, knowledge, inspection, routing."""

from __future__ import annotations

import json
import shutil

import pytest

from assist.scripts.library import SLOTS
from serving.assist_schema import AssistPart
from serving.mock import MemoryFeedback, MockEngine, running_mock
from serving.mock_desk import MockHelper
from serving.operations import Operations
from serving.screenshots import browser, show_size
from tests.test_serving_page import ANSWERED, ROWS, open_page
from tests.test_serving_page_look import CONTRASTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("chromedriver"), reason="needs a browser: apt-get install chromium chromium-driver"
    ),
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
    """The real rooms; keeps what was asked and answered. `trouble`: parts that go another way than they would."""

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


@pytest.fixture(scope="module")
def service():
    return Remembering(KnowingEngine())


@pytest.fixture(scope="module")
def address(service):
    with running_mock(operations=Operations(KnowingEngine(), MemoryFeedback(), helper=service)) as address:
        yield address


@pytest.fixture(scope="module")
def window():
    with browser() as window:
        yield window


@pytest.fixture
def page(window, address, service):
    service.forget()
    return open_page(window, address)


CHAT = "客户：在吗，买的保温杯都五天了还没发货\n客服：你急什么，保证明天一定到\n客户：那个保温杯刻了字还能退吗，我才收到两天"
LAST = "那个保温杯刻了字还能退吗，我才收到两天"


def tab(page, name):
    page.window.execute_script(f"document.getElementById('tab-{name}').click()")
    assert page.find(f"#pane-{name}").is_displayed()


def texts(page, selector):
    return page.run("[...document.querySelectorAll(arguments[0])].map(one => one.innerText.trim())", selector)


def test_one_call_answers_all(page, service):
    page.paste(CHAT)
    page.answered(LAST)
    assert [one["url"].rsplit("/", 1)[1] for one in page.asked() if one["method"] == "POST"] == ["assist"]
    [answer] = service.answers
    assert {part["state"] for part in answer["parts"]} == {"done"}
    assert page.text("#gist-wish").startswith("想要退换政策咨询") or "退换政策咨询" in page.text("#gist-wish")
    assert texts(page, "#tabs small") == ["3 条", "不可以", f"{answer['inspection']['score']:.0f} 分",
        answer["routing"]["decision"]["group_zh"], "中性"]  # fmt: skip
    assert "推荐话术 3 条" in page.run("document.getElementById('spoken').textContent")
    words = [reply["text"].replace("【", "").replace("】", "") for reply in answer["scripts"]["replies"]]
    assert [text.replace("\n", "") for text in texts(page, ".reply-text")] == words


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


def test_a_gap_is_filled_in_place_and_the_reply_goes_out_accepted(page, service):
    from selenium.webdriver import Keys

    page.say("耳机还在保修吗，怎么修")
    page.answered("耳机还在保修吗，怎么修")
    page.until("document.querySelector('.reply')")
    place = first_with_gap(page)
    assert place >= 0, "the library changed: take a message whose scripts have slots"
    reply = service.answers[0]["scripts"]["replies"][place]
    card(page, place, ".slot.open").click()
    for name in reply["missing"]:
        box = page.window.switch_to.active_element
        assert box.get_attribute("aria-label").startswith(SLOTS[name])
        box.send_keys(f"值{name[0]}", Keys.ENTER)
    assert page.run("document.activeElement.className") == "take", "after the last gap comes the button"
    filled = reply["text"]
    for name in reply["missing"]:
        filled = filled.replace(f"【{SLOTS[name]}】", f"值{name[0]}")
    page.window.switch_to.active_element.send_keys(Keys.ENTER)
    assert drafts(page) == [filled, "agent"]
    page.find("#draft").send_keys(Keys.ENTER)
    page.until("document.querySelector('.reply.sent .said-so')?.innerText === '已发送，已记下'")
    assert page.run(ROWS)[-1] == {"role": "agent", "text": filled}
    assert drafts(page) == ["", "customer"]
    assert [(one.reply_id, one.action, one.sent) for one in service.learned] == [
        (reply["id"], "accepted", None)
    ]
    page.until(ANSWERED)
    assert len(service.answers) == 1, "the agent's answer asks for an inspection alone"


def test_a_text_with_a_gap_is_not_sent_and_filling_it_there_is_no_edit(page, service):
    from selenium.webdriver import Keys

    page.say("耳机还在保修吗，怎么修")
    page.answered("耳机还在保修吗，怎么修")
    page.until("document.querySelector('.reply')")
    place = first_with_gap(page)
    card(page, place, ".take").click()
    assert "【" in drafts(page)[0]
    assert page.text("#toast").startswith("还缺")
    page.find("#draft").send_keys(Keys.END, Keys.ENTER)
    assert len(page.run(ROWS)) == 1, "nobody sends 【天数】 to a customer"
    while "【" in drafts(page)[0]:
        page.find("#draft").send_keys("两个")
        page.find("#draft").send_keys(Keys.END, Keys.ENTER)
    page.until("document.querySelector('.reply.sent .said-so')?.innerText.endsWith('已记下')")
    assert [one.action for one in service.learned] == ["accepted"]


def test_a_changed_text_is_edited_and_an_own_text_says_nothing(page, service):
    from selenium.webdriver import Keys

    page.say("在吗")
    page.answered("在吗")
    page.until("document.querySelector('.reply')")
    card(page, 0, ".take").click()
    page.find("#draft").send_keys(Keys.END, "再补一句，您请说", Keys.ENTER)
    page.until("document.querySelector('.reply.sent .said-so')?.innerText === '改后已发送，已记下'")
    [said] = service.learned
    assert (said.action, said.sent) == ("edited", page.run(ROWS)[-1]["text"])
    assert said.sent.endswith("再补一句，您请说")
    service.learned.clear()
    card(page, 1, ".take").click()
    page.find("#draft").send_keys(Keys.CONTROL, "a")
    page.find("#draft").send_keys("全是另外写的，和推荐没有关系", Keys.ENTER)
    card(page, 1, ".take").click()
    page.find("#draft").send_keys(Keys.CONTROL, "a")
    page.find("#draft").send_keys(Keys.BACKSPACE, "删光了重新写一句", Keys.ENTER)
    page.until(f"{ROWS}.length === 4")
    page.until(ANSWERED)
    assert service.learned == []


def test_taking_over_can_be_undone(page):
    page.say("在吗")
    page.answered("在吗")
    page.find("#draft").send_keys("写了一半")
    page.until("document.getElementById('wish-quote').innerText.startsWith('正在输入')")
    card(page, 0, ".take").click()
    assert drafts(page)[1] == "agent"
    page.find("#toast button").click()
    assert drafts(page) == ["写了一半", "customer"]


def test_another_reply_takes_the_place_of_one_that_does_not_fit(page, service):
    from selenium.webdriver import Keys

    page.paste(CHAT)
    page.answered(LAST)
    replies = service.answers[0]["scripts"]["replies"]
    page.window.execute_script("document.querySelectorAll('.swap')[1].click()")
    page.until("document.querySelectorAll('.reply .said-so')[1].innerText === '已换一个'")
    assert [(one.reply_id, one.action) for one in service.learned] == [(replies[1]["id"], "rejected")]
    asked = service.asked[-1]
    assert (asked.k, asked.text, set(asked.exclude)) == (1, LAST, {one["script"] for one in replies})
    now = texts(page, ".reply-text")
    assert len(now) == 3
    assert len(set(now)) == 3
    card(page, 1, ".take").click()
    while "【" in drafts(page)[0]:
        page.find("#draft").send_keys("两个")
        page.find("#draft").send_keys(Keys.END, Keys.ENTER)
    if drafts(page)[0]:
        page.find("#draft").send_keys(Keys.END, Keys.ENTER)
    page.until("document.querySelector('.reply.sent .said-so').innerText.endsWith('已记下')")
    assert service.learned[-1].reply_id not in {one["id"] for one in replies}, (
        "the id of the one that is shown"
    )


def test_the_same_value_stands_in_every_reply_but_days_do_not(page):
    script = """const done = arguments[arguments.length - 1];
        import('/page/slots.js').then((slots) => {
            const filled = [{ name: 'product', value: '保温杯' }];
            const known = { order_id: 'A1' };
            const pieces = slots.piecesOf('订单【订单号】，【天数】天内到，保温杯在路上', filled, (name) => known[name]);
            done([slots.SLOTS, [...slots.SHARED], slots.textOf(pieces), pieces.filter((one) => one.name).map((one) => one.name),
                slots.isFilledIn('共【件数】件(含赠品)?', '共三件(含赠品)?'), slots.isFilledIn('共【件数】件', '共三件，另加'),
                slots.openGap('请看【重要】和【日期】').zh, slots.openGap('【重要】')]);
        });"""
    names, shared, text, gaps, same, other, open_gap, none = page.window.execute_async_script(script)
    assert names == dict(SLOTS)
    assert "days" not in shared
    assert text == "订单A1，【天数】天内到，保温杯在路上"
    assert gaps == ["order_id", "days", "product"]
    assert (same, other, open_gap, none) == (True, False, "日期", None)


def test_knowledge_cites_its_source_and_shows_the_path(page, service):
    page.paste(CHAT)
    page.answered(LAST)
    tab(page, "knowledge")
    answer = service.answers[0]
    graph, found = answer["graph"], answer["knowledge"]
    assert graph["answer"] == "no"
    assert page.text(".verdict-word") == "不可以"
    assert graph["text"] in page.text(".verdict")
    shown = page.text(".path ol")
    for triple in graph["path"]:
        assert {triple["subject"], triple["predicate"], triple["object"]} <= {
            line for line in shown.replace("→", "\n").split("\n") for line in (line.strip(),)
        } or all(words in shown for words in triple.values())
    assert len(texts(page, ".passages > li")) == len(found["passages"])
    for words, passage in zip(texts(page, ".passages > li"), found["passages"], strict=True):
        assert passage["title"] in words
        assert (passage["valid_until"] or "长期有效") in words


def test_what_is_expired_is_named_as_not_valid(page, service):
    question = "双十一活动满三百减多少"
    page.say(question)
    page.answered(question)
    tab(page, "knowledge")
    expired = [one for one in service.answers[0]["knowledge"]["not_valid"] if one["reason"] == "expired"]
    assert expired, "the demo shop has a document of a promotion that is over"
    assert f"已在 {expired[0]['valid_until']} 过期，不能用来回答" in page.text(".outdated")
    assert expired[0]["title"] in page.text(".outdated")


def test_what_must_be_asked_first_is_one_tap_from_the_composer(page, service):
    from selenium.webdriver import Keys

    question = "拆开了还能七天无理由退吗"
    page.say(question)
    page.answered(question)
    tab(page, "knowledge")
    graph = service.answers[0]["graph"]
    assert graph["answer"] == "depends"
    assert page.text(".verdict-word") == "要看情况"
    page.find(".verdict .to-ask .take").click()
    text, role = drafts(page)
    assert role == "agent"
    assert text.startswith(f"请问{graph['missing'][0]['ask']}")
    page.find("#draft").send_keys(Keys.ENTER)
    assert page.run(ROWS)[-1] == {"role": "agent", "text": text}
    assert service.learned == [], "a question is no recommended reply"


def test_inspection_marks_the_words_and_leads_to_the_turn(page, service):
    page.paste(CHAT)
    page.answered(LAST)
    tab(page, "inspection")
    found = service.answers[0]["inspection"]
    assert page.text(".total").startswith(f"{found['score']:.0f}")
    rows = texts(page, ".dimensions li")
    for row, dimension in zip(rows, found["dimensions"], strict=True):
        score = "未评" if dimension["score"] is None else f"{dimension['score']:.0f}"
        assert row.split() == [dimension["zh"], score]
    with_words = [one for one in found["findings"] if one["words"] and one["turn"] == 1]
    assert with_words
    marked = texts(page, ".finding mark")
    assert {one["words"] for one in with_words} <= set(marked)
    page.window.execute_script("document.querySelector('.finding .quote').click()")
    first = found["findings"][0]
    assert page.run("document.querySelector('.turn mark').textContent") == first["words"]
    row = page.run(
        "document.querySelector('.turn mark').closest('.turn').querySelector('.number').textContent"
    )
    assert int(row) == first["turn"] + 1
    left = page.run("document.querySelector('.not-judged').textContent")
    assert all(why in left for why in found["not_judged"].values())


def test_the_agents_latest_words_are_inspected_too(page, service):
    page.paste("客户：在吗\n客服：不关我的事，你自己看")
    page.until(ANSWERED)
    assert [one["url"].rsplit("/", 1)[1] for one in page.asked() if one["method"] == "POST"] == [
        "assist",
        "inspect",
    ]
    assert service.asked[0].parts == ["scripts", "knowledge", "graph", "routing"]
    tab(page, "inspection")
    assert "不关我的事" in texts(page, ".finding mark")


def test_nobody_is_inspected_before_the_agent_spoke(page):
    page.say("在吗")
    page.answered("在吗")
    tab(page, "inspection")
    assert page.text("#room-inspection") == "客服还没有说话，没有可以质检的。"


def test_routing_shows_group_priority_and_signals_with_their_words(page, service):
    threat = "退款再不到账我就打12315，你们加我微信私下转给我"
    page.say(threat)
    page.answered(threat)
    tab(page, "routing")
    routing = service.answers[0]["routing"]
    assert routing["decision"]["group_zh"] in page.text(".route")
    assert f"{routing['decision']['priority']['points']:.0f}" in page.text(".route")
    signals = routing["signals"]["signals"]
    assert signals, "the rules changed: take words that they know"
    assert [one["words"][0] for one in signals] == texts(page, ".signal .quote:first-of-type mark")
    page.window.execute_script("document.querySelector('.signal .quote').click()")
    assert page.run("document.querySelector('.turn mark').textContent") == signals[0]["words"][0]


def test_late_failed_and_missing_parts_are_said_calmly(page, service):
    service.trouble.update(scripts="off", knowledge="late", graph="failed")
    page.paste(CHAT)
    page.answered(LAST)
    assert page.text("#room-scripts") == "这个服务没有开这一项。"
    assert texts(page, "#tabs small")[:2] == ["未开", "稍慢"]
    tab(page, "knowledge")
    words = page.text("#room-knowledge")
    assert "店铺规则：这一项出了差错，别的不受影响。" in words
    assert "这次没来得及，先用别的。" in words
    assert "private" not in page.run("document.documentElement.outerHTML")
    service.trouble.clear()
    page.window.execute_script("document.querySelector('.state.late button').click()")
    page.until("document.querySelectorAll('.passages > li').length > 0")
    assert service.asked[-1].parts == ["knowledge"]
    assert page.run("document.getElementById('notice').hidden")


def test_half_a_sentence_recommends_nothing_and_moves_nothing(page, service):
    from selenium.webdriver import Keys

    page.paste(CHAT)
    page.answered(LAST)
    places = """[...document.querySelectorAll('#answers > :not([hidden]), .reply, #composer')]
        .map(one => one.getBoundingClientRect().top)"""
    page.until("document.getAnimations().length === 0")
    before, shown = page.run(places), texts(page, ".reply-text")
    page.find("#draft").send_keys("那退款呢")
    page.answered("那退款呢")
    assert service.asked[-1].parts == ["routing"], (
        "a half sentence is neither answered nor kept as a question"
    )
    page.find("#draft").send_keys(Keys.CONTROL, "a")
    page.find("#draft").send_keys(Keys.BACKSPACE)
    page.answered(LAST)
    assert len(service.answers) == 2, "what was answered is not asked again"
    assert texts(page, ".reply-text") == shown
    page.find("#draft").send_keys("那尺码呢")
    page.answered("那尺码呢")
    moved = zip(page.run(places), before, strict=True)
    assert all(abs(now - then) < 1 for now, then in moved)
    assert texts(page, ".reply-text") == shown
    assert page.text("#quote-scripts").startswith("第 3 句")


def test_what_is_filled_in_is_known_for_the_next_question_and_forgotten_with_the_chat(page, service):
    from selenium.webdriver import Keys

    page.say("在吗")
    page.answered("在吗")
    page.window.execute_async_script(
        """const done = arguments[arguments.length - 1];
        const reply = { id: 'a-1', script: 's', category: 'greeting', text: '您的【订单号】', check: [], reasons: [],
            parts: [], filled: [], missing: ['order_id'] };
        import('/page/replies.js').then(({ Replies }) => {
            window.known = new Map();
            const list = new Replies(window.known, () => {});
            const box = document.body.appendChild(document.createElement('div'));
            list.draw(box, { replies: [reply, { ...reply, id: 'a-2' }] }, {}, (key) => key);
            done();
        });"""
    )
    box = page.window.find_elements("css selector", "body > div .slot")[0]
    box.click()
    attack = "<img src=x onerror=alert(1)>"
    page.window.switch_to.active_element.send_keys(attack, Keys.ENTER)
    assert texts(page, "body > div .reply-text") == [f"您的{attack}"] * 2
    assert page.run("[...window.known]") == [["order_id", attack]]
    assert page.run("document.querySelectorAll('main img, body > div img').length") == 0


def test_tabs_go_by_keys_and_everything_has_a_name(page):
    from selenium.webdriver import Keys

    page.paste(CHAT)
    page.answered(LAST)
    page.find("#tab-scripts").send_keys(Keys.ARROW_RIGHT)
    assert page.run("document.activeElement.id") == "tab-knowledge"
    assert page.find("#pane-knowledge").is_displayed()
    page.window.switch_to.active_element.send_keys(Keys.END)
    assert page.run("document.activeElement.id") == "tab-reading"
    assert page.find("#wish-label").is_displayed()
    assert page.run("document.querySelectorAll('#curve .point').length") == 2
    page.window.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert page.run("[...document.querySelectorAll('[role=tab]')].map(one => one.tabIndex)") == [
        0,
        -1,
        -1,
        -1,
        -1,
    ]
    for name in ("scripts", "knowledge", "inspection", "routing", "reading"):
        tab(page, name)
        nodes = page.window.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        roles = {"button", "textbox", "tab", "tabpanel", "link", "article"}
        seen = [one for one in nodes if one.get("role", {}).get("value") in roles and not one.get("ignored")]
        assert "tabpanel" in {one["role"]["value"] for one in seen}
        assert [one for one in seen if not one.get("name", {}).get("value")] == []


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_of_the_desk_is_readable(page, dark):
    show_size(page.window, (1280, 900), dark=dark)
    page.paste(CHAT + "\n客户：退款再不到账我就打12315，加我微信私下转")
    page.answered("退款再不到账我就打12315，加我微信私下转")
    page.window.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true })")
    for name in ("scripts", "knowledge", "inspection", "routing", "reading"):
        tab(page, name)
        page.until("document.getAnimations().length === 0")
        assert page.run(CONTRASTS) == [], name


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_the_desk_fits_every_width_and_finger(page, width):
    show_size(page.window, (width, 844))
    page.paste(CHAT + "\n客户：" + "退款" * 90 + "W" * 200)
    page.until(ANSWERED)
    page.window.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true })")
    for name in ("scripts", "knowledge", "inspection", "routing", "reading"):
        tab(page, name)
        assert page.run("document.documentElement.scrollWidth - innerWidth") <= 0, name
        out = "one => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.examples')"
        assert (
            page.run(f"[...document.querySelectorAll('main *')].filter({out}).map(one => one.outerHTML)")
            == []
        )
        small = """[...document.querySelectorAll('.room button:not(.slot), .room summary, [role=tab]')]
            .filter(one => one.checkVisibility() && one.getBoundingClientRect().height < 44)"""
        assert page.run(f"{small}.map(one => one.outerHTML)") == [], name
    if width < 600:
        chat, panel = "document.querySelector('.chat')", "document.getElementById('tabs')"
        assert page.run(f"{chat}.getBoundingClientRect().bottom <= {panel}.getBoundingClientRect().top")


def test_nothing_of_the_desk_is_kept_or_logged(page, address):
    page.paste(CHAT)
    page.answered(LAST)
    card(page, 0, ".take").click()
    page.window.execute_script("document.querySelectorAll('.swap')[1].click()")
    page.until("document.querySelectorAll('.reply .said-so')[1].innerText")
    page.window.get(address)
    page.until("document.querySelectorAll('#examples button').length > 0")
    assert all(one["url"].startswith(address) for one in page.asked())
    assert page.window.get_log("browser") == []
    assert page.run("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert page.run("document.querySelectorAll('.reply').length") == 0
