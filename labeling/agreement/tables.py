"""The tables and examples of the agreement page: people, classes, confused labels, pairs of people."""

from __future__ import annotations

from html import escape

from labeling.agreement.charts import interval_bar, lowest
from labeling.agreement.coefficients import Share
from labeling.agreement.findings import ZH
from labeling.agreement.report import AgreementReport, AnswerAgreement, TaskExample

__all__ = ["class_tables", "confused_labels", "pair_tables", "people_table"]

MOST_PEOPLE = 12
MISTAKES = 4
CONFUSIONS = {"category": 8, "emotion": 4}
TEXT = 120


def people_table(report: AgreementReport) -> str:
    """Everybody's figures, and under them each one's most frequent mistakes, folded."""
    heads = ["标注员", "任务", "每条用时", "无法判断"]
    for zh in ZH.values():
        heads += [f"{zh}·金标", f"{zh}·多数"]
    start = lowest(
        (one.low, one.high)
        for person in report.people
        for own in person.answers.values()
        for one in (own.gold, own.others)
        if one
    )
    rows = []
    for person in report.people:
        seconds = "—" if person.seconds is None else f"{person.seconds:.1f} 秒"
        cells = [
            f'<td class="name">{escape(person.annotator)}</td>',
            _number(heads[1], str(person.tasks), person.tasks),
            _number(heads[2], seconds, person.seconds),
            _number(heads[3], f"{person.undecided.rate:.1%}", person.undecided.rate),
        ]
        for number, (answer, own) in enumerate(person.answers.items()):
            cells.append(_share(heads[4 + 2 * number], own.gold, answer, start))
            cells.append(_share(heads[5 + 2 * number], own.others, answer, start))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    hint = (
        "“金标”是在隐藏金标任务上的准确率；“多数”是与其他人的多数意见相同的比例，其他人平分时不计。"
        f"点是比例，横线是 95% 区间（Wilson），左端为 {start:.0%}；括号里是依据的回答数。"
    )
    table = _table(heads, rows, "stacked sortable", numbers=(1, 2, 3))
    return f'<h2>标注员</h2><p class="hint">{hint}</p>{table}{_mistakes(report)}'


def _mistakes(report: AgreementReport) -> str:
    parts = []
    for person in report.people:
        lines = "".join(
            f"<h4>应为“{escape(report.zh[answer][one.expected])}”，答成“{escape(report.zh[answer][one.given])}”："
            f'<span class="soft">{one.of} 条里 {one.times} 条</span></h4>'
            f"<ul>{''.join(_example(report.mistakes[row]) for row in one.rows)}</ul>"
            for answer, own in person.answers.items()
            for one in own.mistakes[:MISTAKES]
            if one.times > 1
        )
        if lines:
            title = f"{escape(person.annotator)} 最常见的错误"
            parts.append(f'<details class="card mistakes"><summary>{title}</summary>{lines}</details>')
    return f'<div class="folded">{"".join(parts)}</div>'


def class_tables(report: AgreementReport) -> str:
    """The agreement of each class, the lowest first."""
    start = lowest(kind.interval for one in report.results.values() for kind in one.classes)
    hint = (
        f"每一类对其余各类，最不一致的在前（任务太少的排在最后），点表头可排序；横线从 {start:g} 到 1。"
        "“最常混淆”是同一任务上最常同时出现的另一类。"
    )
    parts = [f'<h2>各类一致性</h2><p class="hint">{hint}</p>']
    for answer, one in report.results.items():
        zh = report.zh[answer]
        rows = [
            f'<tr><td class="name">{escape(kind.zh)}<small class="spare">{escape(kind.label)}</small></td>'
            f'<td data-value="{alpha:.4f}"><div class="with-bar"><span>{alpha:.2f}</span>'
            f"{interval_bar(alpha, kind.interval, answer, start, 150)}</div></td>"
            f'<td class="number">{kind.tasks}</td><td class="number spare">{kind.answers}</td>'
            f'<td class="number spare">{_kappa(kind.fleiss)}</td>'
            f"<td>{escape(zh[kind.confused_with]) if kind.confused_with else ''}</td></tr>"
            for alpha, kind in one.worst_first()
        ]
        heads = [ZH[answer], "α（95% 区间）", "任务", "回答", "Fleiss κ", "最常混淆"]
        if rows:
            parts.append(_table(heads, rows, "sortable classes", numbers=(2, 3, 4), spare=(3, 4)))
        silent = [kind.zh for kind in one.classes if kind.alpha is None]
        if silent:
            parts.append(f'<p class="hint">没有可比的{ZH[answer]}：{escape("、".join(silent))}</p>')
    return "".join(parts)


