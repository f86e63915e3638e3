"""What each field of a tool's request means, said to a language model.

A field that is not here keeps the description or the docstring of its model. What stands here goes before
them: a model must be told more (which keys there are, what may be left out) than a reader of the code.
"""

from __future__ import annotations

__all__ = ["MEANING"]

_CONTEXT = "Turns of the chat before this message, oldest first."
_MESSAGE = "The customer's message as written, in Chinese; emoji and typing errors kept."
_ROLE = "Who wrote it: customer 顾客 or agent 客服."
_SAID = "What was written."
_CONDITIONS = (
    "What is known to hold of the order; leave out what is not known. Of: unpaid 未付款, paid_unshipped "
    "已付款未发货, shipped 已发货, signed 已签收, returning 退货中, refunding 退款中, in_stock 有货, "
    "out_of_stock 缺货, presale_item 预售, opened 已拆封, unopened 未拆封, over_7_days 超过7天, "
    "within_7_days 7天内, remote_area 偏远地区, member 会员, bulk 批量, gift_promised 承诺过赠品, "
    "custom_made 定制, evidence_given 已给凭证, evidence_missing 缺凭证, platform_involved 平台介入."
)
_SLOTS = (
    "What the desk knows for the gaps of scripts, such as order_id 订单号, product 商品, size 尺码, "
    "amount 金额, tracking_no 快递单号, courier 快递公司. What the chat says is found by itself; never "
    "invent a value."
)
_TONE = "The shop's tone: warm 亲切, formal 正式, lively 活泼; left out: what fits the customer's mood."
_QUESTION = "The question as the customer wrote it, in Chinese."
_KINDS = "Only documents of these kinds; all when left out."
_PRODUCTS = "Names of the products that the chat is about; documents of other products are left out."
_AT = "The day whose knowledge is asked for, such as 2026-11-23; today when left out."

