// Pictures with their verdicts on the node: FaceChain Preprocess shows each photo with what was found (the reason on
// hover), and hands the verdicts on to the Load Photos before it; Similarity Rank shows each portrait with its likeness
// below it, best first, in the place of the sheet, which says the same.
//
// The pictures and words come with the node's output (nodes/_cards.py). Without this file the node works as well:
// ComfyUI shows the sheet with the same words.
import { app } from "../../scripts/app.js";
import { markPhotos } from "./load_photos.js";
import { addressOf, addStyle, block, inLanguage, outputFollower, takePictures } from "./page.js";
import { BAD, badges, FAIR, GOOD, markWords, NEUTRAL, readMessages, sentences, verdictOf } from "./verdicts.js";

const ROWS = 2; // of pictures at least, where there are so many; in a larger node more, then they scroll
const LINE = 22; // height of the line above them
const HINT = 90; // height of the hint before the first run
const MARGIN = 8;
const GAP = 6;

const WORDS = {
  en: {
    kept: "kept",
    other: "not kept",
    unjudged: "cannot be judged",
    portrait: (number) => `picture ${number}`,
    more: (count) => `${count} more are not shown`,
    photos: "Each photo will stand here with its verdict; the reason on hover.",
    portraits: "The portraits will stand here with their likeness, best first.",
  },
  zh: {
    kept: "保留",
    other: "未保留",
    unjudged: "无法评判",
    portrait: (number) => `第 ${number} 张`,
    more: (count) => `还有 ${count} 张未显示`,
    photos: "运行后，每张照片和它的结论显示在这里，鼠标悬停可看原因。",
    portraits: "运行后，写真按相似度从高到低显示在这里。",
  },
};
// side: of a picture, in pixels.
const NODES = {
  FaceChain_Preprocess: {
    hint: "photos",
    side: 84,
    draw: photo,
    group: (card) => markWords()[card.mark],
    done: tellLoader,
  },
  FaceChain_SimilarityRank: {
    hint: "portraits",
    side: 120,
    draw: likenessOf,
    group: (card) => words[rankGroup(card)],
    done: (node, cards, output) => takePictures(output),
  },
};
const STYLE = `
  .facechain-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(var(--side), 1fr)); gap: ${GAP}px;
    grid-auto-rows: max-content; align-content: start; overflow-y: auto;
    font: 11px/14px sans-serif; color: var(--input-text, #ddd); }
  .lg-node .facechain-cards { max-height: var(--tall); }
  .facechain-cards p { grid-column: 1 / -1; margin: 0; }
  .facechain-cards p.hint { padding: 14px; text-align: center; opacity: 0.65; border-radius: 6px;
    border: 1px dashed var(--border-color, #666); font-size: 12px; line-height: 18px; }
  .facechain-cards figure { position: relative; width: var(--side); margin: 0; justify-self: center; border-radius: 4px; overflow: hidden;
    background: rgba(128, 128, 128, 0.25); cursor: help; }
  .facechain-cards .picture { height: var(--side); background-repeat: no-repeat; }
  .facechain-cards .bar { height: 4px; }
  .facechain-cards figcaption { padding: 1px 3px 2px; text-align: center; white-space: nowrap; overflow: hidden;
    text-overflow: ellipsis; }
  .facechain-cards .faint { opacity: 0.6; }`;

let words = WORDS.en;
const results = outputFollower();

function tall(rows, side) {
  return LINE + rows * (side + 21 + GAP) + 2 * MARGIN;
}

app.registerExtension({
  name: "FaceChain.Cards",

  async init() {
    words = inLanguage(WORDS);
    addStyle(STYLE);
    await readMessages();
  },

  nodeCreated(node) {
    const kind = NODES[node.comfyClass];
    if (kind) equip(node, kind);
  },

  onNodeOutputsUpdated: results.restore,
});

