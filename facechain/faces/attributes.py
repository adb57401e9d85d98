"""Age and gender: face-api's small network."""

from __future__ import annotations

import numpy as np

from .. import onnx
from .base import Gender
from .crops import crop
from .mesh import region_of

MODEL = onnx.EMBEDDED / "age_gender.onnx"
SIDE = 112


def age_and_gender(image: np.ndarray, mesh: np.ndarray) -> tuple[float, Gender, float]:
    """Age in years, gender and its score 0.5..1 of the face with this mesh in uint8 RGB [H, W, 3].

    The crop is as wide as the mesh, eyes level: of the widths tried (0.85 to 1.6) the surest.
    Ages of young women come out up to ten years too low, also as the mean of several widths (0.85 to 1.1): the bias
    is the network's. captions.describe, which decides who is called a child, allows for it.
    """
    chip = crop(image, region_of(mesh, 1.0), SIDE)
    age, man = ((a + b) / 2 for a, b in zip(_run(chip), _run(chip[:, ::-1]), strict=True))
    return age, "man" if man >= 0.5 else "woman", max(man, 1 - man)


def _run(chip: np.ndarray) -> tuple[float, float]:
    """Age, and the probability of a man."""
    age, man_woman = onnx.run(MODEL, chip.astype(np.float32))
    return float(age.reshape(-1)[0]), float(man_woman.reshape(-1)[0])
