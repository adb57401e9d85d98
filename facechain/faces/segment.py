"""Which pixels are people: MediaPipe's selfie segmentation."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .. import onnx

MODEL = onnx.EMBEDDED / "selfie_segmentation.onnx"
SIDE = 256


def person_mask(image: np.ndarray) -> np.ndarray:
    """[H, W] float32 0..1, 1 = a person, for uint8 RGB [H, W, 3].

    The network sees the picture squeezed to 256x256: for one head, pass a crop of it and
    get finer edges.
    """
    height, width = image.shape[:2]
    full = Image.fromarray(person_grid(image)).resize((width, height), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(full), 0, 1)


def person_grid(image: np.ndarray) -> np.ndarray:
    """The person mask as the network gives it: a square, for the squeezed picture."""
    small = Image.fromarray(np.ascontiguousarray(image)).resize((SIDE, SIDE), Image.Resampling.BOX)
    return onnx.run(MODEL, np.asarray(small).astype(np.float32) / 255)[0].reshape(SIDE, SIDE)
