// What a style is called in the list and in the gallery. style: an entry of /facechain/styles.
import { inLanguage } from "./page.js";

const ABSENT = { en: "prompt only", zh: "仅提示词" };

/** Its names, the one in the user's language first; [] where nothing is known of it. */
export function namesOf(style) {
  const names = inLanguage({ en: [style?.name, style?.name_zh], zh: [style?.name_zh, style?.name] });
  return [...new Set(names)].filter(Boolean);
}

/** Its base model, and a word where its LoRA file is absent. */
export function notesOf(style) {
  return [style?.family, style?.lora && !style.lora_found ? inLanguage(ABSENT) : ""].filter(Boolean);
}
