// Runs face-api's own code on its own weights, to compare the converted networks with.
// node check_face_api.mjs PACKAGE_FOLDER INPUTS.json OUTPUTS.json
// INPUTS: {net name: {side, pixels}}; OUTPUTS: {net name: [numbers, ...]} in the ONNX file's order of outputs.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, inputs, outputs] = process.argv.slice(2);
// The bundle is made for browsers: it must not take this for Node, whose modules it lacks.
Object.defineProperty(process, "versions", { value: { ...process.versions, node: undefined } });
globalThis.navigator ??= { userAgent: "" };
const faceapi = await import(pathToFileURL(path.resolve(folder, "dist/face-api.esm.js")).href);
const { tf } = faceapi;
tf.env().setPlatform("plain", {
  isTypedArray: (a) => [Float32Array, Int32Array, Uint8Array, Uint8ClampedArray].some((kind) => a instanceof kind),
  now: () => performance.now(),
  encode: (text) => new TextEncoder().encode(text),
  decode: (bytes) => new TextDecoder().decode(bytes),
  setTimeoutCustom: (call, delay) => setTimeout(call, delay),
});
await tf.setBackend("cpu");
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
