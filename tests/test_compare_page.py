"""The comparison page: what it says, that it needs nothing else, and how it looks in a browser."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from experiments.compare import compare_sides
from experiments.compare_page import render, write_page
from tests.comparing import rows_of, side

BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("chromedriver"), reason="needs a browser: apt-get install chromium chromium-driver"
    ),
]


@pytest.fixture(scope="module")
def compared(taxonomy):
    rows = rows_of(taxonomy)
    for row in rows[:40]:
        row["text"] = "W" * 200
    old = side(
        taxonomy,
        0.6,
        rows,
        "run 0123abcd",
        runs=("0123abcd" * 4,),
        parameters={"train.epochs": "2", "backbone.name": "builtin", "train.seed": "a-very-long-value/" * 6},
        metrics={"size_mb": 163.4, "latency_ms": 18.0},
    )
    new = side(
        taxonomy,
        0.85,
        rows,
        "champion",
        seed=2,
        runs=("fedc4567" * 4,),
        snapshot="bbbbbbbbbbbb",
        parameters={"train.epochs": "2", "train.seed": "8"},
    )
    listed = [{**row, "split": "train"} for row in rows[:300]]
    return compare_sides(old, compare_rows(new, listed), times=200)


def compare_rows(one, rows):
    from dataclasses import replace

    return replace(one, rows=rows)


@pytest.fixture(scope="module")
def page(compared, tmp_path_factory):
    return write_page(compared, tmp_path_factory.mktemp("page") / "compare.html")


def test_the_page_says_it_all(compared):
    text = render(compared)
    assert re.search(r'<span class="word better">Better</span>\s+champion beats run 0123abcd', text)
    for heading in ("Main figures", "Changed answers", "Labels that lost and won", "Slices", "Calibration",
                    "Size and latency", "Settings", "Data"):  # fmt: skip
        assert f"<h2>{heading}</h2>" in text
    assert f"{len(compared.tasks[0].fixed)} fixed" in text
    assert "not measured" in text
    assert "train.epochs" not in text  # only what differs
    assert "Recorded by A only: backbone.name." in text
    assert "退款" in text
    assert "&lt;b&gt;快递&lt;/b&gt;" in text  # customers' text is not markup
    assert "<b>快递</b>" not in text
    assert "nan" not in text.lower().replace("finance", "")


def test_the_page_needs_nothing_else(compared):
    text = render(compared)
    assert not re.search(r"<script|<link|@import|url\(|src=|https?://", text)
    assert len(text.encode()) < 1_500_000


def test_a_model_against_itself(taxonomy):
    one = side(taxonomy, 0.8)
    text = render(compare_sides(one, one, times=50))
    assert "Cannot tell" in text
    assert "No label changed." in text
    assert "Every setting of training that both recorded is the same." in text
    assert "Both learnt from the same rows" in text
    assert "kefu evaluate" in text  # size and latency are unknown


class TestInABrowser:
    pytestmark = BROWSER

    @pytest.fixture(scope="class")
    @staticmethod
    def window():
        from serving.screenshots import browser

        with browser() as window:
            yield window

    @pytest.mark.parametrize("width", [360, 390, 768, 1280])
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
    def test_every_text_is_readable(self, window, page, dark):
        from serving.screenshots import show_size
        from tests.test_serving_page_look import CONTRASTS

        show_size(window, (1280, 900), dark=dark)
        window.get(page.as_uri())
        assert window.execute_script(f"return {CONTRASTS}") == []

    def test_it_asks_nobody(self, window, page):
        window.get_log("performance")
        window.get(page.as_uri())
        events = [json.loads(entry["message"])["message"] for entry in window.get_log("performance")]
        asked = [event["params"]["request"]["url"] for event in events
                 if event["method"] == "Network.requestWillBeSent"]  # fmt: skip
        assert asked == [page.as_uri()]
        assert window.get_log("browser") == []

    def test_pictures(self, page, tmp_path):
        from experiments.compare_screenshots import main

        main([str(page), "--folder", str(tmp_path)])
        for name in ("compare-wide.png", "compare-phone.png"):
            assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
