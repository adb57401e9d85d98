"""The engine inside the pack: permissive licences, no download, 10 ms a picture on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from . import attributes as attribute_net
from .angles import head_angles
from .base import Face
from .boxes import overlap
from .crops import checked_picture
from .detector import Detection, detect
from .embedding import EMBEDDER, embed
from .mesh import MIN_SCORE, box_of, five_points, region_of, run_mesh
from .sharpness import sharpness

_SAME_FACE = 0.4  # overlap of two meshes' boxes above which they are one face


class EmbeddedEngine:
    """BlazeFace, MediaPipe's mesh, dlib's recognition network; see FaceEngine in base.py."""

    name = "embedded"
    embedder = EMBEDDER

    def analyze(
        self, images: Sequence[np.ndarray], *, embed: bool = True, attributes: bool = False
    ) -> list[list[Face]]:
        """The faces of each uint8 RGB picture [H, W, 3], largest first; [] where there is none."""
        return [self._one(image, embed, attributes) for image in images]

    def _one(self, image: np.ndarray, with_embedding: bool, with_attributes: bool) -> list[Face]:
        image = checked_picture(image)
        faces = [face for found in detect(image) if (face := _face(image, found)) is not None]
        return [_described(image, face, with_embedding, with_attributes) for face in _distinct(faces)]


def _face(image: np.ndarray, found: Detection) -> Face | None:
    """The face at a detection, without embedding and attributes; None where the mesh sees no face."""
    mesh, score = run_mesh(image, found.region)
    if score < MIN_SCORE:
        return None
    yaw, pitch, roll = head_angles(mesh)
    sharp = sharpness(image, region_of(mesh, 1.0))
    return Face(box_of(mesh), score, five_points(mesh), mesh, yaw, pitch, roll, sharp)


def _distinct(faces: list[Face]) -> list[Face]:
    """One face for each face, largest first: two detections may have led the mesh to the same one."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: -f.score):
        if not kept or overlap(face.box, np.stack([k.box for k in kept])).max() < _SAME_FACE:
            kept.append(face)
    return sorted(kept, key=lambda f: -f.area)


def _described(image: np.ndarray, face: Face, with_embedding: bool, with_attributes: bool) -> Face:
    if with_embedding and face.mesh is not None:
        face = replace(face, embedding=embed(image, face.mesh), embedder=EMBEDDER)
    if with_attributes and face.mesh is not None:
        age, gender, gender_score = attribute_net.age_and_gender(image, face.mesh)
        face = replace(face, age=age, gender=gender, gender_score=gender_score)
    return face
