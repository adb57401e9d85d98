"""Small image filters in numpy: Lab colours, guided filter, polygons."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

_CODED = np.arange(256, dtype=np.float32) / 255
_LINEAR = np.where(_CODED <= 0.04045, _CODED / 12.92, ((_CODED + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_light(pixels: np.ndarray) -> np.ndarray:
    """sRGB uint8 [...] to linear light, float32 [...] 0..1."""
    return _LINEAR[pixels]


def to_lab(pixels: np.ndarray) -> np.ndarray:
    """sRGB uint8 [..., 3] to CIE Lab (D65), float32 [..., 3]: L 0..100, a and b about -100..100."""
    linear = linear_light(pixels)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883], np.float32)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def box_mean(values: np.ndarray, radius: int) -> np.ndarray:
    """Mean over (2 radius + 1)^2 pixels of [H, W] float, edges repeated."""
    from scipy.ndimage import uniform_filter

    return uniform_filter(values, 2 * radius + 1, mode="nearest")


def guided_filter(guide: np.ndarray, values: np.ndarray, radius: int, smoothness: float) -> np.ndarray:
    """He's guided filter: values [H, W] follow the edges of guide [H, W], both 0..1.

    smoothness: variance of the guide below which a place counts as flat.
    """
    mean_g, mean_v = box_mean(guide, radius), box_mean(values, radius)
    variance = box_mean(guide * guide, radius) - mean_g**2
    slope = (box_mean(guide * values, radius) - mean_g * mean_v) / (variance + smoothness)
    return box_mean(slope, radius) * guide + box_mean(mean_v - slope * mean_g, radius)


def polygon(points: np.ndarray, size: int) -> np.ndarray:
    """bool [size, size], True inside the polygon of points [N, 2] (x, y)."""
    image = Image.new("L", (size, size))
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in points], fill=255)
    return np.asarray(image) > 0


def resized(values: np.ndarray, size: int) -> np.ndarray:
    """[H, W] float32 to [size, size]: averaged where it shrinks, bilinear where it grows."""
    way = Image.Resampling.BOX if size < values.shape[0] else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((size, size), way))


def steps(low: np.ndarray | float, high: float, values: np.ndarray | float) -> np.ndarray:
    """Smooth step: 0 at low and below, 1 at high and above."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
