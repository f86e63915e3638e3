// 质检: the score in total and by dimension, the faults with the words they rest on, and what was not judged.

import { h, icon } from "./dom.js";

const WEIGHTS = { critical: "红线", major: "要改", minor: "小错" };
const AROUND = 14;

/** "good", "fair" or "poor"; colour and words go together. */
export function grade(score) {
  return score >= 85 ? "good" : score >= 60 ? "fair" : "poor";
}

const rounded = (score) => `${Math.round(score)}`;

/**
 * @param {object} found the answer of /inspect
 * @param {{text: string}[]} asked the turns that were judged
 * @param {(index: number) => number} numberOf position → number beside the turn
 * @param {(index: number, start: number, end: number) => void} go shows the words in the chat
 */
export function drawInspection(found, asked, numberOf, go) {
  const names = new Map(found.dimensions.flatMap((one) => one.indicators.map((row) => [row.indicator, row.zh])));
  const left = Object.entries(found.not_judged);
  return [
    h(
      "div",
      { class: "marks" },
      found.score === null
        ? h("p", { class: "total none" }, "未评")
        : h("p", { class: `total s-${grade(found.score)}` }, rounded(found.score), h("small", {}, "分")),
      h("p", { class: "soft" }, verdict(found, asked.at(-1).role === "customer")),
    ),
    h("ul", { class: "dimensions", "aria-label": "四个维度" }, found.dimensions.map(dimension)),
    found.findings.length
      ? h("ol", { class: "findings", "aria-label": "发现的问题" }, found.findings.map((one) => finding(one, asked, numberOf, go)))
      : h("p", { class: "state" }, icon("calm"), "能评的几项里没有发现问题。"),
    left.length
      ? h(
          "details",
          { class: "not-judged" },
          h("summary", {}, `没有评的 ${left.length} 项`),
          h("ul", {}, left.map(([key, why]) => h("li", {}, h("b", {}, names.get(key) ?? key), why))),
        )
      : null,
  ];
}

function verdict({ red_line: red, findings, standards }, open) {
  const many = findings.length ? `${findings.length} 处要看` : "没有扣分";
  return `${red ? "踩了红线，总分封顶；" : ""}${many}。${open ? "客户还在等回答，分数会变。" : ""}标准第 ${standards} 版`;
}

function dimension(one) {
  const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("i"));
  bar.firstChild.style.setProperty("inline-size", `${one.score ?? 0}%`);
  if (one.score !== null) bar.classList.add(`s-${grade(one.score)}`);
  return h(
    "li",
    {},
    h("span", { class: "name" }, one.zh),
    bar,
    h("span", { class: "score-of" }, one.score === null ? "未评" : rounded(one.score)),
  );
}

function finding(one, asked, numberOf, go) {
  const letters = [...(asked[one.turn]?.text ?? "")];
  const from = Math.max(0, one.start - AROUND);
  const to = Math.min(letters.length, one.end + AROUND);
  const words = (start, end) => letters.slice(start, end).join("");
  const quote = one.words
    ? [from ? "…" : "", words(from, one.start), h("mark", {}, words(one.start, one.end)), words(one.end, to), to < letters.length ? "…" : ""]
    : [words(0, 2 * AROUND), letters.length > 2 * AROUND ? "…" : ""];
  const number = numberOf(one.turn);
  return h(
    "li",
    { class: `finding f-${one.severity}` },
    h("p", { class: "finding-head" }, h("b", {}, one.zh), h("span", { class: "weight" }, WEIGHTS[one.severity])),
    h(
      "button",
      { type: "button", class: "quote", "aria-label": `看第 ${number} 句：${one.words || words(0, 2 * AROUND)}`, onclick: () => go(one.turn, one.start, one.end) },
      h("span", { class: "number" }, `第 ${number} 句`),
      h("span", {}, quote),
    ),
    h("p", {}, one.reason),
    one.advice ? h("p", { class: "advice" }, icon("edit"), h("span", {}, one.advice)) : null,
  );
}
