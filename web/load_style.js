// Load Style on the page: the list with names in both languages, sorted by base model and searchable by any
// of them, and both prompts as they will be, before anything runs.
//
// What is shown comes from /facechain/styles and /facechain/prompts (nodes/_preview.py). Without this file the
// node works as well: the list then shows the styles' ids, and the prompts stand in its outputs after a run.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { addStyle, inLanguage } from "./page.js";
import { addGalleryButton } from "./style_gallery.js";
import { namesOf, notesOf } from "./style_names.js";

const NODES = ["FaceChain_LoadStyle", "FaceChain_GroupPortrait"]; // those with a list of styles
const PREVIEWED = NODES[0];
const WIDGETS = ["style", "frame", "extra_prompt", "extra_negative", "blend", "leave_out"];
const SITTER = ["name", "gender", "age", "tags"]; // widgets of FaceChain Preprocess
const PAUSE = 400; // ms without a change before the prompts are asked for
const HEIGHT = 150; // of the preview, in pixels, at least
const ARROWS = 40; // pixels at both ends of a list widget that step through it
const WORDS = {
  en: { positive: "Prompt", negative: "Negative prompt" },
  zh: { positive: "正面提示词", negative: "负面提示词" },
};

let words = WORDS.en;
let styles = new Map(); // id -> {id, name, name_zh, family, lora, lora_found}

async function fetchStyles() {
  const reply = await api.fetchApi("/facechain/styles");
  if (reply.ok) styles = new Map((await reply.json()).map((style) => [style.id, style]));
}

function labelOf(id) {
  const style = styles.get(id);
  if (!style?.family) return String(id ?? "");
  return [...namesOf(style), ...(id === style.name ? [] : [id]), ...notesOf(style)].join(" · ");
}

app.registerExtension({
  name: "FaceChain.LoadStyle",

  async init() {
    words = inLanguage(WORDS);
    addStyle(`.lg-node [data-facechain="prompts"] { width: 100%; height: ${HEIGHT}px; }`); // "Nodes 2.0" gives no size
    await fetchStyles().catch(() => {}); // the ids do
  },

  async refreshComboInNodes() {
    await fetchStyles().catch(() => {});
  },

  nodeCreated(node) {
    if (!NODES.includes(node.comfyClass)) return;
    const list = node.widgets?.find((widget) => widget.name === "style");
    if (list) {
      equipList(list);
      addGalleryButton(node, list, (id) => styles.get(id));
    }
    if (node.comfyClass === PREVIEWED) addPreview(node);
  },
});

// --- the list ---

function equipList(list) {
  list.options.getOptionLabel = labelOf;
  const plain = list.onClick;
  list.onClick = function (click) {
    const x = click.e.canvasX - click.node.pos[0];
    if (x < ARROWS || x > (this.width || click.node.size[0]) - ARROWS) return plain.call(this, click);
    const ids = [...this.options.values];
    const labels = ids.map(labelOf);
    // with all lines at hand from the start ComfyUI puts its search box on top of them
    new LiteGraph.ContextMenu(labels, {
      scale: Math.max(1, click.canvas.ds.scale),
      event: click.e,
      className: "dark",
      callback: (label) => this.setValue(ids[labels.indexOf(label)], click),
    });
  };
}

// --- the preview ---

function addPreview(node) {
  const box = document.createElement("textarea");
  Object.assign(box, { readOnly: true, className: "comfy-multiline-input" });
  box.dataset.facechain = "prompts";
  const options = { serialize: false, getMinHeight: () => HEIGHT, getValue: () => box.value, setValue: () => {} };
  node.addDOMWidget("prompt_preview", "facechain_prompts", box, options).serialize = false;

  const show = ({ positive, negative, notes }) => {
    box.value = `${words.positive}: ${positive}\n\n${words.negative}: ${negative}\n\n${notes}`;
  };
  let last = ""; // what was asked: the notes of a run stay until something changes
  const ask = debounced(async () => {
    const asked = request(node);
    const body = JSON.stringify(asked);
    if (!asked || body === last) return;
    last = body;
    try {
      const reply = await api.fetchApi("/facechain/prompts", { method: "POST", body });
      const told = await reply.json();
      if (reply.ok) show({ ...told, notes: told.notes.join("\n") });
      else box.value = told.error;
    } catch {
      box.value = last = ""; // no server: asked again at the next occasion
    }
  });
  for (const widget of node.widgets) if (WIDGETS.includes(widget.name)) after(widget, "callback", ask);
  after(node, "onConfigure", ask);
  after(node, "onConnectionsChange", ask);
  after(node, "onMouseEnter", ask); // Preprocess may say something else by now
  after(node, "onExecuted", (message) => {
    const [notes, positive, negative] = message.text ?? [];
    if (positive !== undefined) show({ positive, negative, notes });
  });
  ask();
}

// The widgets' values and the person's; null where a value comes from another node, which has to run first.
function request(node) {
  const linked = (name) => node.inputs?.some((input) => input.name === name && input.link != null);
  if (WIDGETS.some(linked)) return null;
  const value = (name) => node.widgets.find((widget) => widget.name === name)?.value ?? "";
  return { ...Object.fromEntries(WIDGETS.map((name) => [name, value(name)])), person: sitterOf(node) };
}

// What the graph says of the person: up the noodle to FaceChain Preprocess or Load Person.
function sitterOf(node) {
  for (let steps = 0; node && steps < 20; steps++) {
    const input = node.inputs?.find((socket) => socket.type === "FACECHAIN_PERSON");
    const above = input?.link == null ? null : node.getInputNode(node.inputs.indexOf(input));
    if (!above) {
      const widgets = node.widgets?.filter((widget) => SITTER.includes(widget.name)) ?? [];
      const told = Object.fromEntries(widgets.map((widget) => [widget.name, widget.value]));
      return steps && told.name ? told : null;
    }
    node = above;
  }
  return null;
}

function after(object, name, then) {
  const before = object[name];
  object[name] = function (...values) {
    const result = before?.apply(this, values);
    then(...values);
    return result;
  };
}

function debounced(act) {
  let waiting;
  return () => {
    clearTimeout(waiting);
    waiting = setTimeout(act, PAUSE);
  };
}
