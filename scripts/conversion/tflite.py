"""From a TensorFlow Lite file to ONNX, for the operations that MediaPipe's networks use.

Weights are stored as float16 in MediaPipe's files and stay so. Sparse weights are filled
up with zeros. The one custom operation is a transposed convolution with a bias.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # pyright: ignore[reportMissingImports]

from .graph import Graph, same_padding

_OPERATIONS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_TYPES = {0: np.float32, 1: np.float16, 2: np.int32}
_RELU, _RELU6 = 1, 3
_SAME = 0


def convert(source: Path, name: str, outputs: dict[str, str]) -> bytes:
    """The ONNX file. outputs: which outputs to keep, TensorFlow Lite's name -> name in the ONNX file."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(source.read_bytes()), 0)
    return _Translation(model, name).run(outputs, f"from {source.name} of MediaPipe")


class _Translation:
    """values: tensor number -> name in the graph (NCHW where four-dimensional); constants: -> array."""

    def __init__(self, model: Any, name: str) -> None:
        self.model, self.net = model, model.subgraphs[0]
        _, height, width, _ = self.shape(self.net.inputs[0])
        self.graph = Graph(name, height, width)
        self.values: dict[int, str] = {}
        self.constants: dict[int, np.ndarray] = {}

    def run(self, outputs: dict[str, str], about: str) -> bytes:
        numbers = {self.net.tensors[i].name.decode(): i for i in self.net.outputs}
        wanted = [numbers[name] for name in outputs]
        self.values[self.net.inputs[0]] = self.graph.to_nchw("image")
        for number, tensor in enumerate(self.net.tensors):
            data = self.model.buffers[tensor.buffer].data
            if data is not None and len(data):
                self.constants[number] = _array(tensor, bytes(data))
        for operator in self._needed(wanted):
            self._translate(operator)
        for number, name in zip(wanted, outputs.values(), strict=True):
            shape = self.shape(number)
            value = self.values[number]
            self.graph.output(self.graph.to_nhwc(value) if len(shape) == 4 else value, name, shape)
        return self.graph.to_bytes(about)

    def _needed(self, wanted: list[int]) -> list[Any]:
        """The operators that the wanted tensors depend on, in running order."""
        needed, operators = set(wanted), []
        for operator in reversed(self.net.operators):
            if needed.intersection(operator.outputs):
                needed.update(operator.inputs)
                operators.append(operator)
        return operators[::-1]

    def _translate(self, operator: Any) -> None:
        code = self.model.operatorCodes[operator.opcodeIndex]
        name = _OPERATIONS[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if name == "CUSTOM":
            name = code.customCode.decode()
        if name in ("DEQUANTIZE", "DENSIFY"):  # constants are read dense, and widened when they are used
            self.constants[operator.outputs[0]] = self.constants[operator.inputs[0]]
            return
        value = _TRANSLATORS[name](self, operator)
        self.values[operator.outputs[0]] = self._activated(value, operator)

    def _activated(self, value: str, operator: Any) -> str:
        kind = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
        if kind == _RELU:
            return self.graph.add("Relu", [value])
        if kind == _RELU6:
            return self.graph.clip(value, 0, 6)
        if kind:
            raise ValueError(f"unknown fused activation {kind}")
        return value

    def shape(self, number: int) -> list[int]:
        return [int(n) for n in self.net.tensors[number].shape]

    def value(self, number: int) -> str:
        return self.values[number]

    def pads(self, operator: Any, kernel: tuple[int, int]) -> list[int]:
        """ONNX's pads (top, left, bottom, right) for a convolution or pooling."""
        options = operator.builtinOptions
        if options.padding != _SAME:
            return [0, 0, 0, 0]
        _, height, width, _ = self.shape(operator.inputs[0])
        top, bottom = same_padding(height, kernel[0], options.strideH)
        left, right = same_padding(width, kernel[1], options.strideW)
        return [top, left, bottom, right]


def _array(tensor: Any, data: bytes) -> np.ndarray:
    """A constant, dense."""
    values = np.frombuffer(data, _TYPES[tensor.type])
    if tensor.sparsity is None:
        return values.reshape(tensor.shape if tensor.shape is not None else [])
    return _dense(tensor, values)


def _dense(tensor: Any, values: np.ndarray) -> np.ndarray:
    """A tensor whose last axis alone is sparse (compressed rows), as in all of MediaPipe's files."""
    sparsity, shape = tensor.sparsity, [int(n) for n in tensor.shape]
    *outer, last = sparsity.dimMetadata
    plain_order = list(sparsity.traversalOrder) == list(range(len(shape)))
    if not plain_order or any(axis.format != schema.DimensionType.DENSE for axis in outer):
        raise ValueError(f"{tensor.name!r} has an unknown sparse layout")
    segments, indices = (np.asarray(part.values) for part in (last.arraySegments, last.arrayIndices))
    dense = np.zeros((len(segments) - 1, shape[-1]), values.dtype)
    for row, (start, end) in enumerate(pairwise(segments)):
        dense[row, indices[start:end]] = values[start:end]
    return dense.reshape(shape)


def _convolution(t: _Translation, operator: Any) -> str:
    kernel, bias = (t.constants[i] for i in operator.inputs[1:3])
    return _conv_node(t, operator, kernel.transpose(0, 3, 1, 2), bias, group=1)


def _depthwise(t: _Translation, operator: Any) -> str:
    kernel, bias = (t.constants[i] for i in operator.inputs[1:3])
    return _conv_node(t, operator, kernel.transpose(3, 0, 1, 2), bias, group=kernel.shape[3])


def _conv_node(t: _Translation, operator: Any, kernel: np.ndarray, bias: np.ndarray, group: int) -> str:
    options = operator.builtinOptions
    if options.dilationHFactor != 1 or options.dilationWFactor != 1:
        raise ValueError("dilated convolutions are not handled")
    inputs = [t.value(operator.inputs[0]), t.graph.floats(kernel), t.graph.floats(bias)]
    pads = t.pads(operator, kernel.shape[2:4])  # pyright: ignore[reportArgumentType]
    return t.graph.add("Conv", inputs, group=group, strides=[options.strideH, options.strideW], pads=pads)


def _transposed_convolution(t: _Translation, operator: Any) -> str:
    """MediaPipe's Convolution2DTransposeBias; its options are three integers: padding, stride x, stride y."""
    _, stride_x, stride_y = np.frombuffer(bytes(operator.customOptions), np.int32).tolist()
    kernel, bias = (t.constants[i] for i in operator.inputs[1:3])
    if kernel.shape[1:3] != (stride_y, stride_x):
        raise ValueError("transposed convolutions with overlap are not handled")
    inputs = [t.value(operator.inputs[0]), t.graph.floats(kernel.transpose(3, 0, 1, 2)), t.graph.floats(bias)]
    return t.graph.add("ConvTranspose", inputs, strides=[stride_y, stride_x])


def _pool(kind: str):
    def translate(t: _Translation, operator: Any) -> str:
        options = operator.builtinOptions
        window = (options.filterHeight, options.filterWidth)
        pads = t.pads(operator, window)
        if kind == "AveragePool" and any(pads):
            raise ValueError("padded average pooling is not handled")
        strides = [options.strideH, options.strideW]
        return t.graph.add(kind, [t.value(operator.inputs[0])], kernel_shape=window, strides=strides, pads=pads)

    return translate


def _pad(t: _Translation, operator: Any) -> str:
    pads = t.constants[operator.inputs[1]].reshape(4, 2)[[0, 3, 1, 2]]
    inputs = [t.value(operator.inputs[0]), t.graph.constant(pads.T.reshape(-1).astype(np.int64))]
    return t.graph.add("Pad", inputs)


def _prelu(t: _Translation, operator: Any) -> str:
    slope = t.constants[operator.inputs[1]].reshape(-1, 1, 1)
    return t.graph.add("PRelu", [t.value(operator.inputs[0]), t.graph.floats(slope)])


def _resize(t: _Translation, operator: Any) -> str:
    options = operator.builtinOptions
    if options.alignCorners or not options.halfPixelCenters:
        raise ValueError("only half-pixel bilinear resizing is handled")
    batch, height, width, channels = t.shape(operator.outputs[0])
    sizes = t.graph.constant(np.array([batch, channels, height, width], np.int64))
    inputs = [t.value(operator.inputs[0]), "", "", sizes]
    return t.graph.add("Resize", inputs, mode="linear", coordinate_transformation_mode="half_pixel")


def _reshape(t: _Translation, operator: Any) -> str:
    if len(t.shape(operator.inputs[0])) != 4 or len(t.shape(operator.outputs[0])) == 4:
        raise ValueError("only reshapes from a picture to a list are handled")
    return t.graph.reshape(t.graph.to_nhwc(t.value(operator.inputs[0])), t.shape(operator.outputs[0]))


def _concatenation(t: _Translation, operator: Any) -> str:
    if len(t.shape(operator.outputs[0])) == 4:
        raise ValueError("only lists are concatenated")
    return t.graph.add("Concat", [t.value(i) for i in operator.inputs], axis=operator.builtinOptions.axis)


def _depth_to_space(t: _Translation, operator: Any) -> str:
    block = operator.builtinOptions.blockSize
    return t.graph.add("DepthToSpace", [t.value(operator.inputs[0])], blocksize=block, mode="DCR")


def _same_name(kind: str):
    def translate(t: _Translation, operator: Any) -> str:
        return t.graph.add(kind, [t.value(i) for i in operator.inputs])

    return translate


_TRANSLATORS = {
    "ADD": _same_name("Add"),
    "MUL": _same_name("Mul"),
    "RELU": _same_name("Relu"),
    "LOGISTIC": _same_name("Sigmoid"),
    "HARD_SWISH": _same_name("HardSwish"),
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "Convolution2DTransposeBias": _transposed_convolution,
    "MAX_POOL_2D": _pool("MaxPool"),
    "AVERAGE_POOL_2D": _pool("AveragePool"),
    "PAD": _pad,
    "PRELU": _prelu,
    "RESIZE_BILINEAR": _resize,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenation,
    "DEPTH_TO_SPACE": _depth_to_space,
}
