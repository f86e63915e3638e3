"""The shop's graph as one object: link, ask, query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

from assist.graph.attribute import look_up
from assist.graph.catalogue import Catalogue, Question, Value
from assist.graph.decide import close
from assist.graph.linking import Linker, fold
from assist.graph.load import load_catalogue
from assist.graph.resolve import Result, resolve
from assist.graph.schema import (
    Answer,
    GraphRequest,
    GraphResponse,
    Mention,
    MissingCase,
    MissingFact,
    QuestionKey,
    Triple,
)  # fmt: skip
from assist.graph.store import GraphStore
from assist.graph.tables import DEMO_SHOP
from assist.graph.understand import asked, facts_said, quantities, wished
from assist.graph.words import answer_text, path_of, question_to_ask

__all__ = ["ShopGraph"]

_MOST_PRODUCTS = 6  # listed one by one where the answer differs between them
_MOST_TOLD = 3  # of these told in full


class ShopGraph:
    """A shop's products, policies and rules, ready to be asked.

    Safe to share between threads: nothing changes after loading. A changed table means a new object.

    Args:
        folder: the tables.
        today: the day for which policies must be valid where a request names none.

    Raises:
        TableError: a table is wrong; names file, line and column.
    """

    def __init__(self, folder: Path | str = DEMO_SHOP, today: Callable[[], date] = date.today) -> None:
        self.catalogue: Catalogue = load_catalogue(folder)
        self.store = GraphStore(self.catalogue)
        self._linker = Linker(self.catalogue.entities, self.catalogue.attributes)
        self._today = today

    @property
    def version(self) -> str:
        """Of the tables."""
        return self.catalogue.version

    def link(self, text: str) -> list[Mention]:
        """Entities that a message names, with spans in the message."""
        return self._linker.link(text)

    def ask(self, request: GraphRequest) -> GraphResponse:
        """Answer a question with the path that says so.

        Raises:
            ValueError: an id, a fact or a date that the graph does not know; names the field.
        """
        self._check(request)
        folded, _ = fold(request.text)
        mentions = self.link(request.text)
        key = request.question or asked(folded, request.category, self.catalogue.questions)
        if key is None and self._asks_attribute(request, folded, mentions):
            key = "attribute"
        if key is None:
            return self._response(None, "unknown", "没有看出要问哪条规则或哪项参数，请换个说法。", mentions)
        question = self.catalogue.questions[key]
        if question.about == "attribute":
            return self._attribute(request, folded, mentions)
        on = date.fromisoformat(request.on) if request.on else self._today()
        if question.about == "coupons":
            return self._coupons(request, folded, mentions, question, on)
        return self._product(request, folded, mentions, question, on)

    def _asks_attribute(self, request: GraphRequest, folded: str, mentions: list[Mention]) -> bool:
        """Whether a message names an attribute, or a product together with a value or a quantity."""
        if request.attribute or any(one.type == "attribute" for one in mentions):
            return True
        rest = _beside(request.text, mentions)
        named = bool(self._targets(request, mentions))
        return named and bool(wished(rest, self.catalogue)[0] or quantities(rest, self.catalogue))

    def _check(self, request: GraphRequest) -> None:
        entities, facts = self.catalogue.entities, self.catalogue.facts
        if request.product and (
            request.product not in entities or entities[request.product].type == "coupon"
        ):
            raise ValueError(f"product: {request.product!r} is no product or kind of this shop")
        for key in request.coupons:
            if key not in entities or entities[key].type != "coupon":
                raise ValueError(f"coupons: {key!r} is no coupon of this shop")
        if request.attribute and request.attribute not in self.catalogue.attributes:
            raise ValueError(f"attribute: {request.attribute!r} is no attribute of this shop")
        if request.question and request.question not in self.catalogue.questions:
            raise ValueError(f"question: {request.question!r} is not in this shop's questions.csv")
        for name, value in request.facts.items():
            if name not in facts:
                raise ValueError(f"facts: {name!r} is unknown; known are {', '.join(facts)}")
            if isinstance(value, bool) != (facts[name].type == "flag"):
                wanted = "true or false" if facts[name].type == "flag" else "a number"
                raise ValueError(f"facts: {name} must be {wanted}")
        if trouble := close(request.facts, self.catalogue.implications)[1]:
            raise ValueError(f"facts: {trouble}; leave out what is not sure")
        if request.on:
            try:
                date.fromisoformat(request.on)
            except ValueError:
                raise ValueError(f"on: {request.on!r} is no day of the calendar") from None

    def _targets(self, request: GraphRequest, mentions: list[Mention]) -> list[str]:
        """What is asked about: products and kinds of the message, else of the latest earlier one with any.

        A kind above a product that is named as well adds nothing.
        """
        if request.product:
            return [request.product]
        products = [one.id for one in mentions if one.type == "product"]
        above = {key for one in products for key in self.catalogue.ancestors(one)}
        kinds = [one.id for one in mentions if one.type == "kind" and one.id not in above]
        if products or kinds:
            return list(dict.fromkeys([*products, *kinds]))
        for position in range(len(request.earlier) - 1, -1, -1):
            before = GraphRequest(text=request.earlier[position])
            if targets := self._targets(before, self.link(before.text)):
                return targets
        return []

    def _facts(self, request: GraphRequest, folded: str, question: Question, entity: str) -> dict[str, Value]:
        """What is known: what the graph says of the entity, what was given, what the message says."""
        rules = [rule for rule in self.catalogue.rules.values() if rule.question == question.key]
        named = {condition.fact for rule in rules for condition in rule.conditions}
        told: dict[str, Value] = {}
        for text in (*(fold(one)[0] for one in request.earlier), folded):
            told |= facts_said(text, self.catalogue.facts, named)  # the latest word counts
        said = {key: value for key, value in told.items() if key not in request.facts}
        sure: dict[str, Value] = dict(request.facts)
        for above in sorted(self.catalogue.ancestors(entity)):
            for condition in self.catalogue.entities[above].sets:
                sure[condition.fact] = condition.value
        if close({**said, **sure}, self.catalogue.implications)[1]:
            # A message that contradicts itself ("没拆，拆了能退吗") says nothing of what it contradicts.
            implied = {c.fact for pair in self.catalogue.implications for c in pair}
            said = {key: value for key, value in said.items() if key not in implied}
        return {**said, **sure}

    def _product(
        self, request: GraphRequest, folded: str, mentions: list[Mention], question: Question, on: date
    ) -> GraphResponse:  # fmt: skip
        targets = self._targets(request, mentions)
        if not targets:
            roots = [e.id for e in self.catalogue.entities.values() if e.type == "kind" and not e.parents]
            result = self._resolve(request, folded, question, roots[0], on) if roots else None
            if result is None:
                return self._response(question.key, "unknown", "请问是哪件商品？", mentions)
            ask = MissingFact(key="product", ask="是哪件商品", cases=[])
            text = f"一般商品：{answer_text(result, self.catalogue, question)}"
            return self._of(result, question, mentions, "depends", [ask, *result.missing], text)
        results = [self._of_kind(request, folded, question, target, on) for target in targets]
        flat = [one for group in results for one in group]
        if len({one.signature for one in flat}) == 1 or len(flat) == 1:
            whole = flat[0]
            return self._of(whole, question, mentions, whole.answer, list(whole.missing),
                            answer_text(whole, self.catalogue, question))  # fmt: skip
        return self._several(flat, question, mentions)

    def _of_kind(
        self, request: GraphRequest, folded: str, question: Question, target: str, on: date
    ) -> list[Result]:
        """One result where all products of a kind agree, else one for each product."""
        own = self._resolve(request, folded, question, target, on)
        below = [
            self._resolve(request, folded, question, product, on)
            for product in self.store.products_below(target)
        ]
        return [own] if all(one.signature == own.signature for one in below) else below

    def _resolve(
        self, request: GraphRequest, folded: str, question: Question, entity: str, on: date
    ) -> Result:
        facts = self._facts(request, folded, question, entity)
        return resolve(self.store, self.catalogue, question, entity, "", facts, on)

    def _several(self, results: list[Result], question: Question, mentions: list[Mention]) -> GraphResponse:
        cases = [
            MissingCase(when=self.catalogue.entities[one.entity].zh, answer=one.answer)
            for one in results[:_MOST_PRODUCTS]
        ]
        told = "".join(answer_text(one, self.catalogue, question) for one in results[:_MOST_TOLD])
        answers = {one.answer for one in results}
        answer: Answer = answers.pop() if len(answers) == 1 else "depends"
        missing = [MissingFact(key="product", ask="是哪件商品", cases=cases)]
        for one in results if answer == "depends" else ():
            missing += [fact for fact in one.missing if fact.key not in {m.key for m in missing}]
        path: list[Triple] = []
        for one in results[:_MOST_PRODUCTS]:
            path += [step for step in path_of(one, self.catalogue, question, self.store) if step not in path]
        return GraphResponse(
            question=_key(question), answer=answer, text=told + question_to_ask(missing), value="",
            missing=missing, assumed=[], known=dict(results[0].known), mentions=mentions, path=path,
            rules=list(dict.fromkeys(rule.id for one in results for rule in one.deciding)),
            clash=any(one.clash for one in results), version=self.version,
        )  # fmt: skip

    def _coupons(
        self, request: GraphRequest, folded: str, mentions: list[Mention], question: Question, on: date
    ) -> GraphResponse:  # fmt: skip
        coupons = list(request.coupons) or [one.id for one in mentions if one.type == "coupon"]
        # "券" beside a coupon's name is the same thing; twice the same name means two of them.
        named = [key for key in coupons if self.catalogue.entities[key].parents] or coupons
        if len(named) == 1 and any(word in folded for word in ("两张", "2张", "多张", "几张", "俩")):
            named = named * 2
        if len(named) != 2:
            ask = MissingFact(key="coupons", ask="是哪两张券", cases=[])
            return self._response(
                question.key, "depends", "能不能一起用要看是哪两张券。请问是哪两张券？", mentions, [ask]
            )
        facts = self._facts(request, folded, question, named[0])
        result = resolve(self.store, self.catalogue, question, named[0], named[1], facts, on)
        return self._of(result, question, mentions, result.answer, list(result.missing),
                        answer_text(result, self.catalogue, question))  # fmt: skip

    def _attribute(self, request: GraphRequest, folded: str, mentions: list[Mention]) -> GraphResponse:
        catalogue = self.catalogue
        keys = [request.attribute] if request.attribute else [m.id for m in mentions if m.type == "attribute"]
        rest = _beside(request.text, mentions)
        found_key, found_value = wished(request.wanted or rest, catalogue, keys)
        amounts = quantities(request.wanted or rest, catalogue)
        targets = self._targets(request, mentions)
        products = list(dict.fromkeys(
            product for target in targets for product in (self.store.products_below(target) or [target])
            if catalogue.entities[product].type == "product"
        ))  # fmt: skip
        # Of several attributes that the words may mean, the one that the product has.
        candidates = [key for key in dict.fromkeys([found_key, *keys, *({} if keys else amounts)]) if key]
        has = [key for key in candidates if any(key in catalogue.values.get(p, {}) for p in products)]
        attribute = (has or candidates or [""])[0]
        missing = []
        if not attribute:
            missing.append(MissingFact(key="attribute", ask="想了解哪项参数", cases=[]))
        if not products:
            missing.append(MissingFact(key="product", ask="是哪件商品", cases=[]))
        if missing:
            text = f"请问{'，'.join(one.ask for one in missing)}？"
            return self._response("attribute", "depends", text, mentions, missing)
        number = amounts.get(attribute)
        is_set = catalogue.attributes[attribute].type == "set"
        wanted = (request.wanted or (found_value if found_key == attribute else "")) if is_set else ""
        answers = [look_up(catalogue, product, attribute, wanted, number) for product in products]
        if len({(one.answer, one.value) for one in answers}) == 1:
            one = answers[0]
            text = one.text if len(answers) == 1 else f"这几款都一样，例如{one.text}"
            path = [step for each in answers for step in each.path]
            return self._response("attribute", one.answer, text, mentions, [], one.value, path)
        cases = [
            MissingCase(when=catalogue.entities[product].zh, answer=one.answer)
            for product, one in zip(products, answers, strict=True)
        ]
        # Where only the value was asked for, "yes" of each is no answer: the values differ.
        asked_whether = bool(wanted) or number is not None or catalogue.attributes[attribute].type == "flag"
        same = asked_whether and len({one.answer for one in answers}) == 1
        text = "".join(one.text for one in answers[:_MOST_TOLD]) + ("" if same else "请问是哪件商品？")
        return self._response(
            "attribute", answers[0].answer if same else "depends", text, mentions,
            [MissingFact(key="product", ask="是哪件商品", cases=cases)],
            "；".join(one.value for one in answers if one.value),
            [step for one in answers for step in one.path],
        )  # fmt: skip

    def _of(
        self, result: Result, question: Question, mentions: list[Mention], answer: Answer,
        missing: list[MissingFact], text: str,
    ) -> GraphResponse:  # fmt: skip
        outcome = answer in ("yes", "depends")
        value = next((rule.value for rule in result.deciding if rule.outcome == outcome and rule.value), "")
        return GraphResponse(
            question=_key(question), answer=answer, text=text + question_to_ask(missing), value=value,
            missing=missing, assumed=[fact.value_zh(bool(fact.assume)) for fact in result.assumed],
            known=dict(result.known), mentions=mentions,
            path=path_of(result, self.catalogue, question, self.store),
            rules=[rule.id for rule in result.deciding], clash=result.clash, version=self.version,
        )  # fmt: skip

    def _response(
        self, question: str | None, answer: Answer, text: str, mentions: list[Mention],
        missing: list[MissingFact] | None = None, value: str = "", path: list[Triple] | None = None,
    ) -> GraphResponse:  # fmt: skip
        known: Mapping[str, bool | float] = {}
        return GraphResponse(
            question=_key(self.catalogue.questions[question]) if question else None, answer=answer, text=text,
            value=value, missing=missing or [], assumed=[], known=dict(known), mentions=mentions,
            path=path or [], rules=[], clash=False, version=self.version,
        )  # fmt: skip


def _beside(text: str, mentions: list[Mention]) -> str:
    """The folded message without the names of entities: 热水 in 电热水壶 is no wish."""
    characters = list(text)
    for one in mentions:
        if one.type != "attribute":
            characters[one.start : one.end] = " " * (one.end - one.start)
    return fold("".join(characters))[0]


def _key(question: Question) -> QuestionKey:
    return question.key  # type: ignore[return-value]  # the loader lets no other key in
