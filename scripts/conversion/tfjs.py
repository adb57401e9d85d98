"""From face-api's weight files to ONNX: dlib's face recognition network, and age with gender.

The files hold weights alone (mostly uint8 codes with a scale and a minimum); the networks'
structure is written here after face-api's TypeScript (FaceRecognitionNet, TinyXception, AgeGenderNet).
Codes stay uint8 in the ONNX file; onnxruntime widens them when it loads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .graph import Graph, same_padding

_MEAN_RGB = np.array([122.782, 117.001, 104.298], np.float32)  # both networks: (picture - mean) / 255


@dataclass(frozen=True)
class Weight:
    """codes: uint8, float16 or float32, any shape; the value is (codes - zero) * scale, or codes * scale + minimum."""

    codes: np.ndarray
    scale: float = 1.0
    minimum: float = 0.0

    @property
    def values(self) -> np.ndarray:
        return self.codes.astype(np.float32) * np.float32(self.scale) + np.float32(self.minimum)

    @property
    def zero(self) -> int:
        """The code that stands for 0; raises ValueError where no code does."""
        zero = round(-self.minimum / self.scale)
        if abs(zero * self.scale + self.minimum) > 1e-5 * self.scale or not 0 <= zero <= 255:
            raise ValueError("0 has no code of its own")
        return zero


def read_weights(manifest: Path) -> dict[str, Weight]:
    """All weights of a tfjs manifest (..-weights_manifest.json) or graph model, whose one data file lies beside it."""
    content = json.loads(manifest.read_text())
    (group,) = content if isinstance(content, list) else content["weightsManifest"]
    data = b"".join((manifest.parent / name).read_bytes() for name in group["paths"])
    weights, start = {}, 0
    for entry in group["weights"]:
        coding = entry.get("quantization")
        dtype = np.dtype(coding["dtype"] if coding else entry["dtype"])
        count = int(np.prod(entry["shape"]))
        codes = np.frombuffer(data, dtype, count, start).reshape(entry["shape"])
        start += count * dtype.itemsize
        if coding and "scale" in coding:
            weights[entry["name"]] = Weight(codes, coding["scale"], coding["min"])
        else:  # float32, and float16, which needs no scale
            weights[entry["name"]] = Weight(codes)
    if start != len(data):
        raise ValueError(f"{manifest.name} describes {start} bytes of {len(data)}")
    return weights


def convert_recognition(manifest: Path) -> bytes:
    """image [1, 150, 150, 3] RGB 0..255 -> embedding [1, 128], not normalised."""
    net = _Recognition(manifest)
    return net.build()


def convert_age_gender(manifest: Path) -> bytes:
    """image [1, 112, 112, 3] RGB 0..255 -> age [1, 1] in years, man [1, 2] probabilities of man, woman."""
    net = _AgeGender(manifest)
    return net.build()


class _Net:
    """A picture runs through as (name, channels, side)."""

    def __init__(self, manifest: Path, name: str, side: int) -> None:
        self.weights = read_weights(manifest)
        self.graph = Graph(name, side, side)
        centred = self.graph.add("Sub", ["image", self.graph.constant(_MEAN_RGB)])
        self.start = self.graph.to_nchw(
            self.graph.add("Div", [centred, self.graph.constant(np.full(1, 255, np.float32))])
        )
        self.side = side

    def kernel(self, weight: Weight, order: tuple[int, ...], gain: np.ndarray | None = None) -> str:
        """A convolution's kernel; gain: a factor for each output channel, the first axis after reordering."""
        codes = weight.codes.transpose(order)
        factor = np.ones((1, 1, 1, 1), np.float32) if gain is None else gain.reshape(-1, 1, 1, 1)
        if codes.dtype == np.uint8:
            return self.graph.quantised(codes, weight.zero, factor * np.float32(weight.scale))
        return self.graph.floats(codes * factor)

    def conv(self, x: str, kernel: str, bias: np.ndarray, stride: int, pads: tuple[int, int], group: int = 1) -> str:
        before, after = pads
        bias_name = self.graph.floats(bias)
        sides = [before, before, after, after]
        return self.graph.add("Conv", [x, kernel, bias_name], strides=[stride, stride], pads=sides, group=group)

    def relu(self, x: str) -> str:
        return self.graph.add("Relu", [x])


