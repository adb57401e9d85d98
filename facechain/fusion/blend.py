"""Putting the new face in: level with the picture at its edge; light fades in slowly, lines and pores quickly."""

from __future__ import annotations

import numpy as np

from .masks import smooth_step
from .sampling import blurred

_COARSE = 0.03  # parts of the face's width: what is wider counts as light
_QUICK = (0.1, 0.7)  # of the soft mask, between which lines and pores change over

_LEVEL = 0.05  # parts of the face's width over which the picture's brightness at the edge is carried inwards
_DYING = 0.06  # weight of "no difference", by which it dies away beyond that
_FARTHEST = 0.2  # differences larger than that are no light


def levelled(
    picture: np.ndarray, face: np.ndarray, alpha: np.ndarray, skin: np.ndarray, face_width: float
) -> np.ndarray:
    """face [H, W, 3] with brightness and colour of picture [H, W, 3] along its edge, fading to its own further in.

    alpha: [H, W] 0..1, how much of the face will show. skin: [H, W] 0..1, where both show bare skin.
    A membrane over the edge's differences, as in Poisson cloning (Perez et al., Poisson Image Editing, 2003), but soft:
    it dies away inside, and where hair or features meet the edge they do not bleed into the face.
    """
    rim = skin * smooth_step(alpha, 0.02, 0.2) * (1 - smooth_step(alpha, 0.6, 0.95))
    carried = blurred(np.concatenate([(face - picture) * rim[..., None], rim[..., None]], -1), _LEVEL * face_width)
    return face - (carried[..., :3] / (carried[..., 3:] + _DYING)).clip(-_FARTHEST, _FARTHEST)


def blended(picture: np.ndarray, face: np.ndarray, alpha: np.ndarray, face_width: float) -> np.ndarray:
    """The picture [H, W, 3] with the face in it. alpha: [H, W] 0..1; where it is 0, the picture's own bits.

    In two bands (Burt and Adelson, A Multiresolution Spline, 1983), since two skins that are mixed half and half
    show the lines of both and only 0.7 of their contrast, and that is what an eye takes for a seam.
    """
    difference, weight = face.clip(0, 1) - picture, alpha[..., None] + 1e-4
    reach = _COARSE * face_width
    coarse = blurred(difference * weight, reach) / blurred(weight, reach)
    quick = smooth_step(alpha, *_QUICK)[..., None]
    return picture + alpha[..., None] * coarse + quick * (difference - coarse)
