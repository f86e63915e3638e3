// A recommended reply on its way: into the composer, out as the agent's turn, and what became of it to the service.

import { ask } from "./api.js";
import { composer } from "./composer.js";
import { inWords } from "./feedback.js";
import { isFilledIn, openGap, share } from "./slots.js";

/** Below it, somebody wrote a text of their own, and that says nothing about the reply. */
const STILL_IT = 0.25;

export class Adoption {
  /** @param {{tell: Function, toast: Function, changed: Function}} on what is said on the card, beside the field; the draft is another */
  constructor(on) {
    this.on = on;
    this.taken = null;
    this.before = { text: "", role: "customer" };
  }

  /** A reply goes to the composer as the agent's turn; a gap that is open is selected to be filled. */
  take(reply, text) {
    this.put(text);
    this.taken = { id: reply.id, text };
    this.gap();
  }

  /** Any words for the agent to say, for example a question to the customer. */
  put(text) {
    this.before = { text: composer.draft.value, role: composer.role() };
    this.taken = null;
    composer.write(text, "agent");
    this.on.toast("已放进输入框，可以改了再发", () => this.#back());
    composer.select();
    this.on.changed();
  }

  /** Whether a gap keeps the adopted text from being sent; it is selected then. */
  gap() {
    const gap = this.taken && openGap(composer.draft.value);
    if (!gap) return false;
    this.on.toast(`还缺${gap.zh}，填好再发`, () => this.#back());
    composer.select(gap);
    return true;
  }

  /** The adopted text was emptied or put away: no word about the reply. */
  drop() {
    this.taken = null;
  }

  #back() {
    this.taken = null;
    composer.write(this.before.text, this.before.role);
    this.on.toast("");
    composer.select();
    this.on.changed();
  }

  /** The agent sent this: `accepted` as it was, its gaps filled in any way; else `edited`, with the new words. */
  async sent(text) {
    const { taken } = this;
    this.taken = null;
    if (!taken) return;
    const accepted = isFilledIn(taken.text, text);
    if (!accepted && share(taken.text, text) < STILL_IT) return;
    const words = accepted ? "已发送" : "改后已发送";
    const { tell } = this.on;
    tell(taken.id, `${words}，正在记下…`, "sent");
    const edited = accepted ? {} : { sent: text };
    try {
      await ask("recommend/feedback", { reply_id: taken.id, action: accepted ? "accepted" : "edited", ...edited });
      tell(taken.id, `${words}，已记下`, "sent");
    } catch (error) {
      tell(taken.id, `${words}，没有记下：${inWords(error)}`, "failed");
    }
  }
}
