"""Upright head crops with FaceChain's framing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..faces.base import Face
from ..faces.boxes import BOX_RATIO, BOX_RISE
from ..images import apply_affine, crop_matrix, invert

FACE_SHARE = 0.35 / 1.15  # FaceChain: longer side of the detector's face box, as part of the crop's side
CENTER = (0.5, 0.5 / 1.15)  # FaceChain: where the middle of that box lies in the crop
_SPARE = 2.0  # pixels of the photo for one of the crop that are enough for Lanczos to work on
_LARGEST_CUT = 4096  # pixels of a side of the intermediate crop


@dataclass(frozen=True, eq=False)
class Alignment:
    """How a head was cut out of its photo.

    image: uint8 RGB [S, S, 3]; white where the photo ends.
    inside: bool [S, S], True where the photo has pixels.
    matrix: [2, 3], pixel (x, y) of the crop to pixel (x, y) of the upright photo.
    mesh: [468, 3] float32 in pixels of the crop.
    side: side of the cut-out square in pixels of the photo; S / side above 1 is an enlargement.
    """

    image: np.ndarray
    inside: np.ndarray
    matrix: np.ndarray
    mesh: np.ndarray
    side: float

    @property
    def enlargement(self) -> float:
        return self.image.shape[0] / self.side


def align(photo: np.ndarray, face: Face, size: int) -> Alignment:
    """The head of `face` in uint8 RGB [H, W, 3], turned level, as a size x size crop framed as FaceChain does."""
    if face.mesh is None:
        raise ValueError("alignment needs a face with a mesh")
    mesh = face.mesh.astype(np.float64)
    level = crop_matrix((0.0, 0.0), 1.0, 1, roll=face.roll)[:, :2]  # level axes to photo axes
    turned = mesh[:, :2] @ level  # its transpose is its inverse
    low, high = turned.min(0), turned.max(0)
    longer = float((high - low).max())
    middle = (low + high) / 2 - np.array([0.0, BOX_RISE * longer])
    center = level @ middle
    side = longer * BOX_RATIO / FACE_SHARE
    matrix = crop_matrix((float(center[0]), float(center[1])), side, size, roll=face.roll, at=CENTER)
    image, inside = cut(photo, matrix, size)
    points = apply_affine(invert(matrix), mesh[:, :2])
    depth = mesh[:, 2:] * (size / side)
    return Alignment(image, inside, matrix, np.concatenate([points, depth], 1).astype(np.float32), side)


def cut(photo: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Crop uint8 [size, size(, 3)] of a photo or mask, and where it lies inside [size, size] bool.

    Outside a photo is white, outside a mask 0.
    Turned at the photo's own scale (bicubic), or half of it and less where the photo is that much finer than the
    crop, then scaled with Lanczos, which neither aliases nor softens as one sampling step would.
    """
    inside = _inside(matrix, size, photo.shape)
    photo, matrix = _reduced(photo, matrix, size)
    side = float(np.hypot(matrix[0, 0], matrix[1, 0])) * size
    native = int(np.clip(round(side), 8, _LARGEST_CUT))
    scale = size / native
    step = matrix[:, :2] * scale
    # Pixel centres lie at whole numbers in our matrices and at halves in Pillow's.
    shift = matrix[:, :2] @ np.full(2, (scale - 1) / 2) + matrix[:, 2]
    coefficients = np.concatenate([step, (shift + 0.5 - step @ np.full(2, 0.5))[:, None]], axis=1).ravel().tolist()
    picture = Image.fromarray(np.ascontiguousarray(photo))
    fill = "white" if photo.ndim == 3 else 0
    picture = picture.transform(
        (native, native), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC, fillcolor=fill
    )
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS)).copy(), inside


def _reduced(photo: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of the photo that the crop shows, averaged down to not less than _SPARE times the crop's detail, and
    the matrix for it. A head in a photo of 24 megapixels is turned on a quarter of its pixels, with the same result.
    """
    factor = int(np.hypot(matrix[0, 0], matrix[1, 0]) / _SPARE)
    if factor < 2:
        return photo, matrix
    corners = apply_affine(matrix, np.array([[x, y] for x in (-1, size) for y in (-1, size)], np.float64))
    shape = np.array(photo.shape[1::-1])
    low = (np.clip(np.floor(corners.min(0)), 0, shape - 1) // factor * factor).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + factor, low + 1, shape).astype(int)
    part = Image.fromarray(np.ascontiguousarray(photo[low[1] : high[1], low[0] : high[0]])).reduce(factor)
    inner = matrix / factor
    inner[:, 2] = (matrix[:, 2] - low + 0.5) / factor - 0.5
    return np.asarray(part), inner


def _inside(matrix: np.ndarray, size: int, shape: tuple[int, ...]) -> np.ndarray:
    """bool [size, size]: where the crop's pixels lie in a picture of this shape."""
    x, y = np.arange(size, dtype=np.float32)[None], np.arange(size, dtype=np.float32)[:, None]
    found = np.ones((size, size), bool)
    for (a, b, shift), length in zip(matrix.astype(np.float32), shape[1::-1], strict=True):
        place = a * x + (b * y + shift)
        found &= (place >= -0.5) & (place < length - 0.5)
    return found
