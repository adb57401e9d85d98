// What is found in a photo, or why a portrait cannot be judged, in the user's language; its colour and sign.
//
// It comes with a node's output as English text and as keys of a catalogue with their values (facechain/messages.py);
// translations stand in locales/<language>/main.json. Where one is missing, the English text is shown.
import { block, inLanguage, translated } from "./page.js";

const WORDS = {
  en: { accepted: "accepted", warning: "with remarks", spare: "not needed", rejected: "rejected", best: "best photo" },
  zh: { accepted: "合格", warning: "合格，有提示", spare: "用不上", rejected: "不合格", best: "最佳照片" },
};
// Colours that people who cannot tell red from green still tell apart, as facechain/sheets.py has them; a sign as well.
export const GOOD = "#009e73", FAIR = "#e69f00", BAD = "#d55e00", NEUTRAL = "#787878";
const MARKS = { accepted: [GOOD, "✓"], warning: [FAIR, "!"], spare: [NEUTRAL, "–"], rejected: [BAD, "×"] };
export const BADGE_STYLE = `
  .facechain-badge { position: absolute; top: 3px; right: 3px; min-width: 18px; height: 18px; padding: 0 2px;
    border-radius: 9px; color: #fff; font: bold 11px/18px sans-serif; text-align: center; box-sizing: border-box; }
  .facechain-badge.star { right: auto; left: 3px; background: #1f2328; }`;

let messages = {};

/** To be awaited once, before anything is shown. */
export async function readMessages() {
  messages = (await translated().catch(() => ({}))).facechain?.messages ?? {};
}

/** The words for a mark, such as "rejected". */
export function markWords() {
  return inLanguage(WORDS);
}

/** What was found, as sentences. card: {text, said: [[key, values], ...]} of the node's output. */
export function sentences({ text, said = [] }) {
  const found = said.filter(([key]) => key !== "accepted" || said.length === 1).map(([key, values]) => {
    return messages[key]?.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
  });
  const stop = inLanguage({ en: ". ", zh: "。" });
  return found.length && found.every(Boolean) ? found.join(stop) + stop.trim() : text;
}

/** A photo's verdict: {colour, sign, title}; title names the photo, says the verdict and why. */
export function verdictOf(card) {
  const words = markWords();
  const [colour, sign] = MARKS[card.mark] ?? MARKS.rejected;
  const verdict = [words[card.mark], card.best && words.best].filter(Boolean).join(words === WORDS.zh ? "，" : ", ");
  return { colour, sign, title: `${card.name}: ${verdict}\n${sentences(card)}` };
}

/** The badges that stand on a photo's corners. */
export function badges({ colour, sign, star }) {
  const found = [];
  if (sign) {
    const badge = block("facechain-badge", sign);
    badge.style.background = colour;
    found.push(badge);
  }
  if (star) found.push(block("facechain-badge star", "★"));
  return found;
}
