"""How the page at `/` looks, its names for those who do not see it, and what it makes of pasted chats."""

from __future__ import annotations

import shutil

import pytest

from serving.mock import MemoryFeedback, MockEngine, running_mock
from serving.operations import Operations
from serving.screenshots import browser, show_size, take
from tests.test_serving_page import ANSWERED, CHAT, TURNS, open_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("chromedriver"), reason="needs a browser: apt-get install chromium chromium-driver"
    ),
]

# Contrast of every visible text with what is behind it (WCAG 2.2, relative luminance).
CONTRASTS = """(() => {
    const rgb = (words) => words.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
        .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
        .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
    const found = [];
    for (const one of document.body.querySelectorAll('*')) {
        const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        const box = one.getBoundingClientRect();
        if (!own || box.width < 2 || !one.checkVisibility({ opacityProperty: true })) continue;
        let behind = one;
        const clear = (part) => (rgb(getComputedStyle(part).backgroundColor)[3] ?? 1) === 0;
        while (behind && clear(behind)) behind = behind.parentElement;
        const style = getComputedStyle(one);
        const pair = [one instanceof SVGElement ? style.fill : style.color,
            getComputedStyle(behind ?? document.body).backgroundColor].map((words) => light(rgb(words)));
        const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        if (ratio < 4.5) found.push([one.textContent, one.className.baseVal ?? one.className, ratio]);
    }
    return found;
})()"""


@pytest.fixture(scope="module")
def address():
    """A service without rooms: the page without a desk. The desk's looks: test_serving_page_desk."""
    with running_mock(operations=Operations(MockEngine(), MemoryFeedback())) as address:
        yield address


@pytest.fixture(scope="module")
def window():
    with browser() as window:
        yield window


@pytest.fixture
def page(window, address):
    return open_page(window, address)


@pytest.mark.parametrize("width", [360, 390, 768, 1024, 1440])
def test_no_width_scrolls_sideways(page, width):
    show_size(page.window, (width, 780))
    wide = "document.documentElement.scrollWidth - innerWidth"
    assert page.run(wide) <= 0
    page.paste(
        "客户："
        + "很长的话" * 60
        + "\n客户："
        + "W" * 300
        + "[mock:alert=3]\n客服：https://a.example/"
        + "x" * 200
    )
    page.until(ANSWERED)
    page.window.execute_script("document.querySelectorAll('.judge button')[1].click()")
    page.until("document.querySelector('.picker')")
    assert page.run(wide) <= 0
    out = "one => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.examples')"
    everything = f"[...document.querySelectorAll('main *')].filter({out})"
    assert page.run(f"{everything}.map(one => one.outerHTML.slice(0, 80))") == []


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_is_readable(page, dark):
    show_size(page.window, (1440, 900), dark=dark)
    assert page.run(CONTRASTS) == []
    emotions = ("positive", "neutral", "anxious", "dissatisfied", "disappointed", "angry")
    page.paste("\n".join(f"客户：[mock:emotion={one}][mock:score=0.3]\n客服：嗯" for one in emotions))
    page.answered("[mock:emotion=angry][mock:score=0.3]")
    for level in range(4):
        page.say(f"{level}[mock:alert={level}]")
        page.answered(f"{level}[mock:alert={level}]")
        page.window.execute_script("document.querySelectorAll('.judge button')[1].click()")
        page.until("document.querySelector('.picker')")
        page.until("document.getAnimations().length === 0")
        assert page.run(CONTRASTS) == []


def test_everything_has_a_name_and_answers_are_spoken(page):
    page.paste(CHAT)
    page.answered(TURNS[2]["text"])
    page.window.execute_script("document.querySelectorAll('.judge button')[1].click()")
    nodes = page.window.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    controls = {"button", "textbox", "radio", "combobox", "link", "listbox", "option"}
    seen = [
        node for node in nodes if node.get("role", {}).get("value") in controls and not node.get("ignored")
    ]
    assert {node["role"]["value"] for node in seen} == controls
    assert [node for node in seen if not node.get("name", {}).get("value")] == []
    assert page.text("#wish-label") in page.run("document.getElementById('spoken').textContent")
    assert page.run("document.getElementById('spoken').getAttribute('role')") == "status"


def test_pictures(address, tmp_path):
    pictures = take(address, tmp_path)
    assert [picture.name for picture in pictures] == ["page-wide.png", "page-phone.png"]
    assert all(picture.read_bytes()[:4] == b"\x89PNG" for picture in pictures)


