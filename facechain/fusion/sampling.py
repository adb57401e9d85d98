"""Reading pictures at other places and sizes. Arrays are float32 [H, W, C]; pixel centres lie at whole numbers."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional


def sample(picture: np.ndarray, places: np.ndarray, mode: str = "bicubic") -> np.ndarray:
    """The picture [h, w, C] at places [H, W, 2] (x, y in its pixels); beyond its edge, the edge."""
    height, width = picture.shape[:2]
    grid = (2 * torch.from_numpy(np.ascontiguousarray(places)).float() + 1) / torch.tensor([width, height]) - 1
    values = functional.grid_sample(_planes(picture), grid[None], mode, padding_mode="border", align_corners=False)
    return values[0].permute(1, 2, 0).numpy()


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture [h, w, C] at another (height, width): averaged where it shrinks, bilinear where it grows."""
    if picture.shape[:2] == size:
        return picture
    shrinks = size[0] < picture.shape[0]
    values = (
        functional.interpolate(_planes(picture), size, mode="area")
        if shrinks
        else functional.interpolate(_planes(picture), size, mode="bilinear", align_corners=False)
    )
    return values[0].permute(1, 2, 0).numpy()


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of [H, W, C] or [H, W]; wide ones are made on a smaller copy, where they cost little."""
    from scipy.ndimage import gaussian_filter

    if sigma <= 0.2:
        return picture
    flat = picture[..., None] if picture.ndim == 2 else picture
    shrink = max(1, int(sigma / 3))
    height, width = flat.shape[:2]
    small = resized(flat, (max(1, -(-height // shrink)), max(1, -(-width // shrink))))
    soft = gaussian_filter(small, (sigma / shrink, sigma / shrink, 0), mode="nearest", truncate=3)
    return resized(soft, (height, width)).reshape(picture.shape)


def _planes(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]
