"""Outlines of faces as convex shapes, and signed distances to them.

A convex shape is kept as its support: for each of 48 directions, how far the shape reaches
that way. The signed distance of a point is then the largest of (its reach minus the shape's),
exact to 0.2 % with this many directions, negative inside. No polygon is ever drawn, so a mask
has no resolution of its own and is the same whichever crop asks for it.
"""

from __future__ import annotations

import numpy as np

from ..faces.base import Face

DIRECTIONS = 48
_ANGLES = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
_NORMALS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)]).astype(np.float32)  # [2, 48]
_ROWS_AT_ONCE = 256  # keeps the work in the processor's cache


def outline_of(face: Face) -> np.ndarray:
    """Support [48] float32, in picture pixels, of the face: the hull of its mesh, else the ellipse in its box."""
    if face.mesh is not None:
        return (face.mesh[:, :2].astype(np.float32) @ _NORMALS).max(axis=0)
    reach = np.hypot(*(_NORMALS * np.array([[face.width / 2], [face.height / 2]])))
    return (np.array(face.center) @ _NORMALS + reach).astype(np.float32)


def distance_to(outline: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Signed distance [len(ys), len(xs)] float32 in pixels, negative inside, on the grid of these coordinates."""
    along_x = np.asarray(xs, np.float32)[None] * _NORMALS[0][:, None] - outline[:, None]
    along_y = np.asarray(ys, np.float32)[:, None] * _NORMALS[1][None]
    result = np.full((len(ys), len(xs)), -np.inf, np.float32)
    for start in range(0, len(ys), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        part = result[rows]
        for direction in range(DIRECTIONS):
            np.maximum(part, along_y[rows, direction, None] + along_x[direction], out=part)
    return result
