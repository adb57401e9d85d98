"""Boxes from anchor networks: anchors, scores, overlap and suppression. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Our boxes are mesh extents, brow to chin and cheek to cheek. Detectors that FaceChain's framing was
# made for see more forehead. Measured with SCRFD on 94 portraits: median ratio of the longer sides, and
# how much higher the middle lies, in parts of the mesh's longer side.
BOX_RATIO = 1.126
BOX_RISE = 0.052


def anchor_centers(side: int, strides: Sequence[int], per_cell: Sequence[int]) -> np.ndarray:
    """Centres [N, 2] (0..1) of fixed-size anchors: for each stride a grid of side/stride cells, row by row."""
    grids = []
    for stride, count in zip(strides, per_cell, strict=True):
        cells = -(-side // stride)
        line = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        x, y = np.meshgrid(line, line)
        grids.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), count, axis=0))
    return np.concatenate(grids)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union [N] of a box [4] (x1, y1, x2, y2) with boxes [N, 4]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    total = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - shared
    return shared / np.maximum(total, 1e-9)


def weighted_suppression(rows: np.ndarray, scores: np.ndarray, limit: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Suppression as BlazeFace has it: detections that overlap melt into their mean, weighted by their scores.

    rows: a box of four numbers and then the points, [N, columns].
    scores: [N].
    Returns the rows and scores that are left, best first.
    """
    order = np.argsort(-scores, kind="stable")
    kept_rows, kept_scores = [], []
    while len(order):
        near = overlap(rows[order[0], :4], rows[order, :4]) > limit
        near[0] = True
        group = order[near]
        kept_rows.append(np.average(rows[group], axis=0, weights=scores[group]))
        kept_scores.append(scores[order[0]])
        order = order[~near]
    return np.array(kept_rows, np.float32).reshape(-1, rows.shape[1]), np.array(kept_scores, np.float32)
