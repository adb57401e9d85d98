"""The face mesh as a surface: its triangles, its mirror, its parts, and masks drawn on it.

All of it is derived from one canonical mesh: the mean of 97 faces within 25 degrees of frontal as the
embedded engine's mesh network sees them, made symmetric, width 1, x right, y down, z away from the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Outlines in MediaPipe's numbering, each a closed ring. "Right" is the person's right.
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
        148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
LEFT_BROW = (285, 295, 282, 283, 276, 300, 293, 334, 296, 336)
RIGHT_BROW = (55, 65, 52, 53, 46, 70, 63, 105, 66, 107)
NOSE = (8, 193, 122, 196, 236, 198, 209, 49, 48, 64, 98, 97, 2, 326, 327, 294, 278, 279, 429, 420, 456, 419, 351, 417)
NOSTRILS = (97, 2, 326, 327, 278, 344, 440, 274, 1, 44, 220, 115, 48, 98)

ATLAS = 256  # pixels of a side of the masks below
_FOREHEAD = (0.19, 0.06)  # above the brows: where the new face has ended, and where it begins to
_EDGE = (0.005, 0.06)  # distances from the outline between which the new face sets in
_FOLDS = (0.1, 0.22)  # distances from the lips up to which a smile folds the skin, and where it no longer does
_SPAN = 1.2  # canonical units that a side of the masks covers


@dataclass(frozen=True, eq=False)
class Surface:
    """points: [468, 3] canonical mesh. triangles: [T, 3] indices. mirror: [468] index of the opposite point."""

    points: np.ndarray
    triangles: np.ndarray
    mirror: np.ndarray


@lru_cache(maxsize=1)
def surface() -> Surface:
    """The canonical surface; made at the first call (5 ms), then shared. Do not write to it."""
    from scipy.spatial import Delaunay, KDTree

    points = np.load(Path(__file__).with_name("canonical_mesh.npy")).astype(np.float64)
    # Unrolled from a cylinder around the head's axis, or the triangles of the cheeks' edges are slivers.
    flat = np.stack([np.arctan2(points[:, 0], 0.7 - points[:, 2]), points[:, 1]], axis=1)
    triangles = Delaunay(flat).simplices.astype(np.int64)
    mirror = np.asarray(KDTree(points).query(points * [-1, 1, 1])[1])
    return Surface(points, triangles, mirror)


@dataclass(frozen=True, eq=False)
class Atlas:
    """Masks on the canonical face seen from the front, each [ATLAS, ATLAS] float32 0..1.

    face: where the new face goes; soft at the outline, ends half-way up the forehead.
    skin: plain skin, to measure colour and light on: no eyes, brows, lips, nostrils.
    features: brows, eyes, nostrils and lips, with some margin. drawn: the same without margin, but with the lids.
    forehead: all above the brows. crown: the same from well above them. rim: the outline and the forehead, where hair falls over a face. lips: the lips with some margin.
    broad: cheeks, jaw and forehead, away from everything that makes a face this person's.
    folds: around the mouth, where a smile folds the skin.
    """

    face: np.ndarray
    skin: np.ndarray
    features: np.ndarray
    drawn: np.ndarray
    forehead: np.ndarray
    crown: np.ndarray
    rim: np.ndarray
    lips: np.ndarray
    broad: np.ndarray
    folds: np.ndarray


ATLAS_MASKS = tuple(Atlas.__annotations__)


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """The masks; drawn at the first call, then shared. Do not write to them."""
    outline = _drawn(OVAL)
    distance = _inner_distance(outline)
    edge = _smooth_step(distance, *_EDGE)
    y = (np.arange(ATLAS) + 0.5) / ATLAS * _SPAN - _SPAN / 2
    brow_top = surface().points[list(LEFT_BROW + RIGHT_BROW), 1].min()
    below_hairline = _smooth_step(y, brow_top - _FOREHEAD[0], brow_top - _FOREHEAD[1])[:, None]
    rings = [_drawn(ring) for ring in (LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW, LIPS, NOSTRILS)]
    features = np.maximum.reduce([_grown(ring, 0.025) for ring in rings])
    brow_lines = np.array([_top_of(rings[2] + rings[3])], np.float32)
    forehead = 1 - _smooth_step(y[:, None] - brow_lines, -0.02, 0.015)
    above_brows = 1 - _smooth_step(y, brow_top - 0.02, brow_top + 0.03)[:, None]
    skin = (distance > 0.06) * (1 - features) * (y > brow_top - 0.1)[:, None]
    return Atlas(
        face=(edge * below_hairline).astype(np.float32),
        skin=skin.astype(np.float32),
        features=_soft(features, 0.01),
        drawn=_soft(np.maximum.reduce([*(_grown(eye, 0.022) for eye in rings[:2]), *rings[2:]]), 0.012),
        forehead=forehead.astype(np.float32),
        crown=_soft((1 - _smooth_step(y[:, None] - brow_lines, -0.14, -0.09)).astype(np.float32), 0.02),
        rim=np.maximum(1 - _smooth_step(distance, 0.06, 0.2), above_brows).astype(np.float32),
        lips=_soft(_grown(rings[4], 0.05), 0.015),
        broad=_broad(np.maximum.reduce([*rings, _drawn(NOSE)])),
        folds=(1 - _smooth_step(_inner_distance(1 - rings[4]), *_FOLDS)).astype(np.float32),
    )


def _broad(special: np.ndarray) -> np.ndarray:
    """1 far from the features, falling to 0 beside them."""
    return _smooth_step(_inner_distance(1 - special), 0.03, 0.12).astype(np.float32)


def _top_of(mask: np.ndarray) -> np.ndarray:
    """[ATLAS] canonical y of the uppermost pixel of each column, continued to both sides and across the middle."""
    columns = np.flatnonzero(mask.max(0) > 0.5)
    tops = (mask[:, columns] > 0.5).argmax(0) / ATLAS * _SPAN - _SPAN / 2
    return np.interp(np.arange(ATLAS), columns, tops)


def to_atlas(points: np.ndarray) -> np.ndarray:
    """Canonical x, y [..., 2] to pixels of the masks (whole numbers are pixel centres)."""
    return (points + _SPAN / 2) / _SPAN * ATLAS - 0.5


def _drawn(ring: tuple[int, ...]) -> np.ndarray:
    """The filled ring on the atlas, a square of float32 0..1; its edges are smoothed by drawing it fourfold."""
    image = Image.new("L", (ATLAS * 4, ATLAS * 4))
    corners = (to_atlas(surface().points[list(ring), :2]) + 0.5) * 4 - 0.5
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in corners], fill=255)
    return np.asarray(image.resize((ATLAS, ATLAS), Image.Resampling.BOX), np.float32) / 255


def _grown(mask: np.ndarray, by: float) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    distance = np.asarray(distance_transform_edt(mask < 0.5)) / ATLAS * _SPAN
    return (distance <= by).astype(np.float32)


def _inner_distance(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(mask > 0.5)) / ATLAS * _SPAN


def _soft(mask: np.ndarray, sigma: float) -> np.ndarray:
    image = Image.fromarray((mask * 255).astype(np.uint8))
    blurred = image.filter(ImageFilter.GaussianBlur(sigma / _SPAN * ATLAS))
    return np.asarray(blurred, np.float32) / 255


def _smooth_step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
