"""Hands, face and body of one person by the network of DWPose, where a user has its file.

The network gives 133 points and is from the paper "Effective whole-body pose estimation with two-stages distillation"
by Yang and others, of 2023. Other packs load the same file. Its own detector of people is not needed here, since the
box comes from our body.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import onnx
from .errors import ModelFileError
from .images import apply_affine, warp

FILE = "dw-ll_ucoco_384.onnx"
WIDTH, HEIGHT = 288, 384  # of the network's window, in pixels
_BINS = 2  # places in its output for each pixel
_PADDING = 1.25  # of the person's box, as it was trained
_SURE = 0.3  # score below which DWPose draws no point
# ImageNet's mean and deviation of R, G, B, which the network was trained with
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
# COCO's point for each of OpenPose's 18; the neck (1) has none, it is the middle of the shoulders
_BODY = np.array([0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3])
_NECK, _SHOULDERS = 1, [5, 6]
_FACE, _LEFT_HAND, _RIGHT_HAND = slice(23, 91), slice(91, 112), slice(112, 133)


@dataclass(frozen=True, eq=False)
class Whole:
    """[K, 3] float32 each: x, y in pixels of the picture and 1 where the point is seen, else 0.

    body: K = 18, OpenPose's order. face: 68, dlib's order. hands: 21 each, the left one first, wrist to little finger.
    """

    body: np.ndarray
    face: np.ndarray
    hands: tuple[np.ndarray, np.ndarray]


def read_person(image: np.ndarray, box: np.ndarray, model: Path, *, gpu: bool = False) -> Whole:
    """The person in a box of a picture.

    box: left, top, right and bottom in pixels; the picture is uint8 RGB [H, W, 3].
    Raises ModelFileError where the file is absent, damaged, or another network.
    """
    to_picture = _window(box)
    window = warp(torch.tensor(image, dtype=torch.float32), to_picture, (HEIGHT, WIDTH), fill=0.0).clamp(0, 255).numpy()
    values = ((window - _MEAN) / _DEVIATION).transpose(2, 0, 1)[None]
    net = onnx.session(model, gpu=gpu)
    takes, outputs = net.get_inputs()[0], net.get_outputs()
    if list(takes.shape[-3:]) != [3, HEIGHT, WIDTH] or len(outputs) != 2:
        raise ModelFileError(f"{model.name} is not DWPose's network", f"Use {FILE} from yzd-v/DWPose on Hugging Face")
    across, down = (np.asarray(out)[0] for out in net.run(None, {takes.name: values.astype(np.float32)}))
    points = np.stack([across.argmax(1), down.argmax(1)], axis=1) / _BINS
    sure = np.minimum(across.max(1), down.max(1)) >= _SURE
    placed = apply_affine(to_picture, points)
    return _sorted(np.column_stack([placed, sure]).astype(np.float32))


def _window(box: np.ndarray) -> np.ndarray:
    """Affine [2, 3] from the network's window to the picture: the box, wider by a quarter, in the window's proportions."""
    x1, y1, x2, y2 = (float(v) for v in box)
    width, height = max(x2 - x1, 1.0) * _PADDING, max(y2 - y1, 1.0) * _PADDING
    scale = max(width / WIDTH, height / HEIGHT)
    return np.array([[scale, 0, (x1 + x2) / 2 - scale * WIDTH / 2], [0, scale, (y1 + y2) / 2 - scale * HEIGHT / 2]])


def _sorted(points: np.ndarray) -> Whole:
    """The 133 points by what they are."""
    body = points[_BODY].copy()
    shoulders = points[_SHOULDERS]
    body[_NECK] = (*shoulders[:, :2].mean(0), shoulders[:, 2].all())
    return Whole(body, points[_FACE], (points[_LEFT_HAND], points[_RIGHT_HAND]))
