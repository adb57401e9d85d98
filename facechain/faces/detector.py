"""Where the faces are: MediaPipe's full-range BlazeFace, over the whole picture and over tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .. import onnx
from .boxes import anchor_centers, sigmoid, weighted_suppression
from .crops import Region, crop

MODEL = onnx.EMBEDDED / "face_detection_full_range_sparse.onnx"
SIDE = 192
# Below MediaPipe's 0.6: the mesh network has the last word on what is a face.
MIN_SCORE = 0.3
# Faces smaller than this part of the longest side are found more surely in tiles (12 of the network's pixels).
SMALL = 1 / 16
_ANCHORS = anchor_centers(SIDE, [4], [1])


@dataclass(frozen=True, eq=False)
class Detection:
    """box: [4] x1, y1, x2, y2; points: [6, 2] right eye, left eye, nose, mouth, right ear, left ear; picture pixels."""

    box: np.ndarray
    points: np.ndarray
    score: float

    @property
    def region(self) -> Region:
        """The turned square that the mesh network reads: eyes level, 1.5 times the box (MediaPipe's face_landmark)."""
        x1, y1, x2, y2 = (float(v) for v in self.box)
        dx, dy = (float(v) for v in self.points[1] - self.points[0])
        return Region((x1 + x2) / 2, (y1 + y2) / 2, 1.5 * max(x2 - x1, y2 - y1), math.atan2(dy, dx))


def detect(image: np.ndarray, *, thorough: bool = True) -> list[Detection]:
    """Candidates for faces in uint8 RGB [H, W, 3], best first.

    thorough: where the whole picture shows no face or only small ones, look at tiles too,
    and at the picture shrunk to half for a face that fills it.
    """
    height, width = image.shape[:2]
    whole = Region(width / 2, height / 2, float(max(width, height)))
    rows, scores = _run(image, whole)
    if thorough and _wants_more(rows, whole.size):
        parts = [_run(image, region) for region in _closer_looks(width, height, found=len(rows) > 0)]
        rows = np.concatenate([rows, *(r for r, _ in parts)])
        scores = np.concatenate([scores, *(s for _, s in parts)])
    rows, scores = weighted_suppression(rows, scores)
    return [Detection(row[:4], row[4:].reshape(6, 2), float(s)) for row, s in zip(rows, scores, strict=True)]


def _wants_more(rows: np.ndarray, longest: float) -> bool:
    if not len(rows):
        return True
    return float((rows[:, 2] - rows[:, 0]).min()) < SMALL * longest


def _closer_looks(width: int, height: int, *, found: bool) -> list[Region]:
    """Square tiles that overlap by a third, four or so along the longer side at most; and a look from afar."""
    longest, shortest = max(width, height), min(width, height)
    looks = [] if found else [Region(width / 2, height / 2, longest * 2.0)]
    tile = max(longest / 2, min(shortest, longest) * 0.6)
    if tile < SIDE / 2:  # smaller than what the network saw of the whole: tiles would show nothing new
        return looks
    for cy in _spread(height, tile):
        looks.extend(Region(cx, cy, tile) for cx in _spread(width, tile))
    return looks


def _spread(length: int, tile: float) -> list[float]:
    """Centres of tiles that cover the length, overlapping by a third or more."""
    if length <= tile:
        return [length / 2]
    count = math.ceil((length - tile) / (tile * 2 / 3)) + 1
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
    return region.to_picture(rows.reshape(-1, 8, 2), SIDE).reshape(-1, 16), scores
