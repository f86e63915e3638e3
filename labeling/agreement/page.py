"""The agreement report as a page for the annotator lead, beside its JSON and its picture."""

from __future__ import annotations

from html import escape
from pathlib import Path

from data.files import atomic_write, write_json
from labeling.agreement.charts import alpha_scale, drift_chart, lowest
from labeling.agreement.findings import ZH
from labeling.agreement.people import CHINA, FALLING, RISING, STEADY, TOO_FEW, Drift, Person
from labeling.agreement.picture import draw_agreement
from labeling.agreement.report import AgreementReport, AnswerAgreement
from labeling.agreement.tables import class_tables, confused_labels, pair_tables, people_table

__all__ = ["agreement_page", "write_agreement"]

HERE = Path(__file__).parent
VERDICTS = {
    "reliable": ("good", "可以信赖", "可以信赖"),
    "tentative": ("fair", "基本可用", "基本可用，下结论要谨慎"),
    "unclear": ("fair", "还不能判定", "还不能判定：区间跨过 0.667"),
    "unreliable": ("bad", "还不可靠", "还不可靠，先改进再用于训练"),
    "unmeasured": ("", "无法衡量", "无法衡量：缺少多人重复标注"),
}
KINDS = {
    "training": ("bad", "需要培训"),
    "classes": ("fair", "分类讲解"),
    "drift": ("bad", "正在退步"),
    "undecided": ("fair", "无法判断"),
    "guide": ("fair", "规则不清"),
    "gold": ("", "金标任务"),
    "overlap": ("", "重复标注"),
}
DRIFTS = {
    FALLING: ("bad", "下降"),
    RISING: ("good", "上升"),
    STEADY: ("good", "平稳"),
    TOO_FEW: ("", "回答太少"),
}
MOST_CHARTS = 24


