// 推荐话术: complete replies with their gaps as chips; taken over, or put aside for another.

import { ask } from "./api.js";
import { h, icon, percent } from "./dom.js";
import { inWords } from "./feedback.js";
import { chip, piecesOf, SHARED, SLOTS, textOf } from "./slots.js";

const STAGES = { opening: "开头", soothing: "安抚", solution: "方案", closing: "结尾" };
/** Reasons in a word, for the one line that is always shown; the answer's own words stand in the details. */
const SHORT = {
  similarity: "意思相近", lexical: "用词相近", reranker: "模型认为答得上", feedback: "客服常采用",
  emotion: "先安抚再答", condition: "合订单情况", tone: "语气合适",
};
const PLACES = ["一", "二", "三", "四", "五", "六", "七", "八"];

/** The list of replies to one message. */
export class Replies {
  /**
   * @param {Map<string, string>} known values that mean the same in every reply; shared with later questions
   * @param {(reply: object, text: string) => void} adopt puts a text into the composer
   */
  constructor(known, adopt) {
    this.known = known;
    this.adopt = adopt;
    this.cards = [];
  }

  /**
   * @param {HTMLElement} box is filled
   * @param {object} value the answer of /recommend
   * @param {{text: string, context: object[]}} asked what is answered
   * @param {(key: string) => string} nameOf a category's name
   */
  draw(box, value, asked, nameOf) {
    this.asked = asked;
    this.nameOf = nameOf;
    this.shown = new Set(value.replies.map((reply) => reply.script));
    this.cards = value.replies.map((reply, place) => new Card(reply, place, this));
    if (this.cards.length) box.replaceChildren(h("ol", { class: "replies" }, this.cards.map((card) => card.node)));
    else box.replaceChildren(h("p", { class: "state" }, icon("info"), "话术库里没有合适的，请自己回答。"));
  }

  /** Values that mean the same stand in every card. */
  drawTexts() {
    for (const card of this.cards) card.drawText();
  }

  /** Another reply than all that were shown. */
  async another() {
    const body = { ...this.asked, k: 1, exclude: [...this.shown], slots: Object.fromEntries(this.known) };
    const [reply] = (await ask("recommend", body)).answer.replies;
    if (reply) this.shown.add(reply.script);
    return reply ?? null;
  }

  /** Say on a reply's card what became of it. */
  tell(id, words, how = "") {
    const card = this.cards.find((one) => one.reply.id === id);
    card?.tell(words, how);
    if (how === "sent") card?.node.classList.add("sent");
  }
}

/** The parts of a reply, so that the answer itself is seen among the courtesies; one part where they do not add up. */
function partsOf({ text, parts }) {
  return parts.map((part) => part.text).join("") === text ? parts : [{ stage: "solution", text }];
}

class Card {
  constructor(reply, place, list) {
    this.place = place;
    this.list = list;
    this.said = h("p", { class: "said-so", role: "status" });
    this.text = h("p", { class: "reply-text" });
    this.node = h("li", { class: "reply" });
    this.draw(reply);
  }

  draw(reply) {
    this.reply = reply;
    this.own = new Map();
    const { list, place } = this;
    this.take = h("button", { type: "button", class: "take", "aria-label": `采用话术${PLACES[place]}` }, icon("yes"), "采用");
    this.take.addEventListener("click", () => list.adopt(this.reply, this.words()));
    this.swap = h("button", { type: "button", class: "swap", "aria-label": `话术${PLACES[place]}不合适，换一个` }, icon("swap"), "不合适，换一个");
    this.swap.addEventListener("click", () => this.#another());
    this.node.classList.remove("sent");
    this.node.replaceChildren(
      this.text,
      ...(reply.check.length ? [h("ul", { class: "check" }, reply.check.map((one) => h("li", {}, icon("eye"), h("span", {}, one))))] : []),
      this.#why(),
      h("div", { class: "reply-buttons" }, this.take, this.swap),
      this.said,
    );
    this.drawText();
  }

  /** The words with their chips; a field that is being filled in stays. */
  drawText() {
    if (this.text.contains(document.activeElement) && document.activeElement.matches("input")) return;
    const fill = (piece) => chip(piece, (value, how) => this.#fill(piece.name, value, how));
    this.text.replaceChildren(
      ...this.#parts().map(({ stage, pieces }) =>
        h("span", { class: stage }, pieces.map((piece) => (piece.name ? fill(piece) : piece.text))),
      ),
    );
  }

  #parts() {
    const valueOf = (name) => this.own.get(name) ?? (SHARED.has(name) ? this.list.known.get(name) : undefined);
    return partsOf(this.reply).map(({ stage, text }) => ({ stage, pieces: piecesOf(text, this.reply.filled, valueOf) }));
  }

  /** The words to send, as far as they are filled in. */
  words() {
    return this.#parts().map(({ pieces }) => textOf(pieces)).join("");
  }

  #fill(name, value, how) {
    const values = SHARED.has(name) ? this.list.known : this.own;
    if (value) values.set(name, value);
    else values.delete(name);
    if (how === "away") {
      // A tap that left the field must first reach the button that it meant, where that stood.
      setTimeout(() => this.list.drawTexts(), 250);
      return;
    }
    const chips = ".slot, .slot-input";
    const at = [...this.text.querySelectorAll(chips)].indexOf(document.activeElement);
    document.activeElement.blur();
    this.list.drawTexts();
    if (how === "next") this.#next();
    else this.text.querySelectorAll(chips)[at].focus();
  }

  /** After Enter: the next open gap, else the button that takes the reply. */
  #next() {
    const open = this.text.querySelector(".slot.open");
    if (open) open.click();
    else this.take.focus();
  }

  #why() {
    const { reasons, parts } = this.reply;
    const inShort = ({ kind, zh, value }) => (kind === "category" ? `${this.list.nameOf(this.reply.category)} ${percent(value)}` : (SHORT[kind] ?? zh));
    const short = reasons.slice(0, 3).map(inShort).join(" · ") || "和这句话最接近";
    const facts = [
      ...reasons.map((one) => [one.zh, one.kind === "category" ? percent(one.value) : ""]),
      ...parts.map((part) => [`${STAGES[part.stage]}：${part.text}`, part.id]),
      ...(this.reply.filled.length
        ? [[`从聊天里填的：${this.reply.filled.map((slot) => `${SLOTS[slot.name] ?? slot.name} ${slot.value}`).join("，")}`, ""]]
        : []),
    ];
    return h(
      "details",
      { class: "why" },
      h("summary", {}, h("span", {}, short)),
      h("ul", {}, facts.map(([words, more]) => h("li", {}, h("span", {}, words), more ? h("small", {}, more) : null))),
    );
  }

  async #another() {
    const refused = this.reply.id;
    this.swap.disabled = true;
    this.tell("正在换一个…");
    try {
      await ask("recommend/feedback", { reply_id: refused, action: "rejected" });
      const reply = await this.list.another();
      if (reply) {
        this.draw(reply);
        this.tell("已换一个");
        this.swap.focus();
        return;
      }
      this.node.classList.add("refused");
      this.tell("已记下不合适；没有别的可换了");
    } catch (error) {
      this.swap.disabled = false;
      this.tell(`没有换成：${inWords(error)}`, "failed");
    }
  }

  tell(words, how = "") {
    this.said.className = `said-so ${how}`;
    this.said.textContent = words;
  }
}
