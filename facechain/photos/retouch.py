"""Evening out blotches of the skin, and nothing else.

Frequency separation: coarse shading keeps the face's form and light, the finest detail its
pores; blotches live between the two and are weakened there, on skin alone.
"""

from __future__ import annotations

import numpy as np

from ..images import LUMA
from .filters import polygon, steps, to_lab
from .headmask import OVAL, SKIN_PATCHES

# In parts of the face's width. Pores and lines are finer, cheeks and shadows coarser.
FINE, COARSE = 0.012, 0.08
_FEATURE = 24.0  # levels; what differs more from its surroundings is part of the face, not a blotch
# Shares of the blotches that go at strength 1. Uneven light makes a face's form: more of it gone looks like wax.
LIGHT, COLOUR = 0.65, 0.9
_EYES = (
    [33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7],
    [263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249],
)
_BROWS = ([70, 63, 105, 66, 107, 55, 65, 52, 53, 46], [300, 293, 334, 296, 336, 285, 295, 282, 283, 276])
_LIPS = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146]
_NOSTRILS = [98, 97, 2, 326, 327, 94]


def retouched(image: np.ndarray, mesh: np.ndarray, strength: float) -> np.ndarray:
    """The picture with evener skin, uint8 RGB [S, S, 3].

    mesh: [468, 3] in its pixels.
    strength: from 0, which gives the very same picture, to 1.
    """
    if strength <= 0:
        return image
    width = float(np.ptp(mesh[OVAL, 0]))
    skin = skin_mask(image, mesh)
    if skin.max() < 0.1:
        return image
    # The filters need only see the face and a little around it.
    margin = 4 * COARSE * width
    low = np.maximum(mesh[OVAL, :2].min(0) - margin, 0).astype(int)
    high = (mesh[OVAL, :2].max(0) + margin).astype(int)
    here = np.s_[low[1] : high[1], low[0] : high[0]]
    values = image[here].astype(np.float32)
    result = image.copy()
    result[here] = np.clip((values - _removed(values, skin[here], width, strength)).round(), 0, 255).astype(np.uint8)
    return result


def _removed(values: np.ndarray, skin: np.ndarray, width: float, strength: float) -> np.ndarray:
    """[H, W, 3] float32: what is taken off the picture's values [H, W, 3]. width: of the face in pixels."""
    from scipy.ndimage import gaussian_filter

    weight = skin + 1e-4

    def smooth(sigma: float) -> np.ndarray:
        """Blur that only reads skin: lips and brows do not bleed into it."""
        share = gaussian_filter(weight, sigma)
        return np.stack([gaussian_filter(c * weight, sigma) / share for c in np.moveaxis(values, -1, 0)], -1)

    blotches = smooth(FINE * width) - smooth(COARSE * width)
    light = (blotches @ LUMA)[..., None]
    colour = blotches - light
    even = LIGHT * _gentle(light) * light + COLOUR * _gentle(colour) * colour
    return min(strength, 1.0) * skin[..., None] * even


def _gentle(differences: np.ndarray) -> np.ndarray:
    """[H, W, 1] 0..1: near 0 where differences [H, W, C] are those of a feature (a mole, a nostril's edge, a dimple)."""
    return np.exp(-((np.abs(differences).max(-1, keepdims=True) / _FEATURE) ** 2))


def skin_mask(image: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """[S, S] float32 0..1: the face's skin without eyes, brows, lips, nostrils, beard, glasses and hair."""
    from scipy.ndimage import gaussian_filter

    size, points = image.shape[0], mesh[:, :2]
    width = float(np.ptp(points[OVAL, 0]))
    face = polygon(points[OVAL], size)
    samples = np.logical_or.reduce([polygon(points[patch], size) for patch in SKIN_PATCHES]) & face
    if not samples.any():
        return np.zeros((size, size), np.float32)
    lab = to_lab(image)
    middle = np.median(lab[samples], axis=0)
    # Lightness may vary with the light, the hue hardly: beard and hair are darker and greyer than the cheeks.
    away = np.abs(lab - middle) / np.array([22.0, 12.0, 12.0], np.float32)
    alike = 1 - steps(0.8, 1.6, np.sqrt((away**2).sum(-1)))
    features = np.zeros((size, size), bool)
    for outline, growth in [
        *((e, 0.05) for e in _EYES),
        *((b, 0.03) for b in _BROWS),
        (_LIPS, 0.02),
        (_NOSTRILS, 0.02),
    ]:
        shape = points[outline]
        center = shape.mean(0)
        reach = np.linalg.norm(shape - center, axis=1, keepdims=True)
        features |= polygon(center + (shape - center) * (1 + growth * width / np.maximum(reach, 1.0)), size)
    edge = max(0.8, 0.012 * width)
    inner = np.clip(gaussian_filter((face & ~features).astype(np.float32), edge) * 2 - 1, 0, 1)
    return (inner * gaussian_filter(alike.astype(np.float32), edge)).astype(np.float32)
