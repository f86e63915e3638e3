"""The page at `/` in a real browser, over the mock: the panel shows what the API says, and nothing leaks."""

from __future__ import annotations

import json
import shutil
import time

import httpx
import pytest

from serving.mock import MemoryFeedback, MockEngine, running_mock
from serving.operations import Operations
from serving.screenshots import browser, show_size, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("chromedriver"), reason="needs a browser: apt-get install chromium chromium-driver"
    ),
]

CHAT = (
    "客户：我的快递到哪了\n客服：亲，预计今天送达\n客户：还是没到，急死了 [mock:emotion=anxious]\n客服：抱歉"
)
TURNS = [
    {"role": "customer", "text": "我的快递到哪了"},
    {"role": "agent", "text": "亲，预计今天送达"},
    {"role": "customer", "text": "还是没到，急死了 [mock:emotion=anxious]"},
    {"role": "agent", "text": "抱歉"},
]
ROWS = """[...document.querySelectorAll('.turn')].map(one => ({
    role: one.classList[1], text: one.querySelector('p.bubble').textContent }))"""
ANSWERED = "!document.getElementById('answers').hidden && !document.body.classList.contains('asking')"


@pytest.fixture(scope="module")
def feedback():
    return MemoryFeedback()


@pytest.fixture(scope="module")
def address(feedback):
    with running_mock(operations=Operations(MockEngine(), feedback)) as address:
        yield address


@pytest.fixture(scope="module")
def window():
    with browser() as window:
        yield window


@pytest.fixture
def page(window, address):
    """The page, freshly opened, in a wide window; what the last test left in the logs is gone."""
    return open_page(window, address)


def open_page(window, address):
    show_size(window, (1440, 900))
    window.get(address)
    window.execute_script("sessionStorage.clear()")
    until(window, "document.querySelectorAll('#examples button').length > 0")
    for log in ("browser", "performance"):
        window.get_log(log)
    return Page(window)


class Page:
    def __init__(self, window):
        self.window = window

    def run(self, script, *arguments):
        return self.window.execute_script(f"return {script}", *arguments)

    def until(self, script):
        return until(self.window, script)

    def find(self, selector):
        return self.window.find_element("css selector", selector)

    def text(self, selector):
        return self.run("document.querySelector(arguments[0])?.innerText ?? ''", selector).strip()

    def paste(self, text):
        """As a person does: copied elsewhere, then Ctrl+V."""
        from selenium.webdriver import Keys

        self.window.execute_script(
            "const box = document.body.appendChild(document.createElement('textarea'));"
            "box.id = 'elsewhere'; box.value = arguments[0]; box.select()",
            text,
        )
        self.find("#elsewhere").send_keys(Keys.CONTROL, "c")
        self.window.execute_script("document.getElementById('elsewhere').remove()")
        self.find("#draft").send_keys(Keys.CONTROL, "v")

    def say(self, text):
        from selenium.webdriver import Keys

        self.find("#draft").send_keys(text, Keys.ENTER)

    def answered(self, text):
        """Wait for the answer about this turn; no answer is on the way then."""
        script = "document.getElementById('wish-quote').innerText.endsWith({}) && {}"
        self.until(script.format(json.dumps(text), ANSWERED))

    def asked(self):
        """Requests of the page since the last look: URL and, of the service, headers and body."""
        events = [json.loads(row["message"])["message"] for row in self.window.get_log("performance")]
        sent = [one["params"]["request"] for one in events if one["method"] == "Network.requestWillBeSent"]
        return [one for one in sent if not one["url"].startswith(("data:", "blob:"))]


