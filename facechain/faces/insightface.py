"""The engine behind the `insightface` package: SCRFD, ArcFace, its age and gender, and our mesh at its faces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import onnx
from . import attributes as attribute_net
from .angles import head_angles
from .base import EngineInfo, Face
from .boxes import BOX_RATIO, BOX_RISE
from .crops import Region, checked_picture
from .insightface_files import LICENCE, find_pack
from .insightface_models import Models, load
from .mesh import MIN_SCORE, box_of, region_of, run_mesh
from .sharpness import sharpness


class InsightfaceEngine:
    """The detector, embedding and attributes of insightface; what an engine is stands in base.py.

    roots: folders that hold the networks, as models/<pack>/*.onnx.
    gpu: run the networks on the card where onnxruntime can.
    Nothing is read before the engine is first used, and nothing is ever downloaded.
    """

    name = "insightface"

    def __init__(self, roots: Sequence[Path], gpu: bool = False) -> None:
        self._roots, self._gpu = tuple(roots), gpu

    @property
    def embedder(self) -> str:
        """ "insightface/<pack>/<recognition file>": embeddings of two files are never compared."""
        return self._models().embedder

    def info(self) -> EngineInfo:
        models = self._models()
        warning = onnx.fallback_warning() if self._gpu and models.provider == onnx.CPU else ""
        return EngineInfo(self.name, models.embedder, models.provider, LICENCE, warning)

    def analyze(
        self, images: Sequence[np.ndarray], *, embed: bool = True, attributes: bool = False
    ) -> list[list[Face]]:
        """The faces of each uint8 RGB picture [H, W, 3], largest first; [] where there is none."""
        models = self._models()
        return [_faces(checked_picture(image), models, embed, attributes) for image in images]

    def _models(self) -> Models:
        return load(find_pack(self._roots), self._gpu)


def _faces(image: np.ndarray, models: Models, with_embedding: bool, with_attributes: bool) -> list[Face]:
    faces = []
    bgr = np.ascontiguousarray(image[..., ::-1])  # as insightface reads pictures
    for box, score, points in _detected(bgr, models):
        face = _face(image, box, score, points)
        if with_embedding:
            face = replace(face, embedding=_embedding(bgr, points, models), embedder=models.embedder)
        if with_attributes:
            face = _with_attributes(face, image, bgr, box, models)
        faces.append(face)
    return sorted(faces, key=lambda face: -face.area)


def _detected(bgr: np.ndarray, models: Models) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """(box [4], score, points [5, 2]) of each face; a face that fills the picture is looked at from afar."""
    if min(bgr.shape[:2]) < 2:
        return []
    boxes, points = models.detector.detect(bgr)
    if not len(boxes):
        height, width = bgr.shape[:2]
        afar = np.zeros((2 * height, 2 * width, 3), np.uint8)
        top, left = height // 2, width // 2
        afar[top : top + height, left : left + width] = bgr
        boxes, points = models.detector.detect(afar)
        if len(boxes):
            boxes = boxes - np.array([left, top, left, top, 0], np.float32)
            points = points - np.array([left, top], np.float32)
    return [
        (np.asarray(box[:4], np.float32), float(box[4]), np.asarray(five, np.float32))
        for box, five in zip(boxes, points if points is not None else [], strict=True)
    ]


def _face(image: np.ndarray, box: np.ndarray, score: float, points: np.ndarray) -> Face:
    """The face with its mesh. Where the mesh sees no face there, it has none, and a score under 0.5."""
    region = _mesh_region(box, points)
    mesh, mesh_score = run_mesh(image, region)
    if mesh_score < MIN_SCORE:
        yaw, roll = _rough_angles(points)
        return Face(box, score * mesh_score, points, None, yaw, 0.0, roll, sharpness(image, region))
    yaw, pitch, roll = head_angles(mesh)
    sharp = sharpness(image, region_of(mesh, 1.0))
    return Face(box_of(mesh), math.sqrt(score * mesh_score), points, mesh, yaw, pitch, roll, sharp)


def _mesh_region(box: np.ndarray, points: np.ndarray) -> Region:
    """What the mesh network reads: eyes level, 1.5 times the mesh's expected length, around its expected middle."""
    dx, dy = (float(v) for v in points[1] - points[0])
    angle = math.atan2(dy, dx)
    length = float(max(box[2] - box[0], box[3] - box[1])) / BOX_RATIO
    lower = BOX_RISE * length
    cx, cy = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    return Region(cx - math.sin(angle) * lower, cy + math.cos(angle) * lower, 1.5 * length, angle)


def _rough_angles(points: np.ndarray) -> tuple[float, float]:
    """Yaw and roll in degrees from eyes and nose alone: a quarter turn takes the nose an eye distance aside."""
    across = points[1] - points[0]
    apart = max(float(np.hypot(*across)), 1e-6)
    aside = float((points[2] - points[:2].mean(0)) @ across) / apart**2
    return 90.0 * float(np.clip(aside, -1, 1)), math.degrees(math.atan2(float(across[1]), float(across[0])))


def _embedding(bgr: np.ndarray, points: np.ndarray, models: Models) -> np.ndarray:
    from insightface.app.common import Face as Package  # pyright: ignore[reportMissingImports]

    vector = np.asarray(models.recogniser.get(bgr, Package(kps=points)), np.float32).reshape(-1)
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _with_attributes(face: Face, image: np.ndarray, bgr: np.ndarray, box: np.ndarray, models: Models) -> Face:
    """Age and gender by the pack's network, which gives no score; by the embedded one where the pack has none."""
    if models.attributes is not None:
        from insightface.app.common import Face as Package  # pyright: ignore[reportMissingImports]

        gender, age = models.attributes.get(bgr, Package(bbox=box))
        return replace(face, age=float(age), gender="man" if int(gender) == 1 else "woman", gender_score=1.0)
    if face.mesh is None:
        return face
    years, word, sure = attribute_net.age_and_gender(image, face.mesh)
    return replace(face, age=years, gender=word, gender_score=sure)
