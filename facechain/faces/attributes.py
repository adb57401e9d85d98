"""Age and gender: face-api's small network."""

from __future__ import annotations

import numpy as np

from .. import onnx
from .base import Gender
from .crops import Region, crop

MODEL = onnx.EMBEDDED / "age_gender.onnx"
SIDE = 112


def age_and_gender(image: np.ndarray, mesh: np.ndarray) -> tuple[float, Gender, float]:
    """Age in years, gender and its score 0.5..1 of the face with this mesh in uint8 RGB [H, W, 3]."""
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    x, y = (float(v) for v in (low + high) / 2)
    chip = crop(image, Region(x, y, float((high - low).max())), SIDE)
    age, gender = onnx.run(MODEL, chip.astype(np.float32))
    man = float(gender.reshape(-1)[0])
    return float(age.reshape(-1)[0]), "man" if man >= 0.5 else "woman", max(man, 1 - man)
