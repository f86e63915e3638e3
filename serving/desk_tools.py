"""The tools that help to answer: replies, knowledge, the shop's rules, inspection and routing.

Part of `serving.tools.TOOLS`. Descriptions say when to use a tool and how to read its answer.
"""

from __future__ import annotations

from assist.graph.schema import GraphRequest, GraphResponse
from assist.inspection.schema import Inspection, InspectRequest
from assist.knowledge.schema import (
    AnswerRequest,
    AnswerResponse,
    KnowledgeSearchRequest,
    KnowledgeSearchResponse,
)
from assist.routing.schema import GroupRequest, GroupResponse
from assist.scripts.schema import RecommendRequest, RecommendResponse, ReplyFeedback, ReplyFeedbackReceipt
from serving.assist_schema import AssistRequest, AssistResponse, Routing, RoutingRequest
from serving.tool import Tool

__all__ = ["DESK_TOOLS"]

DESK_TOOLS: tuple[Tool, ...] = (
    Tool(
        "assist_message",
        "Everything for one customer message",
        "Everything that helps to answer one Chinese customer message (客服消息) in one call. Use it "
        "first on a new message that has to be answered; use the single tools (recommend_replies, "
        "search_knowledge, …) for one thing alone or with other options. `analysis` is as of "
        "analyze_message, `track` as of track_conversation; the parts are `scripts` 话术 (ready replies), "
        "`knowledge` 知识 (cited passages), `graph` 店铺规则 (what the rules say), `inspection` 质检 (of "
        "the agent so far) and `routing` 分流 (who should take it), each as of its own tool. A part that "
        "is null was not asked for, or `parts` says why: late 超时 (ask again with a longer deadline_ms), "
        "off (this service has none) or failed.",
        AssistRequest,
        AssistResponse,
        lambda operations, request: operations.helper.assist(request),
    ),
    Tool(
        "recommend_replies",
        "Ready replies to a message",
        "Complete replies (话术) that an agent can send to a customer message, best first: 问候 greeting, "
        "安抚 soothing where the mood asks for it, 解决方案 solution, 结束 closing. Use it when a reply "
        "has to be written. Send `text` only while `missing` is empty: gaps that nobody filled stand in "
        "it as 【订单号】; ask the customer or the desk for them, never invent a value. Do what `check` "
        "asks for before sending. `reasons` says why a reply was chosen. Tell say_what_was_sent what "
        "became of it.",
        RecommendRequest,
        RecommendResponse,
        lambda operations, request: operations.helper.recommend(request),
    ),
    Tool(
        "say_what_was_sent",
        "Say what became of a reply",
        "Store what a person did with a reply of recommend_replies or assist_message: accepted 采纳 (sent "
        "as it was), edited 修改 (sent after changes; give the sent text) or rejected 弃用. Only for what "
        "really happened, never for your own guess: later rankings learn from it. A second word on the "
        "same reply replaces the first; texts are stored masked.",
        ReplyFeedback,
        ReplyFeedbackReceipt,
        lambda operations, request: operations.helper.learn(request),
        writes=True,
    ),
    Tool(
        "search_knowledge",
        "Search the shop's documents",
        "Search the knowledge base (知识库) of the shop: 商品知识 products, 服务政策 policies, 操作指南 "
        "how-to, 故障排除 troubleshooting. Use it before stating any fact about the shop. Typing errors, "
        "pinyin and synonyms are read. `status`: found (answer from the first passages and cite them), "
        "unsure (ask the customer `clarify` first), none (nothing fits: say so, do not guess). What is "
        "not valid on that day is never shown; `not_valid` only names it, such as a promotion that has "
        "ended (已过期).",
        KnowledgeSearchRequest,
        KnowledgeSearchResponse,
        lambda operations, request: operations.helper.search(request),
    ),
    Tool(
        "draft_answer",
        "Draft an answer with sources",
        "A draft (草稿) of an answer to a customer's question from the shop's documents, each sentence "
        "with the numbers of the passages that it rests on. Use it when facts have to be put into words. "
        "Never send it by itself where `needs_review` is true: `flags` names sentences without support, "
        "numbers that no passage has, hedges (可能), promises and forbidden words (违禁词), each with its "
        "mend. Where `clarify` is not null ask that first.",
        AnswerRequest,
        AnswerResponse,
        lambda operations, request: operations.helper.answer(request),
    ),
    Tool(
        "ask_shop_rules",
        "Ask what the shop's rules say",
        "Ask the shop's rules and product data (店铺规则): return without reason 七天无理由, exchange "
        "换货, warranty 保修, who pays return shipping 退货运费, coupons together 叠加, price protection "
        "价保, free shipping 包邮, an attribute of a product 参数. Use it before telling a customer that "
        "something can or cannot be done. `answer`: yes, no, depends (ask `missing` first, the most "
        "telling first, then call again with `facts`), unknown (the rules do not say: do not guess). "
        "`text` says it in Chinese, `path` holds the facts and rules that say so, `assumed` what is taken "
        "for granted.",
        GraphRequest,
        GraphResponse,
        lambda operations, request: operations.helper.ask(request),
    ),
    Tool(
        "inspect_conversation",
        "Judge how a conversation was handled",
        "Inspect (质检) a whole conversation: scores 0 to 100 in 服务态度 attitude, 专业能力 ability, "
        "沟通技巧 communication and 效率 efficiency, by the shop's versioned standards. Use it for "
        "coaching or review, not to answer a customer. Each of `findings` names turn, words, reason and "
        "advice in Chinese; `red_line` (红线) means that a serious fault caps the score. A score of null "
        "could not be judged; `not_judged` says why, and it counts neither as good nor as bad.",
        InspectRequest,
        Inspection,
        lambda operations, request: operations.helper.inspect(request),
    ),
    Tool(
        "route_message",
        "Who should take a message",
        "Route (分流) a waiting message: skill group 技能组, priority 0 to 100, and one of the given "
        "agents, or the place in the queue. Use it to assign or hand over a chat. `decision.reasons` says "
        "why in Chinese, `decision.handover` what the next agent must know, `decision.escalated` that "
        "agents outside the group were asked. `signals` are signs of flooding 刷屏, harassment 骚扰, "
        "threats 威胁 and fraud, each with its words: for a person to judge, never a verdict.",
        RoutingRequest,
        Routing,
        lambda operations, request: operations.helper.route(request),
    ),
    Tool(
        "group_open_messages",
        "Open messages that ask the same",
        "Group open messages of many customers that ask the same (批量回复), the largest group first. Use "
        "it on a full queue. `messages` of a group are ids, the most typical first; `answer` is one "
        "suggested reply for all of the group (null for a single message): have a person read it, fill "
        "its gaps, and send it to each.",
        GroupRequest,
        GroupResponse,
        lambda operations, request: operations.helper.group(request),
    ),
)
