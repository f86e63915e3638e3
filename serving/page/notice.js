// What stands in the way of an answer, and when the page tries again.

import { byId, h } from "./dom.js";

let clock = null;

/** Take the notice away. */
export function clearNotice() {
  clearInterval(clock);
  byId("notice").hidden = true;
  byId("notice").replaceChildren();
}

/**
 * @param {string} words said at once
 * @param {{seconds?: number, button?: string, act?: () => void}} more a countdown that is not read out, a way on
 */
export function showNotice(words, { seconds = 0, button = "", act = () => {} } = {}) {
  clearInterval(clock);
  const left = h("span", { class: "left", "aria-hidden": "true" });
  const tell = () => {
    left.textContent = seconds > 0 ? `，${seconds} 秒后再试` : "";
    seconds -= 1;
  };
  tell();
  if (seconds >= 0) clock = setInterval(tell, 1000);
  byId("notice").replaceChildren(
    h("p", {}, words, left),
    ...(button ? [h("button", { type: "button", class: "quiet", onclick: act }, button)] : []),
  );
  byId("notice").hidden = false;
}
