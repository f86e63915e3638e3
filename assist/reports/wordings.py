"""The Chinese words of a report, shared by the page and the Excel file."""

from __future__ import annotations

from collections.abc import Mapping

from assist.reports.intervals import FEWEST
from assist.reports.schema import Change, Figure, PeriodReport

__all__ = ["OUTCOMES", "VERDICTS", "change_zh", "channel_zh", "headline", "met_zh", "notes", "value_zh"]

_CHANNELS = {"app": "手机端", "web": "网页", "wangwang": "旺旺", "wechat": "微信", "miniprogram": "小程序"}
VERDICTS: Mapping[str, str] = {
    "better": "变好",
    "worse": "变差",
    "cannot tell": "说不准",
    "too few": "样本太少",
    "none": "",
}
"""What a difference comes to."""
OUTCOMES: Mapping[str, str] = {
    "calmed": "顾客带着情绪时，哪些回复之后平静了",
    "heated": "顾客平静时，哪些回复之后有了情绪",
}
"""The two questions about ways of answering."""


def channel_zh(key: str) -> str:
    """A channel's name."""
    return _CHANNELS.get(key, key)


def value_zh(value: float | None, unit: str) -> str:
    """A figure with its unit; a dash where there is none."""
    if value is None:
        return "—"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "seconds":
        return f"{value:.0f} 秒" if value < 600 else f"{value / 60:.0f} 分"
    if unit == "minutes":
        return f"{value:.1f} 分"
    return f"{value:,.0f}" if unit == "count" else f"{value:.1f}"


def met_zh(figure: Figure) -> str:
    """Whether a standard is met, and whether that could be chance; empty without a standard."""
    if figure.standard is None:
        return ""
    if figure.met is None:
        return "样本太少"
    word = "达标" if figure.met else "未达标"
    return word if figure.sure else f"{word}（未必稳定）"


def change_zh(change: Change) -> str:
    """A difference against the period before, in words."""
    if change.difference is None:
        return "样本太少"
    step = abs(change.difference)
    if not step:
        return "持平"
    moved = f"{100 * step:.1f} 个百分点" if change.unit == "share" else value_zh(step, change.unit)
    return f"{'升' if change.difference > 0 else '降'} {moved}"


def headline(report: PeriodReport) -> str:
    """What a supervisor should know first, in one or two sentences."""
    judged = [one for one in report.figures if one.met is not None]
    missed = [one.zh for one in judged if not one.met]
    if not judged:
        first = "样本太少，还不能对照标准。"
    elif not missed:
        first = f"{len(judged)} 项标准全部达到。"
    else:
        first = f"{len(judged)} 项标准达到 {len(judged) - len(missed)} 项，没有达到的是{'、'.join(missed)}。"
    negative = report.figure("negative")
    second = (
        f"每 100 个会话里约 {100 * negative.value:.0f} 个出现过负面情绪" if negative.value is not None else ""
    )
    if second and report.causes:
        top = report.causes[0]
        second += f"，最多的是“{top.category_zh}”时的{top.emotion_zh}（{top.messages} 条）"
    return first + (second + "。" if second else "")


def notes(report: PeriodReport) -> list[str]:
    """How the figures were made, and how far they can be believed."""
    return [
        "会话按开始的那一天计。同一会话里静默满三十分钟，算另一次接待；处理时长按接待算，不含静默。",
        f"占比和均值后面是 95% 区间，以会话为单位计算：同一会话里的消息彼此相似，不能当作互不相干。"
        f"少于 {FEWEST} 个会话时只给数目，不给占比。",
        "情绪、类目和预警由模型逐句读出，会有错。重要的结论请翻看原会话核对。"
        + (f"模型：{report.source}。" if report.source else ""),
        "一次解决率是估算：七天内没有在同一会话里再来问同一类事，并且最后不带不满：最后一句是负面的，或上一句负面、这一句又没说好，都不算解决。"
        "记录里没有顾客编号，换一个会话再来的看不到，所以实际会低一些；"
        "“未再来问”只看有没有回来，更宽松。周期末尾的会话还没到七天，也会显得好一些。",
        "满意度是估算：最后一句情绪积极，或用“好的、谢谢”收尾，算满意；负面、预警或说“算了、投诉”，算不满意；"
        "其余看不出，不计入。它不是顾客打的分，只适合看变化，不适合与问卷结果相比。",
        "净推荐值和销售转化率要有问卷和订单才能算，这里不给。",
        "客服之间遇到的顾客不同，班次也不同；长期趋势比一天两天可靠，不要只凭一期报告评人。",
    ]
