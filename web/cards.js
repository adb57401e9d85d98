// Pictures with their verdicts on the node: FaceChain Preprocess shows each photo with what was found (the reason on
// hover), Similarity Rank each portrait with its likeness below it, best first.
//
// The pictures and words come with the node's output (nodes/_cards.py). Without this file the node works as well:
// ComfyUI shows the sheet with the same words.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { addStyle, inLanguage } from "./page.js";

const SIDE = 84; // of a picture, in pixels
const ROWS = 3; // of pictures, then they scroll
const LINE = 22; // height of the line above them
const HINT = 90; // height of the hint before the first run
const MARGIN = 8;
const GAP = 6;

const WORDS = {
  en: {
    accepted: "accepted",
    warning: "with remarks",
    spare: "not needed",
    rejected: "rejected",
    best: "best photo",
    kept: "kept",
    other: "not kept",
    unjudged: "cannot be judged",
    portrait: (number) => `picture ${number}`,
    more: (count) => `${count} more are not shown`,
    reason: (text) => text,
    photos: "Each photo will stand here with its verdict; the reason on hover.",
    portraits: "The portraits will stand here with their likeness, best first.",
  },
  zh: {
    accepted: "合格",
    warning: "合格，有提示",
    spare: "用不上",
    rejected: "不合格",
    best: "最佳照片",
    kept: "保留",
    other: "未保留",
    unjudged: "无法评判",
    portrait: (number) => `第 ${number} 张`,
    more: (count) => `还有 ${count} 张未显示`,
    reason: (text) => REASONS.find(([english]) => text.startsWith(english))?.[1] ?? text,
    photos: "运行后，每张照片和它的结论显示在这里，鼠标悬停可看原因。",
    portraits: "运行后，写真按相似度从高到低显示在这里。",
  },
};
const REASONS = [["no face", "没有人脸"], ["face too small", "人脸太小"], ["face too large", "人脸太大"]]; // facechain/rank.py
// Colours that people who cannot tell red from green still tell apart, as facechain/sheets.py has them; a sign as well.
const GOOD = "#009e73", FAIR = "#e69f00", BAD = "#d55e00", NEUTRAL = "#787878";
const MARKS = {
  accepted: [GOOD, "✓"],
  warning: [FAIR, "!"],
  spare: [NEUTRAL, "–"],
  rejected: [BAD, "×"],
};
const NODES = {
  FaceChain_Preprocess: { hint: "photos", draw: verdictOf, group: (card) => card.mark },
  FaceChain_SimilarityRank: { hint: "portraits", draw: likenessOf, group: rankGroup },
};
const STYLE = `
  .facechain-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(${SIDE}px, 1fr)); gap: ${GAP}px;
    align-content: start; overflow-y: auto; font: 11px/14px sans-serif; color: var(--input-text, #ddd); }
  .facechain-cards p { grid-column: 1 / -1; margin: 0; }
  .facechain-cards p.hint { padding: 14px; text-align: center; opacity: 0.65; border-radius: 6px;
    border: 1px dashed var(--border-color, #666); font-size: 12px; line-height: 18px; }
  .facechain-cards figure { position: relative; width: ${SIDE}px; margin: 0; justify-self: center; border-radius: 4px; overflow: hidden;
    background: rgba(128, 128, 128, 0.25); cursor: help; }
  .facechain-cards .picture { height: ${SIDE}px; background-repeat: no-repeat; }
  .facechain-cards .badge { position: absolute; top: 3px; right: 3px; min-width: 18px; height: 18px; padding: 0 2px;
    border-radius: 9px; color: #fff; font-weight: bold; line-height: 18px; text-align: center; box-sizing: border-box; }
  .facechain-cards .star { right: auto; left: 3px; background: #1f2328; }
  .facechain-cards .bar { height: 4px; }
  .facechain-cards figcaption { padding: 1px 3px 2px; text-align: center; white-space: nowrap; overflow: hidden;
    text-overflow: ellipsis; }
  .facechain-cards .faint { opacity: 0.6; }`;

let words = WORDS.en;

