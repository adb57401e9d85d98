"""Small ONNX files with the interfaces of insightface's networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_network(path: Path, side: int, numbers: int, cells: int, constant: list[float] | None = None) -> None:
    """[1, 3, side, side] to [1, numbers]: mean colours of cells x cells parts, mixed; or always the constant."""
    from onnx import TensorProto, helper, numpy_helper, save  # pyright: ignore[reportMissingImports]

    width = 3 * cells * cells
    mix = np.random.default_rng(7).normal(size=(width, numbers)).astype(np.float32)
    shift = np.zeros(numbers, np.float32) if constant is None else np.array(constant, np.float32)
    mix = mix if constant is None else mix * 0
    step = side // cells
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["data"], ["pooled"], kernel_shape=[step, step], strides=[step, step]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "mix", "shift"], ["out"]),
        ],
        "small",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, numbers])],
        [numpy_helper.from_array(mix, "mix"), numpy_helper.from_array(shift, "shift")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))


def write_swapper(path: Path, side: int = 128, numbers: int = 512, emap: np.ndarray | None = None) -> np.ndarray:
    """inswapper's interface: [1, 3, side, side] and [1, numbers] to [1, 3, side, side]; the picture, mixed with a colour
    that the embedding says. Its last initialiser is the map of embeddings (random where none is given), returned.
    """
    from onnx import TensorProto, helper, numpy_helper, save  # pyright: ignore[reportMissingImports]

    random = np.random.default_rng(3)
    emap = random.normal(size=(numbers, numbers)).astype(np.float32) if emap is None else emap
    colour = random.normal(size=(numbers, 3)).astype(np.float32) * 40
    weights = {
        "colour": colour,
        "shape": np.array([1, 3, 1, 1], np.int64),
        "kept": np.array(0.7, np.float32),
        "tint": np.array(0.3, np.float32),
        "emap": emap,
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["source", "colour"], ["said"]),
            helper.make_node("Sigmoid", ["said"], ["bounded"]),
            helper.make_node("Reshape", ["bounded", "shape"], ["plane"]),
            helper.make_node("Mul", ["plane", "tint"], ["tinted"]),
            helper.make_node("Mul", ["target", "kept"], ["own"]),
            helper.make_node("Add", ["own", "tinted"], ["output"]),
        ],
        "small swapper",
        [
            helper.make_tensor_value_info("target", TensorProto.FLOAT, [1, 3, side, side]),
            helper.make_tensor_value_info("source", TensorProto.FLOAT, [1, numbers]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, side, side])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return emap
