"""Body landmarks: MediaPipe's BlazePose, for one or several people in a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from . import onnx
from .faces.boxes import anchor_centers, overlap, sigmoid, weighted_suppression
from .faces.crops import Region, checked_picture, crop

DETECTOR = onnx.EMBEDDED / "pose_detection.onnx"
LANDMARKS = onnx.EMBEDDED / "pose_landmark_full.onnx"
_DETECTOR_SIDE, _SIDE = 224, 256
_MIN_DETECTION, _MIN_SCORE = 0.5, 0.5  # MediaPipe's
_ANCHORS = anchor_centers(_DETECTOR_SIDE, [8, 16, 32], [2, 2, 6])
# The landmark network's two extra points: the middle of the hips, and a point on the circle
# around the whole body, straight above or below it.
_HIPS, _REACH = 33, 34
_SAME_BODY = 0.6  # overlap of two bodies' boxes, nose and shoulders close, above which they are one


@dataclass(frozen=True, eq=False)
class Body:
    """One person. Pixels of the picture, x right, y down; points may lie outside the picture.

    landmarks: [33, 3] float32 x, y, z in MediaPipe's order (0 nose, 11 and 12 left and right shoulder,
        23 and 24 left and right hip, ...); z is in pixels too, 0 at the hips, smaller is nearer.
    visibility: [33] float32 0..1; below 0.5 the point is hidden or a guess.
    score: 0..1, confidence that this is a person.
    """

    landmarks: np.ndarray
    visibility: np.ndarray
    score: float

    @property
    def box(self) -> np.ndarray:
        """[4] x1, y1, x2, y2 around the visible points, or around all where fewer than two are visible."""
        seen = self.landmarks[self.visibility >= 0.5, :2]
        points = seen if len(seen) > 1 else self.landmarks[:, :2]
        return np.concatenate([points.min(0), points.max(0)])


def find_bodies(image: np.ndarray) -> list[Body]:
    """The people in uint8 RGB [H, W, 3], from left to right; [] where there is none.

    Raises ModelFileError where a network's file is absent or damaged.
    """
    image = checked_picture(image)
    found = [body for region in _detect(image) if (body := _landmarks(image, region)) is not None]
    kept: list[Body] = []
    for body in sorted(found, key=lambda b: -b.score):
        if not any(_same(body, other) for other in kept):
            kept.append(body)
    return sorted(kept, key=lambda b: float(b.landmarks[0, 0]))


def _detect(image: np.ndarray) -> list[Region]:
    """The turned square around each person that the landmark network reads, surest first."""
    height, width = image.shape[:2]
    whole = Region(width / 2, height / 2, float(max(width, height)))
    values = crop(image, whole, _DETECTOR_SIDE).astype(np.float32) / 127.5 - 1
    raw, logits = onnx.run(DETECTOR, values)
    scores = sigmoid(logits.reshape(-1))
    keep = scores >= _MIN_DETECTION
    points = raw.reshape(-1, 6, 2)[keep]
    centers = _ANCHORS[keep] * _DETECTOR_SIDE
    middle, size, marks = points[:, 0] + centers, points[:, 1], points[:, 2:] + centers[:, None]
    rows = np.concatenate([middle - size / 2, middle + size / 2, marks.reshape(-1, 8)], axis=1)
    rows, _ = weighted_suppression(rows, scores[keep])
    marks = whole.to_picture(rows.reshape(-1, 6, 2), _DETECTOR_SIDE)
    return [_region(row[2], row[3]) for row in marks]


def _region(hips: np.ndarray, reach: np.ndarray) -> Region:
    """MediaPipe's square: centre at the hips, a quarter wider than the circle, the body upright in it."""
    dx, dy = (float(v) for v in reach[:2] - hips[:2])
    return Region(float(hips[0]), float(hips[1]), max(2.5 * math.hypot(dx, dy), 2.0), math.atan2(dx, -dy))


def _landmarks(image: np.ndarray, region: Region) -> Body | None:
    points, score = _once(image, region)
    if score < _MIN_SCORE:
        return None
    better, second = _once(image, _region(points[_HIPS], points[_REACH]))
    if second >= score:
        points, score = better, second
    return Body(points[:33, :3], sigmoid(points[:33, 3]).astype(np.float32), score)


def _once(image: np.ndarray, region: Region) -> tuple[np.ndarray, float]:
    """[39, 5] x, y, z, visibility and presence (logits) in picture pixels, and the score."""
    outputs = onnx.run(LANDMARKS, crop(image, region, _SIDE).astype(np.float32) / 255)
    points = outputs[0].reshape(39, 5).copy()
    points[:, :3] = region.to_picture(points[:, :3], _SIDE)
    return points, float(outputs[1].reshape(-1)[0])


def _same(a: Body, b: Body) -> bool:
    """Two detections may lead to one person: the boxes, or nose and shoulders, coincide."""
    marks = [0, 11, 12]
    apart = np.linalg.norm(a.landmarks[marks, :2] - b.landmarks[marks, :2], axis=1).mean()
    shoulders = float(np.linalg.norm(a.landmarks[11, :2] - a.landmarks[12, :2]))
    return (
        bool(overlap(a.box, b.box[None])[0] > _SAME_BODY and apart < 0.5 * max(shoulders, 1.0))
        or apart < 0.25 * shoulders
    )
