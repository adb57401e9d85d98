// Save Portraits fills in what ComfyUI's page fills in for its own Save Image: %date:yyyy-MM-dd% and the value of another
// node's widget, such as %KSampler.seed%. The page does so for core's nodes alone.
//
// Without this file %year%, %month%, %width% and the like work, which the server fills in; of the others the node says
// that nobody did.
import { app } from "../../scripts/app.js";

const UNFIT = /[/?<>\\:*|"\x00-\x1F\x7F]/g; // in file names; as ComfyUI has it

app.registerExtension({
  name: "FaceChain.SavePortraits",

  nodeCreated(node) {
    if (node.comfyClass !== "FaceChain_SavePortraits") return;
    const prefix = node.widgets?.find((widget) => widget.name === "filename_prefix");
    if (prefix) prefix.serializeValue = () => filledIn(String(prefix.value ?? ""));
  },
});

function filledIn(text) {
  return text.replace(/%([^%]+)%/g, (all, name) => {
    if (name.startsWith("date:")) return dated(name.slice("date:".length)).split("/").map(fitting).join("/");
    const [title, widget, more] = name.split(".");
    if (!widget || more !== undefined) return all; // %width% and the like are the server's
    const nodes = allNodes(app.graph);
    const searched = (node) => node.properties?.["Node name for S&R"] === title;
    const found = nodes.find(searched) ?? nodes.find((node) => node.title === title);
    const value = found?.widgets?.find((one) => one.name === widget)?.value;
    return value == null ? all : fitting(String(value));
  });
}

function allNodes(graph) {
  return (graph?._nodes ?? []).flatMap((node) => [node, ...allNodes(node.subgraph)]);
}

function fitting(text) {
  return text.replace(UNFIT, "_");
}

// d, M, h, m, s, doubled with a leading zero; yy and yyyy.
function dated(format) {
  const now = new Date();
  const parts = { d: now.getDate(), M: now.getMonth() + 1, h: now.getHours(), m: now.getMinutes(), s: now.getSeconds() };
  return format.replace(/dd?|MM?|hh?|mm?|ss?|yyyy|yy/g, (part) => {
    if (part[0] === "y") return String(now.getFullYear()).slice(-part.length);
    return String(parts[part[0]]).padStart(part.length, "0");
  });
}
