"""Small networks of the right layout for what users bring: DWPose's file and a depth model of Transformers."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

POINTS = 133
# A colour for each point: the small DWPose sees a point wherever a picture shows its colour.
COLOURS = np.array(list(itertools.islice(itertools.product((255, 212, 169, 126, 83, 40), repeat=3), POINTS)), np.uint8)


def make_dwpose(path: Path) -> Path:
    """Write dw-ll_ucoco_384.onnx's layout: [1, 3, 384, 288] normalised RGB to places across [1, 133, 576] and down [1, 133, 768].

    A place's score is 1 where the point's own colour is, and 0 where any other or a mixture of two is.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    mean, deviation = np.array([123.675, 116.28, 103.53], np.float32), np.array([58.395, 57.12, 57.375], np.float32)
    colours = (COLOURS - mean) / deviation
    reach = float((8 / deviation.max()) ** 2)
    constants = {
        "twice": (2 * colours).reshape(POINTS, 3, 1, 1),
        "squares": (colours**2).sum(1).reshape(1, POINTS, 1, 1),
        "reach": np.array([reach], np.float32),
        "one": np.array([1], np.float32),
        "across_shape": np.array([1, POINTS, 576], np.int64),
        "down_shape": np.array([1, POINTS, 768], np.int64),
        "double": np.ones((1, 1, 1, 2), np.float32),
        "last": np.array([3], np.int64),
        "channels": np.array([1], np.int64),
        "rows": np.array([2], np.int64),
        "columns": np.array([3], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["input", "twice"], ["dot"]),
        helper.make_node("ReduceSumSquare", ["input", "channels"], ["own"], keepdims=1),
        helper.make_node("Add", ["own", "squares"], ["both"]),
        helper.make_node("Sub", ["both", "dot"], ["apart"]),
        helper.make_node("Div", ["apart", "reach"], ["share"]),
        helper.make_node("Sub", ["one", "share"], ["near"]),
        helper.make_node("Relu", ["near"], ["score"]),
    ]
    for name, axis in (("across", "rows"), ("down", "columns")):
        nodes += [
            helper.make_node("ReduceMax", ["score", axis], [f"{name}_best"], keepdims=0),
            helper.make_node("Unsqueeze", [f"{name}_best", "last"], [f"{name}_wide"]),
            helper.make_node("Mul", [f"{name}_wide", "double"], [f"{name}_pairs"]),  # two bins a pixel
            helper.make_node("Reshape", [f"{name}_pairs", f"{name}_shape"], [f"simcc_{name}"]),
        ]
    graph = helper.make_graph(
        nodes,
        "tiny_dwpose",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 384, 288])],
        [
            helper.make_tensor_value_info("simcc_across", TensorProto.FLOAT, [1, POINTS, 576]),
            helper.make_tensor_value_info("simcc_down", TensorProto.FLOAT, [1, POINTS, 768]),
        ],
        [
            numpy_helper.from_array(np.asarray(v, v.dtype if v.dtype == np.int64 else np.float32), k)
            for k, v in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def paint(picture: np.ndarray, places: dict[int, tuple[float, float]], radius: int = 4) -> np.ndarray:
    """The uint8 RGB picture with a dot in the colour of each numbered point."""
    painted = picture.copy()
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    for number, (across, down) in places.items():
        painted[(x - across) ** 2 + (y - down) ** 2 <= radius**2] = COLOURS[number]
    return painted


def make_depth_model(folder: Path) -> Path:
    """Write a random MiDaS (DPT) of some ten thousand weights as Hugging Face keeps models."""
    import torch
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    config = DPTConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 16, 16],
        fusion_hidden_size=16,
        reassemble_factors=[4, 2, 1, 0.5],
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        DPTForDepthEstimation(config).save_pretrained(folder)
    DPTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder
