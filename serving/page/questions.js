// When to ask the service, about what, and what to do when it does not answer.

import { apiKey, ask, Refused } from "./api.js";
import { Assistant } from "./assistant.js";
import { markWrong, tooLong } from "./chat.js";
import { Desk } from "./desk.js";
import { clearNotice, showNotice } from "./notice.js";
import { drawPanel, emptyPanel, redrawPanel, say } from "./panel.js";

const MOST_TURNS = 200;
const FIRST_WAIT = 2;
const LONGEST_WAIT = 30;

/** Keeps the panel true to the chat: the newest question wins, older answers are dropped. */
export class Questions {
  /**
   * @param {() => {id: number, role: string, text: string, open?: boolean}[]} turns what the chat is now; a negative
   *   id: being typed; `open`: being rewritten
   * @param {(refused: boolean) => void} wantKey asks for the API key
   * @param {{adopt: Function, say: Function}} desk what a reply and a question to the customer do
   */
  constructor(turns, wantKey, desk) {
    this.turns = turns;
    this.wantKey = wantKey;
    this.assistant = new Assistant();
    this.desk = new Desk(this.assistant.known, { ...desk, again: (room) => this.#retry(room) });
    this.labels = null;
    this.answered = "";
    this.notBefore = 0;
    this.failures = 0;
    globalThis.addEventListener("online", () => this.again());
    globalThis.addEventListener("offline", () => showNotice("没有网络，连上后自动继续"));
  }

  /** Ask after `wait` ms without another call, and not before the service said. */
  soon(wait = 0) {
    clearTimeout(this.timer);
    this.current?.abort();
    this.timer = setTimeout(() => this.#ask(), Math.max(wait, this.notBefore - Date.now()));
  }

  /** Ask now, whatever went wrong before. */
  again() {
    this.notBefore = 0;
    this.answered = "";
    this.soon();
  }

  /** Another chat comes: what was filled in for this one is not for that. */
  forget() {
    this.assistant.forget();
  }

  /** Put the newest answer on the chat once more, after that or the page was drawn anew. */
  redraw() {
    if (this.found) redrawPanel(this.found);
  }

  async #ask() {
    const all = heardBy(this.turns());
    const asked = all.slice(-MOST_TURNS);
    const last = asked.findLastIndex((turn) => turn.role === "customer");
    if (last < 0) {
      this.found = null;
      this.answered = "";
      this.assistant.forget();
      clearNotice();
      emptyPanel();
      this.desk.clear();
      return;
    }
    const wrong = new Map(asked.map((turn) => [turn.id, tooLong(turn)]).filter(([, reason]) => reason));
    markWrong(wrong);
    if (wrong.size) {
      showNotice(`有 ${wrong.size} 句太长，改短后继续：${[...wrong.values()][0]}`);
      return;
    }
    const turns = asked.map(({ role, text }) => ({ role, text }));
    const unfinished = asked.some((turn) => turn.id < 0 || turn.open);
    const question = JSON.stringify([asked.map((turn) => turn.id), turns, unfinished]);
    if (question === this.answered) return;
    const mine = new AbortController();
    this.current = mine;
    const began = performance.now();
    document.body.classList.add("asking");
    try {
      const read = await this.assistant.read(turns, last, unfinished, mine.signal);
      const took = performance.now() - began;
      this.labels ??= (await ask("labels", null, mine.signal)).answer;
      if (mine.signal.aborted) return;
      this.failures = 0;
      this.answered = question;
      const first = all.length - asked.length + 1;
      this.found = {
        ...read,
        request: { text: turns[last].text, context: turns.slice(0, last) },
        asked,
        first,
        last: first + last,
        drafting: asked[last].id < 0,
        took,
      };
      clearNotice();
      if (all.length > asked.length) showNotice(`聊天很长，只分析最近 ${MOST_TURNS} 句`);
      this.#show();
    } catch (error) {
      if (!mine.signal.aborted) this.#refused(error, asked, last);
    } finally {
      mine.abort();
      if (this.current === mine) document.body.classList.remove("asking");
    }
  }

  #show() {
    drawPanel(this.found, this.labels);
    this.desk.show(this.found, this.labels);
    say(this.found.analysis, this.found.track, this.desk.spoken());
  }

  /** Once more, for one room of the desk. */
  async #retry(room) {
    await this.assistant.again(room);
    this.again();
  }

  #refused(error, asked, last) {
    if (!(error instanceof Refused)) throw error;
    const { status, errors, retryAfter } = error;
    if (status === 401) {
      const refused = apiKey.get() !== "";
      const words = refused ? "密钥不对，或已停用" : "这个服务需要访问密钥";
      showNotice(words, { button: "填写密钥", act: () => this.wantKey(refused) });
      this.wantKey(refused);
    } else if (status === 0 || status === 429 || status >= 500) {
      this.failures += 1;
      const wait = retryAfter ?? Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (this.failures - 1));
      this.notBefore = Date.now() + wait * 1000;
      const words = { 0: "连不上服务", 429: "问得太频繁了", 503: "服务正忙" }[status] ?? `服务出了差错（${status}）`;
      showNotice(words, { seconds: wait, button: "现在就试", act: () => this.again() });
      this.soon();
    } else {
      const { wrong, others } = placed(errors, asked, last);
      markWrong(wrong);
      const rest = others.map((one) => `${one.field}：${one.reason}`);
      if (wrong.size) rest.unshift(`有 ${wrong.size} 句服务不接受，见聊天里的标记`);
      showNotice(rest.join("；") || `服务不接受（${status}）`);
    }
  }
}

/** The chat without what an agent is still typing: it changes nothing yet. */
function heardBy(turns) {
  const until = turns.findLastIndex((turn) => turn.id >= 0 || turn.role === "customer");
  return turns.slice(0, until + 1);
}

/** Errors of single turns by their id, and those of no turn: `turns[2].text`, `context[0].role`, `text`. */
function placed(errors, asked, last) {
  const wrong = new Map();
  const others = [];
  for (const error of errors) {
    const index = /^(?:turns|context)\[(\d+)\]/u.exec(error.field)?.[1];
    const turn = error.field === "text" ? asked[last] : index === undefined ? null : asked[Number(index)];
    if (turn) wrong.set(turn.id, error.reason);
    else others.push(error);
  }
  return { wrong, others };
}