MEANING = {
    ("AnalyzeRequest", "text"): _MESSAGE,
    ("AnalyzeRequest", "context"): _CONTEXT,
    ("AnalyzeRequest", "top"): "How many candidate categories to answer, best first (default 3).",
    ("AnalyzeBatchRequest", "messages"): "Independent messages, each with its own context.",
    ("ContextTurn", "role"): _ROLE,
    ("ContextTurn", "text"): _SAID,
    ("TrackRequest", "turns"): "All turns, oldest first; at least one of the customer with text.",
    ("FeedbackRequest", "text"): "The message that was judged.",
    ("FeedbackRequest", "context"): "The turns before it, oldest first, as they were given for the answer.",
    ("FeedbackRequest", "category"): "Verdict on the category; give category, emotion or both.",
    ("FeedbackRequest", "emotion"): "Verdict on the emotion; give category, emotion or both.",
    (
        "FeedbackRequest",
        "request_id",
    ): "X-Request-ID of the judged answer; repeated feedback replaces earlier.",
    ("FeedbackRequest", "by"): "Who says so: a pseudonym, never a name.",
    ("Verdict", "predicted"): "Key that the service answered, such as refund_progress.",
    ("Verdict", "right"): "Whether it was right.",
    ("Verdict", "label"): "Key of the true label; needed when `right` is false.",
    ("ListRequest", "group"): "Key of a skill group; all groups when left out.",
    # everything for one message
    ("AssistRequest", "text"): _MESSAGE,
    ("AssistRequest", "context"): _CONTEXT,
    ("AssistRequest", "parts"): "Which help is wanted; all when left out.",
    ("AssistRequest", "k"): "How many replies (default 3).",
    ("AssistRequest", "tone"): _TONE,
    ("AssistRequest", "conditions"): _CONDITIONS,
    ("AssistRequest", "slots"): _SLOTS,
    ("AssistRequest", "deadline_ms"): "Milliseconds after which parts that are not done are left out "
    "(default 1500).",
    # replies
    ("RecommendRequest", "text"): _MESSAGE,
    ("RecommendRequest", "context"): _CONTEXT,
    ("RecommendRequest", "k"): "How many replies (default 3); fewer come where no more fit.",
    ("RecommendRequest", "tone"): _TONE,
    ("RecommendRequest", "conditions"): _CONDITIONS,
    ("RecommendRequest", "slots"): _SLOTS,
    (
        "RecommendRequest",
        "exclude",
    ): "Ids of scripts (`script` of a reply) not wanted, such as those that were refused before.",
    ("RecommendRequest", "explore"): "Whether near-ties may change places (default true); false: always the "
    "same order.",
    ("SaidTurn", "role"): _ROLE,
    ("SaidTurn", "text"): _SAID,
    ("ReplyFeedback", "reply_id"): "`id` of the reply, from recommend_replies or assist_message.",
    (
        "ReplyFeedback",
        "action",
    ): "accepted 采纳: sent as it was; edited 修改: sent after changes; rejected 弃用: refused by hand.",
    ("ReplyFeedback", "sent"): "The text that was sent instead; only for edited.",
    ("ReplyFeedback", "by"): "Who did so: a pseudonym, never a name.",
    # knowledge
    ("KnowledgeSearchRequest", "question"): _QUESTION,
    ("KnowledgeSearchRequest", "k"): "How many passages at most (default 5).",
    ("KnowledgeSearchRequest", "kinds"): _KINDS,
    ("KnowledgeSearchRequest", "products"): _PRODUCTS,
    ("KnowledgeSearchRequest", "at"): _AT,
    ("AnswerRequest", "question"): _QUESTION,
    ("AnswerRequest", "k"): "How many passages the draft may rest on (default 4).",
    ("AnswerRequest", "kinds"): _KINDS,
    ("AnswerRequest", "products"): _PRODUCTS,
    ("AnswerRequest", "at"): _AT,
    (
        "AnswerRequest",
        "generate",
    ): "true: the configured language model writes the draft; false: sentences of the "
    "passages; left out: the former where one is configured.",
    # the shop's rules
    (
        "GraphRequest",
        "text",
    ): "The customer's message; may be left out where `question` and `product` are given.",
    ("GraphRequest", "question"): "What is asked; read from `text` when left out.",
    (
        "GraphRequest",
        "category",
    ): "Category of the message (key from list_categories), a hint to what is asked.",
    (
        "GraphRequest",
        "product",
    ): "Id of a product or a kind of products of this shop (`mentions` of an earlier "
    "answer has ids); found in `text` when left out.",
    ("GraphRequest", "coupons"): "Ids of the two coupons of coupons_combine; found in `text` when left out.",
    ("GraphRequest", "attribute"): "Key of the attribute that is asked for; found in `text` when left out.",
    (
        "GraphRequest",
        "wanted",
    ): "The value that the customer hopes for, such as 电磁炉 or 1.8米; found in `text` when left out.",
    (
        "GraphRequest",
        "facts",
    ): "What is known of the order, such as opened (true or false) or days_since_signed (a "
    "number); keys are those that `missing` and `known` of an answer name.",
    ("GraphRequest", "on"): "The day for which the rules must hold, such as 2026-11-20; today when left out.",
    # inspection
    ("InspectRequest", "id"): "A name for the conversation, given back in the answer.",
    ("InspectRequest", "agent"): "The agent's account: a pseudonym, never a name.",
    ("InspectRequest", "turns"): "All turns, oldest first; at least one of the agent.",
    ("InspectRequest", "complete_until"): "Until when the record is known to be whole, such as "
    "2026-11-05T18:00:00+08:00; a promise not kept in it by then was broken.",
    ("InspectTurn", "role"): _ROLE,
    ("InspectTurn", "text"): _SAID,
    (
        "InspectTurn",
        "sent_at",
    ): "When it was sent, such as 2026-11-05T09:14:22+08:00; of all turns or of none. "
    "Without times, answer times are not judged.",
    (
        "InspectTurn",
        "emotion",
    ): "The customer's emotion where a person knows it; else leave it out, the model reads it.",
    ("InspectTurn", "emotion_score"): "Its probability; leave it out with `emotion`.",
    ("InspectTurn", "alert"): "Alert level of a customer's turn where known; else leave it out.",
    # routing
    ("RoutingRequest", "text"): _MESSAGE,
    ("RoutingRequest", "context"): _CONTEXT,
    (
        "RoutingRequest",
        "agents",
    ): "The agents as they are now; without any, group, priority and signals are answered "
    "and nobody is chosen.",
    ("RoutingRequest", "waiting_seconds"): "How long the customer waits already (default 0).",
    (
        "RoutingRequest",
        "customer_value",
    ): "The shop's value level of the customer, 5 the highest (default 1).",
    ("RoutingRequest", "previous_agent"): "Id of the agent who spoke with the customer last on this matter.",
    (
        "RoutingRequest",
        "strategy",
    ): "saturation 饱和度: the least loaded; in_turn 轮流; seniority 资历优先; left out: as configured.",
    ("RoutingRequest", "queue"): "Chats that wait already, in any order.",
    ("TimedTurn", "role"): _ROLE,
    ("TimedTurn", "text"): _SAID,
    (
        "AgentState",
        "skills",
    ): "Keys of the skill groups that the agent handles, such as presale, logistics, aftersale.",
    ("AgentState", "status"): "online 在线, away 离开 or offline 离线 (default online).",
    ("QueuedChat", "id"): "Of the waiting chat.",
    ("QueuedChat", "group"): "Key of the skill group that it waits for.",
    ("QueuedChat", "priority"): "Its `decision.priority.points` when it was routed.",
    ("QueuedChat", "waiting_seconds"): "How long it waits already.",
    ("GroupRequest", "messages"): "Open messages of different customers.",
    ("GroupRequest", "threshold"): "How alike messages of a group must be; as configured when left out.",
    ("OpenMessage", "id"): "Of the message or its chat; given back in the groups.",
    ("OpenMessage", "text"): _MESSAGE,
}
