// System Check and Delete Person show their report on the node. Without this file it is in the output `report`
// (Preview Any shows it); System Check's is at /facechain/check?format=text, too.
import { app } from "../../scripts/app.js";
import { addStyle, block } from "./page.js";

const NODES = ["FaceChain_SystemCheck", "FaceChain_DeletePerson"];
const SIZE = [560, 620]; // pixels, once there is something to read

app.registerExtension({
  name: "FaceChain.SystemCheck",

  init() {
    addStyle(`.lg-node [data-facechain="report"] { width: 100%; height: ${SIZE[1] - 220}px; }`); // "Nodes 2.0" gives no size
  },

  nodeCreated(node) {
    if (!NODES.includes(node.comfyClass)) return;
    const confirm = node.widgets?.find((widget) => widget.name === "confirm");
    // a saved graph must not delete anybody when it is run again, or by somebody else
    if (confirm) confirm.serialize = false;
    const element = Object.assign(block("comfy-multiline-input", "", "textarea"), { readOnly: true, hidden: true });
    element.dataset.facechain = "report";
    const shown = node.addDOMWidget("shown_report", "facechain_report", element, {
      serialize: false, // saved graphs hold the schema's widgets alone
      getMinHeight: () => (element.value ? 200 : 0),
    });
    shown.serialize = false;
    shown.hidden = true;
    const executed = node.onExecuted;
    node.onExecuted = function (output) {
      executed?.apply(this, arguments);
      element.value = output?.text?.join("\n") ?? "";
      element.hidden = shown.hidden = !element.value;
      if (confirm) confirm.value = "";
      this.setSize(this.size.map((side, axis) => Math.max(side, SIZE[axis])));
      this.setDirtyCanvas(true, true);
    };
  },
});
