// Load Photos takes pictures from the user's computer: a button that uploads several at once, dropping
// them onto the node, and thumbnails of what is chosen; after a run of all that was loaded, in the place of ComfyUI's
// own preview, with the verdicts of FaceChain Preprocess.
//
// Pictures go into ComfyUI's input folder by its own upload, each node's into a folder of their own
// (facechain/<date and time>), under their own names; the widget `files` then names them. Without this
// file the node works as well, with what is in the input folder already.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { addressOf, addStyle, inLanguage, outputFollower, takePictures } from "./page.js";
import { BADGE_STYLE, badges, verdictOf } from "./verdicts.js";

const NODE = "FaceChain_LoadPhotos";
const MOST = 200;
const PICTURE = /\.(jpe?g|png|webp|bmp|tiff?|hei[cf]|avif|gif)$/i; // as nodes/_host.py has it
const SIDE = 84; // of a thumbnail, in pixels
const ROWS = 2; // of thumbnails at least, where there are so many; in a larger node more, then they scroll
const MARGIN = 8;

const WORDS = {
  en: {
    upload: "upload photos",
    drop: "drop photos here, or name files of the input folder, one a line",
    busy: (done, count) => `uploading ${done} of ${count} …`,
    remove: "leave this photo out",
    title: "Load Photos",
    odd: (names) => `Not a picture, left out: ${names}`,
    failed: (name, why) => `${name} could not be uploaded: ${why}`,
    many: (left) => `At most ${MOST} photos are loaded: ${left} were left out`,
    large: "the file is larger than the server takes (--max-upload-size)",
    offline: "the server does not answer",
  },
  zh: {
    upload: "上传照片",
    drop: "把照片拖到这里，或填写 input 目录下的文件名，每行一个",
    busy: (done, count) => `正在上传 ${done} / ${count} …`,
    remove: "去掉这张照片",
    title: "加载照片",
    odd: (names) => `不是图片，已跳过：${names}`,
    failed: (name, why) => `${name} 上传失败：${why}`,
    many: (left) => `最多加载 ${MOST} 张照片，其余 ${left} 张未上传`,
    large: "文件超过服务器的上传上限（--max-upload-size）",
    offline: "服务器没有响应",
  },
};
const STYLE = `
  .facechain-photos { display: grid; grid-template-columns: repeat(auto-fill, ${SIDE}px); gap: 4px;
    align-content: start; overflow-y: auto; }
  .lg-node .facechain-photos { max-height: ${ROWS * (SIDE + 4)}px; }
  .facechain-photos[hidden] { display: none; }
  .facechain-photos figure { position: relative; width: ${SIDE}px; height: ${SIDE}px; margin: 0; overflow: hidden;
    border-radius: 4px; background: rgba(128, 128, 128, 0.25); }
  .facechain-photos img { width: 100%; height: 100%; object-fit: cover; }
  .facechain-photos figcaption { position: absolute; inset: 0; padding: 4px; overflow: hidden; overflow-wrap: anywhere;
    font-size: 10px; color: var(--input-text, #ddd); }
  .facechain-photos button { position: absolute; bottom: 2px; right: 2px; width: 18px; height: 18px; padding: 0; border: 0;
    border-radius: 9px; font-size: 12px; line-height: 18px; background: rgba(0, 0, 0, 0.65); color: #fff;
    cursor: pointer; opacity: 0; }
  .facechain-photos figure:hover button, .facechain-photos button:focus-visible { opacity: 1; }${BADGE_STYLE}`;

let words = WORDS.en;
const photos = outputFollower();
const markers = new WeakMap(); // Load Photos node -> what shows verdicts on it
const fresh = new Map(); // name in the input folder -> address of the picture on the user's side: shown without a download

app.registerExtension({
  name: "FaceChain.LoadPhotos",

  init() {
    words = inLanguage(WORDS);
    addStyle(STYLE);
  },

  nodeCreated(node) {
    const files = node.widgets?.find((widget) => widget.name === "files");
    if (node.comfyClass === NODE && files) equip(node, files);
  },

  onNodeOutputsUpdated: photos.restore,
});

