"""Turning photos upright by the faces in them."""

from __future__ import annotations

import numpy as np

from .base import Face, FaceEngine
from .boxes import overlap
from .detector import detect
from .embedded import EmbeddedEngine, find_faces, find_faces_rolled
from .mesh import region_of

# Faces read upside down score up to 0.93, upright ones up to 0.98: at or above this a face is the right way up.
_SURE = 0.95
# The face's score times the detector's on it, turned level by its own mesh: 0.70 and more where the mesh has it the
# right way up, 0.61 and less where it took a beard for hair. A mesh half a right angle off reaches 0.72, so one that
# claims a roll between two quarter turns is compared with the other turns first.
_SURE_WHEN_LEVEL, _UNSURE_WHEN_LEVEL = 0.70, 0.65
_NEAR_A_TURN = 30  # degrees
_VIEW = 2.5  # what the detector sees of it, in lengths of the mesh
_SAME = 0.2  # overlap of that detection with the mesh's box
_COUNTED = 3  # faces of a photo that have a say, largest first
_UPRIGHT = 45  # degrees of roll at most


def analyze_any_orientation(
    engine: FaceEngine, image: np.ndarray, *, embed: bool = True, attributes: bool = False
) -> tuple[int, list[Face]]:
    """Quarter turns that make a photo upright, and its faces in the turned photo, largest first.

    image: uint8 RGB [H, W, 3]. The turned photo is np.rot90(image, turns): counter-clockwise,
    0 to 3. (0, []) where no turn shows a face.
    The embedded networks decide, whichever engine describes the faces then: a face that is sure to be read the
    right way up tells by its roll how the photo must be turned; else all turns are searched, at last those in between,
    and the best wins. Where they find nobody, the engine itself is asked in each turn.
    """
    turns, faces = _upright(image)
    if isinstance(engine, EmbeddedEngine):
        return turns, engine.describe(np.rot90(image, turns), faces, embed=embed, attributes=attributes)
    for turn in [turns] if faces else range(4):
        found = engine.analyze([np.rot90(image, turn)], embed=embed, attributes=attributes)[0]
        if found:
            return turn, found
    return 0, []


def _upright(image: np.ndarray) -> tuple[int, list[Face]]:
    faces = find_faces(image)
    if faces and faces[0].score >= _SURE and abs(faces[0].roll) <= _UPRIGHT:
        return 0, faces
    best, turns = _merit(image, faces), 0
    if best < _SURE_WHEN_LEVEL or abs((faces[0].roll + 45) % 90 - 45) > _NEAR_A_TURN:
        for other in (1, 2, 3):
            turned = np.rot90(image, other)
            found = find_faces(turned)
            merit = _merit(turned, found)
            if merit > best:
                best, turns, faces = merit, other, found
    if best < _UNSURE_WHEN_LEVEL:
        for roll in (45, 135, 225, 315):
            found = find_faces_rolled(image, roll)
            merit = _merit(image, found)
            if merit > best:
                best, turns, faces = merit, 0, found
    more = round(faces[0].roll / 90) % 4 if faces else 0
    if more:
        further = (turns + more) % 4
        turned = np.rot90(image, further)
        again = find_faces(turned) or find_faces_rolled(turned, faces[0].roll - 90 * round(faces[0].roll / 90))
        turns, faces = (further, again) if again else (turns, faces)
    return (turns, faces) if faces else (0, [])


def _merit(image: np.ndarray, faces: list[Face]) -> float:
    """How surely the faces were read the right way up, 0..1, larger ones first; -1 where there are none."""
    if not faces:
        return -1.0
    counted = faces[:_COUNTED]
    merits = [face.score * _when_level(image, face) for face in counted]
    return float(np.average(merits, weights=[face.area for face in counted]))


def _when_level(image: np.ndarray, face: Face) -> float:
    """The detector's score of a face, turned level as its mesh has it: low where the mesh lies the wrong way up."""
    if face.mesh is None:
        return 0.0
    found = detect(image, [region_of(face.mesh, _VIEW)])
    own = [d.score for d in found if float(overlap(face.box, d.box[None])[0]) > _SAME]
    return max(own, default=0.0)
