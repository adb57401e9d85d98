// Runs face-api's own code on its own weights, to compare the converted networks with.
// node check_face_api.mjs PACKAGE_FOLDER INPUTS.json OUTPUTS.json
// INPUTS: {net name: {side, pixels}}; OUTPUTS: {net name: [numbers, ...]} in the ONNX file's order of outputs.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { hideNode, useCpu } from "./tfjs_in_node.mjs";

const [folder, inputs, outputs] = process.argv.slice(2);
hideNode();
const faceapi = await import(pathToFileURL(path.resolve(folder, "dist/face-api.esm.js")).href);
const { tf } = faceapi;
await useCpu(tf);
faceapi.env.setEnv({
  Canvas: class {}, Image: class {}, ImageData: class {}, Video: class {},
  readFile: (name) => fs.promises.readFile(name),
});

const results = {};
for (const [name, { side, pixels }] of Object.entries(JSON.parse(fs.readFileSync(inputs)))) {
  const net = faceapi.nets[name];
  await net.loadFromDisk(path.join(folder, "model"));
  const image = await faceapi.toNetInput(tf.tensor4d(pixels, [1, side, side, 3]));
  const out = net.forwardInput(image);
  results[name] = ("age" in out ? [out.age, out.gender] : [out]).map((t) => Array.from(t.dataSync()));
}
fs.writeFileSync(outputs, JSON.stringify(results));