def write_agreement(report: AgreementReport, folder: Path) -> None:
    """Write `agreement.json`, `agreement.html` (needs no other file) and `agreement.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "agreement.json", report.as_dict())
    with atomic_write(folder / "agreement.html") as handle:
        handle.write(agreement_page(report))
    draw_agreement(report, folder / "agreement.png")


def agreement_page(report: AgreementReport) -> str:
    """The whole page, in Chinese; readable without scripts, on a telephone, and in the dark."""
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    sections = (_head, _findings, people_table, _drifts, class_tables, confused_labels, pair_tables, _method)
    body = "\n".join(section(report) for section in sections)
    return (
        '<!doctype html>\n<html lang="zh-CN"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>标注质量报告</title><style>{style}</style></head><body><main>{body}</main>"
        f"<script>{script}</script></body></html>\n"
    )


def _head(report: AgreementReport) -> str:
    said = "，".join(f"{ZH[answer]}标注{VERDICTS[one.verdict][1]}" for answer, one in report.results.items())
    training = {one.person for one in report.findings if one.kind == "training"}
    falling = {one.person for one in report.findings if one.kind == "drift" and one.person}
    said += f"；{len(training)} 人需要培训" if training else ""
    said += f"；{len(falling)} 人在退步" if falling else ""
    facts = (
        f"{report.tasks} 个任务，{report.annotated} 个已标注；{len(report.people)} 位标注员，"
        f"{report.annotations} 份标注；{report.gold_tasks} 个金标任务；无法判断 {report.undecided.rate:.1%}；"
        f"{report.first_at.astimezone(CHINA):%Y-%m-%d} 至 {report.last_at.astimezone(CHINA):%Y-%m-%d}"
    )
    cards = "".join(_verdict(one) for one in report.results.values())
    return (
        f'<header><p class="soft">标注质量报告</p><h1>{escape(said)}</h1><p class="soft">{facts}</p></header>'
        f'<div class="cards verdicts">{cards}</div>'
    )


def _verdict(one: AnswerAgreement) -> str:
    tone, _, words = VERDICTS[one.verdict]
    head = f'<div class="row"><h3>{ZH[one.answer]}</h3>{_chip(tone, words)}</div>'
    if one.alpha is None:
        return f'<section class="card">{head}<p class="figure">α —</p>{_facts(one)}</section>'
    between = f"95% 区间 {one.interval[0]:.2f}–{one.interval[1]:.2f}" if one.interval else ""
    without = ""
    if one.alpha_without is not None:
        names = escape("、".join(one.without))
        without = f'<p class="facts">○ 不计 {names}：α {one.alpha_without:.2f}</p>'
    return (
        f'<section class="card">{head}<p class="figure">α {one.alpha:.2f} <small>{between}</small></p>'
        f"{alpha_scale(one.alpha, one.interval, one.alpha_without)}{without}{_facts(one)}</section>"
    )


def _facts(one: AnswerAgreement) -> str:
    facts = [f"{one.shared_tasks} 个任务有两份以上回答"]
    if one.pairs_same and one.unanimous:
        facts.append(f"两两相同 {one.pairs_same.rate:.0%}，全体一致 {one.unanimous.rate:.0%}")
    if one.cohen is not None:
        facts.append(f"Cohen κ 平均 {one.cohen:.2f}")
    if one.fleiss is not None:
        basis = f"{one.fleiss_tasks} 个 {one.fleiss_answers} 人回答的任务"
        facts.append(f"Fleiss κ {one.fleiss:.2f}（{basis}）")
    return f'<p class="facts">{"；".join(facts)}</p>'


def _findings(report: AgreementReport) -> str:
    if not report.findings:
        return '<h2>要做的事</h2><p class="hint">没有发现需要处理的问题。</p>'
    items = "".join(
        f"<li>{_chip(*KINDS[one.kind])}<span>{escape(one.text)}</span></li>" for one in report.findings
    )
    return f'<h2>要做的事</h2><ul class="findings card">{items}</ul>'


def _drifts(report: AgreementReport) -> str:
    urgency = list(DRIFTS)

    def first(person: Person) -> int:
        return min(urgency.index(own.drift.verdict) for own in person.answers.values())

    ranked = sorted(report.people, key=first)
    bottom = lowest(
        (point.right.low, point.right.high)
        for person in report.people
        for own in person.answers.values()
        for point in own.drift.windows
    )
    charts = "".join(
        f'<section class="card"><div class="row"><h3>{escape(person.annotator)}</h3><span>'
        + " ".join(_drift_chip(answer, own.drift) for answer, own in person.answers.items())
        + f"</span></div>{drift_chart(person, bottom)}</section>"
        for person in ranked[:MOST_CHARTS]
    )
    left = len(ranked) - MOST_CHARTS
    more = f'<p class="hint">其余 {left} 人见 agreement.json。</p>' if left > 0 else ""
    hint = (
        '<span class="key"></span> 类别　<span class="key emotion"></span> 情绪。'
        "按回答先后分段的正确率（有金标的对金标，其余对其他人的多数意见），阴影是 95% 区间。"
        "标“下降”“上升”的，趋势检验（Cochran–Armitage，经 Holm 校正）p&lt;0.01，"
        "且最后三分之一与最初三分之一相差至少 5 个百分点。"
    )
    return f'<h2>随时间的变化</h2><p class="hint">{hint}</p><div class="people-drift">{charts}</div>{more}'


def _drift_chip(answer: str, drift: Drift) -> str:
    tone, words = DRIFTS[drift.verdict]
    change = "" if drift.change is None or drift.verdict == STEADY else f" {100 * drift.change:+.0f}"
    return _chip(tone, f"{ZH[answer]} {words}{change}")


def _method(report: AgreementReport) -> str:
    entries = {
        "α（Krippendorff）": "扣除碰巧相同之后的一致程度：1 为完全一致，0 相当于随便答。0.8 以上可以信赖，"
        "0.667 到 0.8 只宜谨慎使用；看的是区间下端。区间由任务重抽样得到。",
        "κ（Cohen、Fleiss）": "同样扣除碰巧相同：Cohen 比较两个人，Fleiss 比较回答人数相同的任务。",
        "无法判断与空答案": "不算作一类，按缺失处理。同一人重复标注同一任务时以最后一次为准。",
        "谁需要培训": "与其他人合计相比（Fisher 精确检验，经 Holm 校正 p<0.01），并且低 10 个百分点以上；"
        "金标至少 20 条，没有金标时与多数意见相比至少 50 条。金标准确率的区间上端低于 80% 也会列出。",
        "随时间的变化": "任务次序若由模型排定（先难后易），所有人的曲线会一起变化，"
        "请留意只有一个人变化的情形。时间为北京时间。",
    }
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in entries.items())
    return f'<details class="card method"><summary>怎么读这份报告</summary><dl>{items}</dl></details>'


def _chip(tone: str, words: str) -> str:
    return f'<span class="chip {tone}">{escape(words)}</span>'
