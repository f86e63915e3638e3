// How heated the customer was, turn by turn: a line over the faces of the emotions.

import { faceOf, svg } from "./dom.js";

const HEIGHT = 124;
const EDGE = { left: 40, right: 22, top: 22, bottom: 32 };
const FACE = 22;

/**
 * @param {HTMLElement} box is filled
 * @param {object} track the answer of /track
 * @param {(index: number) => number} numberOf position in the request → number beside the turn
 * @param {(index: number) => void} onPick what a click on a face does
 */
export function drawCurve(box, track, numberOf, onPick) {
  const width = Math.max(240, box.clientWidth);
  const room = width - EDGE.left - EDGE.right;
  const many = room / track.turns.length < FACE + 4;
  const x = (place) =>
    EDGE.left + (track.turns.length === 1 ? room / 2 : (room * place) / (track.turns.length - 1));
  const y = (heat) => EDGE.top + (1 - heat) * (HEIGHT - EDGE.top - EDGE.bottom);
  const picture = svg("svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`,
    width,
    height: HEIGHT,
    role: "img",
    "aria-label": inWords(track, numberOf),
  });
  for (const [heat, word] of [[0, "平和"], [1, "激动"]]) {
    picture.append(
      svg("line", { class: "rule", x1: EDGE.left - 6, x2: width - 6, y1: y(heat), y2: y(heat) }),
      text(2, y(heat) + 4, word, "axis"),
    );
  }
  const changed = track.turns.findIndex((turn) => turn.index === track.changed_at);
  if (changed >= 0) {
    const at = changed === 0 ? x(0) : (x(changed - 1) + x(changed)) / 2;
    picture.append(svg("line", { class: "change", x1: at, x2: at, y1: 2, y2: HEIGHT - EDGE.bottom + 10 }));
    const late = at > width * 0.66;
    picture.append(text(at + (late ? -6 : 6), 11, "转折", late ? "change-word end" : "change-word"));
  }
  const line = track.turns.map((turn, place) => `${x(place)},${y(turn.heat)}`).join(" ");
  picture.append(svg("polyline", { class: "heat", points: line }));
  const everyNth = Math.ceil(track.turns.length / Math.max(1, Math.floor(room / 26)));
  for (const [place, turn] of track.turns.entries()) {
    picture.append(point(turn, x(place), y(turn.heat), many, () => onPick(turn.index)));
    const last = place === track.turns.length - 1;
    if (last || (place % everyNth === 0 && track.turns.length - 1 - place >= everyNth)) {
      picture.append(text(x(place), HEIGHT - 6, `${numberOf(turn.index)}`, "axis middle"));
    }
  }
  box.replaceChildren(picture);
}

function point(turn, x, y, small, pick) {
  const face = faceOf(turn.emotion);
  const group = svg("g", { class: `point e-${face}` });
  if (small) {
    group.append(svg("circle", { class: "dot", cx: x, cy: y, r: 4 }));
  } else {
    group.append(
      svg("circle", { class: "ground", cx: x, cy: y, r: FACE / 2 }),
      svg("use", { href: `#i-${face}`, x: x - FACE / 2, y: y - FACE / 2, width: FACE, height: FACE }),
    );
  }
  group.append(svg("title", {}, turn.emotion.zh));
  group.addEventListener("click", pick);
  return group;
}

function text(x, y, words, kind) {
  return svg("text", { x, y, class: kind }, words);
}

function inWords(track, numberOf) {
  const turns = track.turns.map((turn) => `第 ${numberOf(turn.index)} 句${turn.emotion.zh}`);
  return `情绪曲线。${track.trajectory_zh}。${turns.join("，")}`;
}
