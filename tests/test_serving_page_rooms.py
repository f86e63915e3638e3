"""Knowledge, inspection and routing beside the chat in a real browser, and how the desk looks and reads."""

from __future__ import annotations

import shutil

import pytest

from serving.screenshots import browser, show_size, take
from tests.desk_page import CHAT, LAST, TABS, card, drafts, posted, running_desk, tab, texts
from tests.test_serving_page import ANSWERED, ROWS, open_page
from tests.test_serving_page_look import CONTRASTS

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
    assert all(words in shown for triple in graph["path"] for words in triple.values())
    assert texts(page, "#room-knowledge .to-ask") == [], "the rules answer: nothing is to be asked first"
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
    assert posted(page) == ["assist", "inspect"]
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


def test_a_busy_service_keeps_its_desk(page):
    busy = "在吗 [mock:status=503][mock:times=1][mock:retry_after=1]"
    page.paste(f"客户：你好\n客户：{busy}")
    page.until("document.getElementById('notice').innerText.startsWith('服务正忙')")
    page.answered(busy)
    assert page.find("#tabs").is_displayed(), "busy is not without a desk"
    assert page.run("document.getElementById('notice').hidden")


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
    for name in TABS:
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
    for name in TABS:
        tab(page, name)
        page.until("document.getAnimations().length === 0")
        assert page.run(CONTRASTS) == [], name


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_the_desk_fits_every_width_and_finger(page, width):
    show_size(page.window, (width, 844))
    page.paste(CHAT + "\n客户：" + "退款" * 90 + "W" * 200)
    page.until(ANSWERED)
    page.window.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true })")
    for name in TABS:
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


def test_nothing_of_the_desk_is_kept_or_logged(page, desk):
    address, _ = desk
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


def test_pictures_of_every_tab(desk, tmp_path):
    names = ["page-wide", "page-knowledge", "page-inspection", "page-routing", "page-phone"]
    pictures = take(desk[0], tmp_path)
    assert [picture.stem for picture in pictures] == names
    assert all(picture.read_bytes()[:4] == b"\x89PNG" for picture in pictures)
