"""How sharp a face is, whatever its size."""

from __future__ import annotations

import numpy as np

from .crops import Region, crop

_SIDE = 128
_CONTRAST_FLOOR = 4.0  # grey levels: a flat patch has no sharpness
_SHARP = 0.14  # the ratio of the crispest portraits


def sharpness(image: np.ndarray, region: Region) -> float:
    """0 (blurred, or too small to tell) to 1 (every hair visible) of the region of uint8 RGB [H, W, 3].

    The face is brought to 128 pixels, so that blur counts in parts of the face: a large blurred
    photo that is sharp at this size is good enough for training at 512. The measure is the energy
    of the Laplacian relative to the contrast of the face, so that light and make-up count little;
    a slight blur before it lets film grain and sensor noise count less. Strong noise still passes for detail.
    Sharp portraits reach 0.4 to 0.8, the same blurred by 1 percent of the width 0.35, by 2 percent 0.2, by 5 under 0.1.
    """
    gray = crop(image, region, _SIDE).astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    smooth = _binomial(_binomial(gray).T).T
    inner = smooth[1:-1, 1:-1]
    laplacian = smooth[:-2, 1:-1] + smooth[2:, 1:-1] + smooth[1:-1, :-2] + smooth[1:-1, 2:] - 4 * inner
    ratio = float(np.abs(laplacian).mean()) / (float(inner.std()) + _CONTRAST_FLOOR)
    return min(ratio / _SHARP, 1.0)


def _binomial(gray: np.ndarray) -> np.ndarray:
    """Each row blurred by (1, 2, 1) / 4; two columns fewer."""
    return (gray[:, :-2] + 2 * gray[:, 1:-1] + gray[:, 2:]) / 4
