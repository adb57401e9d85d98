"""Sharpness and grain: the new face must not be smoother or crisper than the picture around it."""

from __future__ import annotations

import numpy as np

from .sampling import blurred

_FINEST = 0.8  # pixels: the band of pores and grain
_LIMIT = 3.0  # grain stronger than this many typical strengths is an edge, not grain


def with_grain_of(target: np.ndarray, face: np.ndarray, skin: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """face [H, W, 3] softened where its edges are crisper than target's, then given the target's own grain.

    skin: [H, W] 0..1, plain skin; inside: [H, W] 0..1, the whole face.
    """
    chosen = skin > 0.6
    if chosen.sum() < 100:
        return face
    face = _softened(face, inside > 0.5, _crispness(target, inside > 0.5))
    wanted, own = _strength(target, chosen), _strength(face, chosen)
    missing = float(np.sqrt(max(wanted**2 - own**2, 0))) / wanted
    limit = _LIMIT * wanted
    return face + missing * np.clip(target - blurred(target, _FINEST), -limit, limit)


def _strength(picture: np.ndarray, chosen: np.ndarray) -> float:
    """Typical strength of the finest band on the skin; the median, so that edges do not count."""
    return float(np.median(_finest(picture)[chosen])) * 1.48 + 1e-6


def _crispness(picture: np.ndarray, inside: np.ndarray) -> float:
    """Strength of the finest band at the edges in the face."""
    return float(np.percentile(_finest(picture)[inside], 97)) + 1e-6


def _finest(picture: np.ndarray) -> np.ndarray:
    luma = picture.mean(-1)
    return np.abs(luma - blurred(luma, _FINEST))


def _softened(face: np.ndarray, inside: np.ndarray, wanted: float) -> np.ndarray:
    softer = face
    for sigma in (0.4, 0.6, 0.8, 1.1, 1.5):
        if _crispness(softer, inside) <= wanted * 1.2:
            break
        softer = blurred(face, sigma)
    return softer
