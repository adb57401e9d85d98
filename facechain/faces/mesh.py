"""The face mesh: 468 points in three dimensions, and the score that says whether this is a face."""

from __future__ import annotations

import math

import numpy as np

from .. import onnx
from .boxes import sigmoid
from .crops import Region, crop

MODEL = onnx.EMBEDDED / "face_landmark.onnx"
SIDE = 192
MIN_SCORE = 0.5
# Mesh points (MediaPipe's numbering). "Right" is the person's right: image left in a frontal photo.
RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)  # corners of each eye
NOSE_TIP, RIGHT_MOUTH, LEFT_MOUTH = 1, 61, 291


def run_mesh(image: np.ndarray, region: Region) -> tuple[np.ndarray, float]:
    """Mesh [468, 3] float32 in picture pixels and the face score 0..1 of the face in a region.

    The network reads the region, then once more the region around its own first answer:
    the detector's box is rough, and the second mesh sits visibly better. The score is the
    lower one of the two: a pattern seldom looks like a face twice.
    """
    mesh, score = _once(image, region)
    if score < MIN_SCORE:
        return mesh, score
    better, second = _once(image, region_of(mesh))
    return better, min(score, second)


def region_of(mesh: np.ndarray, margin: float = 1.5) -> Region:
    """The turned square around a mesh, eyes level, `margin` times its longer side (1.5 is MediaPipe's rule)."""
    dx, dy = (float(v) for v in mesh[263, :2] - mesh[33, :2])
    angle = math.atan2(dy, dx)
    cos, sin = math.cos(angle), math.sin(angle)
    turned = mesh[:, :2] @ np.array([[cos, -sin], [sin, cos]], np.float32)
    low, high = turned.min(0), turned.max(0)
    u, v = (float(x) for x in (low + high) / 2)
    return Region(cos * u - sin * v, sin * u + cos * v, margin * float((high - low).max()), angle)


def five_points(mesh: np.ndarray) -> np.ndarray:
    """[5, 2]: eyes, nose tip, mouth corners; the person's right side first."""
    xy = mesh[:, :2]
    eyes = [xy[list(RIGHT_EYE)].mean(0), xy[list(LEFT_EYE)].mean(0)]
    return np.stack([*eyes, xy[NOSE_TIP], xy[RIGHT_MOUTH], xy[LEFT_MOUTH]]).astype(np.float32)


def box_of(mesh: np.ndarray) -> np.ndarray:
    """[4] x1, y1, x2, y2 of the mesh."""
    return np.concatenate([mesh[:, :2].min(0), mesh[:, :2].max(0)]).astype(np.float32)


def _once(image: np.ndarray, region: Region) -> tuple[np.ndarray, float]:
    points, logit = onnx.run(MODEL, crop(image, region, SIDE).astype(np.float32) / 255)
    mesh = region.to_picture(points.reshape(468, 3), SIDE)
    return mesh, float(sigmoid(logit.reshape(-1))[0])
