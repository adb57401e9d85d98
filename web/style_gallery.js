// The styles as pictures: a button on every node with a list of styles opens them as cards, to be searched and chosen.
//
// A style's picture is the last portrait that the user saved with it (remembered in this browser); until there is one,
// a drawing of the colours and things that its words name (style_card.js). Without this file styles are chosen from the
// list.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { addressOf, addStyle, block, inLanguage } from "./page.js";
import { styleCard } from "./style_card.js";
import { namesOf, notesOf } from "./style_names.js";

const SIDE = 128; // pixels of a picture
const KEPT = "FaceChain.StylePictures"; // in the browser's storage: {style: {filename, subfolder, type}}
const LOADER = "FaceChain_LoadStyle";

const WORDS = {
  en: {
    open: "choose by picture",
    title: "Styles",
    search: "search by name",
    close: "close",
    about: "A drawing shows the colours and things that a style's words name, no more. Save a portrait in a style, and it stands here instead, with a star.",
    none: "no style of that name",
    own: "your portrait",
  },
  zh: {
    open: "看图选风格",
    title: "风格",
    search: "按名称搜索",
    close: "关闭",
    about: "示意图只表示该风格的词里提到的颜色和物品。用某个风格保存过写真后，这里就显示你的写真，并带星标。",
    none: "没有这个名称的风格",
    own: "你的写真",
  },
};
const STYLE = `
  .facechain-gallery { width: min(1100px, 92vw); height: min(820px, 88vh); padding: 0; border-radius: 10px;
    border: 1px solid var(--border-color, #555); color: var(--input-text, #ddd); background: var(--comfy-menu-bg, #222);
    font: 13px/18px sans-serif; }
  .facechain-gallery[open] { display: flex; flex-direction: column; }
  .facechain-gallery::backdrop { background: rgba(0, 0, 0, 0.6); }
  .facechain-gallery header { display: flex; gap: 12px; align-items: center; padding: 12px 16px; }
  .facechain-gallery h2 { margin: 0; font-size: 16px; }
  .facechain-gallery input { flex: 1; padding: 6px 10px; border-radius: 6px; border: 1px solid var(--border-color, #555);
    color: inherit; background: var(--comfy-input-bg, #111); font: inherit; }
  .facechain-gallery p { margin: 0; padding: 0 16px 10px; opacity: 0.7; font-size: 12px; }
  .facechain-gallery main { flex: 1; display: grid; grid-template-columns: repeat(auto-fill, ${SIDE + 4}px);
    grid-auto-rows: max-content; gap: 12px; min-height: 0;
    justify-content: center; align-content: start; padding: 4px 16px 16px; overflow-y: auto; }
  .facechain-gallery button { font: inherit; color: inherit; cursor: pointer; border: 2px solid transparent; padding: 0;
    border-radius: 8px; background: var(--comfy-input-bg, #111); overflow: hidden; }
  .facechain-gallery header button { padding: 5px 12px; }
  .facechain-gallery main button:hover, .facechain-gallery main button:focus-visible { border-color: #4a90d9; }
  .facechain-gallery main button.chosen { border-color: #009e73; }
  .facechain-gallery .picture { position: relative; flex: none; align-self: stretch; height: ${SIDE}px; }
  .facechain-gallery .picture img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; }
  .facechain-gallery .own::after { content: "★"; position: absolute; top: 4px; right: 4px; width: 18px; height: 18px;
    border-radius: 9px; background: #009e73; color: #fff; font-size: 11px; line-height: 18px; text-align: center; }
  .facechain-gallery main button { display: flex; flex-direction: column; }
  .facechain-gallery small { align-self: stretch; padding: 4px 4px 6px; font-size: 12px; line-height: 15px; }
  .facechain-gallery small i { opacity: 0.6; font-style: normal; }`;

let words = WORDS.en;
let finished = ""; // the job that ended last

app.registerExtension({
  name: "FaceChain.StyleGallery",

  init() {
    words = inLanguage(WORDS);
    addStyle(STYLE);
  },

  setup() {
    api.addEventListener("execution_success", ({ detail }) => (finished = detail.prompt_id));
    api.addEventListener("executing", ({ detail }) => {
      if (detail || !finished) return; // nothing runs any more: the job's history is written
      remember(finished).catch(() => {}); // a picture less in the gallery
      finished = "";
    });
  },
});

