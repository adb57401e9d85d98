"""What stands behind the head."""

from __future__ import annotations

from typing import Literal

import numpy as np

Background = Literal["white", "grey", "blurred", "keep"]

# Reach of the two looks for the head's own colour, in parts of the picture's side: far for whole locks, near for hairs.
_LOOKS = (0.06, 0.012)


def with_background(image: np.ndarray, mask: np.ndarray, kind: Background) -> np.ndarray:
    """uint8 RGB [S, S, 3] with all outside mask ([S, S], 1 = head) replaced; "keep" changes nothing.

    At the soft edge the old background's share is taken out of the colours, or it would stay as a halo.
    """
    if kind == "keep":
        return image
    behind = _blurred(image, mask) if kind == "blurred" else np.float32(255 if kind == "white" else 128)
    alpha = mask[..., None].astype(np.float32)
    return (foreground(image, mask) * alpha + behind * (1 - alpha)).round().clip(0, 255).astype(np.uint8)


def foreground(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The head's own colours, float32 [S, S, 3] 0..255: where mask is 1 the picture's, at the soft edge those
    that the picture would have without what shines through from behind.

    Blurred foreground estimation (Forte 2021): the colours of head and background near a pixel are local means
    weighted by the mask; the head's one is then corrected so that both, mixed, give the pixel again.
    """
    from scipy.ndimage import uniform_filter

    result = image.astype(np.float32)
    rows, columns = (np.flatnonzero(((mask > 0) & (mask < 1)).any(axis)) for axis in (1, 0))
    if not len(rows):
        return result
    # Only the soft edge changes: the filters need see no more than it and their own reach.
    margin = round(_LOOKS[0] * len(mask)) + 1
    here = np.s_[
        max(0, rows[0] - margin) : rows[-1] + margin + 1, max(0, columns[0] - margin) : columns[-1] + margin + 1
    ]
    alpha = mask[here].astype(np.float32)
    picture = result[here].copy()
    # The first look trusts sure pixels alone.
    own, old = picture.copy(), picture.copy()
    for look, (weight, rest) in zip(_LOOKS, ((alpha**4, (1 - alpha) ** 4), (alpha, 1 - alpha)), strict=True):
        width = 2 * max(1, round(look * len(mask) / 2)) + 1
        share, against = uniform_filter(weight, width), uniform_filter(rest, width)
        for channel in range(3):
            seen = picture[..., channel]
            near = uniform_filter(own[..., channel] * weight, width) + 1e-3 * seen
            far = uniform_filter(old[..., channel] * rest, width) + 1e-3 * seen
            near, far = near / (share + 1e-3), far / (against + 1e-3)
            explained = near + alpha * (seen - alpha * near - (1 - alpha) * far)
            own[..., channel], old[..., channel] = explained.clip(0, 255), far
    result[here] = np.where(alpha[..., None] >= 1, picture, own)
    return result


def _blurred(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The surroundings out of focus; the head itself does not bleed into them."""
    from scipy.ndimage import gaussian_filter

    sigma = image.shape[0] * 0.03
    weight = (1 - mask).astype(np.float32) ** 4 + 1e-4
    share = gaussian_filter(weight, sigma)
    return np.stack([gaussian_filter(image[..., c] * weight, sigma) / share for c in range(3)], -1)
