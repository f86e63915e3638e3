"""The page of a report: what it says, that it needs nothing else, and how it stands in a browser."""

from __future__ import annotations

import re
import shutil
from datetime import date, datetime, timedelta

import pytest

from assist.reports.charts import bars, bullet, day_columns, forest, trend
from assist.reports.page import render, write_page
from assist.reports.period import period_report
from assist.reports.schema import Behaviour, ChatReading, Figure, MessageReading
from assist.reports.wordings import change_zh, met_zh, value_zh
from data.chats import Chat, TimedTurn

BEGIN = datetime.fromisoformat("2026-11-05T09:00:00+08:00")
COUNTS = {
    "hits": 9,
    "replies": 20,
    "chats": 15,
    "hits_without": 3,
    "replies_without": 30,
    "chats_without": 20,
}
BEHAVIOURS = [
    Behaviour(name="names_a_time", zh="给出时间", outcome="calmed", **COUNTS,
              difference=0.35, low=0.1, high=0.57, verdict="better"),
    Behaviour(name="apologises", zh="道歉", outcome="calmed", **COUNTS,
              difference=None, low=None, high=None, verdict="too few"),
]  # fmt: skip


def made(count=56, per_day=4, text="<b>快递</b>呢", **more):
    chats, readings = [], {}
    for number in range(count):
        at = BEGIN + timedelta(days=number // per_day, minutes=number)
        said = [("customer", text), ("agent", "<script>今晚到</script>"), ("customer", "W" * 90)]
        turns = tuple(
            TimedTurn(role, line, at + timedelta(seconds=40 * n)) for n, (role, line) in enumerate(said)
        )
        chats.append(Chat(f"c{number}", f"kefu-0{number % 3}", "app", turns))
        good = number % 2
        readings[f"c{number}"] = ChatReading(
            messages={
                0: MessageReading(category="logistics_query", emotion="anxious", alert=1),
                2: MessageReading(category="thanks_closing" if good else "service_complaint",
                                  emotion="positive" if good else "angry", alert=0 if good else 3),
            },
            trajectory="recovering" if good else "escalating",
            turned_at=2,
        )  # fmt: skip
    return period_report(chats, readings, behaviours=BEHAVIOURS, source="kefu@3", **more)


@pytest.fixture(scope="module")
def report():
    return made(since=date(2026, 11, 12), teams={"kefu-00": "夜班"})


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    return write_page(report, tmp_path_factory.mktemp("page") / "report.html")


def test_the_page_says_it_all(page):
    text = page.read_text(encoding="utf-8")
    for heading in ("会话量和负面情绪", "顾客的情绪", "最重的原因", "情绪转折点", "客服怎么说，之后怎样",
                    "客服和团队", "怎么算的"):  # fmt: skip
        assert f"<h2>{heading}</h2>" in text
    assert "5 项标准达到 2 项，没有达到的是首次响应、一次解决率、满意度。" in text
    assert "标准不超过 30 秒" in text
    assert "标准不低于 85% · 估算" in text
    assert "上期：2026-11-05 至 2026-11-11" in text
    assert "缓和了：14 个会话" in text
    assert "回复太少，不下结论：道歉。" in text
    assert "夜班" in text
    assert "kefu@3" in text
    assert "不是因果" in text
    assert not re.search(r"\bnan\b|None|undefined", text)


def test_texts_are_no_markup(page):
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;快递&lt;/b&gt;" in text
    assert "<b>快递</b>" not in text
    assert "<script" not in text


def test_the_page_needs_nothing_else(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|@import|url\(|src=|https?://", text)
    assert text.startswith("<!doctype html>")
    assert len(text.encode()) < 400_000


def test_little_is_shown_as_little():
    text = render(made(count=4))
    assert "样本太少，还不能对照标准" not in text  # times are counted, whatever the number
    assert "样本太少" in text
    assert "报告含整份记录" in text
    assert "比上期" not in text


def test_a_report_without_feelings_or_ways(taxonomy):
    turns = (TimedTurn("customer", "在吗", BEGIN),)
    reading = ChatReading(messages={0: MessageReading(category="greeting", emotion="neutral")})
    text = render(period_report([Chat("a", "k", "web", turns)], {"a": reading}))
    assert "没有带负面情绪的消息。" in text
    assert "客服怎么说" not in text
    assert "None" not in text


def test_a_long_period_keeps_its_labels_apart():
    long = made(count=180, per_day=1)
    assert len(re.findall(r"<small>\d+/\d+</small>", day_columns(long.days))) <= 15
    text = render(long)
    assert len(text.encode()) < 800_000


def test_pictures_say_what_is_there(report):
    first = report.figure("first_answer")
    assert 'class="dot down"' in bullet(first)
    assert bullet(Figure(key="x", zh="x", unit="share", value=None)) == ""
    assert trend(report.days).count("<polyline") == 1
    assert trend(made(count=4).days).count("<polyline") == 0
    assert 'class="dot up"' in forest(BEHAVIOURS[0])
    assert "dot" not in forest(BEHAVIOURS[1])
    assert 'title="&lt;好&gt; 3"' in bars([(3, "#4caf50", "<好>"), (0, "#000000", "无")])
    assert "无" not in bars([(3, "#4caf50", "<好>"), (0, "#000000", "无")])


@pytest.mark.parametrize(
    ("value", "unit", "zh"),
    [(0.8567, "share", "85.7%"), (29.6, "seconds", "30 秒"), (3600, "seconds", "60 分"),
     (8.04, "minutes", "8.0 分"), (12345, "count", "12,345"), (None, "share", "—"), (83.68, "score", "83.7")],
)  # fmt: skip
def test_figures_are_written_as_people_read_them(value, unit, zh):
    assert value_zh(value, unit) == zh


def test_verdicts_are_careful(report):
    first = report.figure("first_answer")
    assert met_zh(first) == "未达标"
    assert met_zh(first.model_copy(update={"sure": False})) == "未达标（未必稳定）"
    assert met_zh(first.model_copy(update={"met": None})) == "样本太少"
    assert met_zh(report.figure("negative")) == ""
    rate = next(one for one in report.changes if one.key == "satisfaction")
    assert change_zh(rate.model_copy(update={"difference": -0.034})) == "降 3.4 个百分点"
    assert change_zh(rate.model_copy(update={"difference": 0.0})) == "持平"


BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("chromedriver"), reason="needs a browser: apt-get install chromium chromium-driver"
    ),
]


class TestInABrowser:
    pytestmark = BROWSER

    @pytest.fixture(scope="class")
    @staticmethod
    def window():
        from serving.screenshots import browser

        with browser() as window:
            yield window

    @pytest.mark.parametrize("width", [360, 390, 768, 1000, 1280])
    def test_nothing_is_wider_than_the_window(self, window, page, width):
        from serving.screenshots import show_size

        show_size(window, (width, 900))
        window.get(page.as_uri())
        window.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert window.execute_script("return document.documentElement.scrollWidth - innerWidth") <= 0
        out = window.execute_script(
            "return [...document.querySelectorAll('main *:not(svg *)')]"
            ".filter((one) => one.getBoundingClientRect().right > innerWidth + 1)"
            ".map((one) => one.outerHTML.slice(0, 80))"
        )
        assert out == []

    @pytest.mark.parametrize("dark", [False, True])
    def test_letters_can_be_read_and_the_console_is_silent(self, window, page, dark):
        from serving.screenshots import show_size

        show_size(window, (1280, 900), dark=dark)
        window.get(page.as_uri())
        assert window.get_log("browser") == []
        contrast = window.execute_script(CONTRAST)
        assert contrast >= 4.5


CONTRAST = """
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const pairs = [['.badge.up', '.badge.up'], ['.badge.down', '.badge.down'], ['.badge.level', '.badge.level'],
  ['.card small', '.card'], ['.lede', 'body'], ['.legend', '.card']];
return Math.min(...pairs.filter(([one]) => document.querySelector(one)).map(([one, ground]) => {
  const a = light(getComputedStyle(document.querySelector(one)).color);
  const b = light(getComputedStyle(document.querySelector(ground)).backgroundColor);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}));
"""
