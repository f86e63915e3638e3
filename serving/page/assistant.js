// One question to the service for everything: analysis, curve and the rooms of the desk come in one answer.

import { ask, Refused } from "./api.js";

export const ROOMS = ["scripts", "knowledge", "graph", "inspection", "routing"];
const CANDIDATES = 4;
const REPLIES = 3;
const PATIENT_MS = 10_000;
/** Answers that mean: this service has no such room. A service that is only busy says when to come back. */
const absent = (error) => error instanceof Refused && [404, 405, 501].includes(error.status);

/** Asks `/assist`; where there is none, `/track` and `/analyze`, and the page is what it was without a desk. */
export class Assistant {
  constructor() {
    /** Values of slots that the person filled in, by name: the desk knows them from then on. */
    this.known = new Map();
    this.forget();
  }

  /** Another chat: nothing of the last one is kept. */
  forget() {
    this.known.clear();
    this.heard = null;
    this.typed = null;
    this.judged = null;
  }

  /**
   * @param {{role: string, text: string}[]} turns the chat, oldest first
   * @param {number} last the customer's turn that is answered
   * @param {boolean} unfinished something is still being typed: nothing is recommended, searched or judged then
   * @returns {Promise<{analysis, track, requestId: string|null, rooms: object|null}>} `rooms`: null without a desk
   */
  async read(turns, last, unfinished, signal) {
    if (!this.without) {
      try {
        return await this.#assist(turns, last, unfinished, signal);
      } catch (error) {
        if (!absent(error)) throw error;
      }
    }
    const request = { text: turns[last].text, context: turns.slice(0, last), top: CANDIDATES };
    const [tracked, analysed] = await Promise.all([
      ask("track", { turns }, signal),
      ask("analyze", request, signal),
    ]);
    this.without = true;
    return { analysis: analysed.answer, track: tracked.answer, requestId: analysed.requestId, rooms: null };
  }

  async #assist(turns, last, unfinished, signal) {
    const { text } = turns[last];
    const context = turns.slice(0, last);
    const answered = turns.length > last + 1;
    const spoke = turns.some((turn) => turn.role === "agent");
    // The agent's answer changes nothing of what was said of the customer's turn: only the inspection is asked anew.
    const key = JSON.stringify([text, context]);
    const before = unfinished ? this.typed : this.heard;
    const parts = unfinished ? ["routing"] : ROOMS.filter((room) => room !== "inspection" || (spoke && !answered));
    const hearing = before?.key === key ? before : this.#hear({ text, context, parts, k: REPLIES }, key, signal);
    // Both at once, as soon as it is known that there is a desk.
    if (!this.here) await hearing;
    this.here = true;
    const [heard, judged] = await Promise.all([hearing, answered && !unfinished ? this.#inspect(turns, signal) : null]);
    if (unfinished) this.typed = heard;
    else this.heard = heard;
    const rooms = Object.fromEntries(ROOMS.map((room) => [room, roomOf(heard.answer, room)]));
    if (judged) rooms.inspection = judged;
    else if (!spoke) rooms.inspection = { state: "none" };
    const { analysis, track } = heard.answer;
    const off = ROOMS.every((room) => ["off", "none"].includes(rooms[room].state)) && !unfinished;
    return { analysis, track, requestId: heard.requestId, rooms: off ? null : rooms };
  }

  async #hear(body, key, signal) {
    const slots = Object.fromEntries(this.known);
    try {
      return { key, ...(await ask("assist", { ...body, slots }, signal)) };
    } catch (error) {
      // A value that the library refuses must not take the answer away.
      if (!this.known.size || !error.errors?.some((one) => one.field.startsWith("slots"))) throw error;
      this.known.clear();
      return { key, ...(await ask("assist", body, signal)) };
    }
  }

  /** The whole chat with the agent's latest words, which `/assist` does not see: it ends with the customer's. */
  async #inspect(turns, signal) {
    const key = JSON.stringify(turns);
    if (this.judged?.key === key) return this.judged.room;
    let room;
    try {
      room = { state: "done", value: (await ask("inspect", { turns }, signal)).answer };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { state: absent(error) ? "off" : "failed" };
    }
    this.judged = { key, room };
    return room;
  }

  /** Ask once more for one room that was late or failed, with more patience; the next `read` has it. */
  async again(room) {
    const { heard } = this;
    if (!heard?.answer.parts.some((part) => part.part === room)) return;
    const [text, context] = JSON.parse(heard.key);
    const { answer } = await ask("assist", { text, context, parts: [room], k: REPLIES, deadline_ms: PATIENT_MS });
    heard.answer[room] = answer[room];
    heard.answer.parts = heard.answer.parts.map((old) => answer.parts.find((part) => part.part === room && part.part === old.part) ?? old);
  }
}

/** How a room went: `state` is that of the answer, or `unasked` where it was not asked this time. */
function roomOf(answer, room) {
  const told = answer.parts.find((part) => part.part === room);
  if (!told) return { state: "unasked" };
  const value = answer[room] ?? null;
  if (told.state === "done" && value === null) return { state: "none" };
  return { state: told.state, value };
}