def test_a_pasted_chat_fills_the_panel_with_what_the_api_says(page, address):
    page.paste(CHAT)
    page.answered(TURNS[2]["text"])
    assert page.run(ROWS) == TURNS
    with httpx.Client(base_url=address) as api:
        track = api.post("/track", json={"turns": TURNS}).json()
        request = {"text": TURNS[2]["text"], "context": TURNS[:2], "top": 4}
        answer = api.post("/analyze", json=request).json()
        zh = {label["key"]: label for label in api.get("/labels").json()["categories"]}
    assert page.text("#wish-label") == answer["category"]["zh"]
    assert page.text("#wish-group") == zh[answer["category"]["label"]]["group_zh"]
    bars = page.run("[...document.querySelectorAll('#wish-bars li')].map(one => one.innerText.split('\\n'))")
    assert [bar[0] for bar in bars] == [zh[one["label"]]["zh"] for one in answer["category"]["top"]]
    assert bars[0][1] == f"{round(answer['category']['score'] * 100)}%"
    assert page.text("#mood-label").startswith("焦急")
    said = page.run(
        "[...document.querySelectorAll('.turn')].map(one => one.querySelector('.said').innerText)"
    )
    assert [bool(words) for words in said] == [True, False, True, False]
    for words, turn in zip([said[0], said[2]], track["turns"], strict=True):
        assert words.startswith(turn["emotion"]["zh"])
    assert track["trajectory_zh"] in page.text("#mood-trajectory")
    assert page.run("document.querySelectorAll('#curve .point').length") == 2
    assert page.text(".alert-level").startswith(
        track["alert"]["zh"] if track["alert"]["level"] else "无需预警"
    )
    for reason in track["alert"]["reasons"]:
        assert reason in page.text("#alert")
    assert answer["model"]["category"] in page.text("#foot")
    assert answer["model"]["snapshot"] in page.text("#foot")
    assert "毫秒" in page.text("#foot")


def test_a_change_of_mood_is_marked_where_it_happened(page):
    calm, heated = "你好 [mock:emotion=positive]", "骗子！打12315 [mock:emotion=angry]"
    page.paste(f"客户：{calm}\n客服：在的\n客户：{calm}\n客户：{heated}\n客户：{heated}2")
    page.answered(f"{heated}2")
    assert "第 4 句起" in page.text("#mood-trajectory")
    marked = (
        "[...document.querySelectorAll('.turn')].findIndex(one => one.querySelector('.turning').innerText)"
    )
    assert page.run(marked) == 3
    assert page.run("document.querySelectorAll('#curve .change').length") == 1
    assert page.text(".alert-level").startswith("红色预警")
    assert page.run("document.querySelectorAll('#alert .icon use').length") == 1
    assert "12315" in page.text("#alert ul")


def test_typing_answers_by_itself_and_enter_adds_the_turn(page):
    from selenium.webdriver import Keys

    page.find("#draft").send_keys("退款呢")
    page.answered("退款呢")
    assert page.text("#wish-quote").startswith("正在输入")
    assert page.run(ROWS) == []
    assert page.run("document.querySelectorAll('.judge button').length") == 0, "half a sentence is not judged"
    page.find("#draft").send_keys(Keys.SHIFT, Keys.ENTER, Keys.NULL, "急", Keys.ENTER)
    page.until("document.querySelectorAll('.turn').length === 1")
    page.until("document.getElementById('wish-quote').innerText.startsWith('第 1 句')")
    assert page.run(ROWS) == [{"role": "customer", "text": "退款呢\n急"}]
    page.find(".roles label:last-child").click()
    page.say("您好")
    page.until("document.querySelectorAll('.turn').length === 2")
    assert page.run(ROWS)[1] == {"role": "agent", "text": "您好"}
    assert page.text("#wish-quote").startswith("第 1 句")
    page.say("客户：谢谢")
    page.answered("谢谢")
    assert page.run(ROWS)[2] == {"role": "customer", "text": "谢谢"}, "a mark counts more than the switch"


def test_enter_that_ends_a_choice_of_characters_adds_nothing(page):
    page.find("#draft").send_keys("tuikuan")
    enter = """document.getElementById('draft').dispatchEvent(new KeyboardEvent('keydown',
        { key: 'Enter', isComposing: arguments[0], bubbles: true, cancelable: true }))"""
    page.window.execute_script(enter, True)
    assert page.run(ROWS) == []
    page.window.execute_script(enter, False)
    assert page.run(ROWS) == [{"role": "customer", "text": "tuikuan"}]


