"""Yaw, pitch and roll of a head from its mesh."""

from __future__ import annotations

import numpy as np

# Points that lie nearly still while a face moves: outer eye corners and cheek edges give the axis
# across the face, forehead to chin the axis along it.
_ACROSS = ((33, 263), (127, 356), (234, 454))
_ALONG = ((10, 152), (9, 200), (168, 164))


def head_angles(mesh: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees of a mesh [468, 3] (x right, y down, z away from the camera).

    Yaw > 0: the nose points to image right; pitch > 0: up; roll > 0: turned clockwise in the picture.
    """
    points = mesh.astype(np.float64)
    across = _unit(sum((points[b] - points[a] for a, b in _ACROSS), np.zeros(3)))
    along = sum((points[b] - points[a] for a, b in _ALONG), np.zeros(3))
    along = _unit(along - across * float(along @ across))
    forward = np.cross(along, across)  # towards the camera: negative z
    roll = np.degrees(np.arctan2(across[1], across[0]))
    # Turn the head level first: yaw and pitch are then those of its own upright frame.
    cos, sin = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    x, y = cos * forward[0] + sin * forward[1], -sin * forward[0] + cos * forward[1]
    yaw = np.degrees(np.arctan2(x, -forward[2]))
    pitch = np.degrees(np.arctan2(-y, np.hypot(x, forward[2])))
    return float(yaw), float(pitch), float(roll)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