class _Recognition(_Net):
    """dlib's ResNet: each layer is a convolution, then a scale and a shift for each channel (folded into it)."""

    _BLOCKS = (
        *("conv32_1", "conv32_2", "conv32_3"),
        *("conv64_down", "conv64_1", "conv64_2", "conv64_3"),
        *("conv128_down", "conv128_1", "conv128_2"),
        *("conv256_down", "conv256_1", "conv256_2", "conv256_down_out"),
    )

    def __init__(self, manifest: Path) -> None:
        super().__init__(manifest, "face_recognition", 150)

    def build(self) -> bytes:
        x = self.relu(self._layer(self.start, "conv32_down", stride=2, pad=0))
        side = _pooled(_pooled(self.side, 7), 3)
        x = self.graph.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])
        channels = 32
        for block in self._BLOCKS:
            x, channels, side = self._block(x, block, channels, side)
        x = self.graph.reshape(self.graph.add("GlobalAveragePool", [x]), [1, channels])
        last = self.weights["fc"]
        matrix = self.graph.quantised(last.codes, last.zero, np.full(1, last.scale, np.float32))
        self.graph.output(self.graph.add("MatMul", [x, matrix]), "embedding", [1, 128])
        return self.graph.to_bytes("dlib's face recognition network, weights of @vladmandic/face-api")

    def _layer(self, x: str, name: str, stride: int, pad: int) -> str:
        gain = self.weights[f"{name}/scale/weights"].values
        bias = self.weights[f"{name}/conv/bias"].values * gain + self.weights[f"{name}/scale/biases"].values
        kernel = self.kernel(self.weights[f"{name}/conv/filters"], (3, 2, 0, 1), gain)
        return self.conv(x, kernel, bias, stride, (pad, pad))

    def _block(self, x: str, name: str, channels: int, side: int) -> tuple[str, int, int]:
        """A residual block; "down" blocks halve the side, and pad with zeros what then does not fit."""
        down = "down" in name
        out = self.relu(self._layer(x, f"{name}/conv1", stride=2 if down else 1, pad=0 if down else 1))
        out = self._layer(out, f"{name}/conv2", stride=1, pad=1)
        wide = int(self.weights[f"{name}/conv2/conv/filters"].codes.shape[3])
        if down:
            x = self.graph.add("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
            small, side = _pooled(side, 3), side // 2
            out = self._padded(out, 0, side - small)
            x = self._padded(x, wide - channels, 0)
        return self.relu(self.graph.add("Add", [x, out])), wide, side

    def _padded(self, x: str, channels: int, pixels: int) -> str:
        """Zeros after the last channels, and at the bottom and right."""
        if not channels and not pixels:
            return x
        pads = np.array([0, 0, 0, 0, 0, channels, pixels, pixels], np.int64)
        return self.graph.add("Pad", [x, self.graph.constant(pads)])


class _AgeGender(_Net):
    """TinyXception with two main blocks, then two small linear layers."""

    def __init__(self, manifest: Path) -> None:
        super().__init__(manifest, "age_gender", 112)

    def build(self) -> bytes:
        x = self.relu(self._plain(self.start, "entry_flow/conv_in", self.side, stride=2))
        side = self.side // 2
        for name, first in (("entry_flow/reduction_block_0", True), ("entry_flow/reduction_block_1", False)):
            x, side = self._reduction(x, name, side, first)
        for number in range(2):
            x = self._main(x, f"middle_flow/main_block_{number}", side)
        x, side = self._reduction(x, "exit_flow/reduction_block", side, first=False)
        x = self.relu(self._separable(x, "exit_flow/separable_conv", side))
        if side != 7:
            raise ValueError(f"the pooling window is 7, the features are {side}")
        x = self.graph.reshape(self.graph.add("GlobalAveragePool", [x]), [1, 512])
        self.graph.output(self._linear(x, "fc/age"), "age", [1, 1])
        self.graph.output(self.graph.add("Softmax", [self._linear(x, "fc/gender")], axis=1), "man_woman", [1, 2])
        return self.graph.to_bytes("age and gender network of @vladmandic/face-api")

    def _plain(self, x: str, name: str, side: int, stride: int) -> str:
        filters = self.weights[f"{name}/filters"]
        pads = same_padding(side, filters.codes.shape[0], stride)
        bias = self.weights[f"{name}/bias"].values
        return self.conv(x, self.kernel(filters, (3, 2, 0, 1)), bias, stride, pads)

    def _separable(self, x: str, name: str, side: int) -> str:
        depthwise = self.weights[f"{name}/depthwise_filter"]
        channels = depthwise.codes.shape[2]
        pads = same_padding(side, 3, 1)
        kernel = self.kernel(depthwise, (2, 3, 0, 1))
        x = self.conv(x, kernel, np.zeros(channels, np.float32), 1, pads, group=channels)
        pointwise = self.kernel(self.weights[f"{name}/pointwise_filter"], (3, 2, 0, 1))
        return self.conv(x, pointwise, self.weights[f"{name}/bias"].values, 1, (0, 0))

    def _reduction(self, x: str, name: str, side: int, first: bool) -> tuple[str, int]:
        out = x if first else self.relu(x)
        out = self._separable(out, f"{name}/separable_conv0", side)
        out = self._separable(self.relu(out), f"{name}/separable_conv1", side)
        before, after = same_padding(side, 3, 2)
        pads = [before, before, after, after]
        out = self.graph.add("MaxPool", [out], kernel_shape=[3, 3], strides=[2, 2], pads=pads)
        return self.graph.add("Add", [out, self._plain(x, f"{name}/expansion_conv", side, stride=2)]), -(-side // 2)

    def _main(self, x: str, name: str, side: int) -> str:
        out = x
        for number in range(3):
            out = self._separable(self.relu(out), f"{name}/separable_conv{number}", side)
        return self.graph.add("Add", [out, x])

    def _linear(self, x: str, name: str) -> str:
        weight, bias = self.weights[f"{name}/weights"], self.weights[f"{name}/bias"].values
        product = self.graph.add("MatMul", [x, self.graph.floats(weight.values)])
        return self.graph.add("Add", [product, self.graph.floats(bias)])


def _pooled(side: int, window: int) -> int:
    """Side after a window with stride 2 and no padding."""
    return (side - window) // 2 + 1
