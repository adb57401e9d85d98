"""From values at mesh points to values at pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .topology import surface


@dataclass(frozen=True, eq=False)
class Coverage:
    """Which triangle of the mesh each pixel shows.

    inside: [H, W] bool.
    triangle: [H, W] int64, -1 outside.
    weights: [H, W, 3] float32, barycentric.
    """

    inside: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray

    def values(self, at_points: np.ndarray) -> np.ndarray:
        """Interpolate values at mesh points [468, C]; returns [H, W, C] float32, 0 outside the mesh."""
        result = np.zeros((*self.inside.shape, at_points.shape[1]), np.float32)
        corners = surface().triangles[self.triangle[self.inside]]
        result[self.inside] = (self.weights[self.inside][..., None] * at_points.astype(np.float32)[corners]).sum(1)
        return result


def rasterise(mesh: np.ndarray, size: tuple[int, int]) -> Coverage:
    """Draw the mesh [468, 3] (x, y in pixels, pixel centres at whole numbers) on a grid of (height, width).

    Where the surface folds over itself, the part nearest to the camera shows.
    """
    height, width = size
    corners = mesh[surface().triangles]  # [T, 3, 3]
    xy = corners[..., :2]
    edge1, edge2 = xy[:, 1] - xy[:, 0], xy[:, 2] - xy[:, 0]
    area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    low = np.clip(np.ceil(xy.min(1)), 0, [width, height]).astype(np.int64)
    high = np.clip(np.floor(xy.max(1)) + 1, 0, [width, height]).astype(np.int64)
    spans = np.maximum(high - low, 0)
    # far triangles first: near ones then write over them
    order = np.argsort(-corners[..., 2].mean(1), kind="stable")
    order = order[(spans[order].prod(1) > 0) & (np.abs(area[order]) > 1e-6)]
    counts = spans[order].prod(1)
    owner = np.repeat(order, counts)
    index = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    x = low[owner, 0] + index % spans[owner, 0]
    y = low[owner, 1] + index // spans[owner, 0]
    from_first = np.stack([x, y], 1) - xy[owner, 0]
    b1 = (from_first[:, 0] * edge2[owner, 1] - from_first[:, 1] * edge2[owner, 0]) / area[owner]
    b2 = (edge1[owner, 0] * from_first[:, 1] - edge1[owner, 1] * from_first[:, 0]) / area[owner]
    hit = (b1 >= -1e-4) & (b2 >= -1e-4) & (b1 + b2 <= 1 + 1e-4)
    x, y, owner, b1, b2 = x[hit], y[hit], owner[hit], b1[hit], b2[hit]
    triangle = np.full(size, -1, np.int64)
    weights = np.zeros((*size, 3), np.float32)
    triangle[y, x] = owner
    weights[y, x] = np.stack([1 - b1 - b2, b1, b2], 1)
    return Coverage(triangle >= 0, triangle, weights)


def extended(values: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values [H, W, C] continued outside by those of the nearest pixel inside; and the distance [H, W] to it."""
    from scipy.ndimage import distance_transform_edt

    distance, nearest = distance_transform_edt(~inside, return_indices=True)  # type: ignore[misc]
    return values[nearest[0], nearest[1]], np.asarray(distance, np.float32)


def normals(mesh: np.ndarray) -> np.ndarray:
    """How far the surface faces the camera at each mesh point: [468], 1 towards it, below 0 away from it."""
    corners = mesh[surface().triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    canonical = surface().points[surface().triangles]
    turned = np.cross(canonical[:, 1] - canonical[:, 0], canonical[:, 2] - canonical[:, 0])[:, 2] > 0
    faces[turned] *= -1  # all to face the camera on the canonical mesh
    at_points = np.zeros((len(mesh), 3))
    for corner in range(3):
        np.add.at(at_points, surface().triangles[:, corner], faces)
    return -at_points[:, 2] / np.maximum(np.linalg.norm(at_points, axis=1), 1e-9)