C, A = "customer", "agent"
PASTED = [
    ("客户：你好\n客服：在的亲", [(C, "你好"), (A, "在的亲")]),
    ("客户: 你好\n还有一句\n\n客服: 在", [(C, "你好\n还有一句"), (A, "在")]),
    ("买家：a\r\n卖家：b\r顾客：c", [(C, "a"), (A, "b"), (C, "c")]),
    ("customer: hi\nAgent Amy: hello\nAGENT (Bob) [10:02]: bye", [(C, "hi"), (A, "hello"), (A, "bye")]),
    ("[2026-11-11 10:02:33] 客户：a\n10:03 客服：b", [(C, "a"), (A, "b")]),
    ("客户 10:02：a\n买家(tb12) 10:02:33：b\n买家 10:02 AM: c", [(C, "a"), (C, "b"), (C, "c")]),
    ("客户 2026-11-11 10:02:33\na\n客服小美 2026/11/11 10:03\nb", [(C, "a"), (A, "b")]),
    ("客服（小美）：a\n客服-小美：b\n客服小美：c\n客服07：d", [(A, "a"), (A, "b"), (A, "c"), (A, "d")]),
    ("【客户】a\n[客服] b\n<客服> c", [(C, "a"), (A, "b"), (A, "c")]),
    ("**客户：** a\n**客服**：b\n- 客户：c\n2. 客服：d", [(C, "a"), (A, "b"), (C, "c"), (A, "d")]),
    ("客户\ta\n客服 | b\n[10:02] 客户 c", [(C, "a"), (A, "b"), (C, "c")]),
    ("小王（客户）：a\nAmy (agent): b", [(C, "a"), (A, "b")]),
    ("tb12345 2026-11-11 10:02:33\na\n好茶旗舰店:小美 2026-11-11 10:02:50\nb", [(C, "a"), (A, "b")]),
    ("tb1(2026-11-11 10:02:33): a\n好茶:小美(2026-11-11 10:02:34): b", [(C, "a"), (A, "b")]),
    ("张三 2026-11-11 10:02:33\na\n李四 2026-11-11 10:03:33\nb", [(C, "a"), (A, "b")]),
    ("好茶旗舰店客服小美：在", [(A, "在")]),
    ("客户：a\n10:05\nb\n—— 2026-11-11 ——", [(C, "a\nb")]),
    ("客户：\n你好\n客服：", [(C, "你好")]),
    ("客户：已经 10:02 了\n客户：买家：x", [(C, "已经 10:02 了"), (C, "买家：x")]),
    ("我买的\n客户：b", [(C, "我买的"), (C, "b")]),
    ("你好\n\n在吗", [(C, "你好"), (C, "在吗")]),
    ("客服", [(C, "客服")]),
    ("客服，你好\n客服你们怎么不回：一直不理人", [(C, "客服，你好"), (C, "客服你们怎么不回：一直不理人")]),
    (
        "客户：a\n客服电话：400\n客户姓名：张三\n卖家秀：x",
        [(C, "a\n客服电话：400\n客户姓名：张三\n卖家秀：x")],
    ),
    ("客户：一家👨‍👩‍👧都喜欢\u200b", [(C, "一家👨‍👩‍👧都喜欢")]),
    (" \n\t\n", []),
    ("", []),
    ("客户：" + "长" * 1500, [(C, "长" * 1500)]),
]


def test_the_ways_in_which_chats_are_pasted(page):
    script = """const done = arguments[arguments.length - 1];
        const read = ({ parseChat }) => arguments[0].map((text) => parseChat(text).turns);
        import('/page/parse.js').then((module) => done(read(module)));"""
    found = page.window.execute_async_script(script, [text for text, _ in PASTED])
    for (text, want), got in zip(PASTED, found, strict=True):
        assert [(turn["role"], turn["text"]) for turn in got] == want, text


def test_no_paste_takes_long(page):
    script = """const done = arguments[arguments.length - 1];
        import('/page/parse.js').then(({ parseChat }) => {
            const began = performance.now();
            for (const text of arguments[0]) parseChat(text);
            done(performance.now() - began);
        });"""
    nasty = [
        "客服" * 20000,
        "今天 " + " " * 50000 + "x",
        "[" * 50000,
        "10:02" * 20000,
        "-" * 50000 + "x",
        "客" * 100000,
    ]
    assert page.window.execute_async_script(script, nasty) < 3000
