"""Yaw, pitch and roll of a head from its mesh."""

from __future__ import annotations

import numpy as np

# Points that stay in place while a face speaks or smiles: nose tip and bridge, forehead, eye corners,
# cheek bones, nose wings, the mesh's edge at the ears. Numbers and coordinates (x right, y up, z to the
# camera, in centimetres) are those of MediaPipe's canonical face model (Apache-2.0).
_MIDDLE = {4: (0.0, -0.463170, 7.586580), 6: (0.0, 2.473255, 5.788627), 10: (0.0, 8.261778, 4.481535)}
_PAIRS = {
    (33, 263): (4.445859, 2.663991, 3.173422),
    (133, 362): (1.856432, 2.585245, 3.757904),
    (117, 346): (5.258659, 0.945811, 2.974312),
    (129, 358): (1.785794, -0.978284, 4.850470),
    (127, 356): (7.743095, 2.364999, -2.005167),
    (132, 361): (7.270895, -2.890917, -2.252455),
}
_POINTS = [*_MIDDLE, *(i for pair in _PAIRS for i in pair)]
_MODEL = np.array([*_MIDDLE.values(), *((side * x, y, z) for x, y, z in _PAIRS.values() for side in (-1, 1))])
_FRONTAL = (_MODEL - _MODEL.mean(0)) * (1, -1, -1)  # as a mesh has it: y down, z away from the camera
# On 89 portraits, most of them level, the fit says -8.8 +- 3.7 degrees; the mesh draws foreheads nearer than they are.
_PITCH_OFFSET = 8.0


def head_angles(mesh: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees of a mesh [468, 3] (x right, y down, z away from the camera).

    Yaw > 0: the nose points to image right; pitch > 0: up; roll > 0: turned clockwise in the picture.
    The rotation that brings the canonical face nearest to the mesh (Kabsch), taken apart as
    roll in the picture, then yaw, then pitch of the levelled head.
    """
    rotation = _rotation(mesh)
    across, forward = rotation[:, 0], -rotation[:, 2]
    roll = np.arctan2(across[1], across[0])
    cos, sin = np.cos(roll), np.sin(roll)
    x, y = cos * forward[0] + sin * forward[1], -sin * forward[0] + cos * forward[1]
    yaw, pitch = np.arctan2(x, -forward[2]), np.arctan2(-y, np.hypot(x, forward[2]))
    return float(np.degrees(yaw)), float(np.degrees(pitch)) + _PITCH_OFFSET, float(np.degrees(roll))


def _rotation(mesh: np.ndarray) -> np.ndarray:
    """[3, 3] from the frontal face to the mesh."""
    points = mesh[_POINTS].astype(np.float64)
    u, _, vt = np.linalg.svd((points - points.mean(0)).T @ _FRONTAL)
    mirror = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return u @ mirror @ vt
