// Was the answer right, and if not, which one is: two buttons, and a list to search.

import { ask, Refused } from "./api.js";
import { h, icon } from "./dom.js";

let lists = 0;

/**
 * The judgement of one answer. Category and emotion of an answer share a request id, so what was said of
 * both travels together: the later message replaces the earlier.
 */
export class Feedback {
  /** @param {object} asked the request of /analyze; @param {string|null} requestId of its answer */
  constructor(asked, requestId) {
    this.body = { text: asked.text, context: asked.context };
    if (requestId) this.body.request_id = requestId;
  }

  /**
   * Buttons for one task.
   *
   * @param {HTMLElement} box is filled
   * @param {"category"|"emotion"} task
   * @param {{label: string, zh: string}} answer
   * @param {{key: string, zh: string, note?: string}[]} labels to choose the right one from
   */
  draw(box, task, answer, labels) {
    const said = h("p", { class: "said-so", role: "status" });
    const place = h("div", { class: "picker-place" });
    const yes = h("button", { type: "button", "aria-pressed": "false" }, icon("yes"), "对");
    const no = h("button", { type: "button", "aria-pressed": "false", "aria-expanded": "false" }, icon("no"), "不对");
    const pressed = (button) => {
      for (const one of [yes, no]) one.setAttribute("aria-pressed", String(one === button));
    };
    const close = () => {
      place.replaceChildren();
      no.setAttribute("aria-expanded", "false");
    };
    const send = async (verdict, button, words) => {
      close();
      pressed(button);
      said.className = "said-so";
      said.textContent = "正在记下…";
      try {
        await ask("feedback", { ...this.body, [task]: verdict });
        this.body[task] = verdict;
        said.textContent = words;
      } catch (error) {
        pressed(null);
        said.className = "said-so failed";
        said.textContent = `没有记下：${inWords(error)}`;
      }
    };
    yes.addEventListener("click", () => send({ predicted: answer.label, right: true }, yes, "已记下，谢谢"));
    no.addEventListener("click", () => {
      if (place.firstChild) {
        close();
        return;
      }
      const others = labels.filter((label) => label.key !== answer.label);
      const choose = (label) =>
        send({ predicted: answer.label, right: false, label: label.key }, no, `已记下：应为“${label.zh}”，谢谢`);
      const back = () => {
        close();
        no.focus();
      };
      no.setAttribute("aria-expanded", "true");
      const name = task === "category" ? "正确的诉求" : "正确的情绪";
      place.replaceChildren(picker(name, others, choose, back));
      place.querySelector("input").focus();
      place.scrollIntoView({ block: "nearest" });
    });
    box.replaceChildren(h("div", { class: "judge", role: "group", "aria-label": `${answer.zh}，对吗` }, h("span", {}, "判断得对吗"), yes, no), said, place);
  }
}

/** A searchable list: typing filters, arrows move, Enter chooses, Escape leaves. */
function picker(name, labels, choose, leave) {
  const id = `list-${(lists += 1)}`;
  let shown = [];
  let active = 0;
  const list = h("ul", { id, role: "listbox", "aria-label": name });
  const input = h("input", {
    type: "text",
    role: "combobox",
    "aria-label": `${name}，输入几个字查找`,
    "aria-controls": id,
    "aria-expanded": "true",
    "aria-autocomplete": "list",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: `${name}是…`,
  });
  const mark = () => {
    for (const [place, option] of [...list.querySelectorAll("[role=option]")].entries()) {
      option.setAttribute("aria-selected", String(place === active));
      if (place === active) option.scrollIntoView({ block: "nearest" });
    }
    if (shown.length) input.setAttribute("aria-activedescendant", `${id}-${active}`);
    else input.removeAttribute("aria-activedescendant");
  };
  const filter = () => {
    const wanted = input.value.trim().toLowerCase();
    shown = labels.filter((label) => `${label.zh} ${label.note ?? ""} ${label.key}`.toLowerCase().includes(wanted));
    active = 0;
    list.replaceChildren(
      ...shown.map((label, place) =>
        h(
          "li",
          { role: "option", id: `${id}-${place}`, onclick: () => choose(label) },
          label.zh,
          label.note ? h("small", {}, label.note) : null,
        ),
      ),
    );
    if (!shown.length) list.append(h("li", { class: "none" }, "没有这样的类别"));
    mark();
  };
  input.addEventListener("input", filter);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && shown.length) active = (active + step + shown.length) % shown.length;
    else if (event.key === "Enter" && shown.length) choose(shown[active]);
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
    mark();
  });
  filter();
  return h("div", { class: "picker" }, input, list, h("p", { class: "soft" }, "这句话隐去个人信息后保存，用来改进模型。"));
}

/** Why something was not kept, for the person to read. */
export function inWords(error) {
  if (!(error instanceof Refused)) return "出了差错";
  if (error.status === 0) return "连不上服务";
  if (error.status === 401) return "需要访问密钥";
  if (error.status === 429 || error.status === 503) return `服务正忙，请 ${error.retryAfter ?? 5} 秒后再点`;
  return error.errors.map((one) => `${one.field}：${one.reason}`).join("；") || `错误 ${error.status}`;
}
