"""How sharp a face is, whatever its size."""

from __future__ import annotations

import numpy as np

from ..grey import LUMA
from .crops import Region, crop

_SIDE = 128
_CONTRAST_FLOOR = 4.0  # grey levels: a flat patch has no sharpness
_SHARP = 0.14  # the ratio of the crispest portraits
_NOISE_MEAN = 1.183  # mean of normal noise's absolute values over their median
_EVEN = 0.7  # evenness up to which all is detail: 0.57 in the middle of 200 photos, 0.71 in one of ten


def sharpness(image: np.ndarray, region: Region) -> float:
    """0 (blurred, or too small to tell) to 1 (every hair visible) of the region of uint8 RGB [H, W, 3].

    The face is brought to 128 pixels, so that blur counts in parts of the face: a large blurred
    photo that is sharp at this size is good enough for training at 512. The measure is the energy
    of the Laplacian relative to the contrast of the face, so that light and make-up count little;
    a slight blur before it lets film grain and sensor noise count less. What noise is left is told from
    detail by its spread: noise is everywhere, detail is lines with calm between them.
    Sharp portraits reach 0.4 to 0.8, the same blurred by 1 percent of the width 0.35, by 2 percent 0.2, by 5 under 0.1.
    """
    gray = crop(image, region, _SIDE).astype(np.float32) @ LUMA
    smooth = _binomial(_binomial(gray).T).T
    inner = smooth[1:-1, 1:-1]
    laplacian = smooth[:-2, 1:-1] + smooth[2:, 1:-1] + smooth[1:-1, :-2] + smooth[1:-1, 2:] - 4 * inner
    size = np.abs(laplacian)
    energy = float(size.mean())
    even = float(np.median(size)) * _NOISE_MEAN / max(energy, 1e-6)  # 1 for pure noise
    detail = energy * min(1.0, np.sqrt(max(0.0, 1 - even**2) / (1 - _EVEN**2)))
    return float(min(detail / (float(inner.std()) + _CONTRAST_FLOOR) / _SHARP, 1.0))


def _binomial(gray: np.ndarray) -> np.ndarray:
    """Each row blurred by (1, 2, 1) / 4; two columns fewer."""
    return (gray[:, :-2] + 2 * gray[:, 1:-1] + gray[:, 2:]) / 4
