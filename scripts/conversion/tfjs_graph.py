"""From a TensorFlow.js graph model (structure and weights in the package) to ONNX, for MobileNet's operations.

Weights that are stored as float16 stay so; onnxruntime widens them when it loads.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from .graph import Graph, same_padding
from .tfjs import read_weights

# What the Keras training subtracted from pictures in the order blue, green, red
# ("caffe" mode of keras.applications.imagenet_utils; facerec_keras_train.py of HSE_FaceRec_tf).
MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)


def convert_face_features(source: Path) -> bytes:
    """image [1, 224, 224, 3] RGB 0..255 -> embedding [1, 1024], not normalised."""
    graph = Graph("face_features", 224, 224)
    start = graph.add("Gather", ["image", graph.constant(np.array([2, 1, 0], np.int64))], axis=3)
    start = graph.add("Sub", [start, graph.constant(MEAN_BGR)])
    model = _GraphModel(source, graph, {"input_1": (graph.to_nchw(start), 224)})
    graph.output(model.value("global_pooling/Mean"), "embedding", [1, 1024])
    return graph.to_bytes("MobileNet of HSE_FaceRec_tf, weights of @vladmandic/human")


class _GraphModel:
    """Nodes are translated when their value is first asked for. known: name -> (name in the graph, side)."""

    def __init__(self, source: Path, graph: Graph, known: dict[str, tuple[str, int]]) -> None:
        topology = json.loads(source.read_text())["modelTopology"]
        self.nodes = {node["name"]: node for node in topology["node"]}
        self.weights = read_weights(source)
        self.graph = graph
        self.known = known

    def value(self, name: str) -> str:
        return self._picture(name)[0]

    def _picture(self, name: str) -> tuple[str, int]:
        if name not in self.known:
            self.known[name] = self._translated(self.nodes[name])
        return self.known[name]

    def _translated(self, node: dict[str, Any]) -> tuple[str, int]:
        """The node's value and its side; raises ValueError for an operation that is not known here."""
        (x, side), operand, kind = self._picture(node["input"][0]), self._operand(node), node["op"]
        if kind in ("Conv2D", "DepthwiseConv2dNative"):
            return self._convolution(x, side, operand, node)
        if kind in ("Add", "Mul"):
            shape = (1, -1, 1, 1)
            return self.graph.add(kind, [x, self.graph.floats(operand.reshape(shape))]), side
        if kind == "Relu":
            return self.graph.add(kind, [x]), side
        if kind in ("Minimum", "Maximum"):
            return self.graph.add(kind[:3], [x, self.graph.constant(operand.reshape(()))]), side
        if kind == "Mean":
            if operand.tolist() != [1, 2]:
                raise ValueError(f"{node['name']} is not a mean over the picture")
            return self.graph.reshape(self.graph.add("GlobalAveragePool", [x]), [1, -1]), 1
        raise ValueError(f"{node['name']}: no translation of {kind}")

    def _operand(self, node: dict[str, Any]) -> np.ndarray:
        """The node's second input, which is a weight; empty where it has one input."""
        names = node["input"][1:]
        return self.weights[names[0]].values if names else np.empty(0, np.float32)

    def _convolution(self, x: str, side: int, kernel: np.ndarray, node: dict[str, Any]) -> tuple[str, int]:
        attributes = node["attr"]
        stride = int(attributes["strides"]["list"]["i"][1])
        if base64.b64decode(attributes["padding"]["s"]) != b"SAME":
            raise ValueError(f"{node['name']}: its padding is not SAME")
        before, after = same_padding(side, kernel.shape[0], stride)
        depthwise = node["op"] == "DepthwiseConv2dNative"
        order, group = ((2, 3, 0, 1), kernel.shape[2]) if depthwise else ((3, 2, 0, 1), 1)
        name = self.graph.floats(kernel.transpose(order))
        pads = [before, before, after, after]
        out = self.graph.add("Conv", [x, name], strides=[stride, stride], pads=pads, group=group)
        return out, -(-side // stride)