app.registerExtension({
  name: "FaceChain.Cards",

  init() {
    words = inLanguage(WORDS);
    addStyle(STYLE);
  },

  nodeCreated(node) {
    const kind = NODES[node.comfyClass];
    if (kind) equip(node, kind);
  },
});

function equip(node, kind) {
  const element = document.createElement("div");
  element.className = "facechain-cards";
  element.append(paragraph(words[kind.hint], "hint"));
  let cards = 0;
  const height = () => {
    if (!cards) return HINT;
    const columns = Math.max(1, Math.floor((node.size[0] - 2 * MARGIN) / (SIDE + GAP)));
    return LINE + Math.min(ROWS, Math.ceil(cards / columns)) * (SIDE + 21 + GAP) + 2 * MARGIN;
  };
  const options = { serialize: false, getMinHeight: height, getMaxHeight: height, margin: MARGIN };
  node.addDOMWidget("cards", "facechain_cards", element, options).serialize = false; // saved graphs hold the schema's alone

  const executed = node.onExecuted;
  node.onExecuted = function (output) {
    executed?.apply(this, arguments);
    const [shown] = output?.facechain_cards ?? [];
    if (!shown) return;
    cards = shown.cards.length;
    const found = shown.cards.map((card, place) => figure(shown, place, kind.draw(card, place)));
    element.replaceChildren(paragraph(summary(shown, kind.group)), ...found);
    const needed = this.computeSize()[1];
    if (this.size[1] < needed) this.setSize([this.size[0], needed]);
    this.setDirtyCanvas(true, true);
  };
}

// --- what a card says ---

function verdictOf(card) {
  const [colour, sign] = MARKS[card.mark] ?? MARKS.rejected;
  const title = `${card.name}: ${words[card.mark]}${card.best ? `, ${words.best}` : ""}\n${card.text}`;
  return { colour, sign, title, caption: card.name.split("/").pop(), star: card.best, faint: card.mark === "spare" };
}

function likenessOf(card, place) {
  const name = words.portrait(card.name);
  if (card.percent == null) return { colour: NEUTRAL, title: `${name}: ${card.text}`, caption: words.reason(card.text), faint: true };
  const colour = card.percent >= 80 ? GOOD : card.percent >= 50 ? FAIR : BAD; // as facechain/sheets.py has it
  const title = `${place + 1}. ${name}: ${card.percent} %, ${card.kept ? words.kept : words.other}`;
  return { colour, title, caption: `${Math.round(card.percent)} %`, star: place === 0, faint: !card.kept };
}

function rankGroup(card) {
  return card.percent == null ? "unjudged" : card.kept ? "kept" : "other";
}

function summary(shown, groupOf) {
  const counts = new Map();
  for (const card of shown.cards) counts.set(groupOf(card), (counts.get(groupOf(card)) ?? 0) + 1);
  const parts = [...counts].map(([group, count]) => `${count} ${words[group]}`);
  if (shown.left_out) parts.push(words.more(shown.left_out));
  return parts.join(" · ");
}

// --- drawing ---

function figure(shown, place, { colour, sign, title, caption, star, faint }) {
  const card = document.createElement("figure");
  card.title = title;
  const picture = block("picture");
  const rows = Math.ceil(shown.cards.length / shown.columns);
  const [row, column] = [Math.floor(place / shown.columns), place % shown.columns];
  Object.assign(picture.style, {
    backgroundImage: `url("${address(shown.picture)}")`,
    backgroundSize: `${shown.columns * SIDE}px ${rows * SIDE}px`,
    backgroundPosition: `${-column * SIDE}px ${-row * SIDE}px`,
  });
  if (faint) picture.classList.add("faint");
  const bar = block("bar");
  bar.style.background = colour;
  card.append(picture, bar, Object.assign(document.createElement("figcaption"), { textContent: caption }));
  if (sign) {
    const badge = block("badge", sign);
    badge.style.background = colour;
    card.append(badge);
  }
  if (star) card.append(block("badge star", "★"));
  return card;
}

function block(className, textContent = "") {
  return Object.assign(document.createElement("div"), { className, textContent });
}

function paragraph(textContent, className = "") {
  return Object.assign(document.createElement("p"), { textContent, className });
}

function address({ filename, subfolder, type }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}
