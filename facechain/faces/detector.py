"""Where the faces are: MediaPipe's full-range BlazeFace, over the whole picture and over parts of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import onnx
from .boxes import anchor_centers, sigmoid, weighted_suppression
from .crops import Region, crop

MODEL = onnx.EMBEDDED / "face_detection_full_range_sparse.onnx"
SIDE = 192
# MediaPipe's threshold is 0.6; upright faces of the test pictures score 0.74 and more, patterns up to 0.6.
MIN_SCORE = 0.55
_ANCHORS = anchor_centers(SIDE, [4], [1])


@dataclass(frozen=True, eq=False)
class Detection:
    """box: [4] x1, y1, x2, y2; points: [6, 2] right eye, left eye, nose, mouth, right ear, left ear; picture pixels."""

    box: np.ndarray
    points: np.ndarray
    score: float

    def enlarged(self, factor: float) -> Detection:
        return Detection(self.box * factor, self.points * factor, self.score)

    @property
    def region(self) -> Region:
        """The turned square that the mesh network reads: eyes level, 1.5 times the box (MediaPipe's face_landmark)."""
        x1, y1, x2, y2 = (float(v) for v in self.box)
        dx, dy = (float(v) for v in self.points[1] - self.points[0])
        return Region((x1 + x2) / 2, (y1 + y2) / 2, 1.5 * max(x2 - x1, y2 - y1), math.atan2(dy, dx))


def detect(image: np.ndarray, views: Sequence[Region]) -> list[Detection]:
    """Candidates for faces in these views of uint8 RGB [H, W, 3], best first, each face once."""
    parts = [_run(image, view) for view in views]
    rows, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
    rows, scores = weighted_suppression(rows, scores)
    return [Detection(row[:4], row[4:].reshape(6, 2), float(s)) for row, s in zip(rows, scores, strict=True)]


def whole(width: int, height: int, zoom: float = 1.0) -> Region:
    """The view of a whole picture; zoom below 1 looks from afar, for a face that fills the picture."""
    return Region(width / 2, height / 2, max(width, height) / zoom)


def tiles(width: int, height: int, parts: float) -> list[Region]:
    """Square views of 1/parts of the longest side, overlapping by a third; none where they show nothing new."""
    side = max(width, height) / parts
    if side < SIDE / 2:
        return []
    return [Region(cx, cy, side) for cy in _spread(height, side) for cx in _spread(width, side)]


def strip(width: int, height: int) -> list[Region]:
    """Square views along a long picture, half as wide again as its shorter side and overlapping by half of themselves:
    each face that fits into the picture is whole in one of them."""
    side = 1.5 * min(width, height)
    return [Region(cx, cy, side) for cy in _spread(height, side, 0.5) for cx in _spread(width, side, 0.5)]


def _spread(length: int, tile: float, step: float = 2 / 3) -> list[float]:
    """Centres of tiles that cover the length, at most `step` of a tile apart."""
    if length <= tile:
        return [length / 2]
    count = math.ceil((length - tile) / (tile * step)) + 1
    return [float(c) for c in np.linspace(tile / 2, length - tile / 2, count)]


def _run(image: np.ndarray, region: Region) -> tuple[np.ndarray, np.ndarray]:
    """Detections [N, 16] in picture pixels and their scores [N], each group of overlapping ones melted into one."""
    values = crop(image, region, SIDE).astype(np.float32) / 127.5 - 1
    raw, logits = onnx.run(MODEL, values)
    scores = sigmoid(logits.reshape(-1))
    keep = scores >= MIN_SCORE
    raw, centers, scores = raw.reshape(-1, 16)[keep], _ANCHORS[keep] * SIDE, scores[keep]
    points = raw.reshape(-1, 8, 2)
    middle, size, marks = points[:, 0] + centers, points[:, 1], points[:, 2:] + centers[:, None]
    rows = np.concatenate([middle - size / 2, middle + size / 2, marks.reshape(-1, 12)], axis=1)
    rows, scores = weighted_suppression(rows, scores)
    rows = region.to_picture(rows.reshape(-1, 8, 2), SIDE)
    if region.angle:  # two corners of a box that is turned span no upright one: keep its middle and its size
        middle, half = rows[:, :2].mean(1), np.hypot(*np.moveaxis(rows[:, 1] - rows[:, 0], -1, 0)) / 8**0.5
        rows[:, 0], rows[:, 1] = middle - half[:, None], middle + half[:, None]
    return rows.reshape(-1, 16), scores
