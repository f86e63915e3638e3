"""A cited draft of an answer, with everything flagged that a person must look at before it is sent.

Extractive by default: sentences of the passages, in their words. Through a language model where one is
configured; its draft passes the same guards, and where it fails, is late or writes nonsense, the extractive
draft takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assist.knowledge.base import KnowledgeBase
from assist.knowledge.endpoint import Endpoint, EndpointError, Written
from assist.knowledge.extract import extract
from assist.knowledge.schema import (
    AnswerFlag,
    AnswerRequest,
    AnswerResponse,
    AnswerSentence,
    CitedPassage,
    KnowledgeSearchRequest,
    KnowledgeSearchResponse,
    NumberedCitation,
)
from assist.knowledge.support import check_sentence
from assist.wording import find_wording

__all__ = ["NOTHING_FOUND", "Drafter"]

NOTHING_FOUND = "这个问题我先帮您核实，查清楚以后回复您。"
"""The draft where the knowledge base holds nothing."""
_ENDINGS = "。！？!?…~"


class Drafter:
    """Drafts over a knowledge base; safe for threads.

    Args:
        base: where to look.
        endpoint: a language model; None: drafts are extractive; by default what the environment names
            (KEFU_LLM_URL, KEFU_LLM_MODEL, KEFU_LLM_KEY, KEFU_LLM_SECONDS).

    Raises:
        ValueError: the environment names an endpoint wrongly.
    """

    def __init__(
        self, base: KnowledgeBase, endpoint: Endpoint | Literal["environment"] | None = "environment"
    ) -> None:
        self._base = base
        self._endpoint = Endpoint.from_environment() if endpoint == "environment" else endpoint

    def answer(self, request: AnswerRequest, embedding: NDArray[np.float32] | None = None) -> AnswerResponse:
        """Draft an answer.

        Args:
            request: the question.
            embedding: unit vector of the question from the base's encoder, if the caller has it.

        Raises:
            ValueError: a field is wrong, or `generate` asks for a model that is not configured.
            KnowledgeStoreError: the store cannot be used.
        """
        if request.generate and self._endpoint is None:
            raise ValueError(
                "generate: no language model is configured; set KEFU_LLM_URL and KEFU_LLM_MODEL, or omit it"
            )
        found = self._base.search(
            KnowledgeSearchRequest(
                question=request.question,
                k=request.k,
                kinds=request.kinds,
                products=request.products,
                at=request.at,
            ),
            embedding,
        )
        if found.status == "none" or not found.passages:
            return self._nothing(found)
        note, written, source, model = "", None, "extractive", None
        if self._endpoint is not None and request.generate is not False:
            try:
                written = self._generated(request.question, found.passages)
                source, model = "endpoint", self._endpoint.model
            except EndpointError as error:
                note = f"{error}，这是从资料里摘出的草稿"
        if written is None:
            written = extract(request.question, found.passages, self._base.index())
        response = self._checked(written, found, source, model, note)  # type: ignore[arg-type]
        self._base.count_answered(response)
        return response

    def _generated(self, question: str, passages: Sequence[CitedPassage]) -> list[Written]:
        assert self._endpoint is not None
        written = self._endpoint.draft(question, [(one.section, one.text) for one in passages])
        if not written:
            raise EndpointError("模型认为资料不能回答这个问题")
        if all(
            any(problem.kind == "unsupported" for problem in self._problems(sentence, passages))
            for sentence in written
        ):
            raise EndpointError("模型写的内容在资料里都没有依据")
        return written

    def _problems(self, sentence: Written, passages: Sequence[CitedPassage]) -> list[AnswerFlag]:
        cited = [passages[n - 1] for n in sentence.passages if 1 <= n <= len(passages)]
        texts = [f"{one.title} {one.section}\n{one.text}" for one in cited]
        flags = [
            AnswerFlag(
                kind=problem.kind,
                words=problem.words,
                start=problem.start,
                end=problem.end,
                reason=problem.reason,
                fix=problem.fix,
            )
            for problem in check_sentence(sentence.text, texts, self._base.synonyms)
        ]
        if len(cited) < len(sentence.passages):
            flags.append(
                AnswerFlag(
                    kind="citation",
                    words=sentence.text,
                    start=0,
                    end=len(sentence.text),
                    reason="引用了不存在的资料编号",
                    fix="核对这句话的依据",
                )
            )
        return flags

    def _checked(
        self,
        written: Sequence[Written],
        found: KnowledgeSearchResponse,
        source: Literal["extractive", "endpoint"],
        model: str | None,
        note: str,
    ) -> AnswerResponse:
        text = ""
        sentences: list[AnswerSentence] = []
        flags: list[AnswerFlag] = []
        for one in written:
            start = len(text)
            shown = one.text if one.text[-1] in _ENDINGS else one.text + "。"
            problems = self._problems(one, found.passages)
            flags += [
                flag.model_copy(update={"start": start + flag.start, "end": start + flag.end})
                for flag in problems
            ]
            text += shown
            sentences.append(
                AnswerSentence(
                    text=shown,
                    start=start,
                    end=len(text),
                    passages=sorted({n for n in one.passages if 1 <= n <= len(found.passages)}),
                    supported=not problems,
                )
            )
        flags += [
            AnswerFlag(
                kind=finding.kind,  # type: ignore[arg-type]
                words=finding.words,
                start=finding.start,
                end=finding.end,
                reason=finding.reason,
                fix=finding.fix,
            )
            for finding in find_wording(text)
        ]
        used = {number for sentence in sentences for number in sentence.passages}
        return AnswerResponse(
            status=found.status,
            text=text,
            sentences=sentences,
            citations=[
                NumberedCitation(**one.model_dump(exclude={"score"}))
                for one in found.passages
                if one.number in used
            ],
            flags=sorted(flags, key=lambda flag: (flag.start, flag.end)),
            needs_review=bool(flags) or found.status != "found",
            clarify=found.clarify,
            source=source,
            model=model,
            note=note,
            not_valid=found.not_valid,
            at=found.at,
        )

    def _nothing(self, found: KnowledgeSearchResponse) -> AnswerResponse:
        ended = found.not_valid[0] if found.not_valid else None
        text = NOTHING_FOUND
        if ended is not None and ended.reason == "expired":
            text = f"「{ended.title}」到{ended.valid_until}已经结束。"
        elif ended is not None:
            text = f"「{ended.title}」{ended.valid_from}开始，现在还没有生效。"
        return AnswerResponse(
            status="none",
            text=text,
            sentences=[],
            citations=[],
            flags=[],
            needs_review=True,
            clarify=None,
            source="none",
            model=None,
            note="知识库里没有能回答的内容",
            not_valid=found.not_valid,
            at=found.at,
        )
