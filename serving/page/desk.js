// The agent's desk beside the chat: tabs over the rooms, each saying calmly when it has nothing to show.

import { showWords } from "./chat.js";
import { byId, h, icon } from "./dom.js";
import { inWords } from "./feedback.js";
import { drawInspection } from "./inspection.js";
import { drawGraph, drawKnowledge, knowledgeInWord } from "./knowledge.js";
import { Replies } from "./replies.js";
import { drawRouting, routingInWord } from "./routing.js";
import { Tabs } from "./tabs.js";

/** What is said where a room has no answer. */
const WORDS = {
  late: "这次没来得及，先用别的。",
  failed: "这一项出了差错，别的不受影响。",
  off: "这个服务没有开这一项。",
  unasked: "这句话加入聊天后给出。",
};
const EMPTY = {
  scripts: "话术库里没有合适的，请自己回答。",
  knowledge: "没有查到内容。",
  graph: "没有相关的规则。",
  inspection: "客服还没有说话，没有可以质检的。",
  routing: "没有分流结果。",
};

export class Desk {
  /**
   * @param {Map<string, string>} known values of slots that the person filled in
   * @param {{adopt: Function, say: Function, again: Function}} on takes a reply over, puts a question into the
   *   composer, asks once more for one room
   */
  constructor(known, on) {
    this.on = on;
    this.replies = new Replies(known, on.adopt);
    this.tabs = new Tabs(byId("tabs"));
    this.drawn = {};
  }

  /** Draw what changed; as `drawPanel`, with `found.rooms` (null: this service has no desk). */
  show(found, labels) {
    this.found = found;
    this.names = new Map(labels.categories.map(({ key, zh }) => [key, zh]));
    this.tabs.open(found.rooms !== null);
    byId("gist").hidden = found.rooms === null;
    if (!found.rooms) return;
    this.#scripts(found.rooms.scripts);
    this.#knowledge(found.rooms);
    this.#inspection(found.rooms.inspection);
    this.#routing(found.rooms.routing);
    this.tabs.mark("reading", found.analysis.emotion.zh);
  }

  /** The chat was emptied. */
  clear() {
    this.drawn = {};
    for (const name of ["scripts", "knowledge", "inspection", "routing"]) {
      byId(`room-${name}`).replaceChildren();
      byId(`quote-${name}`).replaceChildren();
      this.tabs.mark(name, "");
    }
    this.replies.cards = [];
  }

  /** One sentence for screen readers. */
  spoken() {
    const rooms = this.found?.rooms;
    if (!rooms) return "";
    const said = [];
    if (rooms.scripts.state === "done") said.push(`推荐话术 ${rooms.scripts.value.replies.length} 条`);
    const word = knowledgeInWord(rooms.graph.value, rooms.knowledge.value);
    if (word) said.push(`知识：${word}`);
    return said.length ? `${said.join("。")}。` : "";
  }

  /** Draw a room when it is another answer than the one that stands there; a half-typed turn changes nothing. */
  #draw(name, rooms, fill, word) {
    const states = rooms.map((room) => room.state);
    if (states.every((state) => state === "unasked") && this.drawn[name]) return;
    const key = rooms.map((room) => room.value ?? room.state);
    if (this.drawn[name]?.every((one, place) => one === key[place])) return;
    this.drawn[name] = key;
    const box = byId(`room-${name}`);
    this.#quote(name, states.includes("done"));
    fill(box);
    this.tabs.mark(name, word());
  }

  #quote(name, done) {
    const { last, request, drafting } = this.found;
    const where = drafting ? "正在输入" : `第 ${last} 句`;
    const quote = done && name !== "inspection" ? [h("span", {}, where), request.text] : [];
    byId(`quote-${name}`).replaceChildren(...quote);
  }

  #scripts(room) {
    const { request } = this.found;
    const many = () => (room.state === "done" ? `${room.value.replies.length} 条` : mark(room));
    this.#draw("scripts", [room], (box) => {
      this.replies.cards = [];
      if (room.state === "done") this.replies.draw(box, room.value, request, (key) => this.names.get(key) ?? key);
      else box.replaceChildren(this.#calm("scripts", room));
    }, many);
  }

  #knowledge({ graph, knowledge }) {
    const both = [graph, knowledge];
    const word = () => knowledgeInWord(graph.value, knowledge.value) || mark(knowledge);
    this.#draw("knowledge", both, (box) => {
      const rule = graph.state === "done" ? drawGraph(graph.value, this.on.say) : null;
      const trouble = ["late", "failed"].includes(graph.state) ? this.#calm("graph", graph, "店铺规则：") : null;
      const clear = ["yes", "no"].includes(graph.value?.answer);
      const passages =
        knowledge.state === "done" ? drawKnowledge(knowledge.value, this.on.say, clear) : [this.#calm("knowledge", knowledge)];
      box.replaceChildren(...[rule, trouble, ...passages].filter(Boolean));
    }, word);
  }

  #inspection(room) {
    const { asked, first } = this.found;
    const word = () => (room.state !== "done" ? mark(room) : room.value.score === null ? "未评" : `${Math.round(room.value.score)} 分`);
    const go = (index, start, end) => showWords(asked[index]?.id, start, end);
    this.#draw("inspection", [room], (box) => {
      if (room.state === "done") {
        box.replaceChildren(...drawInspection(room.value, asked, (index) => first + index, go).filter(Boolean));
      } else box.replaceChildren(this.#calm("inspection", room));
    }, word);
  }

  #routing(room) {
    const { asked, first } = this.found;
    const word = () => (room.state === "done" ? routingInWord(room.value) : mark(room));
    const go = (index, words) => {
      const text = asked[index]?.text ?? "";
      const start = [...text.slice(0, Math.max(0, text.toLowerCase().indexOf(words)))].length;
      showWords(asked[index]?.id, start, text.toLowerCase().includes(words) ? start + [...words].length : start);
    };
    this.#draw("routing", [room], (box) => {
      if (room.state === "done") box.replaceChildren(...drawRouting(room.value, (index) => first + index, go).filter(Boolean));
      else box.replaceChildren(this.#calm("routing", room));
    }, word);
  }

  /** A room without an answer: a sentence, and a way to ask once more where that helps. */
  #calm(name, room, lead = "") {
    const words = room.state === "none" ? EMPTY[name] : WORDS[room.state];
    const said = h("span", {}, `${lead}${words}`);
    const retry = ["late", "failed"].includes(room.state);
    const button = h("button", { type: "button", class: "quiet" }, "再试一次");
    button.addEventListener("click", async () => {
      button.disabled = true;
      said.textContent = `${lead}正在再试…`;
      try {
        await this.on.again(name);
        said.textContent = `${lead}${words}`;
      } catch (error) {
        said.textContent = `${lead}还是不行：${inWords(error)}`;
      }
      button.disabled = false;
    });
    return h("p", { class: `state ${room.state}`, role: "status" }, icon(room.state === "late" ? "clock" : "info"), said, retry ? button : null);
  }
}

const mark = (room) => ({ late: "稍慢", failed: "出错", off: "未开" })[room.state] ?? "";
