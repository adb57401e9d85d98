"""Body landmarks: MediaPipe's BlazePose, for one or several people in a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from . import onnx
from .faces.base import Face
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
# Landmarks of a mirrored picture: left and right change places.
_MIRRORED = [0, 4, 5, 6, 1, 2, 3, *(i + 1 if i % 2 else i - 1 for i in range(7, 33)), *range(33, 39)]
# Where the body is that belongs to a face, in heights of the face (brows to chin): hips below its middle, side of
# the landmark network's square. Medians over 12 portraits (2.8..4.0 and 9.8..12.1).
_HIPS_BELOW_FACE, _SQUARE_OF_FACE = 3.4, 10.8
_TILTED = 35.0  # degrees; necks of upright people hardly bend farther to the side
_OWN_NOSE = 0.6  # heights of the face; a nose farther than this is another person's
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


def body_of(image: np.ndarray, face: Face, others: Sequence[Face] = ()) -> Body | None:
    """The body that belongs to a face in uint8 RGB [H, W, 3]; None where the network sees none there.

    The body is taken as upright below a tilted head, and as lying where the head lies.

    others: further faces of the picture. They are hidden from the network, which otherwise leaps to
    the more prominent person where people sit close together or behind each other.
    """
    image = _without_heads(checked_picture(image), [other for other in others if other is not face])
    angle = math.radians(face.roll) if abs(face.roll) > _TILTED else 0.0
    size = max(face.height, face.width) if angle else face.height  # the box of a lying face is wide
    x, y = face.center
    hips = x - math.sin(angle) * _HIPS_BELOW_FACE * size, y + math.cos(angle) * _HIPS_BELOW_FACE * size
    body = _landmarks(image, Region(*hips, _SQUARE_OF_FACE * size, angle))
    if body is None or np.linalg.norm(body.landmarks[0, :2] - face.points[2]) > _OWN_NOSE * size:
        return None
    return body


def _without_heads(image: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """The picture with grey rectangles over the heads of these faces."""
    image = image.copy()
    for face in faces:
        margin = np.array([-0.2 * face.width, -0.5 * face.height, 0.2 * face.width, 0.1 * face.height])
        left, top, right, bottom = np.maximum(face.box + margin, 0).astype(int)
        image[top:bottom, left:right] = 128
    return image


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
    points, score = _read(image, region)
    if score < _MIN_SCORE:
        return None
    better, second = _read(image, _region(points[_HIPS], points[_REACH]), mirrored_too=True)
    if second >= min(score, 0.9):  # both are sure: the second looked at the better square
        points, score = better, second
    return Body(points[:33, :3], sigmoid(points[:33, 3]).astype(np.float32), score)


def _read(image: np.ndarray, region: Region, mirrored_too: bool = False) -> tuple[np.ndarray, float]:
    """[39, 5] x, y, z, visibility and presence (logits) in picture pixels, and the score.

    mirrored_too: the mean with the reading of the mirrored window, which steadies shoulders and elbows:
    largest error on 12 portraits 18 % of the visible height without, 10 % with it.
    """
    window = _window(image, region)
    points, score = _run(window)
    if mirrored_too:
        other, other_score = _run(np.ascontiguousarray(window[:, ::-1]))
        other[:, 0] = _SIDE - other[:, 0]
        points, score = (points + other[_MIRRORED]) / 2, (score + other_score) / 2
    points[:, :3] = region.to_picture(points[:, :3], _SIDE)
    return points, score


def _run(window: np.ndarray) -> tuple[np.ndarray, float]:
    outputs = onnx.run(LANDMARKS, window)
    return outputs[0].reshape(39, 5).copy(), float(outputs[1].reshape(-1)[0])


def _window(image: np.ndarray, region: Region) -> np.ndarray:
    """The region as float32 [256, 256, 3] 0..1; beyond the picture its edge goes on, as MediaPipe has it.

    With black there instead, half figures, of which most lies beyond, come out less exact.
    """
    factor = max(1, min(int(region.size / _SIDE), *image.shape[:2]))
    small = np.asarray(Image.fromarray(image).reduce(factor) if factor > 1 else image, np.float32)
    line = np.arange(_SIDE, dtype=np.float32) + 0.5
    grid = region.to_picture(np.stack(np.meshgrid(line, line), -1), _SIDE) / factor - 0.5
    x = np.clip(grid[..., 0], 0, small.shape[1] - 1)
    y = np.clip(grid[..., 1], 0, small.shape[0] - 1)
    left, top = x.astype(int), y.astype(int)
    right, bottom = np.minimum(left + 1, small.shape[1] - 1), np.minimum(top + 1, small.shape[0] - 1)
    part_x, part_y = np.modf(x)[0][..., None], np.modf(y)[0][..., None]
    upper = small[top, left] * (1 - part_x) + small[top, right] * part_x
    lower = small[bottom, left] * (1 - part_x) + small[bottom, right] * part_x
    return (upper * (1 - part_y) + lower * part_y) / 255


def _same(a: Body, b: Body) -> bool:
    """Two detections may lead to one person: the boxes, or nose and shoulders, coincide."""
    marks = [0, 11, 12]
    apart = np.linalg.norm(a.landmarks[marks, :2] - b.landmarks[marks, :2], axis=1).mean()
    shoulders = float(np.linalg.norm(a.landmarks[11, :2] - a.landmarks[12, :2]))
    return (
        bool(overlap(a.box, b.box[None])[0] > _SAME_BODY and apart < 0.5 * max(shoulders, 1.0))
        or apart < 0.25 * shoulders
    )
