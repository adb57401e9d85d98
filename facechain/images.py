"""Pictures: conversions, crops and warps as pure functions."""

# Two forms travel in the pack. IMAGE: float32 [N, H, W, 3], 0..1, as ComfyUI has it.
# Pixels: uint8 RGB [H, W, 3] numpy arrays, as the face networks want them.

from __future__ import annotations

import numpy as np
import torch

from .errors import PhotoError
from .grey import LUMA as LUMA

_ROWS = 64  # of a picture that are converted at once


def to_pixels(image: torch.Tensor) -> list[np.ndarray]:
    """An IMAGE [N, H, W, C], or one picture [H, W, C] of it, to a list of pixels [H, W, 3].

    There may be 1, 3 or 4 channels; alpha is laid over white.
    What is not a number counts as 0, and values are clamped to 0..1.
    Raises PhotoError for other shapes.
    """
    if image.ndim == 3:
        image = image[None]
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise PhotoError(
            f"a picture of shape {tuple(image.shape)} cannot be used", "Connect an IMAGE of [batch, height, width, 3]"
        )
    pixels = np.empty((*image.shape[:3], 3), np.uint8)
    for number, picture in enumerate(image.detach()):
        for top in range(0, len(picture), _ROWS):  # whole pictures in float would take memory, and time to get it
            pixels[number, top : top + _ROWS] = _rows_to_pixels(picture[top : top + _ROWS])
    return list(pixels)


def _rows_to_pixels(rows: torch.Tensor) -> np.ndarray:
    """uint8 [H, W, 3] or [H, W, 1]."""
    values = torch.nan_to_num(rows.float().cpu(), nan=0.0, posinf=1.0, neginf=0.0).clamp_(0, 1)
    if values.shape[-1] == 4:
        alpha = values[..., 3:]
        values = values[..., :3] * alpha + (1 - alpha)
    return values.mul_(255).round_().to(torch.uint8).numpy()


def from_pixels(*pictures: np.ndarray) -> torch.Tensor:
    """Pixels [H, W, 3] of pictures that are all of one size to an IMAGE [N, H, W, 3], float32 0..1."""
    return torch.from_numpy(np.stack(pictures)).float() / 255


def warp(image: torch.Tensor, matrix: np.ndarray, size: tuple[int, int], fill: float = 1.0) -> torch.Tensor:
    """Resample with an affine map, bicubic, pre-smoothed where it shrinks.

    image: [H, W, C] float.
    matrix: [2, 3], maps a pixel (x, y) of the result to that of the image, pixel centres at whole numbers.
    size: height and width of the result.
    fill: value where it leaves the image.
    Returns [height, width, C] float32, not clamped.
    """
    height, width = image.shape[:2]
    out_h, out_w = size
    source = image.float().permute(2, 0, 1)[None]
    matrix = np.asarray(matrix, dtype=np.float64)
    shrink = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if shrink > 1.5:  # area-average first, or fine detail aliases
        new_h, new_w = max(1, round(height / shrink)), max(1, round(width / shrink))
        source = torch.nn.functional.interpolate(source, (new_h, new_w), mode="area")
        scale_x, scale_y = new_w / width, new_h / height
        # pixel centres: (x + 0.5) * scale - 0.5
        matrix = np.array([[scale_x, 0], [0, scale_y]]) @ matrix
        matrix[:, 2] += np.array([scale_x, scale_y]) * 0.5 - 0.5
        height, width = new_h, new_w
    ys, xs = torch.meshgrid(
        torch.arange(out_h, dtype=torch.float32), torch.arange(out_w, dtype=torch.float32), indexing="ij"
    )
    m = matrix.tolist()
    sx = m[0][0] * xs + m[0][1] * ys + m[0][2]
    sy = m[1][0] * xs + m[1][1] * ys + m[1][2]
    grid = torch.stack([(2 * sx + 1) / width - 1, (2 * sy + 1) / height - 1], -1)[None]
    # border padding keeps edge pixels clean; what lies outside is then overwritten by fill
    result = torch.nn.functional.grid_sample(source, grid, mode="bicubic", padding_mode="border", align_corners=False)[
        0
    ]
    outside = (sx < -0.5) | (sy < -0.5) | (sx > width - 0.5) | (sy > height - 0.5)
    return torch.where(outside[None], torch.tensor(fill), result).permute(1, 2, 0)


def crop_matrix(
    center: tuple[float, float], side: float, size: int, roll: float = 0.0, at: tuple[float, float] = (0.5, 0.5)
) -> np.ndarray:
    """Matrix for `warp`: a square of `side` source pixels, rotated by `roll` degrees clockwise, to size x size.

    center: source pixel that lands at the part `at` (x, y in 0..1) of the result.
    """
    angle = np.deg2rad(roll)
    scale = side / size
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    anchor = np.array([at[0] * size - 0.5, at[1] * size - 0.5])
    return np.concatenate([rotation, (np.array(center) - rotation @ anchor)[:, None]], axis=1)


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse of an affine [2, 3] matrix."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, -linear @ matrix[:, 2:]], axis=1)


def apply_affine(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points [..., 2] by an affine [2, 3] matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]
