"""Crops: framing is tested with the intake; here, that scaling neither aliases nor softens."""

from __future__ import annotations

import numpy as np

from facechain.images import crop_matrix
from facechain.photos.align import cut


def stripes(side: int, period: float, angle: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    turn = np.deg2rad(angle)
    wave = 127.5 + 127.5 * np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / period)
    return np.repeat(wave[..., None], 3, -1).round().astype(np.uint8)


def inner(crop: np.ndarray) -> np.ndarray:
    edge = len(crop) // 8
    return crop[edge:-edge, edge:-edge].astype(float)


def test_detail_too_fine_for_the_crop_turns_grey() -> None:
    """700 to 128 pixels: stripes of 3 pixels cannot be shown; sampling them without a filter invents others."""
    photo = stripes(1024, 3)
    for roll in (0.0, 17.0):
        matrix = crop_matrix((511.5, 511.5), 700.0, 128, roll=roll)
        crop, inside = cut(photo, matrix, 128)
        assert inside.all() and inner(crop).std() < 3
    sampled = photo[::5, ::5]
    assert inner(sampled).std() > 60


def test_detail_that_fits_stays_sharp() -> None:
    """700 to 256 pixels: stripes 5 pixels wide in the crop keep nearly all of their contrast."""
    period = 5 * 700 / 256
    for roll in (0.0, 17.0):
        matrix = crop_matrix((511.5, 511.5), 700.0, 256, roll=roll)
        crop, _ = cut(stripes(1024, period), matrix, 256)
        assert inner(crop).std() > 0.85 * stripes(256, 5).std()


def test_an_unscaled_crop_is_the_photo() -> None:
    photo = np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8)
    crop, inside = cut(photo, crop_matrix((99.5, 99.5), 128.0, 128), 128)
    assert inside.all() and np.array_equal(crop, photo[36:164, 36:164])


def test_enlarging_places_pixels_exactly() -> None:
    """A ramp stays the same ramp: no shift by half a pixel."""
    ramp = np.repeat(np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 200, 0), 3, 2)
    crop, _ = cut(ramp, crop_matrix((99.5, 99.5), 64.0, 256), 256)
    wanted = 99.5 + (np.arange(256) - 127.5) / 4
    assert np.abs(crop[128, 16:-16, 0] - wanted[16:-16]).max() <= 1.0
