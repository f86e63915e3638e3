"""Requests and answers of the knowledge base, as HTTP and tools carry them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AnswerFlag",
    "AnswerRequest",
    "AnswerResponse",
    "AnswerSentence",
    "Citation",
    "CitedPassage",
    "Kind",
    "KnowledgeSearchRequest",
    "KnowledgeSearchResponse",
    "NotValid",
    "NumberedCitation",
    "ReadAs",
]

Kind = Literal["商品知识", "服务政策", "操作指南", "故障排除"]
_DAY = r"^\d{4}-\d{2}-\d{2}$"


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class KnowledgeSearchRequest(_Request):
    """A question to the knowledge base."""

    question: str = Field(min_length=1, max_length=500)
    """As the customer wrote it; typing errors, pinyin and first letters are read."""
    k: int = Field(default=5, ge=1, le=20)
    """Passages wanted at most."""
    kinds: list[Kind] = Field(default_factory=list, max_length=4)
    """Only these kinds; empty: all."""
    products: list[str] = Field(default_factory=list, max_length=20)
    """Products of the conversation; documents of other products are left out. Empty: all."""
    at: str | None = Field(default=None, pattern=_DAY)
    """The day whose knowledge is asked for, such as "2026-11-23"; left out: the shop's today."""


class Citation(_Answer):
    """Where something is written."""

    document: str
    """Id of the document."""
    title: str
    version: str
    section: str
    """Headings as a path."""
    kind: Kind
    valid_from: str | None
    valid_until: str | None
    """Last day on which it may be answered; none: until further notice."""


class CitedPassage(Citation):
    """A passage found."""

    number: int
    """From 1, best first: what drafts cite as [1]."""
    text: str
    score: float
    """0 to 1; comparable between questions."""


class ReadAs(_Answer):
    """A word that was read in another way than it was written."""

    written: str
    read: str


class NotValid(_Answer):
    """A document that speaks of the question but may not be answered on that day; its text is withheld."""

    document: str
    title: str
    valid_from: str | None
    valid_until: str | None
    reason: Literal["expired", "future"]


class KnowledgeSearchResponse(_Answer):
    """What the knowledge base holds on a question."""

    status: Literal["found", "unsure", "none"]
    """`found`: answer from the first passages. `unsure`: ask `clarify` first. `none`: nothing fits; the
    question is on the list of the unanswered."""
    passages: list[CitedPassage]
    """Best first; empty where the status is `none`."""
    clarify: str | None
    """A question to the customer, where the status is `unsure`."""
    readings: list[ReadAs]
    not_valid: list[NotValid]
    at: str
    """The day that was asked for."""
    score: float
    """Of the best passage."""
    threshold: float
    """From which score on a passage counts as found."""


class AnswerRequest(_Request):
    """A question of which a draft answer is wanted."""

    question: str = Field(min_length=1, max_length=500)
    """As the customer wrote it."""
    kinds: list[Kind] = Field(default_factory=list, max_length=4)
    """Only knowledge of these kinds; empty: all."""
    products: list[str] = Field(default_factory=list, max_length=20)
    """Products of the conversation; empty: all."""
    at: str | None = Field(default=None, pattern=_DAY)
    """The day whose knowledge is asked for; left out: the shop's today."""
    k: int = Field(default=4, ge=1, le=8)
    """Passages that the draft may rest on."""
    generate: bool | None = None
    """Ask the configured language model: true or false; left out: if one is configured."""


class AnswerSentence(_Answer):
    """One sentence of the draft."""

    text: str
    start: int
    end: int
    """Its place in the draft's text: `[start:end]`."""
    passages: list[int]
    """Numbers of the citations it rests on; empty: none says so."""
    supported: bool


class AnswerFlag(_Answer):
    """What a person must look at before the draft is sent."""

    kind: Literal[
        "unsupported", "number", "negation", "citation", "hedge", "forbidden", "promise", "pressure"
    ]
    words: str
    start: int
    end: int
    """Their place in the draft's text: `[start:end]`."""
    reason: str
    fix: str


class NumberedCitation(Citation):
    """A source of the draft."""

    number: int
    text: str


class AnswerResponse(_Answer):
    """A cited draft; never sent by itself."""

    status: Literal["found", "unsure", "none"]
    text: str
    """The draft; where nothing was found a sentence that hands the question on."""
    sentences: list[AnswerSentence]
    citations: list[NumberedCitation]
    flags: list[AnswerFlag]
    needs_review: bool
    """A flag stands, or the knowledge base was not sure."""
    clarify: str | None
    source: Literal["extractive", "endpoint", "none"]
    """Who wrote the draft."""
    model: str | None
    """Of the endpoint, where it wrote."""
    note: str
    """Why the draft is not the endpoint's although one was asked; empty otherwise."""
    not_valid: list[NotValid]
    at: str