def test_turns_can_be_changed_deleted_and_brought_back(page):
    from selenium.webdriver import Keys

    page.paste(CHAT)
    page.answered(TURNS[2]["text"])
    tools = "document.querySelectorAll('.turn')[{}].querySelectorAll('.tools button')[{}].click()"
    page.window.execute_script(tools.format(2, 1))
    box = page.find(".editor textarea")
    box.clear()
    box.send_keys("改过的", Keys.ENTER)
    page.answered("改过的")
    page.window.execute_script(tools.format(2, 2))
    page.answered(TURNS[0]["text"])
    assert len(page.run(ROWS)) == 3
    page.find("#toast button").click()
    page.answered("改过的")
    page.window.execute_script(tools.format(3, 0))
    page.answered("抱歉")
    assert page.run(ROWS)[3] == {"role": "customer", "text": "抱歉"}
    page.find("#clear").click()
    page.until("document.getElementById('answers').hidden")
    assert page.run(ROWS) == []


def test_examples_are_one_click_away(page):
    count = page.run("document.querySelectorAll('#examples button').length")
    assert count == 6
    for place in range(count):
        page.window.execute_script(
            "document.querySelectorAll('#examples button')[arguments[0]].click()", place
        )
        page.until(f"{ROWS}.length > 0 && {ANSWERED}")
        last = [turn["text"] for turn in page.run(ROWS) if turn["role"] == "customer"][-1]
        page.answered(last)


def test_what_a_customer_wrote_never_becomes_page(page):
    attack = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    page.paste(f"客户：{attack}\n客服：{attack}")
    page.answered(attack)
    assert [turn["text"] for turn in page.run(ROWS)] == [attack, attack]
    assert page.run("document.querySelectorAll('main :is(img, script)').length") == 0
    assert page.run("document.title") != "taken"


def test_feedback_reaches_the_service_and_both_verdicts_are_one(page, feedback):
    from selenium.webdriver import Keys

    feedback.received.clear()
    page.paste("客服：在的\n客户：券用不了 [mock:category=price_inquiry]")
    page.answered("券用不了 [mock:category=price_inquiry]")
    page.window.execute_script("document.querySelectorAll('#feedback-category .judge button')[1].click()")
    box = page.find("#feedback-category input")
    assert page.run("document.querySelectorAll('[role=option]').length") == 70, (
        "all but the one that was wrong"
    )
    first = page.run("[...document.querySelectorAll('[role=option]')].slice(0, 3).map(one => one.innerText)")
    bars = page.run("[...document.querySelectorAll('#wish-bars .name')].slice(1).map(one => one.innerText)")
    assert [one.split("\n")[0] for one in first] == bars, "the next candidates come first"
    box.send_keys("优惠券")
    assert page.text("[role=option]").startswith("优惠券红包")
    box.send_keys(Keys.ENTER)
    page.until("document.querySelector('#feedback-category .said-so').innerText.includes('已记下')")
    assert page.run("document.querySelector('#feedback-category .picker')") is None
    page.window.execute_script("document.querySelectorAll('#feedback-emotion .judge button')[0].click()")
    page.until("document.querySelector('#feedback-emotion .said-so').innerText.includes('已记下')")
    page.window.execute_script("document.querySelector('.turn .tools button:nth-child(2)').click()")
    page.until("document.querySelector('.editor')")
    assert "优惠券红包" in page.text("#feedback-category .said-so"), "stays while the chat is drawn anew"
    last = list(feedback.received.values())[-1]
    assert last.text == "券用不了 [mock:category=price_inquiry]"
    assert [(turn.role, turn.text) for turn in last.context] == [("agent", "在的")]
    assert (last.category.predicted, last.category.right, last.category.label) == (
        "price_inquiry",
        False,
        "coupon",
    )
    assert last.emotion.right


def test_a_doubtful_answer_asks_for_a_person(page):
    page.say("嗯 [mock:score=0.2]")
    page.answered("嗯 [mock:score=0.2]")
    assert page.find("#wish-person").is_displayed()
    assert page.text("#wish-person") == "建议人工"
    page.say("好 [mock:score=0.9]")
    page.answered("好 [mock:score=0.9]")
    assert not page.find("#wish-person").is_displayed()


def test_a_busy_service_is_asked_again_when_it_said(page):
    page.say("在吗 [mock:status=503][mock:times=1][mock:retry_after=5]")
    page.until("!document.getElementById('notice').hidden")
    began = time.monotonic()
    assert page.text("#notice").startswith("服务正忙")
    assert "秒后再试" in page.text("#notice")
    page.answered("在吗 [mock:status=503][mock:times=1][mock:retry_after=5]")
    assert 4 < time.monotonic() - began < 10
    assert page.run("document.getElementById('notice').hidden")


