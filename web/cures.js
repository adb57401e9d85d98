// Messages of errors are English, for programs as well. In a Chinese page this says beside ComfyUI's dialog what to do
// about one of ours, in the words of the node's help page (docs/<node>/zh.md), which lists each message with its cure.
// Without this file the English message, which names the cure too, stands alone.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { language, translated } from "./page.js";

const OURS = "FaceChain_";
const ENTRY = /^- `([^`]+)`：(.+)$/gm; // a message, with … for what differs from one time to the next, and its cure
const MOST = 4; // cures: of many rejected photos each has a reason
const LIFE = 30_000; // ms

app.registerExtension({
  name: "FaceChain.Cures",

  init() {
    if (!language().startsWith("zh")) return;
    api.addEventListener("execution_error", ({ detail }) => tell(detail.node_type, detail.exception_message));
    const queue = api.queuePrompt;
    api.queuePrompt = async function (...values) {
      try {
        return await queue.apply(this, values);
      } catch (error) {
        for (const { class_type: kind, errors } of Object.values(error.response?.node_errors ?? {})) {
          tell(kind, errors.map(({ details }) => details).join("\n"));
        }
        throw error;
      }
    };
  },
});

async function tell(kind, message) {
  if (!kind?.startsWith(OURS)) return;
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
