// 分流: which group takes the chat, how soon, why, and the signs of trouble with the words they rest on.

import { h, icon } from "./dom.js";

const LEVELS = ["", "留意", "告诉主管", "马上处理"];
const DUE = { alert: "预警", waiting: "等待", customer_value: "客户等级" };

/** What the tab says in a word. */
export function routingInWord({ decision, signals }) {
  if (signals.level >= 3) return "有风险";
  return decision.escalated ? "升级" : decision.group_zh;
}

/**
 * @param {{decision: object, signals: object}} found the answer of /route: where it goes, and the signs of flooding,
 *   harassment, threats and fraud, the strongest first; their reasons repeat the words, which stand below
 * @param {(index: number) => number} numberOf position → number beside the turn
 * @param {(index: number, words: string) => void} go shows the words in the chat
 */
export function drawRouting({ decision, signals: { signals } }, numberOf, go) {
  const { priority } = decision;
  const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("i"));
  bar.firstChild.style.setProperty("inline-size", `${Math.max(1, Math.min(100, priority.points))}%`);
  const due = Object.entries(DUE).filter(([key]) => priority[key] > 0).map(([key, zh]) => `${zh} ${Math.round(priority[key])}`);
  return [
    h(
      "dl",
      { class: "route" },
      row("交给", h("b", {}, decision.group_zh), decision.escalated ? h("span", { class: "up" }, icon("person"), "可由其他组接") : null),
      row("优先级", h("b", {}, `${Math.round(priority.points)}`), bar, h("span", { class: "score-of" }, due.join(" + ") || "满分 100")),
      decision.agent ? row("分给", decision.agent) : null,
    ),
    decision.reasons.length ? h("ul", { class: "reasons", "aria-label": "理由" }, decision.reasons.map((one) => h("li", {}, one))) : null,
    signals.length
      ? h("ul", { class: "signals", "aria-label": "风险信号" }, signals.map((one) => signal(one, numberOf, go)))
      : h("p", { class: "state" }, icon("calm"), "没有刷屏、骚扰、威胁或诈骗的迹象。"),
    decision.handover ? handOver(decision.handover) : null,
  ];
}

const row = (name, ...values) => h("div", {}, h("dt", {}, name), h("dd", {}, values));

function signal(one, numberOf, go) {
  return h(
    "li",
    { class: `signal l-${one.level}` },
    h("p", { class: "finding-head" }, h("b", {}, one.reason.split("：“")[0]), h("span", { class: "weight" }, LEVELS[one.level])),
    one.turns.map((turn, place) =>
      h(
        "button",
        { type: "button", class: "quote", "aria-label": `看第 ${numberOf(turn)} 句：${one.words[place]}`, onclick: () => go(turn, one.words[place]) },
        h("span", { class: "number" }, `第 ${numberOf(turn)} 句`),
        h("span", {}, h("mark", {}, one.words[place])),
      ),
    ),
  );
}

function handOver({ summary, tried, promised, open }) {
  const list = (name, lines) => (lines.length ? [h("p", { class: "soft" }, name), h("ul", { class: "reasons" }, lines.map((one) => h("li", {}, one)))] : []);
  return h(
    "details",
    { class: "hand-over" },
    h("summary", {}, "交接时告诉下一位"),
    h("p", {}, summary),
    ...list("做过的", tried),
    ...list("答应过的", promised),
    ...list("还没答的", open ? [open] : []),
  );
}
