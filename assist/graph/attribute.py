"""What a product has and whether it fits: attributes straight from the graph."""

from __future__ import annotations

from dataclasses import dataclass

from assist.graph.catalogue import Catalogue, amount_zh
from assist.graph.schema import Answer, Triple

__all__ = ["Having", "look_up"]

_FLAG = {"yes": "是", "no": "否"}


@dataclass(frozen=True, slots=True)
class Having:
    """One product's attribute."""

    answer: Answer
    text: str
    value: str
    path: tuple[Triple, ...]


def look_up(catalogue: Catalogue, product: str, attribute: str, wanted: str, number: float | None) -> Having:
    """Whether a product has an attribute's value.

    Args:
        wanted: a value of a set that the customer hopes for; empty where they only ask what it is.
        number: a quantity that it should reach, in the attribute's unit, or None.

    Returns:
        `yes` with the value where only the value is asked for; `unknown` where the graph does not say.
    """
    entity, asked = catalogue.entities[product], catalogue.attributes[attribute]
    has = catalogue.values.get(product, {}).get(attribute)
    if has is None:
        return Having("unknown", f"{entity.zh}：资料里没有写{asked.zh}，请转专员核实。", "", ())
    values, note = has
    more = f"{note}。" if note else ""
    shown = "、".join(
        _FLAG[value]
        if asked.type == "flag"
        else f"{amount_zh(float(value))}{asked.unit}"
        if asked.type == "number"
        else value
        for value in values
    )
    path = tuple(
        Triple(subject=entity.zh, predicate=asked.zh, object=part)
        for part in (shown.split("、") if asked.type == "set" else [shown])
    )
    head = f"{entity.zh}的{asked.zh}是{shown}"
    if asked.type == "flag":
        answer: Answer = "yes" if values == ("yes",) else "no"
        short = asked.zh.removeprefix("可").removeprefix("需要")
        verb = "需要" if asked.zh.startswith("需要") else "可以"
        return Having(
            answer, f"{entity.zh}{verb if answer == 'yes' else '不' + verb}{short}。{more}", shown, path
        )
    if asked.type == "number":
        if number is None:
            return Having("yes", f"{head}。{more}", shown, path)
        enough = float(values[0]) >= number
        wish = f"{amount_zh(number)}{asked.unit}"
        word = "够" if enough else "不到"
        return Having("yes" if enough else "no", f"{head}，{word}{wish}。{more}", shown, path)
    if not wanted:
        return Having("yes", f"{head}。{more}", shown, path)
    if any(
        wanted.casefold() in value.casefold() or value.casefold() in wanted.casefold() for value in values
    ):
        return Having("yes", f"{head}，包括{wanted}。{more}", shown, path)
    if asked.closed:
        return Having("no", f"{head}，不包括{wanted}。{more}", shown, path)
    return Having("unknown", f"{head}；{wanted}资料里没有写，请转专员核实。", shown, path)
