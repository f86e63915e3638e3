"""The clinic's suggestions as a page for the owner of the label schema; needs no other file and no script."""

from __future__ import annotations

from html import escape
from pathlib import Path

from labeling.clinic.pairs import CLEAR, CONFUSED, UNKNOWN, Evidence
from labeling.clinic.report import KINDS, CaseText, ClinicReport, Side, Suggestion

__all__ = ["clinic_page", "clinic_section"]

HERE = Path(__file__).parent
TONES = {"merge": "bad", "split": "fair", "clarify": "good"}
VERDICTS = {CONFUSED: ("bad", "分不清"), CLEAR: ("good", "分得清"), UNKNOWN: ("", "不能判定")}


def clinic_page(report: ClinicReport) -> str:
    """The whole page, in Chinese; readable on a telephone and in the dark."""
    # The look of the agreement report: both lie on one desk.
    styles = (HERE.parent / "agreement" / "page.css", HERE / "page.css")
    style = "\n".join(path.read_text(encoding="utf-8") for path in styles)
    return (
        '<!doctype html>\n<html lang="zh-CN"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>类别诊断</title><style>{style}</style></head>"
        f"<body><main>{clinic_section(report)}</main></body></html>\n"
    )


def clinic_section(report: ClinicReport) -> str:
    """The page's content, to be put into another page with the same style."""
    counts = {kind: sum(one.kind == kind for one in report.suggestions) for kind in KINDS}
    said = "，".join(f"{KINDS[kind]} {count} 处" for kind, count in counts.items() if count)
    facts = (
        f"{report.messages} 条消息有人选的类别，其中 {report.twice} 条有两份以上回答；"
        f"{report.with_model} 条有模型的意见，{report.with_vectors} 条有向量。"
    )
    notes = "".join(f'<p class="hint">{escape(note)}</p>' for note in report.notes)
    cards = "".join(_card(one, report.zh) for one in report.suggestions)
    nothing = '<p class="card">人和模型的混淆都不足以建议修改标签体系。</p>'
    return (
        f'<header><p class="soft">类别诊断</p><h1>{said or "没有建议"}</h1>'
        f'<p class="soft">{facts}这里只提建议，标签体系由负责人决定。</p></header>{notes}'
        f'<div class="suggestions">{cards or nothing}</div>{_method(report)}'
    )


def _card(one: Suggestion, zh: dict[str, str]) -> str:
    joint = " + " if one.kind == "merge" else " / "
    names = joint.join(
        f'{escape(name)} <small class="soft">{escape(key)}</small>'
        for name, key in zip(one.zh, one.categories, strict=True)
    )
    evidence = _evidence(one)
    sides = "".join(_side(side, one, zh) for side in one.sides)
    opened = "" if one.kind == "split" else " open"
    rules = "".join(f"<li>{escape(rule)}</li>" for rule in one.boundaries)
    return (
        f'<section class="card"><div class="row"><h3>{names}</h3>'
        f'<span class="chip {TONES[one.kind]}">{KINDS[one.kind]}</span></div>'
        f"<p>{escape(one.reason)}</p>{evidence}"
        f'<div class="sides">{sides}</div>'
        f"<details{opened}><summary>标签体系现在怎么写</summary>"
        f'<ul class="rules">{rules}</ul></details></section>'
    )


def _evidence(one: Suggestion) -> str:
    if one.split is not None:
        figures = one.split
        return (
            f'<p class="facts">{figures["messages"]:.0f} 条消息；'
            f"重抽样稳定性 ARI {figures['stability']:.2f}；成团不是偶然 p {_p(figures['p'])}；"
            f"两团邻类差异 {figures['difference']:.2f}；无法判断 {figures['undecided']:.1%}</p>"
        )
    rows = "".join(
        _evidence_row(name, evidence)
        for name, evidence in (("人与人", one.people), ("模型与人", one.model))
        if evidence is not None
    )
    heads = ("", "", "消息", "混淆", "按大小应有", "p", "可区分度（95% 区间）")
    titles = "".join(
        f'<th class="{"" if number < 2 else "number"}">{head}</th>' for number, head in enumerate(heads)
    )
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div>'


def _evidence_row(name: str, evidence: Evidence) -> str:
    tone, words = VERDICTS[evidence.verdict]
    low, high = evidence.interval
    figures = (
        str(evidence.messages),
        str(evidence.confused),
        f"{evidence.expected:.1f}",
        _p(evidence.p),
        f"{evidence.distinguishability:.2f}（{low:.2f} 至 {high:.2f}）" if evidence.messages else "—",
    )
    cells = "".join(f'<td class="number">{figure}</td>' for figure in figures)
    return f'<tr><td>{name}</td><td><span class="chip {tone}">{words}</span></td>{cells}</tr>'


def _side(side: Side, one: Suggestion, zh: dict[str, str]) -> str:
    if one.kind == "split":
        near = "、".join(f"{name} {count}" for name, count in side.neighbours)
        head = f"{side.title}：{side.messages} 条，邻近 {near}"
    else:
        head = f"人多选「{side.title}」：{side.messages} 条"
    texts = "".join(_case(case, zh) for case in side.examples)
    return f'<div><h4>{escape(head)}</h4><ul class="texts">{texts or "<li>（没有）</li>"}</ul></div>'


def _case(case: CaseText, zh: dict[str, str]) -> str:
    people = "、".join(f"{zh.get(key, key)}×{count}" for key, count in case.people.items())
    said = f"人：{people}" if people else "人：未定"
    if case.model is not None:
        said += f"　模型：{zh.get(case.model, case.model)} {case.probability:.2f}"
    return f"<li><q>{escape(case.text)}</q><small>{escape(said)}</small></li>"


def _p(value: float) -> str:
    return "&lt; 0.001" if value < 0.001 else f"{value:.3f}"


def _method(report: ClinicReport) -> str:
    pair, split = report.pair_rules, report.split_rules
    entries = {
        "合并": "人与人之间、模型与人之间都分不清：混淆远多于两类大小所应有（二项检验，经 Bonferroni 校正），"
        f"并且可区分度的区间上端低于 {pair.distinguishable:g}。",
        "说清界线": "只有一边分不清。人分不清而模型分得清，多半是界线没写清楚；反过来，多半是例子太少。",
        "拆分": "一个类别的消息在向量上分成两团，重抽样后仍是这两团，比单独一团更紧，"
        "并且两团的邻近类别不同。",
        "可区分度": "Darroch 与 McCloud（1986）：1 为从不混淆，0 为两种回答互不相干。"
        "两人各有九成答对时约 0.95，八成时 0.78，七成时 0.48。",
        "数据太少": f"一对类别的混淆不足 {pair.fewest} 条、一个类别不足 {split.fewest} 条时不提建议。",
    }
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in entries.items())
    return f'<details class="card method"><summary>怎么读这些建议</summary><dl>{items}</dl></details>'
