// Runs a TensorFlow.js graph model with the TensorFlow.js of @vladmandic/human, to compare the converted network with.
// node check_graph_model.mjs PACKAGE_FOLDER MODEL.json NODE INPUT.json OUTPUT.json
// INPUT: {shape, pixels}; OUTPUT: [numbers] of the named node.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { hideNode, useCpu } from "./tfjs_in_node.mjs";

const [folder, source, node, input, output] = process.argv.slice(2);
hideNode();
const tf = await import(pathToFileURL(path.resolve(folder, "dist/tfjs.esm.js")).href);
await useCpu(tf);

const { modelTopology, weightsManifest } = JSON.parse(fs.readFileSync(source));
const files = weightsManifest.flatMap((group) => group.paths);
const weights = Buffer.concat(files.map((name) => fs.readFileSync(path.join(path.dirname(source), name))));
const weightData = weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength);
const weightSpecs = weightsManifest.flatMap((group) => group.weights);
const model = await tf.loadGraphModel({ load: async () => ({ modelTopology, weightSpecs, weightData }) });
const { shape, pixels } = JSON.parse(fs.readFileSync(input));
const result = model.execute(tf.tensor(pixels, shape), node);
fs.writeFileSync(output, JSON.stringify(Array.from(result.dataSync())));
