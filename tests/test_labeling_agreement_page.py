"""The agreement report as files and in the terminal."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from labeling.agreement import measure_agreement, print_agreement
from labeling.agreement.page import agreement_page, write_agreement
from tests.test_labeling_agreement import CATEGORIES, TAXONOMY, annotation, project, some, task


def test_files_and_terminal(tmp_path):
    tasks, gold = project([0.95, 0.93, 0.6], tasks=200, labels=3)
    nasty = "<script>alert(1)</script> 我的电话13812345678 [bold]&"
    tasks = [task(one.id, *one.annotations, text=nasty) for one in tasks]  # the same keys, other texts
    report = measure_agreement(tasks, TAXONOMY, some(gold, 50), samples=100)
    write_agreement(report, tmp_path)
    raw = json.loads(
        (tmp_path / "agreement.json").read_text(encoding="utf-8"),
        parse_constant=lambda name: pytest.fail(f"{name} is not JSON"),
    )
    assert raw["results"]["category"]["alpha"] == report.results["category"].alpha
    mistakes = raw["people"][2]["answers"]["category"]["mistakes"]
    assert {one["id"] for one in mistakes[0]["examples"]} <= {one.id for one in tasks}
    page = (tmp_path / "agreement.html").read_text(encoding="utf-8")
    everything = page + json.dumps(raw, ensure_ascii=False)
    assert "13812345678" not in everything
    assert "[手机]" in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("<script>") == 1
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)
    assert set(re.findall(r"annotator-\d+", everything)) == {"annotator-1", "annotator-2", "annotator-3"}
    for finding in report.findings:
        assert finding.text.replace("<", "&lt;") in page
    # Classes that nobody used are named apart; the others stand in order, the lowest first.
    alphas = [float(one) for one in re.findall(r'<td data-value="(-?[\d.]+)"><div', page)]
    shown = [one.alpha for one in report.results["category"].classes if one.alpha is not None]
    assert alphas[: len(shown)] == pytest.approx(sorted(shown), abs=1e-4)
    assert "没有可比的类别" in page
    assert (tmp_path / "agreement.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "agreement.html", "agreement.json", "agreement.png",
    ]  # fmt: skip
    told = io.StringIO()
    print_agreement(report, Console(file=told, width=140))
    for words in ("annotator-3", f"{report.results['category'].alpha:.3f}", "需要情绪培训"):
        assert words in told.getvalue()


def test_the_page_is_tidy_html():
    from html.parser import HTMLParser

    class Nesting(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "br"):
                self.open.append(tag)

        def handle_startendtag(self, tag, attributes):
            pass

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    tasks, gold = project([0.95, 0.93, 0.6], tasks=150, fall={2: 0.5})
    nesting = Nesting()
    nesting.feed(agreement_page(measure_agreement(tasks, TAXONOMY, gold, samples=50)))
    assert nesting.open == []


def test_many_people_and_classes_on_hardly_any_task(tmp_path):
    tasks, gold = project([0.9] * 13, tasks=60, labels=3)
    odd = [annotation(1, CATEGORIES[30]), annotation(2, CATEGORIES[31])]
    report = measure_agreement([*tasks, task(900, *odd)], TAXONOMY, gold, samples=50)
    ranked = [one.label for _, one in report.results["category"].worst_first()]
    assert ranked[-2:] == CATEGORIES[30:32]
    assert len(report.results["category"].pairs) == 13 * 12 / 2
    write_agreement(report, tmp_path)
    page = (tmp_path / "agreement.html").read_text(encoding="utf-8")
    assert "共同任务" in page
    assert page.count('class="drift"') == 13
