"""Which agent takes a chat: properties that no desk may lose, and the reasons."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assist.routing.desk import Desk
from assist.routing.route import route
from assist.routing.rules import load_rules
from assist.routing.schema import AgentState, QueuedChat, RouteRequest

RULES = load_rules()
GROUPS = sorted({category.group for category in RULES.taxonomy.categories})
CATEGORIES = sorted(RULES.taxonomy.category)
STRATEGIES = ("saturation", "in_turn", "seniority")


def agent(key, skills=("logistics",), **fields):
    return AgentState.model_validate({"id": key, "skills": list(skills), **fields})


def asks(category="logistics_query", **fields):
    return RouteRequest.model_validate({"category": category, **fields})


@st.composite
def desks(draw):
    found = []
    for number in range(draw(st.integers(0, 6))):
        found.append(
            agent(
                f"kefu-{number}",
                draw(st.lists(st.sampled_from(GROUPS), max_size=4, unique=True)),
                status=draw(st.sampled_from(["online", "online", "away", "offline"])),
                load=draw(st.integers(0, 6)),
                capacity=draw(st.integers(0, 6)),
                seniority=draw(st.integers(0, 3)),
                rating=draw(st.sampled_from([0.0, 0.5, 0.9])),
                last_given=draw(st.none() | st.integers(0, 5)),
            )
        )
    return found


requests = st.builds(
    asks,
    st.sampled_from(CATEGORIES),
    abstain=st.booleans(),
    alert=st.integers(0, 3),
    waiting_seconds=st.sampled_from([0.0, 20.0, 299.0, 300.0, 4000.0]),
    customer_value=st.integers(1, 5),
    previous_agent=st.none() | st.sampled_from(["kefu-0", "kefu-1", "kefu-9"]),
    strategy=st.none() | st.sampled_from(STRATEGIES),
    queue=st.lists(
        st.builds(
            QueuedChat,
            id=st.uuids().map(str),
            group=st.sampled_from(GROUPS),
            priority=st.sampled_from([0.0, 15.0, 40.0, 90.0]),
            waiting_seconds=st.sampled_from([0.0, 10.0, 500.0]),
        ),
        max_size=5,
    ),
)


@settings(max_examples=40, deadline=None)
@given(requests, desks())
def test_nobody_is_given_more_than_they_can_hold(request, agents):
    by_id = {one.id: one for one in agents}
    decision = route(request, agents, RULES)
    for key in decision.candidates:
        assert by_id[key].status == "online"
        assert by_id[key].load < by_id[key].capacity


@settings(max_examples=40, deadline=None)
@given(requests, desks())
def test_outside_the_skill_group_only_where_escalation_says_so(request, agents):
    by_id = {one.id: one for one in agents}
    decision = route(request, agents, RULES)
    group = "general" if request.abstain else RULES.taxonomy.category[request.category].group
    assert decision.group == group
    for key in decision.candidates:
        if group in by_id[key].skills:
            continue
        assert decision.escalated
        opened = set()
        if request.alert >= RULES.escalation.alert:
            opened |= set(RULES.escalation.groups)
        if request.waiting_seconds >= RULES.escalation.overflow_after:
            opened |= set(RULES.escalation.overflow.get(group, ()))
        assert opened & set(by_id[key].skills)


@settings(max_examples=40, deadline=None)
@given(requests, desks())
def test_a_free_agent_of_the_group_is_found_and_only_else_there_is_a_queue(request, agents):
    decision = route(request, agents, RULES)
    free = [
        one for one in agents
        if one.status == "online" and one.load < one.capacity and decision.group in one.skills
    ]  # fmt: skip
    assert (decision.agent is None) == (decision.queue_position is not None)
    if free:
        assert decision.agent is not None
    if decision.agent is None:
        assert 1 <= decision.queue_position <= len(request.queue) + 1
        assert "排队" in decision.reasons[-1]


@settings(max_examples=40, deadline=None)
@given(requests, desks(), st.integers(0, 2))
def test_a_higher_alert_never_waits_longer(request, agents, level):
    lower = request.model_copy(update={"alert": level})
    higher = request.model_copy(update={"alert": level + 1})
    one, other = route(lower, agents, RULES), route(higher, agents, RULES)
    assert other.priority.points > one.priority.points
    if one.agent is not None:
        assert other.agent is not None
    elif other.agent is None:
        assert other.queue_position <= one.queue_position


@settings(max_examples=40, deadline=None)
@given(requests, desks(), st.floats(0, 10_000), st.integers(1, 5))
def test_priority_grows_with_waiting_and_value_and_stays_within_100(request, agents, more, value):
    decision = route(request, agents, RULES)
    longer = request.model_copy(update={"waiting_seconds": request.waiting_seconds + more})
    assert route(longer, agents, RULES).priority.points >= decision.priority.points
    dearer = request.model_copy(update={"customer_value": max(value, request.customer_value)})
    assert decision.priority.points <= route(dearer, agents, RULES).priority.points <= 100


@settings(max_examples=40, deadline=None)
@given(requests, desks(), st.randoms(use_true_random=False))
def test_the_decision_is_a_function_of_the_states_whatever_their_order(request, agents, random):
    shuffled, queue = list(agents), list(request.queue)
    random.shuffle(shuffled)
    random.shuffle(queue)
    again = route(request.model_copy(update={"queue": queue}), shuffled, RULES)
    assert again == route(request, agents, RULES)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(5, 40))
def test_in_turn_is_fair(count, chats):
    """Equal agents: after any number of chats nobody has got more than one chat more than another."""
    agents = [agent(f"kefu-{number}", capacity=1000) for number in range(count)]
    given_to = Counter()
    for clock in range(chats):
        chosen = route(asks(strategy="in_turn"), agents, RULES).agent
        given_to[chosen] += 1
        agents = [
            one.model_copy(update={"last_given": clock, "load": one.load + 1}) if one.id == chosen else one
            for one in agents
        ]
        told = [given_to[one.id] for one in agents]
        assert max(told) - min(told) <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 8), min_size=2, max_size=5), st.integers(1, 30))
def test_by_saturation_shares_stay_even(capacities, chats):
    agents = [agent(f"kefu-{n}", capacity=capacity) for n, capacity in enumerate(capacities)]
    for _ in range(min(chats, sum(capacities))):
        decision = route(asks(strategy="saturation"), agents, RULES)
        chosen = next(one for one in agents if one.id == decision.agent)
        least = min(one.load / one.capacity for one in agents)
        assert chosen.load / chosen.capacity == least
        agents = [one.model_copy(update={"load": one.load + 1}) if one is chosen else one for one in agents]


def test_seniority_then_rating_then_load():
    agents = [
        agent("junior", seniority=1, rating=1.0),
        agent("senior-busy", seniority=9, rating=0.9, load=4),
        agent("senior-free", seniority=9, rating=0.9),
        agent("senior-worse", seniority=9, rating=0.5),
    ]
    decision = route(asks(strategy="seniority"), agents, RULES)
    assert decision.candidates == ["senior-free", "senior-busy", "senior-worse", "junior"]
    assert "选资历最深的客服" in decision.reasons


def test_a_red_alert_may_go_to_the_complaint_group_and_says_why():
    agents = [agent("new", seniority=1), agent("lead", ["complaint"], seniority=9)]
    assert route(asks(alert=2), agents, RULES).candidates == ["new"]
    decision = route(asks(alert=3), agents, RULES)
    assert (decision.agent, decision.escalated, decision.strategy) == ("lead", True, "seniority")
    assert "预警3级，投诉建议组也可以接" in decision.reasons
    assert any("支援" in reason for reason in decision.reasons)


def test_a_long_wait_looks_next_door_only_when_the_own_group_is_full():
    agents = [agent("own", load=4), agent("beside", ["order"])]
    waited = asks(waiting_seconds=400)
    assert route(waited, agents, RULES).candidates == ["own"]
    full = [agent("own", load=5), agent("beside", ["order"])]
    assert route(asks(waiting_seconds=200), full, RULES).agent is None
    assert route(waited, full, RULES).agent == "beside"


def test_a_customer_returns_to_the_agent_who_knows_the_matter_but_not_to_complain_of_them():
    agents = [agent("a", ["logistics", "complaint"]), agent("b", ["logistics", "complaint"], load=3)]
    decision = route(asks(previous_agent="b"), agents, RULES)
    assert decision.candidates == ["b", "a"]
    assert "b之前接待过，了解情况" in decision.reasons
    complaint = route(asks("service_complaint", previous_agent="a"), agents, RULES)
    assert complaint.agent == "b"
    assert "客户在投诉，不再分给a" in complaint.reasons


def test_the_queue_puts_the_urgent_and_the_patient_first():
    queue = [
        QueuedChat(id="calm", group="logistics", priority=0, waiting_seconds=5),
        QueuedChat(id="red", group="logistics", priority=60, waiting_seconds=5),
        QueuedChat(id="other", group="presale", priority=90, waiting_seconds=900),
        QueuedChat(id="me", group="logistics", priority=90, waiting_seconds=900),
    ]
    decision = route(asks(id="me", alert=1, queue=[one.model_dump() for one in queue]), [], RULES)
    assert decision.queue_position == 2
    assert "没有物流组的客服" in decision.reasons[-1]
    away = route(asks(), [agent("a", status="away")], RULES)
    assert "没有客服在线" in away.reasons[-1]
    full = route(asks(), [agent("a", load=5)], RULES)
    assert "满负荷" in full.reasons[-1]


def test_an_unsure_category_goes_to_the_general_group():
    agents = [agent("l"), agent("g", ["general"])]
    decision = route(asks(abstain=True), agents, RULES)
    assert (decision.agent, decision.group_zh) == ("g", "通用")


def test_strategies_come_from_the_file_by_group():
    assert route(asks("dispute_escalation"), [], RULES).strategy == "seniority"
    assert route(asks("greeting"), [], RULES).strategy == "in_turn"
    assert route(asks(), [], RULES).strategy == "saturation"


def test_bad_input_names_the_field():
    with pytest.raises(ValueError, match="category: 'weather'"):
        route(asks("weather"), [], RULES)
    with pytest.raises(ValueError, match="agents: two"):
        Desk().route(asks(), [agent("a"), agent("a")])
