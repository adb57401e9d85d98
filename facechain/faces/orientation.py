"""Turning photos upright by the faces in them."""

from __future__ import annotations

import numpy as np

from .base import Face, FaceEngine


def analyze_any_orientation(
    engine: FaceEngine, image: np.ndarray, *, embed: bool = True, attributes: bool = False
) -> tuple[int, list[Face]]:
    """Quarter turns that make a photo upright, and its faces in the turned photo, largest first.

    image: uint8 RGB [H, W, 3]. The turned photo is np.rot90(image, turns): counter-clockwise,
    0 to 3. (0, []) where no turn shows a face.
    The photo is turned only when the largest face lies on its side or its head, or when
    nothing is found upright.
    """
    faces = engine.analyze([image], embed=False)[0]
    if faces and _upright(faces[0]):
        return 0, _final(engine, image, 0, embed, attributes)
    tried = {turns: engine.analyze([np.rot90(image, turns)], embed=False)[0] for turns in (1, 3, 2)}
    tried[0] = faces
    best = max(tried, key=lambda turns: _merit(tried[turns]))
    return (best, _final(engine, image, best, embed, attributes)) if tried[best] else (0, [])


def _upright(face: Face) -> bool:
    return abs(face.roll) <= 45


def _merit(faces: list[Face]) -> float:
    """How much the largest face looks like a face the right way up: its score, less for eyes out of level."""
    return faces[0].score * (1 + float(np.cos(np.radians(faces[0].roll)))) / 2 if faces else -1.0


def _final(engine: FaceEngine, image: np.ndarray, turns: int, embed: bool, attributes: bool) -> list[Face]:
    return engine.analyze([np.rot90(image, turns)], embed=embed, attributes=attributes)[0]
