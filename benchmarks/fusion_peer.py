"""What fusion is compared with: a plain triangle warp as people write it with OpenCV, pasted in two ways.

The photo's mesh is brought onto the picture's by rotation, scale and shift; the new shape lies half-way between both
(METHOD of the first prototype: b = 0.5); the photo is warped triangle by triangle, its mean and spread of Lab matched
to the picture's face, and either feathered in or blended by cv2.seamlessClone. No choice of eyes, lips, occlusions or
light: that is what the pack adds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEATHER = 0.06  # of the face's width


def plain_warp(
    picture: np.ndarray,
    mesh: np.ndarray,
    photo: np.ndarray,
    photo_mesh: np.ndarray,
    oval: Sequence[int],
    seamless: bool,
) -> np.ndarray:
    """uint8 RGB [H, W, 3] with the photo's face over the one with this mesh [468, 3] (pixels of picture).

    photo: uint8 RGB, photo_mesh: [468, 3] in its pixels. oval: numbers of the points around the face.
    """
    import cv2
    from scipy.spatial import Delaunay

    here, there = mesh[:, :2].astype(np.float32), photo_mesh[:, :2].astype(np.float32)
    onto, _ = cv2.estimateAffinePartial2D(there, here)
    goal = ((here + (there @ onto[:, :2].T + onto[:, 2])) / 2).astype(np.float32)
    triangles = Delaunay(here).simplices
    bent = _warped(picture, here, goal, triangles, picture.copy())
    face = _warped(photo, there, goal, triangles, np.zeros_like(picture))
    hull = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(hull, [goal[list(oval)].round().astype(np.int32)], 255)
    face = _with_statistics_of(face, bent, hull > 0)
    if seamless:
        x, y, width, height = cv2.boundingRect(hull)
        middle = (x + width // 2, y + height // 2)
        return cv2.seamlessClone(face, bent, hull, middle, cv2.NORMAL_CLONE)
    reach = FEATHER * float(np.ptp(goal[:, 0]))
    inner = cv2.erode(hull, np.ones((max(1, round(reach)),) * 2, np.uint8))
    alpha = cv2.GaussianBlur(inner.astype(np.float32) / 255, (0, 0), reach / 2)[..., None]
    return (bent + alpha * (face.astype(np.float32) - bent)).round().clip(0, 255).astype(np.uint8)


def _warped(
    picture: np.ndarray, there: np.ndarray, here: np.ndarray, triangles: np.ndarray, onto: np.ndarray
) -> np.ndarray:
    """picture, moved triangle by triangle from points `there` to points `here`, drawn over a copy of onto."""
    import cv2

    result = onto.copy()
    for corners in triangles:
        target, source = here[corners], there[corners]
        x, y, width, height = cv2.boundingRect(target)
        x, y = max(0, x), max(0, y)
        width, height = min(width, result.shape[1] - x), min(height, result.shape[0] - y)
        if width <= 0 or height <= 0:
            continue
        matrix = cv2.getAffineTransform(source, target - np.array([x, y], np.float32))
        patch = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(mask, (target - [x, y]).round().astype(np.int32), 1)
        part = result[y : y + height, x : x + width]
        part[mask > 0] = patch[mask > 0]
    return result


def _with_statistics_of(face: np.ndarray, picture: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The face with mean and spread of the picture's Lab values inside the mask."""
    import cv2

    own, wanted = (cv2.cvtColor(p, cv2.COLOR_RGB2LAB).astype(np.float32) for p in (face, picture))
    for channel in range(3):
        a, b = own[..., channel], wanted[..., channel]
        spread = float(b[inside].std()) / max(float(a[inside].std()), 1e-3)
        own[..., channel] = (a - a[inside].mean()) * spread + b[inside].mean()
    return cv2.cvtColor(own.clip(0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)