// Puts the button onto a node. list: its widget with the styles; about(id): {name, name_zh, family, lora, lora_found}.
export function addGalleryButton(node, list, about) {
  // "Nodes 2.0" shows a button's name, not its label
  const button = node.addWidget("button", words.open, null, () => open(list, about), { serialize: false });
  button.serialize = false; // saved graphs hold the schema's widgets alone
}

// --- the dialog ---

function open(list, about) {
  const dialog = block("facechain-gallery", "", "dialog");
  const search = Object.assign(block("", "", "input"), { type: "search", placeholder: words.search });
  const close = Object.assign(block("", words.close, "button"), { type: "button" });
  const cards = block("", "", "main");
  const header = block("", "", "header");
  header.append(block("", words.title, "h2"), search, close);
  dialog.append(header, block("", words.about, "p"), cards);
  const own = kept();
  const choose = (id) => {
    list.value = id;
    list.callback?.(id);
    app.graph.setDirtyCanvas(true, true);
    dialog.close();
  };
  const all = list.options.values.map((id) => card(id, about(id) ?? {}, own[id], id === list.value, choose));
  const show = () => {
    const wanted = search.value.trim().toLowerCase();
    const found = all.filter((one) => one.dataset.words.includes(wanted));
    cards.replaceChildren(...(found.length ? found : [block("", words.none, "p")]));
  };
  search.addEventListener("input", show);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
  dialog.addEventListener("keydown", (event) => event.stopPropagation()); // no shortcuts of the canvas
  dialog.addEventListener("close", () => dialog.remove());
  show();
  document.body.append(dialog);
  dialog.showModal();
  search.focus();
  cards.querySelector(".chosen")?.scrollIntoView({ block: "center" });
}

function card(id, about, own, chosen, choose) {
  const names = namesOf(about);
  const [name = id, ...others] = names;
  const one = Object.assign(block(chosen ? "chosen" : "", "", "button"), { type: "button", title: id });
  one.dataset.style = id;
  one.dataset.words = [id, ...names].join(" ").toLowerCase();
  const label = block("", name, "small");
  label.append(block("", "", "br"), block("", [...others, ...notesOf(about)].join(" · "), "i"));
  one.append(pictureOf(about, own), label);
  one.addEventListener("click", () => choose(id));
  return one;
}

function pictureOf(about, own) {
  const box = block("picture");
  box.append(styleCard(about));
  if (!own) return box;
  const image = Object.assign(block("", "", "img"), { alt: words.own, title: words.own, loading: "lazy" });
  image.addEventListener("load", () => box.classList.add("own"));
  image.addEventListener("error", () => image.remove()); // the picture was deleted or moved: as before
  image.src = addressOf({ ...own, preview: "webp;80" });
  box.append(image);
  return box;
}

// --- the user's own pictures ---

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {}; // not ours, or shut off
  }
}

// Keeps the first picture that a job saved with each style.
async function remember(job) {
  const reply = await api.fetchApi(`/history/${job}`);
  const entry = (await reply.json())[job];
  const graph = entry?.prompt[2] ?? {};
  const own = kept();
  for (const [id, { images = [] }] of Object.entries(entry?.outputs ?? {})) {
    const saved = images.find(({ type }) => type === "output");
    const styles = saved ? [...stylesAbove(graph, id)] : [];
    if (styles.length !== 1) continue;
    own[styles[0]] = { filename: saved.filename, subfolder: saved.subfolder, type: saved.type };
  }
  localStorage.setItem(KEPT, JSON.stringify(own));
}

// The styles of the Load Style nodes from which a node of a job gets what it shows.
function stylesAbove(graph, id, seen = new Set(), styles = new Set()) {
  if (seen.has(id) || !graph[id]) return styles;
  seen.add(id);
  const { class_type, inputs } = graph[id];
  if (class_type === LOADER && typeof inputs.style === "string") styles.add(inputs.style);
  for (const value of Object.values(inputs)) if (Array.isArray(value)) stylesAbove(graph, String(value[0]), seen, styles);
  return styles;
}
