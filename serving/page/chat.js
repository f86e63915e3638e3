// The chat: bubbles, what the service said of each, and the tools to change a turn.

import { alertLook, byId, faceOf, h, icon, percent } from "./dom.js";

const ROLES = { customer: "客户", agent: "客服" };
const LIMITS = { customer: 2000, agent: 5000 };

/** Why a turn cannot be sent, or null. */
export function tooLong(turn) {
  const most = LIMITS[turn.role];
  const length = [...turn.text].length;
  if (length <= most) return null;
  return `这一句有 ${length.toLocaleString()} 字，最多 ${most.toLocaleString()} 字`;
}

/**
 * Draw all turns anew; answers are put on by `decorate`.
 *
 * @param {{id: number, role: string, text: string}[]} turns
 * @param {{id: number, text: string}|null} editing the turn that is being rewritten
 * @param {object} on `edit`, `rewrite`, `keep`, `drop`, `swap`, `remove`: what the tools do
 */
export function drawChat(turns, editing, on) {
  byId("chat-empty").hidden = turns.length > 0;
  byId("clear").hidden = turns.length === 0;
  byId("turns").replaceChildren(
    ...turns.map((turn, place) => {
      const open = editing?.id === turn.id;
      return h(
        "li",
        { class: `turn ${turn.role}`, "data-id": turn.id },
        h("div", { class: "turning" }),
        h(
          "div",
          { class: "head" },
          h("p", { class: "who" }, h("span", { class: "number" }, `${place + 1}`), ROLES[turn.role]),
          h("div", { class: "said" }),
          open ? null : tools(turn, place, on),
        ),
        open ? editor(editing, on) : h("p", { class: "bubble", onclick: opens }, turn.text),
      );
    }),
  );
}

/** Where nothing hovers, a touch of a turn shows its tools. */
function opens(event) {
  const row = event.currentTarget.closest("li");
  for (const other of byId("turns").children) other.classList.toggle("open", other === row && !row.classList.contains("open"));
}

function tools(turn, place, on) {
  const tool = (name, words, act) =>
    h("button", { type: "button", "aria-label": `${words}第 ${place + 1} 句`, title: words, onclick: act }, icon(name));
  const other = turn.role === "customer" ? "客服" : "客户";
  return h(
    "div",
    { class: "tools" },
    tool("swap", `改成${other}说的：`, () => on.swap(turn)),
    tool("edit", "修改", () => on.edit(turn)),
    tool("delete", "删除", () => on.remove(turn)),
  );
}

function editor(editing, on) {
  const box = h("textarea", { class: "bubble", rows: 2, spellcheck: "false", "aria-label": "修改这一句" });
  box.value = editing.text;
  box.addEventListener("input", () => on.rewrite(box.value));
  box.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      on.keep();
    } else if (event.key === "Escape") {
      event.preventDefault();
      on.drop();
    }
  });
  return h(
    "div",
    { class: "editor" },
    box,
    h("button", { type: "button", class: "quiet", onclick: on.drop }, "取消"),
    h("button", { type: "button", class: "primary", onclick: on.keep }, "完成"),
  );
}

/**
 * Put the answer of `/track` on the turns it is about.
 *
 * @param {object[]} asked the turns that were sent, in order
 */
export function decorate(asked, track) {
  const body = byId("chat-body");
  const atEnd = body.scrollHeight - body.scrollTop - body.clientHeight < 8;
  for (const row of byId("turns").children) {
    row.querySelector(".said").replaceChildren();
    row.querySelector(".turning").replaceChildren();
  }
  const rowOf = (index) => byId("turns").querySelector(`[data-id="${asked[index]?.id}"]`);
  for (const turn of track.turns) {
    rowOf(turn.index)
      ?.querySelector(".said")
      .replaceChildren(emotionChip(turn.emotion), ...(turn.alert.level ? [alertChip(turn.alert)] : []));
  }
  if (track.changed_at !== null) {
    rowOf(track.changed_at)
      ?.querySelector(".turning")
      .replaceChildren(h("span", { class: track.trajectory }, icon(track.trajectory), `从这句起${track.trajectory_zh}`));
  }
  if (atEnd) body.scrollTop = body.scrollHeight;
}

/** Mark what is wrong with single turns, by id; others lose their mark. */
export function markWrong(reasons) {
  for (const row of byId("turns").children) {
    const reason = reasons.get(Number(row.dataset.id));
    row.classList.toggle("wrong", Boolean(reason));
    row.querySelector(".reason")?.remove();
    if (reason) row.append(h("p", { class: "reason", role: "alert" }, reason));
  }
}

/**
 * Bring a turn into view and mark words in it until something else is looked at.
 *
 * @param {number} start counts characters as Python does: an emoji is one
 */
export function showWords(id, start, end) {
  for (const old of byId("turns").querySelectorAll("mark")) {
    const bubble = old.parentNode;
    old.replaceWith(...old.childNodes);
    bubble.normalize();
  }
  const row = byId("turns").querySelector(`[data-id="${id}"]`);
  const bubble = row?.querySelector("p.bubble");
  if (!bubble) return;
  const letters = [...bubble.textContent];
  const words = (from, to) => letters.slice(from, to).join("");
  if (end > start) bubble.replaceChildren(words(0, start), h("mark", {}, words(start, end)), words(end));
  // Only the chat scrolls where it can: on a phone the page goes there too.
  row.scrollIntoView({ block: "center" });
  byId("spoken").textContent = `第 ${row.querySelector(".number").textContent} 句：${words(start, end)}`;
}

export function emotionChip(emotion) {
  const face = faceOf(emotion);
  return h("span", { class: `chip e-${face}` }, icon(face), emotion.zh, h("small", {}, percent(emotion.score)));
}

function alertChip(alert) {
  const look = alertLook(alert.level);
  return h("span", { class: `chip a-${look.step}` }, icon(look.icon), alert.zh);
}
