// System Check shows its report on the node. Without this file the report is in the output `report` (Preview Any
// shows it) and at /facechain/check?format=text.
import { app } from "../../scripts/app.js";

const NODE = "FaceChain_SystemCheck";
const SIZE = [560, 620]; // pixels, once there is something to read

app.registerExtension({
  name: "FaceChain.SystemCheck",

  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const element = Object.assign(document.createElement("textarea"), { readOnly: true, className: "comfy-multiline-input" });
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
      shown.hidden = !element.value;
      this.setSize(this.size.map((side, axis) => Math.max(side, SIZE[axis])));
      this.setDirtyCanvas(true, true);
    };
  },
});
