"""The desk beside the chat in a real browser, over the rooms' own code: replies and what becomes of them."""

from __future__ import annotations

import shutil

import pytest

from assist.scripts.library import SLOTS
from serving.screenshots import browser
from tests.desk_page import CHAT, LAST, card, drafts, first_with_gap, posted, running_desk, texts
from tests.test_serving_page import ANSWERED, ROWS, open_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("chromedriver"), reason="needs a browser: apt-get install chromium chromium-driver"
    ),
]


@pytest.fixture(scope="module")
def desk():
    with running_desk() as desk:
        yield desk


@pytest.fixture(scope="module")
def window():
    with browser() as window:
        yield window


@pytest.fixture
def service(desk):
    desk[1].forget()
    return desk[1]


@pytest.fixture
def page(window, desk, service):
    return open_page(window, desk[0])


def test_one_call_answers_all(page, service):
    page.paste(CHAT)
    page.answered(LAST)
    assert posted(page) == ["assist"]
    [answer] = service.answers
    assert {part["state"] for part in answer["parts"]} == {"done"}
    assert "退换政策咨询" in page.text("#gist-wish")
    assert texts(page, "#tabs small") == ["3 条", "不可以", f"{answer['inspection']['score']:.0f} 分",
        answer["routing"]["decision"]["group_zh"], "中性"]  # fmt: skip
    assert "推荐话术 3 条" in page.run("document.getElementById('spoken').textContent")
    words = [reply["text"].replace("【", "").replace("】", "") for reply in answer["scripts"]["replies"]]
    assert [text.replace("\n", "") for text in texts(page, ".reply-text")] == words


def test_a_gap_is_filled_in_place_and_the_reply_goes_out_accepted(page, service):
    from selenium.webdriver import Keys

    page.say("耳机还在保修吗，怎么修")
    page.answered("耳机还在保修吗，怎么修")
    page.until(f"document.querySelector('.reply') && {ANSWERED}")
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


def test_leaving_a_field_for_the_button_keeps_what_was_typed(page):
    from selenium.webdriver import Keys

    page.say("耳机还在保修吗，怎么修")
    page.answered("耳机还在保修吗，怎么修")
    page.until(f"document.querySelector('.reply') && {ANSWERED}")
    place = first_with_gap(page)
    card(page, place, ".slot.open").click()
    page.window.switch_to.active_element.send_keys("不要的", Keys.ESCAPE)
    assert page.run("document.activeElement.className") == "slot open"
    card(page, place, ".slot.open").click()
    page.window.switch_to.active_element.send_keys("三个字")
    card(page, place, ".take").click()
    assert "三个字" in drafts(page)[0]
    page.until("!document.querySelector('.slot-input')")
    assert "三个字" in texts(page, ".reply-text")[place]


def test_a_text_with_a_gap_is_not_sent_and_filling_it_there_is_no_edit(page, service):
    from selenium.webdriver import Keys

    page.say("耳机还在保修吗，怎么修")
    page.answered("耳机还在保修吗，怎么修")
    page.until(f"document.querySelector('.reply') && {ANSWERED}")
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
    page.until(f"document.querySelector('.reply') && {ANSWERED}")
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
            const text = '订单【订单号】，【天数】天内到，保温杯在路上';
            const pieces = slots.piecesOf(text, filled, (name) => known[name]);
            const names = pieces.filter((one) => one.name).map((one) => one.name);
            const same = slots.isFilledIn('共【件数】件(含赠品)?', '共三件(含赠品)?');
            const other = slots.isFilledIn('共【件数】件', '共三件，另加');
            const [open, none] = ['请看【重要】和【日期】', '【重要】'].map(slots.openGap);
            done([slots.SLOTS, [...slots.SHARED], slots.textOf(pieces), names, same, other, open.zh, none]);
        });"""
    names, shared, text, gaps, same, other, open_gap, none = page.window.execute_async_script(script)
    assert names == dict(SLOTS)
    assert "days" not in shared
    assert text == "订单A1，【天数】天内到，保温杯在路上"
    assert gaps == ["order_id", "days", "product"]
    assert (same, other, open_gap, none) == (True, False, "日期", None)


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
        const reply = { id: 'a-1', script: 's', category: 'greeting', text: '您的【订单号】', check: [],
            reasons: [], parts: [], filled: [], missing: ['order_id'] };
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
