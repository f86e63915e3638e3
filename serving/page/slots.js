// The gaps of a reply: what stands in them, and the chips in which a person fills them.

import { h } from "./dom.js";

/** Names as in the script library; in a reply an open gap stands as 【订单号】. */
export const SLOTS = {
  order_id: "订单号", product: "商品", spec: "规格", color: "颜色", size: "尺码", days: "天数", hours: "小时数",
  date: "日期", time: "时间点", amount: "金额", percent: "比例", quantity: "件数", tracking_no: "快递单号",
  courier: "快递公司", station: "驿站/网点", city: "城市", ticket_id: "售后单号", coupon: "优惠券", activity: "活动名",
  link: "链接", phone: "联系电话", warehouse: "退货仓", specialist: "专员/部门", invoice_title: "抬头",
  material: "材质", other_product: "另一款商品",
};
const NAME_OF = new Map(Object.entries(SLOTS).map(([name, zh]) => [zh, name]));
/** These mean the same in every reply; three days of dispatch are not three days of a refund. */
export const SHARED = new Set(["order_id", "product", "spec", "color", "size", "tracking_no", "courier", "station", "city", "ticket_id"]);
const GAP = /【([^【】]{1,20})】/gu;
const LONGEST = 200;

/**
 * A text in pieces: plain words, and gaps with a name.
 *
 * @param {string} text of a reply or of a part of it
 * @param {{name: string, value: string}[]} filled what the chat filled in
 * @param {(name: string) => string|undefined} valueOf what the person filled in
 * @returns {{text?: string, name?: string, zh?: string, value?: string}[]}
 */
export function piecesOf(text, filled, valueOf) {
  const pieces = [];
  let from = 0;
  for (const found of text.matchAll(GAP)) {
    const name = NAME_OF.get(found[1]);
    if (!name) continue;
    pieces.push(...besideFilled(text.slice(from, found.index), filled, valueOf));
    pieces.push({ name, zh: found[1], value: valueOf(name) });
    from = found.index + found[0].length;
  }
  return [...pieces, ...besideFilled(text.slice(from), filled, valueOf)];
}

/** What the chat filled in can be wrong too: it is shown, and can be changed. */
function besideFilled(text, filled, valueOf) {
  for (const { name, value } of filled) {
    const at = value.length > 1 ? text.indexOf(value) : -1;
    if (at < 0) continue;
    const here = { name, zh: SLOTS[name] ?? name, value: valueOf(name) ?? value };
    const rest = besideFilled(text.slice(at + value.length), filled, valueOf);
    return [...besideFilled(text.slice(0, at), filled, valueOf), here, ...rest];
  }
  return text ? [{ text }] : [];
}

/** The words to send; gaps that are still open stand in them as 【订单号】. */
export function textOf(pieces) {
  return pieces.map((piece) => piece.text ?? (piece.value || `【${piece.zh}】`)).join("");
}

/** The first gap that is still open in what somebody wants to send: its place and name, or null. */
export function openGap(text) {
  for (const found of text.matchAll(GAP)) {
    if (NAME_OF.has(found[1])) return { start: found.index, end: found.index + found[0].length, zh: found[1] };
  }
  return null;
}

/** Whether what was sent is the adopted text, its gaps filled in any way. */
export function isFilledIn(adopted, sent) {
  const parts = adopted.trim().split(GAP).map((part, place) => (place % 2 ? "[^。！？\\n]{1,60}?" : escape(part)));
  return new RegExp(`^${parts.join("")}$`, "u").test(sent.trim());
}

const escape = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/gu, "\\$&");

/** How much of what was sent was in the adopted text, 0 to 1, by pairs of characters. */
export function share(adopted, sent) {
  const pairs = (text) => [...text].slice(1).map((one, place) => [...text][place] + one);
  const old = new Set(pairs(adopted));
  const now = pairs(sent);
  return now.length ? now.filter((pair) => old.has(pair)).length / now.length : 0;
}

/**
 * A gap as a chip; a tap makes it a field.
 *
 * @param {(value: string, how: string) => void} fill told of a value, also of an empty one; `how`: "next" by Enter or
 *   Tab, so that the focus goes on; "stay" by Escape, with the old value; "away" where the focus left by itself
 */
export function chip(piece, fill) {
  const before = piece.value ?? "";
  const name = before ? `修改${piece.zh}：${before}` : `填写${piece.zh}`;
  const look = `slot ${before ? "filled" : "open"}`;
  const button = h("button", { type: "button", class: look, "aria-label": name, title: name }, before || piece.zh);
  button.addEventListener("click", () => {
    const box = field(piece, before);
    let left = false;
    box.addEventListener("focus", () => {
      left = false;
    });
    box.addEventListener("keydown", (event) => {
      const on = event.key === "Enter" || (event.key === "Tab" && !event.shiftKey);
      if (event.isComposing || !(on || event.key === "Escape")) return;
      event.preventDefault();
      left = true;
      fill(on ? box.value.trim() : before, on ? "next" : "stay");
    });
    box.addEventListener("blur", () => {
      if (!left) fill(box.value.trim(), "away");
      left = true;
    });
    button.replaceWith(box);
    box.focus();
    box.select();
  });
  return button;
}

function field(piece, value) {
  const width = Math.max(8, 2 * [...(value || piece.zh)].length + 2);
  const box = h("input", {
    class: "slot-input", type: "text", size: Math.min(22, width), maxlength: LONGEST, placeholder: piece.zh,
    "aria-label": `${piece.zh}，回车完成`, autocomplete: "off", spellcheck: "false", enterkeyhint: "done",
  });
  box.value = value;
  return box;
}
