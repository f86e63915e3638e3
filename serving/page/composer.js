// The field in which turns are written: who speaks, how tall it is, and a reply that was taken over.

import { byId } from "./dom.js";
import { parseChat } from "./parse.js";

const TALLEST = 160;
const draft = byId("draft");

export const composer = {
  draft,
  role: () => document.querySelector("[name=role]:checked").value,

  /** What is typed, as turns: one of the chosen speaker, unless its lines name their speakers. */
  turns() {
    const text = draft.value;
    const { turns, marked } = parseChat(text);
    return marked || !text.trim() ? turns : [{ role: composer.role(), text: text.trim() }];
  },

  /** The field grows with its text. */
  fit() {
    draft.style.setProperty("block-size", "auto");
    draft.style.setProperty("block-size", `${Math.min(draft.scrollHeight + 2, TALLEST)}px`);
  },

  /** Another text, and who says it. */
  write(text, role = composer.role()) {
    draft.value = text;
    document.querySelector(`[name=role][value=${role}]`).checked = true;
    composer.fit();
  },

  /** Put the cursor over these characters, or at the end. */
  select(range = null) {
    draft.focus();
    if (range) draft.setSelectionRange(range.start, range.end);
    else draft.setSelectionRange(draft.value.length, draft.value.length);
  },
};
