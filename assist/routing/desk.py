"""Routing and triage as one object, with a checked file of rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assist.reading import Embed, Reading
from assist.routing.grouping import group_messages
from assist.routing.handover import hand_over
from assist.routing.meaning import SignalSense
from assist.routing.route import route
from assist.routing.rules import DEFAULT_PATH, RoutingRules, load_rules
from assist.routing.schema import (
    AgentState,
    GroupRequest,
    GroupResponse,
    Handover,
    HandoverRequest,
    RouteDecision,
    RouteRequest,
    SignalRequest,
    SignalResponse,
)
from assist.routing.signals import find_signals
from data.taxonomy import Taxonomy

__all__ = ["Desk"]


class Desk:
    """What the desk asks of routing. Holds rules and no state: safe to share between threads.

    Args:
        path: the routing file.
        taxonomy: the label schema; the embedded one when None.
        sense: finds signals by meaning as well; None leaves them to wording.

    Raises:
        RoutingError: the file is wrong; names file and field.
    """

    def __init__(
        self,
        path: Path | str = DEFAULT_PATH,
        taxonomy: Taxonomy | None = None,
        sense: SignalSense | None = None,
    ) -> None:
        self.rules: RoutingRules = load_rules(path, taxonomy)
        self._sense = sense

    def route(self, request: RouteRequest, agents: Sequence[AgentState]) -> RouteDecision:
        """Which agent takes a chat, or its place in the queue.

        Raises:
            ValueError: an unknown category, or two agents of one id; names the field.
        """
        return route(request, agents, self.rules)

    def handover(self, request: HandoverRequest) -> Handover:
        """The background that goes with a chat.

        Raises:
            ValueError: an unknown category or emotion; names the field.
        """
        return hand_over(request, self.rules.taxonomy)

    def signals(
        self, request: SignalRequest, vectors: Mapping[int, NDArray[np.float32]] | None = None
    ) -> SignalResponse:
        """Flooding, harassment and signs of fraud, each with the words that it rests on.

        Args:
            vectors: unit vectors of customer turns by their position, as far as they are known; with them
                and a `sense`, messages near to known examples are hinted at (level 1) in whatever words.

        Raises:
            ValueError: a vector for a turn that is not there or not the customer's.
        """
        found = find_signals(request.turns, self.rules)
        if self._sense is None or not vectors:
            return found
        for index in vectors:
            if not 0 <= index < len(request.turns) or request.turns[index].role != "customer":
                raise ValueError(f"vectors: {index} is no turn of the customer")
        near = self._sense.judge(
            [(index, request.turns[index].text, vector) for index, vector in sorted(vectors.items())]
        )
        known = {signal.kind for signal in found.signals}
        signals = [*found.signals, *(signal for signal in near if signal.kind not in known)]
        level = max((signal.level for signal in signals), default=0)
        return SignalResponse(level=level, signals=signals, version=found.version)

    def group(
        self,
        request: GroupRequest,
        readings: Sequence[Reading | None] | None = None,
        embed: Embed | None = None,
    ) -> GroupResponse:
        """Open messages that ask the same, each group with a place for one suggested answer.

        Args:
            readings: what the champions say of each message, in their order; None where there are none.
            embed: computes the vectors that readings lack.

        Raises:
            ValueError: not one reading for each message.
        """
        rule = self.rules.grouping
        if request.threshold is not None:
            rule = replace(rule, threshold=request.threshold)
        told = readings if readings is not None else [None] * len(request.messages)
        groups = group_messages(request.messages, told, embed, rule)
        batch = sum(len(group.messages) for group in groups if len(group.messages) > 1)
        return GroupResponse(groups=groups, batch=batch, version=self.rules.version)
