"""What lies before the lower face of a picture, a hand, a microphone, a mask: the picture keeps it."""

from __future__ import annotations

import numpy as np

from ..faces.angles import head_angles
from .masks import ring_mask, smooth_step

_HALF_PIXEL = np.array([0.5, 0.5, 0.0])  # whole numbers are pixel edges there, pixel centres here
# Openness of the mouth below which the picture keeps all of the lower face, and above which nothing of it. Of 110 faces
# of the test pictures, beards, shadows and helmets among them, the least open has 0.99; hands and microphones 0.2.
_HIDDEN = (0.3, 0.6)
_SOFT = 0.02  # of its edge, parts of the face's width


def hidden_part(picture: np.ndarray, mesh: np.ndarray, face_width: float) -> np.ndarray | None:
    """[H, W] float32 0..1, 1 where something hides the face with this mesh [468, 3] in picture [H, W, 3], 0..1; or None.

    A hand has the face's own colour, and what hides a mouth hides where it ends as well: where no mouth is to be seen, the
    whole lower face counts, from the tip of the nose round the chin.
    """
    from ..photos.occlusion import LOWER_FACE, chip_of, mouth_openness  # it needs this package's outlines itself

    chip = chip_of((picture * 255).round().astype(np.uint8), mesh + _HALF_PIXEL)
    part = 1 - float(smooth_step(np.array(mouth_openness(chip, head_angles(mesh)[0])), *_HIDDEN))
    if part == 0:
        return None
    outline = mesh[LOWER_FACE, :2]
    grown = outline + (outline - outline.mean(0)) * 0.08
    return part * ring_mask(grown, picture.shape[:2], _SOFT * face_width)
