"""Which agent takes a chat: a pure function of the chat, the agents' states and the rules."""

from __future__ import annotations

from collections.abc import Sequence

from assist.routing.handover import hand_over
from assist.routing.rules import PriorityRule, RoutingRules
from assist.routing.schema import (
    AgentState,
    HandoverRequest,
    Priority,
    QueuedChat,
    RouteDecision,
    RouteRequest,
    Strategy,
)
from data.taxonomy import group_name

__all__ = ["priority_of", "route"]

_GENERAL = "general"
_STRATEGY_ZH = {
    "saturation": "选负荷比例最低的客服",
    "in_turn": "轮流，选最久没有接新会话的客服",
    "seniority": "选资历最深的客服",
}


def route(request: RouteRequest, agents: Sequence[AgentState], rules: RoutingRules) -> RouteDecision:
    """Choose an agent for a chat, or its place in the queue.

    The same arguments give the same decision, whatever the order of agents and queue.

    Args:
        agents: all agents of the desk, also those who are away.

    Raises:
        ValueError: an unknown category or two agents of one id; names the field.
    """
    category = rules.taxonomy.category.get(request.category)
    if category is None:
        raise ValueError(f"category: {request.category!r} is no category of the label schema")
    by_id = {agent.id: agent for agent in agents}
    if len(by_id) < len(agents):
        raise ValueError("agents: two have the same id; give each account once")
    group = _GENERAL if request.abstain else category.group
    reasons = [
        "类别不确定，先由通用组接待" if request.abstain else f"“{category.zh}”由{group_name(group)}组处理"
    ]
    priority = priority_of(request, rules.priority)
    reasons.append(_priority_zh(priority, request))
    allowed, strategy, escalated = _allowed(request, group, rules, reasons)
    free = [agent for agent in agents if agent.status == "online" and agent.load < agent.capacity]
    within = [agent for agent in free if group in agent.skills]
    beside = [agent for agent in free if group not in agent.skills and set(agent.skills) & allowed]
    red = request.alert >= rules.escalation.alert
    # A red alert goes to the best of both; a long wait looks outside only when the group has nobody free.
    pool = within + beside if red else within or beside
    ranked = sorted(pool, key=lambda agent: _rank(agent, strategy))
    ranked = _returning(request, ranked, rules, reasons)
    queue_position = None
    if ranked:
        if not (request.previous_agent and ranked[0].id == request.previous_agent):
            reasons.append(_STRATEGY_ZH[strategy])
        if group not in ranked[0].skills:
            why = "红色预警" if within else f"{group_name(group)}组暂无空闲客服"
            reasons.append(f"{why}，由{ranked[0].id}支援")
    else:
        queue_position = _position(request, group, priority.points, request.queue)
        reasons.append(f"{_nobody_zh(group, agents)}，排队第{queue_position}位")
    return RouteDecision(
        agent=ranked[0].id if ranked else None, group=group, group_zh=group_name(group), strategy=strategy,
        priority=priority, escalated=escalated, queue_position=queue_position,
        candidates=[agent.id for agent in ranked], reasons=reasons,
        handover=hand_over(
            HandoverRequest(turns=request.turns, category=request.category, alert=request.alert,
                            from_agent=request.previous_agent),
            rules.taxonomy,
        ) if request.turns else None,
        version=rules.version,
    )  # fmt: skip


def priority_of(request: RouteRequest, rule: PriorityRule) -> Priority:
    """Points of urgency: alert, waiting time up to a limit, customer value."""
    alert = rule.alert[request.alert]
    waiting = rule.waiting_points * min(1.0, request.waiting_seconds / rule.full_after)
    value = rule.customer_value[request.customer_value - 1]
    return Priority(points=alert + waiting + value, alert=alert, waiting=waiting, customer_value=value)


def _priority_zh(priority: Priority, request: RouteRequest) -> str:
    parts = [f"预警{request.alert}级{priority.alert:g}分"] if priority.alert else []
    if priority.waiting:
        parts.append(f"等待{request.waiting_seconds:g}秒{priority.waiting:.0f}分")
    if priority.customer_value:
        parts.append(f"客户价值{request.customer_value}级{priority.customer_value:g}分")
    return f"优先级{priority.points:.0f}分" + (f"（{'，'.join(parts)}）" if parts else "")


def _allowed(
    request: RouteRequest, group: str, rules: RoutingRules, reasons: list[str]
) -> tuple[set[str], Strategy, bool]:
    """Skill groups beside the chat's own, the strategy, and whether escalation opened them."""
    strategy = request.strategy or rules.strategies.get(group, rules.strategy)
    allowed: set[str] = set()
    if request.alert >= rules.escalation.alert:
        allowed |= set(rules.escalation.groups)
        strategy = request.strategy or rules.escalation.strategy
        names = "、".join(group_name(one) for one in rules.escalation.groups)
        reasons.append(f"预警{request.alert}级，{names}组也可以接")
    if request.waiting_seconds >= rules.escalation.overflow_after and group in rules.escalation.overflow:
        beside = rules.escalation.overflow[group]
        allowed |= set(beside)
        reasons.append(
            f"等待超过{rules.escalation.overflow_after:g}秒，{'、'.join(map(group_name, beside))}组可以支援"
        )
    return allowed - {group}, strategy, bool(allowed - {group})


def _rank(agent: AgentState, strategy: Strategy) -> tuple[float | int | str, ...]:
    """Sorts best first; every strategy ends in the others' measures and the id, so that no tie is left."""
    saturation = agent.load / agent.capacity
    turn = -1 if agent.last_given is None else agent.last_given
    if strategy == "in_turn":
        return turn, saturation, agent.id
    if strategy == "seniority":
        return -agent.seniority, -agent.rating, saturation, turn, agent.id
    return saturation, turn, agent.id


def _returning(
    request: RouteRequest, ranked: list[AgentState], rules: RoutingRules, reasons: list[str]
) -> list[AgentState]:
    if not request.previous_agent or not rules.return_to_agent:
        return ranked
    if request.category in rules.not_return_when:
        others = [agent for agent in ranked if agent.id != request.previous_agent]
        if others and len(others) < len(ranked):
            reasons.append(f"客户在投诉，不再分给{request.previous_agent}")
            return [*others, *(agent for agent in ranked if agent.id == request.previous_agent)]
        return ranked
    if request.alert >= rules.escalation.alert:
        return ranked
    known = [agent for agent in ranked if agent.id == request.previous_agent]
    if known:
        reasons.append(f"{request.previous_agent}之前接待过，了解情况")
    return known + [agent for agent in ranked if agent.id != request.previous_agent]


def _position(request: RouteRequest, group: str, points: float, queue: Sequence[QueuedChat]) -> int:
    """Behind the chats of the group that are more urgent, or as urgent and waiting as long or longer."""
    return 1 + sum(
        chat.group == group
        and chat.id != request.id
        and (chat.priority, chat.waiting_seconds) >= (points, request.waiting_seconds)
        for chat in queue
    )


def _nobody_zh(group: str, agents: Sequence[AgentState]) -> str:
    skilled = [agent for agent in agents if group in agent.skills]
    if not skilled:
        return f"没有{group_name(group)}组的客服"
    if not any(agent.status == "online" for agent in skilled):
        return f"{group_name(group)}组没有客服在线"
    return f"{group_name(group)}组客服都已满负荷"
