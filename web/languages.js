// Our nodes in the user's language.
//
// ComfyUI's front end reads locales/ by itself, but versions such as 1.32 load a language's own texts
// after those of the packs and so lose them (English alone is safe). Where that is so, this puts them
// back by the documented hooks; where it is not, the same texts are set once more. Without this file
// everything works, in English.
import { app } from "../../scripts/app.js";
import { OURS, translated } from "./page.js";

let texts = {}; // by node id, as in locales/<language>/nodeDefs.json
let choices = {}; // of lists, in the user's language; by the values, which stay as they are

function explain(sockets, words) {
  for (const [name, socket] of Object.entries(sockets ?? {})) {
    if (words?.[name]?.tooltip && socket[1]) socket[1].tooltip = words[name].tooltip;
  }
}

function choiceLabel(value) {
  return Object.hasOwn(choices, value) ? `${choices[value]} · ${value}` : String(value ?? "");
}

// nodeDefs.json has no place for the choices of a list. With the value in the line, what help pages and messages call
// them is found. Lists of files and people keep ComfyUI's search box, which labels take away: their "(none)" has none.
// "Nodes 2.0" shows the values alone (1.32).
function nameChoices(widget) {
  const { values } = widget.options ?? {};
  if (Array.isArray(values) && values.some((value) => Object.hasOwn(choices, value))) {
    widget.options.getOptionLabel ??= choiceLabel;
  }
}

app.registerExtension({
  name: "FaceChain.Languages",

  async init() {
    const all = await translated();
    texts = all.nodeDefs ?? {};
    choices = all.facechain?.choices ?? {};
  },

  addCustomNodeDefs(defs) {
    for (const [id, def] of Object.entries(defs)) {
      const words = id.startsWith(OURS) ? texts[id] : undefined;
      if (!words) continue;
      def.display_name = words.display_name ?? def.display_name;
      def.description = words.description ?? def.description;
      explain(def.input?.required, words.inputs);
      explain(def.input?.optional, words.inputs);
      def.output_tooltips = def.output_tooltips?.map((tip, index) => words.outputs?.[index]?.tooltip ?? tip);
    }
  },

  nodeCreated(node) {
    const words = node.comfyClass?.startsWith(OURS) ? texts[node.comfyClass] : undefined;
    if (!words) return;
    for (const input of node.inputs ?? []) {
      input.localized_name = words.inputs?.[input.name]?.name ?? input.localized_name;
    }
    for (const widget of node.widgets ?? []) {
      widget.label = words.inputs?.[widget.name]?.name ?? widget.label;
      // an empty box of several lines shows its name in itself ("Nodes 2.0": always the English one)
      if (widget.label && widget.element?.placeholder === widget.name) widget.element.placeholder = widget.label;
      nameChoices(widget);
    }
    (node.outputs ?? []).forEach((output, index) => {
      output.localized_name = words.outputs?.[index]?.name ?? output.localized_name;
    });
  },
});
