// Page parts are made from text nodes only, so what a customer wrote can never become markup.

/** An element with attributes; `on…` names take functions, null and false leave an attribute out. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A drawing of the sprite in index.html; words beside it carry the meaning. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

const FACES = new Set(["positive", "neutral", "anxious", "dissatisfied", "disappointed", "angry"]);
const BY_POLARITY = { positive: "positive", neutral: "neutral", negative: "dissatisfied" };

/** Name of the face (and of its colour) for an emotion; other label schemas get one by polarity. */
export function faceOf(emotion) {
  return FACES.has(emotion.label) ? emotion.label : (BY_POLARITY[emotion.polarity] ?? "neutral");
}

const ALERT_ICONS = ["calm", "info", "care", "alarm"];

/** Style and icon of an alert level; levels above 3 are shown as 3. */
export function alertLook(level) {
  const step = Math.max(0, Math.min(3, level));
  return { step, icon: ALERT_ICONS[step] };
}

/** 0.934 → "93%"; what is unlikely is not called impossible. */
export function percent(value) {
  return value < 0.005 ? "<1%" : `${Math.round(value * 100)}%`;
}

export const byId = (id) => document.getElementById(id);
