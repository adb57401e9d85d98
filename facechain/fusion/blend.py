"""Putting the new face in: its light fades in slowly, its lines and pores quickly."""

from __future__ import annotations

import numpy as np

from .masks import smooth_step
from .sampling import blurred

_COARSE = 0.03  # parts of the face's width: what is wider counts as light
_QUICK = (0.0, 0.6)  # of the soft mask, between which lines and pores change over


def blended(picture: np.ndarray, face: np.ndarray, alpha: np.ndarray, face_width: float) -> np.ndarray:
    """picture [H, W, 3] with the face in it; alpha: [H, W] 0..1. Where alpha is 0, the picture's own bits.

    Two bands (Burt and Adelson, A Multiresolution Spline, 1983): mixed half and half, two skins show both their lines
    and only 0.7 of their contrast, and that is what an eye takes for a seam.
    """
    difference, weight = face.clip(0, 1) - picture, alpha[..., None] + 1e-4
    reach = _COARSE * face_width
    coarse = blurred(difference * weight, reach) / blurred(weight, reach)
    quick = smooth_step(alpha, *_QUICK)[..., None]
    return picture + alpha[..., None] * coarse + quick * (difference - coarse)
