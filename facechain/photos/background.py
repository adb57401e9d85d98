"""What stands behind the head."""

from __future__ import annotations

from typing import Literal

import numpy as np

Background = Literal["white", "grey", "blurred", "keep"]


def with_background(image: np.ndarray, mask: np.ndarray, kind: Background) -> np.ndarray:
    """uint8 RGB [S, S, 3] with all outside mask ([S, S], 1 = head) replaced; "keep" changes nothing."""
    if kind == "keep":
        return image
    behind = _blurred(image, mask) if kind == "blurred" else np.float32(255 if kind == "white" else 128)
    alpha = mask[..., None].astype(np.float32)
    return (image * alpha + behind * (1 - alpha)).round().clip(0, 255).astype(np.uint8)


def _blurred(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The surroundings out of focus; the head itself does not bleed into them."""
    from scipy.ndimage import gaussian_filter

    sigma = image.shape[0] * 0.03
    weight = (1 - mask).astype(np.float32) ** 2 + 1e-3
    share = gaussian_filter(weight, sigma)
    return np.stack([gaussian_filter(image[..., c] * weight, sigma) / share for c in range(3)], -1)