function equip(node, kind) {
  const element = document.createElement("div");
  element.className = "facechain-cards";
  element.style.setProperty("--side", `${kind.side}px`);
  element.style.setProperty("--tall", `${tall(ROWS, kind.side)}px`);
  element.append(paragraph(words[kind.hint], "hint"));
  let cards = 0;
  const height = (most) => {
    if (!cards) return HINT;
    const columns = Math.max(1, Math.floor((node.size[0] - 2 * MARGIN) / (kind.side + GAP)));
    return tall(Math.min(most, Math.ceil(cards / columns)), kind.side);
  };
  const heights = { getMinHeight: () => height(ROWS), getMaxHeight: () => height(cards) };
  const options = { serialize: false, ...heights, margin: MARGIN };
  node.addDOMWidget("cards", "facechain_cards", element, options).serialize = false; // saved graphs hold the schema's alone

  results.follow(node, (output) => {
    const [shown] = output.facechain_cards ?? [];
    if (!shown) return;
    cards = shown.cards.length;
    const found = shown.cards.map((card, place) => figure(shown, place, kind.draw(card, place), kind.side));
    element.replaceChildren(paragraph(summary(shown, kind.group)), ...found);
    kind.done(node, shown.cards, output);
    const needed = node.computeSize()[1];
    if (node.size[1] < needed) node.setSize([node.size[0], needed]);
    node.setDirtyCanvas(true, true);
  });
}

// --- what a card says ---

function photo(card) {
  return { ...verdictOf(card), caption: card.name.split("/").pop(), star: card.best, faint: card.mark === "spare" };
}

function likenessOf(card, place) {
  const name = words.portrait(card.name);
  if (card.percent == null) return { colour: NEUTRAL, title: `${name}: ${sentences(card)}`, caption: brief(card), faint: true };
  const colour = card.percent >= 80 ? GOOD : card.percent >= 50 ? FAIR : BAD; // as facechain/sheets.py has it
  const title = `${place + 1}. ${name}: ${card.percent} %, ${card.kept ? words.kept : words.other}`;
  return { colour, title, caption: `${Math.round(card.percent)} %`, star: place === 0, faint: !card.kept };
}

// The reason without its numbers.
function brief(card) {
  return sentences(card).split(/ ?[(（]/)[0].replace("。", "");
}

function rankGroup(card) {
  return card.percent == null ? "unjudged" : card.kept ? "kept" : "other";
}

function summary(shown, groupOf) {
  const counts = new Map();
  for (const card of shown.cards) counts.set(groupOf(card), (counts.get(groupOf(card)) ?? 0) + 1);
  const parts = [...counts].map(([group, count]) => `${count} ${group}`);
  if (shown.left_out) parts.push(words.more(shown.left_out));
  return parts.join(" · ");
}

// --- drawing ---

function figure(shown, place, said, side) {
  const { colour, title, caption, faint } = said;
  const card = document.createElement("figure");
  card.title = title;
  const picture = block("picture");
  const rows = Math.ceil(shown.cards.length / shown.columns);
  const [row, column] = [Math.floor(place / shown.columns), place % shown.columns];
  Object.assign(picture.style, {
    backgroundImage: `url("${addressOf(shown.picture)}")`,
    backgroundSize: `${shown.columns * side}px ${rows * side}px`,
    backgroundPosition: `${-column * side}px ${-row * side}px`,
  });
  if (faint) picture.classList.add("faint");
  const bar = block("bar");
  bar.style.background = colour;
  card.append(picture, bar, block("", caption, "figcaption"), ...badges(said));
  return card;
}

function paragraph(text, className = "") {
  return block(className, text, "p");
}

// --- the photos' own node ---

// The Load Photos that Preprocess has its photos from, through reroutes: its pictures get the same badges.
function tellLoader(node, cards) {
  const slot = node.inputs?.findIndex((input) => input.name === "photos") ?? -1;
  let above = slot < 0 ? null : node.getInputNode(slot);
  for (let steps = 0; above?.type === "Reroute" && steps < 20; steps++) above = above.getInputNode(0);
  if (above) markPhotos(above, cards);
}
