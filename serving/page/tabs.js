// Tabs as the ARIA practices describe them: one stop for the Tab key, arrows move, each names its panel.

/** Tabs of which each has `data-tab` and controls the panel of that name. */
export class Tabs {
  /** @param {HTMLElement} list holds the buttons; each has an empty `small` for a word */
  constructor(list) {
    this.list = list;
    this.tabs = [...list.children];
    this.chosen = this.tabs[0];
    for (const tab of this.tabs) {
      tab.addEventListener("click", () => this.choose(tab));
      tab.addEventListener("keydown", (event) => this.#key(event));
    }
  }

  /** With tabs, or (a service without rooms) the last panel alone, as a plain part of the page. */
  open(wanted) {
    if (this.list.hidden !== wanted && this.drawn) return;
    this.drawn = true;
    this.list.hidden = !wanted;
    for (const tab of this.tabs) {
      const panel = this.#panelOf(tab);
      if (wanted) panel.setAttribute("role", "tabpanel");
      else panel.removeAttribute("role");
      panel.hidden = !wanted && tab !== this.tabs.at(-1);
    }
    if (wanted) this.choose(this.chosen);
  }

  choose(chosen) {
    this.chosen = chosen;
    for (const tab of this.tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      this.#panelOf(tab).hidden = tab !== chosen;
    }
    // What was drawn while it was hidden had no width yet.
    this.list.dispatchEvent(new CustomEvent("chosen"));
  }

  /** A word under a tab's name. */
  mark(name, word) {
    const small = this.tabs.find((tab) => tab.dataset.tab === name).querySelector("small");
    if (small.textContent !== word) small.textContent = word;
  }

  #key(event) {
    const at = this.tabs.indexOf(event.currentTarget);
    const most = this.tabs.length;
    const to = { ArrowRight: (at + 1) % most, ArrowLeft: (at - 1 + most) % most, Home: 0, End: most - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.choose(this.tabs[to]);
    this.tabs[to].focus();
  }

  #panelOf(tab) {
    return document.getElementById(tab.getAttribute("aria-controls"));
  }
}
