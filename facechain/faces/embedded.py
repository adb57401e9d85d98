"""The engine inside the pack: permissive licences, no download, 30 ms a picture on one CPU core."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from .. import onnx
from ..threads import side_by_side
from . import attributes as attribute_net
from . import detector
from .angles import head_angles
from .base import EngineInfo, Face
from .boxes import overlap
from .crops import Region, checked_picture
from .detector import Detection, detect, strip, tiles, whole
from .embedding import EMBEDDER, embed
from .mesh import MIN_SCORE, box_of, five_points, region_of, run_mesh
from .sharpness import sharpness

_SAME_DETECTION = 0.3  # overlap (shared by united area) of a detection with a face above which it is that face
_SAME_FACE = 0.6  # part of the smaller mesh's box that lies in the other's, above which they are one face
_MIN_SCORE = 0.65  # of detector and mesh together; real faces of the test pictures: 0.77 and more
_LARGE = 1 / 8  # of the longest side: a lone face as wide as this is what the picture is about
_SMALL = 1 / 16  # of what the detector sees at once: narrower faces (12 of its pixels) are missed now and then
_CORNERS, _OVERLAP = 1.42, 1.2  # a turned view is this much larger to hold a picture's corners, to leave no gaps
# The detector reads larger pictures made smaller. What it sees of a quarter of the side is 192 pixels.
_WORKING_SIDE = 1024
_LONG = 4.0  # sides' ratio from which half and quarter of the longer side show too much at once
_LONGEST = 60  # beyond that it is no row of people, and would take a look for each of its pieces
_NARROWEST = 48  # pixels of the shorter side: no face in a narrower strip can be used


class EmbeddedEngine:
    """BlazeFace, MediaPipe's mesh, dlib's recognition network; see FaceEngine in base.py."""

    name = "embedded"
    embedder = EMBEDDER

    def info(self) -> EngineInfo:
        """The networks take milliseconds on the CPU, less than the way to a graphics card and back."""
        return EngineInfo(self.name, self.embedder, onnx.provider(detector.MODEL))

    def analyze(
        self, images: Sequence[np.ndarray], *, embed: bool = True, attributes: bool = False
    ) -> list[list[Face]]:
        """The faces of each uint8 RGB picture [H, W, 3], largest first; [] where there is none.

        Several pictures are read by several threads, with the same results as one by one.
        """
        if len(images) == 1:  # of several photos that are looked at side by side, perhaps
            return [self._one(images[0], embed, attributes)]
        return list(side_by_side(lambda image: self._one(image, embed, attributes), images))

    def describe(
        self, image: np.ndarray, faces: Sequence[Face], *, embed: bool = True, attributes: bool = False
    ) -> list[Face]:
        """Faces that find_faces found in this picture, with embedding, and with age and gender."""
        image = checked_picture(image)
        return [_described(image, face, embed, attributes) for face in faces]

    def _one(self, image: np.ndarray, with_embedding: bool, with_attributes: bool) -> list[Face]:
        return self.describe(image, find_faces(image), embed=with_embedding, attributes=with_attributes)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, uint8 RGB [H, W, 3], and the form of it, `scale` times smaller, that the detector reads."""

    full: np.ndarray
    small: np.ndarray
    scale: int

    @classmethod
    def of(cls, image: np.ndarray) -> Picture:
        image = checked_picture(image)
        seen = max(image.shape[:2])
        if _is_long(*image.shape[:2]):
            seen = round(_LONG * min(image.shape[:2]))
        scale = max(1, seen // _WORKING_SIDE)
        small = np.asarray(Image.fromarray(np.ascontiguousarray(image)).reduce(scale)) if scale > 1 else image
        return cls(image, small, scale)

    def turned(self, turns: int) -> Picture:
        """By quarter turns counter-clockwise, as np.rot90."""
        return Picture(np.rot90(self.full, turns), np.rot90(self.small, turns), self.scale)


def find_faces(image: np.ndarray) -> list[Face]:
    """The faces of uint8 RGB [H, W, 3], largest first, without embedding and attributes.

    One large face in the whole picture ends the search. Otherwise the picture is looked at
    from afar, where it showed no face, and then in parts, as long as that can show more.
    """
    picture = Picture.of(image)
    return look_closer(picture, glance(picture))


def glance(picture: Picture, roll: float = 0.0) -> list[Face]:
    """The faces that a picture shows as a whole, largest first: the first step of find_faces.

    roll: degrees by which the faces are turned clockwise, about; the detector hardly sees one that is turned by 45,
    so it is shown the picture turned back. Coordinates are the picture's all the same.
    """
    view = whole(picture.small.shape[1], picture.small.shape[0])
    if roll:
        faces = _look(picture, [_turned(view, roll, reach) for reach in (1.0, _CORNERS)], [])
    else:
        faces = _look(picture, [view], []) or _look(picture, [replace(view, size=2 * view.size)], [])
    return sorted(faces, key=lambda face: -face.area)


def look_closer(picture: Picture, faces: list[Face], roll: float = 0.0) -> list[Face]:
    """The faces of a glance and those that the picture's parts show besides: the second step of find_faces.

    Of a long picture only its parts count: what a glance takes for a face there may be several.
    """
    height, width = picture.small.shape[:2]
    longest, shortest = max(width, height), min(width, height)
    if _is_long(height, width):  # in views as wide as its shorter side, then, for small faces, half as wide
        faces, seen = [], (1.5 * shortest, 1.5 * shortest)
        looks = (strip(width, height), tiles(width, height, 4 / 3 * longest / shortest))
    elif len(faces) == 1 and faces[0].width > longest * picture.scale * _LARGE:
        return faces
    else:
        seen, looks = (longest / 2, longest / 4), (tiles(width, height, 2), tiles(width, height, 4))
    for views, side in zip(looks, seen, strict=True):
        views = [_turned(view, roll, _OVERLAP) for view in views] if roll else views
        faces = _look(picture, views, faces)
        if faces and min(face.width for face in faces) > side * picture.scale * _SMALL:
            break
    return sorted(faces, key=lambda face: -face.area)


def _is_long(height: int, width: int) -> bool:
    longer, shorter = max(height, width), min(height, width)
    return shorter >= _NARROWEST and _LONG * shorter <= longer <= _LONGEST * shorter


def _turned(view: Region, roll: float, reach: float) -> Region:
    return replace(view, angle=math.radians(roll), size=view.size * reach)


def _look(picture: Picture, views: list[Region], known: list[Face]) -> list[Face]:
    """The known faces and those that the views of the small form show besides; meshes come from the full one."""
    faces = list(known)
    for found in detect(picture.small, views) if views else []:
        found = found.enlarged(picture.scale)
        if any(float(overlap(found.box, face.box[None])[0]) > _SAME_DETECTION for face in faces):
            continue
        face = _face(picture.full, found)
        if face is not None:
            faces.append(face)
    return _distinct(faces)


def _distinct(faces: list[Face]) -> list[Face]:
    """Each face once: where one lies in another, as half a face read as a whole, the better and larger one."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score * face.width**0.25):
        if not any(_shared(face.box, other.box) > _SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _shared(a: np.ndarray, b: np.ndarray) -> float:
    """What two boxes share, as a part of the smaller one."""
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    return float(sides.prod() / max(min((a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod()), 1e-9))


def _face(image: np.ndarray, found: Detection) -> Face | None:
    """The face at a detection, without embedding and attributes; None where the mesh sees no face.

    The score joins the detector's and the mesh's: a face read the wrong way up can please
    the mesh, but hardly ever the detector.
    """
    mesh, mesh_score = run_mesh(image, found.region)
    score = math.sqrt(found.score * mesh_score)
    if mesh_score < MIN_SCORE or score < _MIN_SCORE:
        return None
    yaw, pitch, roll = head_angles(mesh)
    sharp = sharpness(image, region_of(mesh, 1.0))
    return Face(box_of(mesh), score, five_points(mesh), mesh, yaw, pitch, roll, sharp)


def _described(image: np.ndarray, face: Face, with_embedding: bool, with_attributes: bool) -> Face:
    if with_embedding and face.mesh is not None:
        face = replace(face, embedding=embed(image, face.mesh), embedder=EMBEDDER)
    if with_attributes and face.mesh is not None:
        age, gender, gender_score = attribute_net.age_and_gender(image, face.mesh)
        face = replace(face, age=age, gender=gender, gender_score=gender_score)
    return face
