// What ComfyUI's page does not say of errors. Where a part of a graph is refused (a model file that is not there), it
// queues the rest and only outlines the node in red: a person may be learnt for minutes, and no portrait comes. And the
// messages of our nodes are English, for programs as well: in a Chinese page this says beside ComfyUI's dialog what to
// do, in the words of the node's help page (docs/<node>/zh.md), which lists each message with its cure.
// Without this file everything works; the red outline, and the English message, which names the cure too, stand alone.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { inLanguage, language, OURS, translated } from "./page.js";

const ENTRY = /^- `([^`]+)`：(.+)$/gm; // a message, with … for what differs from one time to the next, and its cure
const MOST = 4; // cures: of many rejected photos each has a reason
const LIFE = 30_000; // ms
const WORDS = {
  en: {
    part: "Only a part of the graph runs",
    absent: (title, value, input) => `${title}: there is no ${value} (${input})`,
    wrong: (title, why) => `${title}: ${why}`,
  },
  zh: {
    part: "只运行工作流的一部分",
    absent: (title, value, input) => `${title}：没有 ${value}（${input}）`,
    wrong: (title, why) => `${title}：${why}`,
  },
};

let words = WORDS.en;

app.registerExtension({
  name: "FaceChain.Errors",

  init() {
    words = inLanguage(WORDS);
    api.addEventListener("execution_error", ({ detail }) => tellCure(detail.node_type, detail.exception_message));
    const queue = api.queuePrompt;
    api.queuePrompt = async function (...values) {
      try {
        const queued = await queue.apply(this, values);
        tellRefused(queued?.node_errors, values[1]?.output);
        return queued;
      } catch (error) {
        for (const { class_type: kind, errors } of Object.values(error.response?.node_errors ?? {})) {
          tellCure(kind, errors.map(({ details }) => details).join("\n"));
        }
        throw error;
      }
    };
  },
});

// --- a part of the graph is refused ---

function tellRefused(refused, prompt) {
  const ours = Object.values(prompt ?? {}).some(({ class_type: kind }) => kind.startsWith(OURS));
  const lines = Object.entries(refused ?? {}).flatMap(([id, { class_type: kind, errors }]) => {
    const title = app.graph.getNodeById(id)?.getTitle() ?? kind;
    return errors.map((error) => reason(title, error));
  });
  if (!ours || !lines.length) return;
  app.extensionManager.toast.add({ severity: "warn", summary: words.part, detail: lines.join("\n") }); // until it is closed
}

function reason(title, { type, message, details, extra_info: about }) {
  // the details would name every file that is there
  if (type === "value_not_in_list") return words.absent(title, about.received_value, about.input_name);
  return words.wrong(title, [message, details].filter(Boolean).join(": "));
}

// --- cures in Chinese ---

async function tellCure(kind, message) {
  if (!language().startsWith("zh") || !kind?.startsWith(OURS)) return;
  const cures = await curesOf(kind, message ?? "").catch(() => []);
  if (!cures.length) return;
  const summary = (await translated()).nodeDefs?.[kind]?.display_name ?? kind;
  app.extensionManager.toast.add({ severity: "info", summary, detail: cures.join("\n"), life: LIFE });
}

async function curesOf(kind, message) {
  const reply = await fetch(new URL(`docs/${kind}/zh.md`, import.meta.url));
  if (!reply.ok) return [];
  const entries = [...(await reply.text()).matchAll(ENTRY)].filter(([, said]) => asPattern(said).test(message));
  return entries.slice(0, MOST).map(([, , cure]) => cure.replace(/[`*]/g, ""));
}

function asPattern(said) {
  const literal = (part) => part.trim().replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(said.split("…").map(literal).join(".*?"), "is");
}