// Shows verdicts of the photos that a node has loaded. cards: as in the output of FaceChain Preprocess.
export function markPhotos(node, cards) {
  markers.get(node)?.(cards);
}

function equip(node, files) {
  // "Nodes 2.0" shows a button's name, not its label
  const button = node.addWidget("button", words.upload, null, () => choose(take), { serialize: false });
  button.serialize = false; // saved graphs hold the schema's widgets alone
  const strip = document.createElement("div");
  const show = addThumbnails(node, files, strip);

  async function take(chosen) {
    if (button.disabled) return;
    button.disabled = true;
    try {
      await upload([...chosen], files, (done, count) => {
        button.label = words.busy(done, count);
        node.setDirtyCanvas(true, true);
      });
    } finally {
      button.disabled = false;
      button.label = words.upload;
      show();
    }
  }

  node.onDragOver = (event) => holdsFiles(event);
  node.onDragDrop = (event) => {
    if (!event.dataTransfer?.files.length) return false;
    take(event.dataTransfer.files);
    return true;
  };
  if (files.element) files.element.placeholder = words.drop;
  for (const element of [files.element, strip].filter(Boolean)) acceptDrops(element, take);
}

// The text box lies over the canvas, which therefore does not see what is dropped there.
function acceptDrops(element, take) {
  element.addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault();
  });
  element.addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    take(event.dataTransfer.files);
  });
}

function holdsFiles(event) {
  return [...(event.dataTransfer?.items ?? [])].some((item) => item.kind === "file");
}

function choose(take) {
  const input = document.createElement("input");
  Object.assign(input, { type: "file", multiple: true, accept: "image/*,.heic,.heif,.avif" });
  input.addEventListener("change", () => take(input.files));
  input.click();
}

// --- uploading ---

async function upload(chosen, files, tell) {
  const odd = chosen.filter((file) => !PICTURE.test(file.name)).map((file) => file.name);
  if (odd.length) warn(words.odd(odd.join(", ")));
  const known = new Set(linesOf(files));
  const pictures = chosen.filter((file) => PICTURE.test(file.name));
  const room = Math.max(0, MOST - known.size);
  if (pictures.length > room) warn(words.many(pictures.length - room));
  const folder = folderOf(known);
  for (const [done, file] of pictures.slice(0, room).entries()) {
    tell(done + 1, Math.min(pictures.length, room));
    try {
      const name = await send(file, folder);
      fresh.set(name, URL.createObjectURL(file));
      known.add(name);
    } catch (error) {
      warn(words.failed(file.name, error.message));
    }
  }
  setLines(files, [...known]);
}

// What is added to a node goes where its earlier pictures went; otherwise into a folder named after this moment.
function folderOf(names) {
  for (const name of names) {
    const found = /^facechain\/[^/]+(?=\/[^/]+$)/.exec(name);
    if (found) return found[0];
  }
  const now = new Date();
  const moment = new Date(now - now.getTimezoneOffset() * 60_000).toISOString();
  return `facechain/${moment.slice(0, 19).replace("T", " ").replaceAll(":", "-")}`;
}

// The name in the input folder. The server never overwrites: another picture of that name gets a number.
async function send(file, folder) {
  const body = new FormData();
  body.append("image", file, file.name);
  body.append("subfolder", folder);
  const reply = await api.fetchApi("/upload/image", { method: "POST", body }).catch(() => {
    throw new Error(words.offline);
  });
  if (reply.status === 413) throw new Error(words.large);
  if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
  const { name, subfolder } = await reply.json();
  return [subfolder.replaceAll("\\", "/"), name].filter(Boolean).join("/");
}

function warn(detail) {
  app.extensionManager.toast.add({ severity: "warn", summary: words.title, detail, life: 10_000 });
}

// --- thumbnails ---

