"""Turned and scaled square crops for the networks, and the way back to picture pixels.

Pillow does the sampling: ComfyUI brings it, and it needs 1 ms for what a face network reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Region:
    """A turned square in a picture.

    cx, cy: its centre; size: its side, pixels of the picture.
    angle: radians; how far its x axis is turned clockwise from the picture's (as seen, y down).
    """

    cx: float
    cy: float
    size: float
    angle: float = 0.0

    def to_picture(self, points: np.ndarray, side: float) -> np.ndarray:
        """Points [..., 2 or 3] of a crop of `side` pixels, in pixels of the picture; z is scaled alike."""
        scale = self.size / side
        u, v = (points[..., 0] - side / 2) * scale, (points[..., 1] - side / 2) * scale
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        out = np.array(points, np.float32)
        out[..., 0] = self.cx + cos * u - sin * v
        out[..., 1] = self.cy + sin * u + cos * v
        out[..., 2:] *= scale
        return out


def checked_picture(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]; grey and transparent pictures become three channels. Raises ValueError for other arrays."""
    if image.ndim == 2:
        image = image[..., None]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(f"a picture must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]


def crop(image: np.ndarray, region: Region, side: int) -> np.ndarray:
    """The region of a picture uint8 [H, W, 3], upright, as uint8 [side, side, 3]; black where the picture ends."""
    scale = region.size / side  # picture pixels for one pixel of the crop
    part, left, top = _cut_out(image, region)
    # Bilinear sampling alone would skip pixels: halve the picture until it skips none.
    factor = max(1, min(int(scale), *part.size))
    part = part.reduce(factor) if factor > 1 else part
    cos, sin = math.cos(region.angle) * scale / factor, math.sin(region.angle) * scale / factor
    x0, y0 = (region.cx - left) / factor, (region.cy - top) / factor
    half = side / 2
    matrix = (cos, -sin, x0 - cos * half + sin * half, sin, cos, y0 - sin * half - cos * half)
    return np.asarray(part.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))


def similarity_crop(image: np.ndarray, source: np.ndarray, target: np.ndarray, side: int) -> np.ndarray:
    """The crop uint8 [side, side, 3] in which the picture's points `source` [N, 2] come nearest to `target` [N, 2]."""
    return crop(image, fitted_region(source, target, side), side)


def fitted_region(source: np.ndarray, target: np.ndarray, side: int) -> Region:
    """The region of the picture for similarity_crop: least squares over turn, scale and shift (Umeyama 1991)."""
    mean_s, mean_t = source.mean(0), target.mean(0)
    s, t = source - mean_s, target - mean_t
    # With complex numbers the best turn and scale is one quotient: target -> source.
    zs, zt = s[:, 0] + 1j * s[:, 1], t[:, 0] + 1j * t[:, 1]
    factor = complex((np.conj(zt) @ zs) / max(float((np.conj(zt) @ zt).real), 1e-9))
    middle = factor * complex(side / 2 - mean_t[0], side / 2 - mean_t[1]) + complex(mean_s[0], mean_s[1])
    size = max(abs(factor) * side, 1.0)
    return Region(middle.real, middle.imag, size, math.atan2(factor.imag, factor.real))


def _cut_out(image: np.ndarray, region: Region) -> tuple[Image.Image, int, int]:
    """The upright rectangle of the picture around the region, and its left and top; never empty."""
    height, width = image.shape[:2]
    reach = region.size * 0.7072 + 2  # half the diagonal
    left, top = (int(np.clip(math.floor(c - reach), 0, n - 1)) for c, n in ((region.cx, width), (region.cy, height)))
    right, bottom = (
        int(np.clip(math.ceil(c + reach), low + 1, n))
        for c, low, n in ((region.cx, left, width), (region.cy, top, height))
    )
    return Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right])), left, top
