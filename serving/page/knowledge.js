// 知识: what the shop's rules say with the path that says so, the passages found, and what is no longer valid.

import { h, icon } from "./dom.js";

const VERDICTS = { yes: "可以", no: "不可以", depends: "要看情况", unknown: "没有写" };
const ICONS = { yes: "calm", no: "stop", depends: "ask", unknown: "info" };
/** Longer texts than this are more than three lines at every width. */
const LONG = 150;
/** A path through more things is folded. */
const SHORT_PATH = 5;

/** What the tab says in a word. */
export function knowledgeInWord(graph, knowledge) {
  if (graph && ["yes", "no", "depends"].includes(graph.answer)) return graph.question === "attribute" ? "有答案" : VERDICTS[graph.answer];
  return { found: "有依据", unsure: "先问清", none: "没找到" }[knowledge?.status] ?? "";
}

/**
 * @param {object} graph the answer of /graph; drawn when it says something
 * @param {(text: string) => void} say puts a question to the customer into the composer
 */
export function drawGraph(graph, say) {
  if (graph.question === null || graph.answer === "unknown") return null;
  const asks = graph.missing.map((one) => one.ask);
  const verdict = graph.question === "attribute" ? (graph.value || VERDICTS[graph.answer]) : VERDICTS[graph.answer];
  return h(
    "article",
    { class: `verdict v-${graph.answer}`, "aria-label": "店铺规则的答案" },
    h("p", { class: "verdict-word" }, icon(ICONS[graph.answer]), verdict),
    h("p", {}, graph.text),
    graph.clash ? h("p", { class: "soft" }, "规则之间有冲突，这里按对客户有利的答。") : null,
    asks.length ? toAsk(`请问${asks.slice(0, 2).join("，")}？`, say) : null,
    graph.path.length ? pathOf(graph.path) : null,
  );
}

/** The triples, those about the same thing together, and ways up (cup → kitchenware → all goods) in one line. */
function pathOf(path) {
  const groups = [];
  for (const { subject, predicate, object } of path) {
    const group = groups.at(-1);
    const goesOn = group?.says.length && group.says.at(-1).object === subject && (group.chain || group.says.length === 1);
    if (group?.subject === subject && !group.chain) group.says.push({ predicate, object });
    else if (goesOn) Object.assign(group, { chain: true }).says.push({ predicate, object });
    else groups.push({ subject, says: [{ predicate, object }], chain: false });
  }
  const node = (words) => h("span", { class: "node" }, words);
  const edge = (words) => h("span", { class: "edge" }, words);
  return h(
    "details",
    { class: "path", open: groups.length <= SHORT_PATH },
    h("summary", {}, `凭什么：${path.length} 步`),
    h(
      "ol",
      {},
      groups.map(({ subject, says, chain }) =>
        chain || says.length === 1
          ? h("li", { class: "chain" }, node(subject), says.flatMap(({ predicate, object }) => [edge(predicate), node(object)]))
          : h("li", {}, node(subject), h("ul", {}, says.map(({ predicate, object }) => h("li", {}, edge(predicate), node(object))))),
      ),
    ),
  );
}

/** A question to the customer, one tap from the composer. */
function toAsk(question, say) {
  return h(
    "div",
    { class: "to-ask" },
    h("p", {}, h("span", {}, "先问客户"), question),
    h("button", { type: "button", class: "take", "aria-label": `采用：${question}`, onclick: () => say(question) }, icon("yes"), "采用"),
  );
}

/**
 * @param {object} found the answer of /knowledge/search
 * @param {(text: string) => void} say puts a question to the customer into the composer
 * @param {boolean} clear the shop's rules answer yes or no already: nothing is to be asked first
 */
export function drawKnowledge(found, say, clear) {
  const read = found.readings.map((one) => `“${one.written}”当作“${one.read}”`).join("，");
  return [
    read ? h("p", { class: "soft" }, `${read}来查。`) : null,
    found.status === "unsure" && found.clarify && !clear ? toAsk(found.clarify, say) : null,
    found.status === "none" ? h("p", { class: "state" }, icon("info"), "知识库里没有答案，已记到待补的问题里。") : null,
    found.passages.length
      ? h("ol", { class: "passages", "aria-label": "查到的依据" }, found.passages.map((one) => passage(one)))
      : null,
    found.not_valid.length ? h("ul", { class: "outdated", "aria-label": "不能用的文件" }, found.not_valid.map(outdated)) : null,
  ];
}

function passage(one) {
  const until = one.valid_until ? `有效到 ${one.valid_until}` : "长期有效";
  const section = one.section.split(" > ").filter((part) => part !== one.title).join(" › ");
  const long = [...one.text].length > LONG;
  return h(
    "li",
    {},
    h("p", { class: "source" }, h("b", {}, one.title), section ? h("span", {}, section) : null),
    long
      ? h("details", { class: "passage" }, h("summary", {}, h("span", {}, one.text)), null)
      : h("p", { class: "passage" }, one.text),
    h("p", { class: "about" }, h("span", { class: "kind" }, one.kind), h("span", {}, until), h("span", {}, `第 ${one.version} 版`)),
  );
}

function outdated(one) {
  const when = one.reason === "expired" ? `已在 ${one.valid_until} 过期` : `${one.valid_from} 起才有效`;
  return h("li", {}, icon("stop"), h("span", {}, h("b", {}, one.title), `${when}，不能用来回答`));
}
