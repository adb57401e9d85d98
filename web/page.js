// What several scripts of the page need: the user's language, and a place for their styles.
import { app } from "../../scripts/app.js";

export function language() {
  return app.extensionManager?.setting.get("Comfy.Locale") ?? "en";
}

/** Of texts {en, zh} those in the user's language. */
export function inLanguage(texts) {
  return language().startsWith("zh") ? texts.zh : texts.en;
}

export function addStyle(css) {
  document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
}
