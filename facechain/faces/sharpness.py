"""How sharp a face is, whatever its size."""

from __future__ import annotations

import numpy as np

from .crops import Region, crop

_SIDE = 128


def sharpness(image: np.ndarray, region: Region) -> float:
    """0 (blurred, or too small to tell) to 1 (every hair visible) of the region of uint8 RGB [H, W, 3].

    The face is brought to 128 pixels, so that blur counts in parts of the face: a large blurred
    photo that is sharp at this size is good enough for training at 512. The measure is the energy
    of the Laplacian relative to the contrast of the face, so that light and make-up count little.
    """
    gray = crop(image, region, _SIDE).astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    inner = gray[1:-1, 1:-1]
    laplacian = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * inner
    ratio = float(np.abs(laplacian).mean()) / (float(inner.std()) + 4.0)
    return float(np.clip(ratio / 0.3, 0, 1))
