"""What may be asked of the shop's graph, and what it answers."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = [
    "Answer",
    "GraphRequest",
    "GraphResponse",
    "Mention",
    "MissingCase",
    "MissingFact",
    "QuestionKey",
    "Triple",
]

Answer = Literal["yes", "no", "depends", "unknown"]
QuestionKey = Literal[
    "return_no_reason",
    "return_faulty",
    "exchange",
    "warranty",
    "return_shipping",
    "coupons_combine",
    "price_protection",
    "free_shipping",
    "attribute",
]
_ID = r"^[a-z][a-z0-9_]{0,63}$"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
Id = Annotated[str, Field(pattern=_ID)]
FactValue = bool | Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class GraphRequest(BaseModel):
    """A question to the graph: a customer's message, or its parts given outright, or both.

    What is given outright is taken before what the message says.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    text: str = Field(default="", max_length=2000)
    """The customer's message; may be empty where `question` and `product` are given."""
    earlier: list[Annotated[str, Field(max_length=2000)]] = Field(default_factory=list, max_length=20)
    """The customer's messages before, oldest first: where the product and facts of "能退吗" may stand."""
    question: QuestionKey | None = None
    """What is asked; read from the message and its category when None."""
    category: str | None = Field(default=None, max_length=64)
    """The category that the model gave the message, a hint to what is asked."""
    product: Id | None = None
    """Id of a product or of a kind of products; linked from the message when None."""
    coupons: list[Id] = Field(default_factory=list, max_length=2)
    """Ids of the two coupons of `coupons_combine`; linked from the message when empty."""
    attribute: Id | None = None
    """Key of the attribute that is asked for; linked from the message when None."""
    wanted: str = Field(default="", max_length=100)
    """The value that the customer hopes for ("电磁炉", "1.8米"); found in the message when empty."""
    facts: dict[Id, FactValue] = Field(default_factory=dict, max_length=30)
    """What is known of the order: `{"opened": true, "days_since_signed": 3}`; keys of facts.csv."""
    on: str | None = None
    """The day for which policies must be valid, `2026-11-20`; today when None."""

    @field_validator("on")
    @classmethod
    def _is_a_day(cls, value: str | None) -> str | None:
        if value is not None and not _DATE.fullmatch(value):
            raise ValueError("expected a day as 2026-11-20")
        return value


class Mention(BaseModel):
    """A part of the message that names an entity of the graph; `start` and `end` count characters."""

    model_config = ConfigDict(extra="forbid")

    id: str
    """Of the entity."""
    type: Literal["product", "kind", "coupon", "attribute"]
    zh: str
    """Its name."""
    words: str
    """The customer's words, `text[start:end]`."""
    start: int
    end: int
    score: float
    """0 to 1; 1 is a name or an alias letter by letter."""
    how: Literal["exact", "pinyin", "fuzzy"]


class Triple(BaseModel):
    """One step of the path that says so: subject, predicate, object, readable."""

    model_config = ConfigDict(extra="forbid")

    subject: str
    predicate: str
    object: str


class MissingCase(BaseModel):
    """What the answer would be in one case."""

    model_config = ConfigDict(extra="forbid")

    when: str
    """The case in Chinese: "未拆封", "超过7天"."""
    answer: Answer


class MissingFact(BaseModel):
    """Something nobody said on which the answer depends."""

    model_config = ConfigDict(extra="forbid")

    key: str
    """Of facts.csv; "product", "coupons" or "attribute" where the message names none or more than one."""
    ask: str
    """The question to the customer, in Chinese."""
    cases: list[MissingCase]


class GraphResponse(BaseModel):
    """The answer with the path that says so."""

    model_config = ConfigDict(extra="forbid")

    question: QuestionKey | None
    """None where the message asks nothing that the graph knows."""
    answer: Answer
    """`unknown` where the graph says nothing: it does not guess."""
    text: str
    """The answer in Chinese: one to three sentences."""
    value: str
    """A period, who pays, an attribute's value; may be empty."""
    missing: list[MissingFact]
    """For `depends`: what must be known first, most telling first."""
    assumed: list[str]
    """What the answer takes for granted and would change it, in Chinese."""
    known: dict[str, bool | float]
    """The facts used: given, read from the message, or said by the graph."""
    mentions: list[Mention]
    """Entities found in the message, in their order."""
    path: list[Triple]
    rules: list[str]
    """Ids of the rules that decide, most specific first."""
    clash: bool
    """Rules of the same rank disagreed; the answer favours the customer."""
    version: str
    """Of the tables: the first 12 hexadecimal digits of their hash."""