// Puts the pictures that `files` names below the widgets; gives the function that draws them anew.
function addThumbnails(node, files, element) {
  element.className = "facechain-photos";
  const height = (most) => {
    if (strip.hidden) return 0;
    const columns = Math.max(1, Math.floor((node.size[0] - 2 * MARGIN) / (SIDE + 4)));
    return Math.min(most, Math.ceil(element.childElementCount / columns)) * (SIDE + 4) + 2 * MARGIN;
  };
  const strip = node.addDOMWidget("chosen_photos", "facechain_photos", element, {
    serialize: false,
    getMinHeight: () => height(ROWS),
    getMaxHeight: () => height(Infinity),
    margin: MARGIN,
  });
  strip.serialize = false;
  element.hidden = strip.hidden = true;

  const draw = (figures) => {
    element.replaceChildren(...figures);
    element.hidden = strip.hidden = !figures.length;
    const [width, needed] = [node.size[0], node.computeSize()[1]];
    if (node.size[1] < needed) node.setSize([width, needed]);
    node.setDirtyCanvas(true, true);
  };
  const show = () => {
    const names = linesOf(files);
    draw(names.map((name) => thumbnail(name, () => leaveOut(name))));
  };
  const leaveOut = (name) => {
    setLines(files, linesOf(files).filter((line) => line !== name));
    show();
  };
  const typed = files.callback;
  files.callback = function (...values) {
    typed?.apply(this, values);
    show();
  };
  const configured = node.onConfigure;
  node.onConfigure = function (...values) {
    configured?.apply(this, values);
    show();
  };
  // a photo of the folder cannot be left out
  const remover = (name) => linesOf(files).includes(name) && (() => leaveOut(name));
  photos.follow(node, (output) => {
    const pictures = takePictures(output), names = output.facechain_names ?? [];
    draw(pictures.map((picture, place) => thumbnail(names[place] ?? "", remover(names[place]), addressOf(picture))));
  });
  markers.set(node, (cards) => {
    const drawn = new Set([...element.children].map((figure) => figure.dataset.name));
    if (!cards.every((card) => drawn.has(card.name))) {
      // ComfyUI had the photos in its cache, and did not tell this page of them
      const folder = node.widgets.find((widget) => widget.name === "folder")?.value;
      draw(cards.map(({ name }) => {
        return remover(name) ? thumbnail(name, remover(name)) : thumbnail(name, null, address(`${folder}/${name}`));
      }));
    }
    const unmarked = [...element.children];
    for (const card of cards) {
      const place = unmarked.findIndex((figure) => figure.dataset.name === card.name);
      if (place >= 0) mark(unmarked.splice(place, 1)[0], card);
    }
  });
  return show;
}

// Puts its verdict onto a thumbnail; the reason on hover.
function mark(figure, card) {
  const verdict = verdictOf(card);
  figure.title = verdict.title;
  for (const badge of figure.querySelectorAll(".facechain-badge")) badge.remove();
  figure.append(...badges({ ...verdict, star: card.best }));
}

// leaveOut: what its × does; without it there is none. url: of its picture, where that is not the file itself.
function thumbnail(name, leaveOut, url) {
  const figure = document.createElement("figure");
  figure.title = figure.dataset.name = name;
  const image = Object.assign(document.createElement("img"), { alt: "", loading: "lazy", draggable: false });
  image.addEventListener("error", () => {
    // not there, or of a kind that browsers cannot show (HEIC): its name instead
    image.replaceWith(Object.assign(document.createElement("figcaption"), { textContent: name.split("/").pop() }));
  });
  image.src = url ?? fresh.get(name) ?? address(name);
  figure.append(image);
  if (!leaveOut) return figure;
  const button = Object.assign(document.createElement("button"), { textContent: "×", title: words.remove });
  button.addEventListener("click", leaveOut);
  figure.append(button);
  return figure;
}

function address(name) {
  const parts = name.split("/");
  return addressOf({ filename: parts.pop(), subfolder: parts.join("/"), type: "input" });
}

// --- the widget `files` ---

function linesOf(files) {
  const lines = String(files.value ?? "").split("\n");
  return [...new Set(lines.map((line) => line.trim().replace(/^["']+|["']+$/g, "")).filter(Boolean))];
}

function setLines(files, names) {
  files.value = names.join("\n");
}
