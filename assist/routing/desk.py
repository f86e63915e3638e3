"""Routing and triage as one object, with a checked file of rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from assist.reading import Embed, Reading
from assist.routing.grouping import group_messages
from assist.routing.handover import hand_over
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

    Raises:
        RoutingError: the file is wrong; names file and field.
    """

    def __init__(self, path: Path | str = DEFAULT_PATH, taxonomy: Taxonomy | None = None) -> None:
        self.rules: RoutingRules = load_rules(path, taxonomy)

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

    def signals(self, request: SignalRequest) -> SignalResponse:
        """Flooding, harassment and signs of fraud, each with the words that it rests on."""
        return find_signals(request.turns, self.rules)

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
