"""Eyes: how far they are open and where they look, so that the new face looks where the old one did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .sampling import sample
from .topology import LEFT_EYE, RIGHT_EYE

_COLUMNS, _ROWS = 48, 12
_UPPER = {"right": (33, 246, 161, 160, 159, 158, 157, 173, 133), "left": (362, 398, 384, 385, 386, 387, 388, 466, 263)}
_LOWER = {"right": (33, 7, 163, 144, 145, 153, 154, 155, 133), "left": (362, 382, 381, 380, 374, 373, 390, 249, 263)}
_RINGS = {"right": RIGHT_EYE, "left": LEFT_EYE}
_LEAST_OPENING = 0.12  # height over width below which no iris is looked for
_FARTHEST_SHIFT = 0.15  # in eye widths; beyond it the white of the eye would run out
_FARTHEST_APART = 0.17  # of two gazes; the photo's eyes then look at most so far past the picture's as nobody sees
_IRIS_CONTRAST = 0.4  # shut eyes of the test pictures stay below 0.31, open ones above 0.44
_OPENINGS_ALIKE = (0.6, 1.7)


@dataclass(frozen=True)
class Eye:
    """opening: height over width. gaze: place of the iris between the corners, -0.5 image left to 0.5, or None."""

    opening: float
    gaze: float | None


def look_at_eyes(picture: np.ndarray, mesh: np.ndarray) -> dict[str, Eye]:
    """Both eyes ("right" is the person's) of the face with this mesh in picture [H, W, 3], 0..1."""
    return {side: _eye(picture, mesh, side) for side in _RINGS}


def with_gaze(source: np.ndarray, source_eyes: dict[str, Eye], target_eyes: dict[str, Eye]) -> np.ndarray:
    """The source's mesh, its eye rings moved along the lids so that what they cut out looks as the target does."""
    moved = source.copy()
    for side, ring in _RINGS.items():
        here, there = source_eyes[side].gaze, target_eyes[side].gaze
        if here is None or there is None:
            continue
        shift = float(np.clip(here - there, -_FARTHEST_SHIFT, _FARTHEST_SHIFT))
        first, last = source[_UPPER[side][0]], source[_UPPER[side][-1]]
        axis = last - first
        along = (source[list(ring)] - first) @ axis / max(float(axis @ axis), 1e-9)  # 0..1 from corner to corner
        moved[list(ring)] += (4 * along * (1 - along))[:, None] * shift * axis
    return moved


def mirrored_eyes(eyes: dict[str, Eye]) -> dict[str, Eye]:
    """The eyes as a mirror shows them: the sides change places, and both look the other way."""
    swapped = {"right": eyes["left"], "left": eyes["right"]}
    return {side: Eye(eye.opening, None if eye.gaze is None else -eye.gaze) for side, eye in swapped.items()}


def keeps_target_eyes(source_eyes: dict[str, Eye], target_eyes: dict[str, Eye]) -> bool:
    """Whether the photo's eyes cannot stand in for the picture's: one pair is shut, or they look apart too far."""
    for side in _RINGS:
        source, target = source_eyes[side], target_eyes[side]
        if (source.gaze is None) != (target.gaze is None):
            return True
        if source.gaze is None or target.gaze is None:
            continue
        ratio = target.opening / max(source.opening, 1e-3)
        if abs(source.gaze - target.gaze) > _FARTHEST_APART or not _OPENINGS_ALIKE[0] < ratio < _OPENINGS_ALIKE[1]:
            return True
    return False


def _eye(picture: np.ndarray, mesh: np.ndarray, side: str) -> Eye:
    upper, lower = mesh[list(_UPPER[side]), :2], mesh[list(_LOWER[side]), :2]
    axis = upper[-1] - upper[0]
    width = max(float(np.linalg.norm(axis)), 1e-6)
    opening = float(np.linalg.norm(upper[2:7] - lower[2:7], axis=1).mean()) / width
    if opening < _LEAST_OPENING:
        return Eye(opening, None)
    steps = np.linspace(0, 1, _COLUMNS)
    lids = [_along(line, upper[0], axis, steps) for line in (upper, lower)]
    rows = np.linspace(0.15, 0.85, _ROWS)[:, None, None]
    light = sample(picture, lids[0] * (1 - rows) + lids[1] * rows, "bilinear").mean(-1)
    middle = slice(_COLUMNS // 8, -_COLUMNS // 8)  # the corners are dark themselves
    columns = light[:, middle].mean(0)
    bright = float(np.percentile(columns, 85))
    if bright - columns.min() < _IRIS_CONTRAST * bright:  # lids and lashes, no iris between whites
        return Eye(opening, None)
    dark = np.clip(np.median(columns) - columns, 0, None) ** 2
    return Eye(opening, float((dark * (steps[middle] - 0.5)).sum() / dark.sum()))


def _along(line: np.ndarray, start: np.ndarray, axis: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Points [K, 2] of a lid at even steps along the eye's axis."""
    at = (line - start) @ axis / max(float(axis @ axis), 1e-9)
    order = np.argsort(at)
    return np.stack([np.interp(steps, at[order], line[order, i]) for i in (0, 1)], 1)
