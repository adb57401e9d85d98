"""Turning photos upright by the faces in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .base import Face, FaceEngine
from .boxes import overlap
from .crops import Region
from .detector import detect
from .embedded import EmbeddedEngine, Picture, glance, look_closer
from .mesh import region_of

# The face's score times the detector's on it, turned level by its own mesh. It only says how long to search: the best
# view wins.
_SURE, _UNSURE = 0.75, 0.65
_VIEWS = (1.8, 2.5, 3.5)  # what the detector sees of it, in lengths of the mesh; one look alone is a matter of luck
_SAME = 0.2  # overlap of that detection with the mesh's box
_COUNTED = 3  # faces of a photo that have a say, largest first
_UPRIGHT = 30  # degrees of roll at most
_STEEP = 10  # degrees of roll from which the detector loses some of the faces


def analyze_any_orientation(
    engine: FaceEngine, image: np.ndarray, *, embed: bool = True, attributes: bool = False
) -> tuple[int, list[Face]]:
    """Quarter turns that make a photo upright, and its faces in the turned photo, largest first.

    image: uint8 RGB [H, W, 3]. The turned photo is np.rot90(image, turns): counter-clockwise,
    0 to 3. (0, []) where no turn shows a face.
    The embedded networks decide, whichever engine describes the faces then: faces that are sure to be read the right
    way up end the search; else all turns are glanced at, then those in between, at last the parts of each, and the
    view that detector and mesh are surest of wins. Where they find nobody, the engine itself is asked in each turn.
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
    """As analyze_any_orientation, without embedding and attributes."""
    picture = Picture.of(image)
    views = [_view(picture, 0, glance(picture))]
    if _surely_upright(views[0]):
        return _levelled(picture, views[0])
    views += [_view(picture, turn, glance(picture.turned(turn))) for turn in (1, 2, 3)]
    if _best(views).merit < _UNSURE:
        views += [_view(picture, 0, glance(picture, roll)) for roll in (45, 135, 225, 315)]
    if _best(views).merit < _UNSURE:
        for turn in range(4):
            views.append(_view(picture, turn, look_closer(picture.turned(turn), views[turn].faces)))
            if turn == 0 and _surely_upright(views[-1]):
                break
    return _levelled(picture, _best(views))


@dataclass(frozen=True, eq=False)
class _View:
    """Faces as found in the picture turned by quarter turns, and how surely they were read the right way up."""

    turns: int
    faces: list[Face]
    merit: float


def _view(picture: Picture, turns: int, faces: list[Face]) -> _View:
    return _View(turns, faces, _merit(np.rot90(picture.full, turns), faces))


def _best(views: Sequence[_View]) -> _View:
    return max(views, key=lambda view: view.merit)


def _surely_upright(view: _View) -> bool:
    return view.merit >= _SURE and abs(_roll(view.faces)) <= _UPRIGHT


def _levelled(picture: Picture, view: _View) -> tuple[int, list[Face]]:
    """The quarter turns that bring the view's faces nearest to upright, and all faces in the photo so turned."""
    if not view.faces:
        return 0, []
    roll = _roll(view.faces)
    more = round(roll / 90)
    turns, rest = (view.turns + more) % 4, roll - 90 * more
    turned = picture.turned(turns)
    best = view if turns == view.turns else _view(picture, turns, glance(turned))
    if abs(rest) > _STEEP:  # people lean to both sides of the photo's own roll: look at its parts in both ways
        best = _best([_view(picture, turns, glance(turned, rest)), best])
        best = _view(picture, turns, look_closer(turned, best.faces, rest))
    return turns, look_closer(turned, best.faces)


def _roll(faces: Sequence[Face]) -> float:
    """Degrees by which the photo is turned clockwise: the mean of its faces' rolls, larger ones first."""
    lean = sum(face.area * np.exp(1j * np.radians(face.roll)) for face in faces)
    return float(np.degrees(np.angle(lean)))


def _merit(image: np.ndarray, faces: list[Face]) -> float:
    """How surely the faces were read the right way up, 0..1, larger ones first; -1 where there are none."""
    if not faces:
        return -1.0
    counted = faces[:_COUNTED]
    merits = [face.score * _when_level(image, face) for face in counted]
    return float(np.average(merits, weights=[face.area for face in counted]))


def _when_level(image: np.ndarray, face: Face) -> float:
    """The detector's mean score of a face, turned level as its mesh has it: low where the mesh lies the wrong way up."""
    if face.mesh is None:
        return 0.0
    return float(np.mean([_seen_as_face(image, face, region_of(face.mesh, margin)) for margin in _VIEWS]))


def _seen_as_face(image: np.ndarray, face: Face, view: Region) -> float:
    own = [d.score for d in detect(image, [view]) if float(overlap(face.box, d.box[None])[0]) > _SAME]
    return max(own, default=0.0)
