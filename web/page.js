// What several scripts of the page need: the user's language, our texts in it, a place for their styles, elements.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

export const OURS = "FaceChain_"; // how the ids of our nodes begin

export function language() {
  return app.extensionManager?.setting.get("Comfy.Locale") ?? "en";
}

/** Of texts {en, zh} those in the user's language. */
export function inLanguage(texts) {
  return language().startsWith("zh") ? texts.zh : texts.en;
}

let translations;

/** What locales/<language>/ holds of all packs: {nodeDefs, facechain, ...}; {} for English, and where there is none. */
export function translated() {
  translations ??= language() === "en" ? Promise.resolve({}) : fetchTranslations();
  return translations;
}

async function fetchTranslations() {
  const reply = await api.fetchApi("/i18n");
  return (reply.ok && (await reply.json())[language()]) || {};
}

export function addStyle(css) {
  document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
}

/** A new element. */
export function block(className, textContent = "", tag = "div") {
  return Object.assign(document.createElement(tag), { className, textContent });
}

/**
 * The pictures of a node's output, for us to show: they move to a key of our own, where ComfyUI does not look for
 * something to show. It keeps outputs, so the next call finds them there.
 */
export function takePictures(output) {
  if (output.images) {
    output.facechain_pictures = output.images;
    delete output.images;
  }
  return output.facechain_pictures ?? [];
}

/**
 * Two functions. follow(node, show) calls show(output) when the node has run. restore is an extension's
 * onNodeOutputsUpdated: it shows outputs that are there without a run, as where another tab is opened, or a job of the
 * queue.
 */
export function outputFollower() {
  const shows = new WeakMap();
  const follow = (node, show) => {
    shows.set(node, show);
    const executed = node.onExecuted;
    node.onExecuted = function (output) {
      executed?.apply(this, arguments);
      if (output) show(output);
    };
  };
  const restore = (outputs) => {
    for (const node of app.graph?.nodes ?? []) if (outputs?.[node.id]) shows.get(node)?.(outputs[node.id]);
  };
  return { follow, restore };
}

/** Where a picture can be had. picture: {filename, subfolder, type} as in a node's output, and further parameters of /view. */
export function addressOf(picture) {
  return api.apiURL(`/view?${new URLSearchParams(picture)}`);
}