def confused_labels(report: AgreementReport) -> str:
    """The pairs of labels that people confuse most, with examples."""
    hint = "不同的人对同一任务给了这两个答案。百分数：有人答前者（或后者）的任务里，有多少同时有人答另一个。"
    parts = [f'<h2>最容易混淆的标签</h2><p class="hint">{hint}</p>']
    for answer, one in report.results.items():
        zh = report.zh[answer]
        cards = "".join(
            f'<section class="card pair"><h3>{escape(zh[pair.first])}<span>与</span>{escape(zh[pair.second])}'
            f'</h3><p class="facts">{pair.tasks} 个任务；占前者的 {pair.share_first:.0%}，'
            f"后者的 {pair.share_second:.0%}</p>"
            f"<ul>{''.join(_example(example) for example in pair.examples)}</ul></section>"
            for pair in one.confusions[: CONFUSIONS[answer]]
        )
        cards = cards or '<p class="hint">没有。</p>'
        parts.append(f'<h3 class="sub">{ZH[answer]}</h3><div class="cards">{cards}</div>')
    return "".join(parts)


def pair_tables(report: AgreementReport) -> str:
    """Cohen's kappa of every two people: a square for a few of them, otherwise a list, lowest first."""
    names = [person.annotator for person in report.people]
    tables = [
        _square(one, names) if len(names) <= MOST_PEOPLE else _list(one)
        for one in report.results.values()
        if one.pairs
    ]
    if not tables:
        return ""
    hint = "Cohen κ；小字是两人共同回答的任务数。"
    return f'<h2>两两之间</h2><p class="hint">{hint}</p>{"".join(tables)}'


def _square(one: AnswerAgreement, names: list[str]) -> str:
    found = {(pair.first, pair.second): pair for pair in one.pairs}
    rows = []
    for name in names:
        cells = f'<td class="name">{escape(name)}</td>'
        for other in names:
            pair = found.get((name, other)) or found.get((other, name))
            words = f"{_kappa(pair.kappa)} <small>{pair.shared}</small>" if pair else ""
            cells += f'<td class="number">{words}</td>'
        rows.append(f"<tr>{cells}</tr>")
    return _table([ZH[one.answer], *names], rows, "square", numbers=range(1, len(names) + 1))


def _list(one: AnswerAgreement) -> str:
    ranked = sorted(one.pairs, key=lambda pair: (pair.kappa is None, pair.kappa))
    rows = [
        f'<tr><td class="name">{escape(pair.first)}</td><td>{escape(pair.second)}</td>'
        f'<td class="number">{_kappa(pair.kappa)}</td><td class="number">{pair.shared}</td></tr>'
        for pair in ranked
    ]
    return _table([ZH[one.answer], "与", "Cohen κ", "共同任务"], rows, "sortable", numbers=(2, 3))


def _table(
    heads: list[str],
    rows: list[str],
    style: str,
    numbers: tuple[int, ...] | range = (),
    spare: tuple[int, ...] = (),
) -> str:
    """A table on a card; columns in `spare` are left out on narrow screens."""
    cells = ""
    for place, head in enumerate(heads):
        names = ["name"] if place == 0 else []
        names += ["number"] * (place in numbers) + ["spare"] * (place in spare)
        cells += f'<th scope="col" class="{" ".join(names)}">{escape(head)}</th>'
    return (
        f'<div class="card wide"><table class="{style}"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _number(name: str, words: str, value: float | None) -> str:
    shown = "" if value is None else f"{value:g}"
    return f'<td class="number" data-name="{name}" data-value="{shown}">{words}</td>'


def _share(name: str, one: Share | None, tone: str, start: float) -> str:
    if one is None:
        return f'<td data-name="{name}" data-value="">—</td>'
    return (
        f'<td data-name="{name}" data-value="{one.rate:.4f}"><div class="with-bar">'
        f"<span>{one.rate:.0%}</span>{interval_bar(one.rate, (one.low, one.high), tone, start)}"
        f"<small>（{one.of}）</small></div></td>"
    )


def _example(one: TaskExample) -> str:
    text = one.text if len(one.text) <= TEXT else one.text[: TEXT - 1] + "…"
    return f"<li>{escape(text)} <small>#{one.id}</small></li>"


def _kappa(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f}"
