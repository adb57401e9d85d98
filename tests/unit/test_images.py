"""Conversions and warps: right to a fraction of a pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facechain.errors import PhotoError
from facechain.images import apply_affine, crop_matrix, from_pixels, invert, to_pixels, warp


def ramp(height: int, width: int) -> torch.Tensor:
    """Channel 0 is x, channel 1 is y, channel 2 constant."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    return torch.stack([x, y, torch.full_like(x, 5.0)], -1)


def test_pixels_go_there_and_back() -> None:
    pictures = [np.random.default_rng(i).integers(0, 256, (7, 5, 3), np.uint8) for i in range(3)]
    back = to_pixels(from_pixels(*pictures))
    assert len(back) == 3 and all(np.array_equal(a, b) for a, b in zip(pictures, back, strict=True))


def test_odd_values_and_channels() -> None:
    image = torch.tensor([[[[float("nan"), float("inf"), -float("inf")], [2.0, -1.0, 0.5]]]])
    assert to_pixels(image)[0].tolist() == [[[0, 255, 0], [255, 0, 128]]]
    grey = torch.full((4, 4, 1), 0.2)
    assert to_pixels(grey)[0].shape == (4, 4, 3) and (to_pixels(grey)[0] == 51).all()
    clear = torch.tensor([[[[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.5]]]])
    assert to_pixels(clear)[0].tolist() == [[[255, 255, 255], [255, 128, 128]]]
    assert (to_pixels(torch.full((1, 2, 2, 3), 0.5, dtype=torch.float16))[0] == 128).all()


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4, 2), (0, 4, 4, 3), (1, 0, 4, 3), (1, 1, 4, 4, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(PhotoError, match="shape"):
        to_pixels(torch.zeros(shape))


@pytest.mark.parametrize("roll", [0.0, 30.0, -75.0, 180.0])
def test_warp_reads_where_the_matrix_says(roll: float) -> None:
    matrix = crop_matrix((60.3, 41.7), 30.0, 24, roll=roll, at=(0.4, 0.6))
    found = warp(ramp(100, 120), matrix, (24, 24))
    y, x = np.mgrid[:24, :24]
    wanted = apply_affine(matrix, np.stack([x, y], -1).astype(float))
    assert np.abs(found[..., :2].numpy() - wanted).max() < 0.08  # torch's bicubic kernel bends a ramp by that much
    anchor = apply_affine(matrix, np.array([0.4 * 24 - 0.5, 0.6 * 24 - 0.5]))
    assert np.allclose(anchor, (60.3, 41.7))


def test_roll_turns_a_clockwise_head_upright() -> None:
    matrix = crop_matrix((0, 0), 10, 10, roll=90)
    right = apply_affine(matrix, np.array([1.0, 0])) - apply_affine(matrix, np.array([0.0, 0]))
    assert np.allclose(right, (0, 1))  # what lies below in the picture comes to the right


def test_strong_shrinking_averages_and_stays_in_place() -> None:
    matrix = crop_matrix((200.0, 150.0), 300.0, 30)
    found = warp(ramp(300, 400), matrix, (30, 30))
    y, x = np.mgrid[:30, :30]
    wanted = apply_affine(matrix, np.stack([x, y], -1).astype(float))
    assert np.abs(found[3:-3, 3:-3, :2].numpy() - wanted[3:-3, 3:-3]).max() < 0.6
    stripes = torch.zeros(300, 400, 3)
    stripes[:, ::2] = 1
    assert (warp(stripes, matrix, (30, 30)) - 0.5).abs().max() < 0.1  # no moire


def test_outside_is_filled() -> None:
    found = warp(torch.zeros(20, 20, 3), crop_matrix((0.0, 0.0), 20, 20), (20, 20), fill=0.7)
    assert torch.allclose(found[:9, :9], torch.tensor(0.7)) and found[11:, 11:].abs().max() < 1e-6


def test_invert_undoes() -> None:
    matrix = crop_matrix((12.0, 7.0), 50.0, 512, roll=33)
    points = np.array([[0.0, 0], [511, 3], [100, 400]])
    assert np.allclose(apply_affine(invert(matrix), apply_affine(matrix, points)), points)
