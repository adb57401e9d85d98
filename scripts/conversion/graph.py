"""A small builder of ONNX graphs. All pictures inside a graph are NCHW; its input is NHWC."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper  # pyright: ignore[reportMissingImports]

OPSET = 17  # onnxruntime 1.13 and later
IR_VERSION = 8


class Graph:
    """Nodes in running order, and the numbers they use; every value has a name."""

    def __init__(self, name: str, height: int, width: int) -> None:
        self._name = name
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._outputs: list[Any] = []
        self._input = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, height, width, 3])

    def add(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """A node with one output; returns the output's name."""
        output = f"{op.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def constant(self, array: np.ndarray) -> str:
        """An array, stored as it is."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def floats(self, array: np.ndarray) -> str:
        """A float32 value; stored as float16 where that loses nothing, onnxruntime widens it when it loads."""
        array = np.asarray(array)
        half = array.astype(np.float16)
        if array.size < 16 or not np.array_equal(half.astype(np.float32), array.astype(np.float32)):
            return self.constant(array.astype(np.float32))
        return self.add("Cast", [self.constant(half)], to=TensorProto.FLOAT)

    def quantised(self, codes: np.ndarray, zero: int, scale: np.ndarray) -> str:
        """(codes - zero) * scale; codes uint8 as stored, zero an integer of them, scale broadcast to their shape."""
        wide = self.add("Cast", [self.constant(codes)], to=TensorProto.FLOAT)
        centred = self.add("Sub", [wide, self.constant(np.array(zero, np.float32))])
        return self.add("Mul", [centred, self.constant(scale.astype(np.float32))])

    def to_nchw(self, value: str) -> str:
        return self.add("Transpose", [value], perm=[0, 3, 1, 2])

    def to_nhwc(self, value: str) -> str:
        return self.add("Transpose", [value], perm=[0, 2, 3, 1])

    def reshape(self, value: str, shape: list[int]) -> str:
        return self.add("Reshape", [value, self.constant(np.array(shape, np.int64))])

    def clip(self, value: str, low: float, high: float) -> str:
        return self.add("Clip", [value, *(self.constant(np.array(v, np.float32)) for v in (low, high))])

    def output(self, value: str, name: str, shape: list[int]) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"{name}_out"))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def to_bytes(self, about: str) -> bytes:
        """The checked file: the same bytes for the same graph."""
        graph = helper.make_graph(self._nodes, self._name, [self._input], self._outputs, self._constants, about)
        model: ModelProto = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="facechain-studio convert_models",
        )
        checker.check_model(model, full_check=True)
        return model.SerializeToString(deterministic=True)


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """TensorFlow's SAME padding along one axis: before, after (the odd pixel comes after)."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2