def test_too_many_questions_wait_too(page):
    page.say("在吗 [mock:status=429][mock:times=1][mock:retry_after=1]")
    page.until("document.getElementById('notice').innerText.startsWith('问得太频繁了')")
    page.until(ANSWERED)


def test_a_missing_key_is_asked_for_sent_and_kept_in_this_tab_only(page):
    from selenium.webdriver import Keys

    page.say("在吗 [mock:status=401][mock:times=1]")
    page.until("document.getElementById('key-dialog').open")
    page.asked()
    page.find("#key-input").send_keys("k-secret", Keys.ENTER)
    page.answered("在吗 [mock:status=401][mock:times=1]")
    sent = [one for one in page.asked() if one["method"] == "POST"]
    assert sent
    assert {one["headers"].get("Authorization") for one in sent} == {"Bearer k-secret"}
    assert page.run("[Object.values(sessionStorage), localStorage.length]") == [["k-secret"], 0]
    assert "k-secret" not in page.run("document.documentElement.outerHTML")
    page.say("好 [mock:status=401][mock:times=1]")
    page.until("document.getElementById('notice').innerText.startsWith('密钥不对')")


def test_no_service_is_said_and_it_goes_on_when_there_is_one(page):
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.window.execute_cdp_cmd("Network.enable", {})
    page.window.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, **offline})
    try:
        page.say("在吗")
        page.until("/没有网络|连不上服务/.test(document.getElementById('notice').innerText)")
    finally:
        page.window.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, **offline})
    page.answered("在吗")
    assert page.run("document.getElementById('notice').hidden")


def test_errors_are_shown_where_they_are(page):
    page.paste("客户：好的\n客户：哦 [mock:status=418]")
    page.until("!document.getElementById('notice').hidden")
    assert "418" in page.text("#notice")
    page.find("#clear").click()
    page.paste("客户：" + "字" * 2001 + "\n客户：短的")
    page.until("document.querySelector('.turn.wrong')")
    assert page.run(
        "[...document.querySelectorAll('.turn')].map(one => one.className.includes('wrong'))"
    ) == [
        True,
        False,
    ]
    assert "2,001" in page.text(".turn.wrong .reason")
    page.find("#clear").click()
    page.say("喂 [mock:emotion=happy]")
    page.until("document.querySelector('.turn.wrong')")
    assert "is no emotion" in page.text(".turn.wrong .reason")


def test_a_late_answer_does_not_replace_a_newer_one(page):
    page.window.execute_script(
        "window.shown = []; const label = document.getElementById('wish-label');"
        "new MutationObserver(() => shown.push(label.textContent)).observe(label, { childList: true });"
    )
    page.say("慢 [mock:delay=2][mock:category=coupon]")
    time.sleep(0.3)
    page.say("快 [mock:category=greeting]")
    page.window.execute_script("document.querySelectorAll('.turn .tools button')[2].click()")
    page.answered("快 [mock:category=greeting]")
    time.sleep(2.5)
    assert set(page.run("window.shown")) == {"问候开场"}


def test_long_chats_are_read_at_their_end(page):
    page.paste("\n".join(f"客户：第{n}句" for n in range(1, 231)))
    page.answered("第230句")
    assert "最近 200 句" in page.text("#notice")
    assert page.text("#wish-quote").startswith("第 230 句")
    said = "[...document.querySelectorAll('.turn')].map(one => Boolean(one.querySelector('.said').innerText))"
    assert page.run(said) == [False] * 30 + [True] * 200


def test_nothing_leaves_the_origin_is_kept_or_logged(page, address):
    page.paste(CHAT)
    page.answered(TURNS[2]["text"])
    page.window.get(address)
    page.until("document.querySelectorAll('#examples button').length > 0")
    asked = page.asked()
    assert {one["url"].removeprefix(address) for one in asked} >= {"/", "/track", "/analyze", "/labels"}
    assert all(one["url"].startswith(address) for one in asked)
    # A service without rooms refuses /assist once; the browser says so by itself.
    told = [row["message"] for row in page.window.get_log("browser")]
    assert [words for words in told if "/assist - Failed to load resource" not in words] == []
    assert len(told) <= 1
    assert page.run("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert page.run(ROWS) == []
    assert page.run("document.getElementById('draft').value") == ""
    policy = httpx.get(address).headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
