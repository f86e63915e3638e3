// 分流: which group takes the chat, how soon, why, and the signs of trouble with the words they rest on.

import { h, icon } from "./dom.js";

const KINDS = { flooding: "刷屏", harassment: "骚扰", fraud: "风险" };
const LEVELS = ["", "留意", "警惕", "立即处理"];

/**
 * @param {object} decision the answer of /route
 * @param {object[]} signals its signs of flooding, harassment and fraud
 * @param {(index: number|null) => number} numberOf position → number beside the turn; null: the message itself
 * @param {(index: number|null, start: number, end: number) => void} go shows the words in the chat
 */
export function drawRouting(decision, signals, numberOf, go) {
  const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("i"));
  bar.firstChild.style.setProperty("inline-size", `${Math.max(1, Math.min(100, decision.priority))}%`);
  return [
    h(
      "dl",
      { class: "route" },
      h("div", {}, h("dt", {}, "交给"), h("dd", {}, h("b", {}, decision.group_zh), decision.escalate ? h("span", { class: "up" }, icon("person"), "请主管介入") : null)),
      h("div", {}, h("dt", {}, "优先级"), h("dd", {}, h("b", {}, `${Math.round(decision.priority)}`), bar, h("span", { class: "score-of" }, "满分 100"))),
      decision.agent ? h("div", {}, h("dt", {}, "分给"), h("dd", {}, decision.agent)) : null,
    ),
    decision.reasons.length ? h("ul", { class: "reasons", "aria-label": "理由" }, decision.reasons.map((one) => h("li", {}, one))) : null,
    signals.length
      ? h("ul", { class: "signals", "aria-label": "风险信号" }, signals.map((one) => signal(one, numberOf, go)))
      : h("p", { class: "state" }, icon("calm"), "没有刷屏、骚扰或诈骗的迹象。"),
    decision.hand_over ? handOver(decision.hand_over) : null,
  ];
}

function signal(one, numberOf, go) {
  const number = numberOf(one.turn);
  return h(
    "li",
    { class: `signal l-${one.level}` },
    h("p", { class: "finding-head" }, h("b", {}, `${KINDS[one.kind]}：${one.zh}`), h("span", { class: "weight" }, LEVELS[one.level])),
    one.words
      ? h(
          "button",
          { type: "button", class: "quote", "aria-label": `看第 ${number} 句：${one.words}`, onclick: () => go(one.turn, one.start, one.end) },
          h("span", { class: "number" }, `第 ${number} 句`),
          h("span", {}, h("mark", {}, one.words)),
        )
      : null,
  );
}

function handOver({ summary, tried }) {
  return h(
    "details",
    { class: "hand-over" },
    h("summary", {}, "交接时告诉下一位"),
    h("p", {}, summary),
    tried.length ? h("ul", { class: "reasons" }, tried.map((one) => h("li", {}, one))) : null,
  );
}
