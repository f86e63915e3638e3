// Pasted chats to turns. A line with a speaker's mark opens a turn, a line without one continues it.

const CUSTOMER = "客户|顾客|买家|用户|消费者|客人|customer|buyer|user|client|shopper";
const AGENT =
  "(?:人工|智能|在线|售前|售后|官方)?客服(?:人员|专员|代表)?|卖家|商家|店家|店主|店铺|掌柜|店小二|[坐座]席|机器人" +
  "|agent|seller|support|staff|merchant|assistant|representative|bot";
const ROLE = `(?<role>${CUSTOMER}|${AGENT})(?![a-z])`;
const DATE = "(?:\\d{4}[-/.年]\\d{1,2}[-/.月]\\d{1,2}日?|\\d{1,2}(?:[-/]|月)\\d{1,2}日?|今天|昨天|前天|星期.|周.)";
const CLOCK =
  "(?:上午|下午|早上|晚上|中午|凌晨)?\\s*\\d{1,2}[:：]\\d{2}(?::\\d{2}(?:[.,]\\d{1,6})?)?(?!:\\d{2})" +
  "(?:\\s*[ap]m)?(?:Z|\\s*[+-]\\d{2}:?\\d{2})?";
const STAMP = `[\\[【(（<]?\\s*(?:${DATE}[\\sT,，]*${CLOCK}|${CLOCK}|\\d{4}[-/.年]\\d{1,2}[-/.月]\\d{1,2}日?)\\s*[\\]】)）>]?`;
// Unknown names count as speakers only beside a time that nobody types by hand.
const EXACT = `(?:${DATE}[\\sT,，]*${CLOCK}|\\d{1,2}[:：]\\d{2}[:：]\\d{2})`;
const BULLET = "(?:[-*•·>]{1,2}\\s+|\\d{1,3}[.、)）]\\s*)?";
const NAME =
  " ?[(（\\[【<「“\"][^)）\\]】>」”\"]{1,24}[)）\\]】>」”\"]|[-_—·/@#] ?[^\\s:：|]{1,16}" +
  "| ?[^\\s:：()（）\\[【<\\]】>|]{1,16}";
const LEAD = `^${BULLET}(?:${STAMP}[\\s,，|-]*)?`;
const SHOP_NAME = "(?:[^\\s:：，。！？,.!?]{1,16}(?:旗舰店|专营店|专卖店))?";

// The ways of marking a speaker, tried in this order.
const HEADS = [
  // [客户] 你好 · 【客服-小美】10:02：在的
  `${LEAD}[\\[【<《]${ROLE}(?<name>${NAME})?[\\]】>》]\\s*(?:${STAMP})?\\s*[:：]?(?<text>.*)$`,
  // 客户 2024-11-11 10:02:33, the words on the next line
  `${LEAD}${SHOP_NAME}${ROLE}(?:(?!\\s*${STAMP})(?<name>${NAME}))?\\s*${STAMP}(?<text>)$`,
  // 客户：你好 · 10:02 客服（小美）: 在的 · 客户 10:02：你好 · **客户：** 你好
  `${LEAD}(?:\\*\\*)?${SHOP_NAME}${ROLE}(?:(?!\\s*${STAMP})(?<name>${NAME}))?(?:\\*\\*)?\\s*(?:${STAMP})?` +
    `\\s*(?:[:：]|\\t|\\|)(?:\\*\\*)?(?<text>.*)$`,
  // [10:02] 客户 你好
  `^${BULLET}${STAMP}\\s*${ROLE}\\s+(?<text>.+)$`,
  // 客户 10:02:33 你好
  `^${BULLET}${ROLE}\\s*${STAMP}\\s+(?<text>.+)$`,
  // 小王（客户）：你好
  `${LEAD}[^\\s:：()（\\[【]{1,16}\\s?[(（\\[【]${ROLE}[)）\\]】]\\s*(?:${STAMP})?\\s*[:：](?<text>.*)$`,
].map((pattern) => new RegExp(pattern, "iu"));
const STRANGER = new RegExp(
  `^(?<name>[^\\s:：](?:[^\\s]{0,30}[^\\s:：(（\\[])?)\\s*[(（\\[]?\\s*${EXACT}\\s*[)）\\]]?\\s*(?:[:：](?<text>.*))?$`,
  "iu",
);
const TIME_ONLY = new RegExp(`^[-—=─\\s]*${STAMP}[-—=─\\s]*$`, "iu");
const CUSTOMER_ONLY = new RegExp(`^(?:${CUSTOMER})$`, "iu");
const SHOP = /店|客服|官方|小二|商家|卖家|[:：]/u;
// "客服小美", "客服07", "Agent Amy" are speakers; "客服电话", "客户姓名", "user id" are not.
const SAYABLE = /^(?:\s?(?:[0-9]{1,6}号?|[A-Z][0-9A-Za-z_*]{0,19}|[0-9A-Za-z_]*\*+[0-9A-Za-z_*]*|[小阿老]\p{Script=Han}{1,2}|(\p{Script=Han})\1))$/u;
const DELIMITED = /^ ?[(（[【<「“"\-_—·/@#]/u;

// A mark stands at the beginning; looking no further keeps the patterns quick on whatever is pasted.
const LONGEST_HEAD = 120;

/**
 * @param {string} text what was pasted or typed
 * @returns {{turns: {role: "customer"|"agent", text: string}[], marked: boolean}}
 *   oldest first; `marked` says whether any line named its speaker.
 */
export function parseChat(text) {
  const lines = text
    .replace(/[\u200b\u200e\u200f\u2060\ufeff]/gu, "")
    .split(/\r\n?|[\n\u2028\u2029]/u)
    .map((line) => line.trim());
  const turns = [];
  let marked = false;
  for (const line of lines) {
    if (!line || (line.length < LONGEST_HEAD && TIME_ONLY.test(line))) continue;
    const head = headOf(line);
    if (head) {
      marked = true;
      turns.push(head);
    } else if (marked) {
      const turn = turns.at(-1);
      turn.text += turn.text ? `\n${line}` : line;
    } else {
      turns.push({ role: "customer", text: line });
    }
  }
  nameStrangers(turns);
  return { turns: turns.filter((turn) => turn.text).map(({ role, text }) => ({ role, text })), marked };
}

function headOf(whole) {
  const line = whole.slice(0, LONGEST_HEAD);
  const rest = whole.slice(LONGEST_HEAD);
  for (const pattern of HEADS) {
    const found = pattern.exec(line)?.groups;
    if (found && isName(found.name)) {
      const role = CUSTOMER_ONLY.test(found.role) ? "customer" : "agent";
      return { role, text: (found.text + rest).trim() };
    }
  }
  const stranger = STRANGER.exec(line)?.groups;
  if (!stranger) return null;
  const { name, text = "" } = stranger;
  return { role: SHOP.test(name) ? "agent" : null, name, text: (text + rest).trim() };
}

function isName(name) {
  return !name || DELIMITED.test(name) || SAYABLE.test(name);
}

/** Speakers without a telling name: where no shop speaks, the first is the customer, others are the shop. */
function nameStrangers(turns) {
  const first = turns.find((turn) => turn.role === null)?.name;
  const shop = turns.some((turn) => turn.role === "agent");
  for (const turn of turns) {
    if (turn.role === null) turn.role = shop || turn.name === first ? "customer" : "agent";
  }
}
