// The panel: alert, wish and mood of the customer, and who says so.

import { decorate } from "./chat.js";
import { drawCurve } from "./curve.js";
import { alertLook, byId, faceOf, h, icon, percent } from "./dom.js";
import { Feedback } from "./feedback.js";

const ADVICE = ["照常接待即可", "留意语气，尽快回应", "先安抚，再解决问题", "建议转主管处理"];

/**
 * @param {object} found `analysis` of the last customer turn, `track` of the chat, the `request` of the first
 *   with its `requestId`, the `asked` turns, the number of the first of them, `drafting`, `took` in ms
 * @param {object} labels of GET /labels
 */
export function drawPanel(found, labels) {
  const { analysis, track, first, drafting } = found;
  const numberOf = (index) => first + index;
  byId("panel-empty").hidden = true;
  byId("answers").hidden = false;
  drawAlert(track.alert, numberOf);
  drawWish(analysis.category, found, labels);
  drawMood(analysis.emotion, track, numberOf);
  redrawPanel(found);
  drawGist(analysis, track);
  drawFoot(analysis.model, found.took);
  const judge = new Feedback(found.request, found.requestId);
  if (drafting) {
    // A half-typed sentence is not worth a verdict; the room is kept, so that nothing jumps.
    for (const task of ["category", "emotion"]) {
      byId(`feedback-${task}`).replaceChildren(h("p", { class: "judge" }, "加入聊天后，可以反馈对错"));
    }
  } else {
    // The next candidates first: one of them is right more often than not.
    const rank = new Map(analysis.category.top.map((one, place) => [one.label, place]));
    const rankOf = (label) => rank.get(label.key) ?? rank.size;
    const categories = labels.categories
      .map(({ key, zh, group_zh: note }) => ({ key, zh, note }))
      .sort((one, other) => rankOf(one) - rankOf(other));
    judge.draw(byId("feedback-category"), "category", analysis.category, categories);
    judge.draw(byId("feedback-emotion"), "emotion", analysis.emotion, labels.emotions);
  }
}

/** What depends on the chat's rows and on the panel's width; the judgement that a person began stays. */
export function redrawPanel({ track, asked, first }) {
  decorate(asked, track);
  drawCurve(byId("curve"), track, (index) => first + index, (index) => {
    const row = byId("turns").querySelector(`[data-id="${asked[index]?.id}"]`);
    row?.scrollIntoView({ block: "center" });
  });
}

export function emptyPanel() {
  byId("panel-empty").hidden = false;
  byId("answers").hidden = true;
  byId("spoken").textContent = "";
}

function drawAlert(alert, numberOf) {
  const look = alertLook(alert.level);
  const since = alert.since === null ? "" : `第 ${numberOf(alert.since)} 句起`;
  const box = byId("alert");
  box.className = `alert a-${look.step}`;
  box.replaceChildren(
    icon(look.icon),
    h(
      "div",
      {},
      h("p", { class: "alert-level" }, alert.level ? alert.zh : "无需预警", h("span", {}, since)),
      h("p", { class: "alert-advice" }, ADVICE[look.step]),
      alert.reasons.length ? h("ul", {}, alert.reasons.map((reason) => h("li", {}, reason))) : null,
    ),
  );
}

function drawWish(category, { request, drafting, last }, labels) {
  const named = new Map(labels.categories.map((label) => [label.key, label]));
  const group = named.get(category.label)?.group_zh ?? category.group;
  byId("wish-quote").replaceChildren(h("span", {}, drafting ? "正在输入" : `第 ${last} 句`), request.text);
  byId("wish-label").textContent = category.zh;
  byId("wish-label").classList.toggle("unsure", category.abstain);
  byId("wish-group").textContent = group;
  byId("wish-person").hidden = !category.abstain;
  byId("wish-bars").replaceChildren(
    ...category.top.map((one) => {
      const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("i"));
      bar.firstChild.style.setProperty("inline-size", `${Math.max(0.5, one.score * 100)}%`);
      const zh = one.label === category.label ? category.zh : (named.get(one.label)?.zh ?? one.label);
      return h("li", {}, h("span", { class: "name" }, zh), bar, h("span", { class: "score" }, percent(one.score)));
    }),
  );
}

function drawMood(emotion, track, numberOf) {
  const face = faceOf(emotion);
  byId("mood-label").className = `big e-${face}`;
  byId("mood-label").replaceChildren(icon(face), emotion.zh, h("small", {}, percent(emotion.score)));
  const since = track.changed_at === null ? "" : `，第 ${numberOf(track.changed_at)} 句起`;
  byId("mood-trajectory").replaceChildren(icon(track.trajectory), `${track.trajectory_zh}${since}`);
}

/** Wish and mood in a line, where their cards stand behind a tab. */
function drawGist({ category, emotion }, track) {
  const face = faceOf(emotion);
  const wish = [h("span", {}, "想要"), h("b", { class: category.abstain ? "unsure" : "" }, category.zh), h("small", {}, percent(category.score))];
  if (category.abstain) wish.push(h("span", { class: "person" }, icon("person"), "建议人工"));
  byId("gist-wish").replaceChildren(...wish);
  byId("gist-mood").className = `gist-mood e-${face}`;
  byId("gist-mood").replaceChildren(icon(face), h("b", {}, emotion.zh), icon(track.trajectory), h("span", { class: "hidden" }, track.trajectory_zh));
}

function drawFoot(model, took) {
  const names = [...new Set([model.category, model.emotion])].join(" · ");
  byId("foot").replaceChildren(
    h("span", {}, `模型 ${names}`),
    h("span", {}, `数据 ${model.snapshot}`),
    h("span", {}, `策略 v${model.policy}`),
    h("span", { class: "took" }, `用时 ${Math.max(1, Math.round(took))} 毫秒`),
  );
}

/** One sentence for screen readers, spoken only when it is another one; `more`: what the desk has. */
export function say({ category, emotion }, { alert, trajectory_zh: trajectory }, more = "") {
  const level = alert.level ? alert.zh : "无需预警";
  const person = category.abstain ? "，建议人工" : "";
  const words = `${level}。客户想要：${category.zh}，${percent(category.score)}${person}。情绪：${emotion.zh}，${trajectory}。${more}`;
  if (byId("spoken").textContent !== words) byId("spoken").textContent = words;
}
