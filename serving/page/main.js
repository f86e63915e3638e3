// The page: what the user does to the chat, and what follows.

import { Adoption } from "./adoption.js";
import { apiKey } from "./api.js";
import { drawChat } from "./chat.js";
import { composer } from "./composer.js";
import { byId, h } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { parseChat } from "./parse.js";
import { Questions } from "./questions.js";

const PAUSE_MS = 350;

let turns = [];
let editing = null;
let count = 0;

const { draft } = composer;
const adoption = new Adoption({
  tell: (...words) => questions.desk.replies.tell(...words),
  toast,
  changed: () => questions.soon(),
});
const questions = new Questions(current, wantKey, {
  adopt: (reply, text) => adoption.take(reply, text),
  say: (text) => adoption.put(text),
});

/** The chat as the service should read it: with the turn being rewritten, and the customer's being typed. */
function current() {
  const now = turns
    .map((turn) => (turn.id === editing?.id ? { ...turn, text: editing.text.trim(), open: true } : turn))
    .filter((turn) => turn.text);
  return [...now, ...composer.turns().map((turn, place) => ({ ...turn, id: -1 - place }))];
}

function change(next, words = "") {
  const before = turns;
  turns = next.map((turn) => ("id" in turn ? turn : { ...turn, id: (count += 1) }));
  editing = null;
  draw();
  questions.soon();
  const undo = () => {
    turns = before;
    editing = null;
    draw();
    toast("");
    questions.soon();
  };
  toast(words, words && before.length ? undo : null);
}

function draw() {
  drawChat(turns, editing, {
    edit: (turn) => {
      editing = { id: turn.id, text: turn.text };
      draw();
      const box = byId("turns").querySelector("textarea");
      box.focus();
      box.setSelectionRange(box.value.length, box.value.length);
    },
    rewrite: (text) => {
      editing.text = text;
      questions.soon(PAUSE_MS);
    },
    keep: () => {
      const { id, text } = editing;
      change(turns.map((turn) => (turn.id === id ? { ...turn, text: text.trim() } : turn)).filter((turn) => turn.text));
      focusTurn(id);
    },
    drop: () => {
      const { id } = editing;
      change(turns);
      focusTurn(id);
    },
    swap: (turn) => {
      const other = turn.role === "customer" ? "agent" : "customer";
      change(turns.map((one) => (one === turn ? { ...one, role: other } : one)));
      focusTurn(turn.id, 0);
    },
    remove: (turn) => {
      change(turns.filter((one) => one !== turn), "已删除一句");
      draft.focus({ preventScroll: true });
    },
  });
  questions.redraw();
}

function focusTurn(id, tool = 1) {
  byId("turns").querySelectorAll(`[data-id="${id}"] .tools button`)[tool]?.focus();
}

function toast(words, undo = null) {
  byId("toast").replaceChildren(
    ...(words ? [h("span", {}, words)] : []),
    ...(undo ? [h("button", { type: "button", class: "quiet", onclick: undo }, "撤销")] : []),
  );
}

function toNewest() {
  const body = byId("chat-body");
  body.scrollTop = body.scrollHeight;
}

function inWords(found) {
  const customer = found.filter((turn) => turn.role === "customer").length;
  return `已读入 ${found.length} 句：客户 ${customer} 句，客服 ${found.length - customer} 句`;
}

draft.addEventListener("input", () => {
  composer.fit();
  if (!draft.value.trim()) adoption.drop();
  questions.soon(PAUSE_MS);
});
draft.addEventListener("keydown", (event) => {
  // Enter that only closes an input method's list of characters is no Enter.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  byId("composer").requestSubmit();
});
// Wherever the focus is, except in another field.
document.addEventListener("paste", (event) => {
  if (event.target !== draft && event.target.closest?.("input, textarea, dialog")) return;
  const found = parseChat(event.clipboardData?.getData("text/plain") ?? "");
  if (event.target !== draft) draft.focus();
  if (draft.value || found.turns.length < 2) return;
  event.preventDefault();
  change([...turns, ...found.turns], inWords(found.turns));
  toNewest();
});
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const found = composer.turns();
  if (!found.length) return;
  if (adoption.gap()) return;
  const adopted = adoption.taken && found.length === 1 && found[0].role === "agent";
  composer.write("", adopted ? "customer" : composer.role());
  change([...turns, ...found], found.length > 1 ? inWords(found) : "");
  if (adopted) adoption.sent(found[0].text);
  else adoption.drop();
  toNewest();
  draft.focus();
});
for (const button of document.querySelectorAll("[name=role]")) {
  button.addEventListener("change", () => questions.soon());
}
byId("clear").addEventListener("click", () => {
  change([], "已清空");
  draft.focus();
});
byId("examples").append(
  ...EXAMPLES.map(({ name, chat }) =>
    h("button", { type: "button", onclick: () => {
      adoption.drop();
      composer.write("");
      questions.forget();
      change(parseChat(chat).turns, `示例：${name}`);
      toNewest();
    } }, name),
  ),
);

const dialog = byId("key-dialog");
function wantKey(refused = false) {
  byId("key-input").value = "";
  byId("key-why").textContent = refused
    ? "服务不认这个密钥，请再看一遍。"
    : "服务要求密钥时才需要填写。只留在这个标签页里，关掉就没有了。";
  if (!dialog.open) dialog.showModal();
}
byId("key-button").addEventListener("click", () => wantKey());
byId("key-cancel").addEventListener("click", () => dialog.close());
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  apiKey.set(byId("key-input").value.trim());
  byId("key-input").value = "";
  dialog.close();
  questions.again();
});

let width = 0;
new ResizeObserver(([entry]) => {
  const now = Math.round(entry.contentRect.width);
  if (width && now && now !== width) questions.redraw();
  width = now || width;
}).observe(byId("panel"));
byId("tabs").addEventListener("chosen", () => questions.redraw());

if (matchMedia("(hover: hover)").matches) draft.focus({ preventScroll: true });
// A page that comes back from the browser's memory starts empty.
draft.value = "";
draw();
