"""Contact sheets, and the grid of small pictures that the page shows as cards."""

from __future__ import annotations

import numpy as np
import pytest

from facechain.sheets import Tile, contact_sheet, grid


def test_each_picture_lies_whole_in_the_middle_of_its_square() -> None:
    red = np.zeros((20, 40, 3), np.uint8)
    red[..., 0] = 200
    green = np.zeros((64, 64, 3), np.uint8)
    green[..., 1] = 200
    squares = grid([red, green, red], side=32, columns=2)
    assert squares.shape == (64, 64, 3) and squares.dtype == np.uint8
    wide, square, below, empty = squares[:32, :32], squares[:32, 32:], squares[32:, :32], squares[32:, 32:]
    assert (wide[8:24, :, 0] == 200).all() and (wide[:8, :, 0] == 40).all() and (wide[24:, :, 0] == 40).all()
    assert (square[..., 1] == 200).all()
    assert (below == wide).all() and (empty == 40).all()


@pytest.mark.parametrize("side", [96, 192, 320])
def test_the_words_under_a_picture_lie_below_each_other(side: int) -> None:
    sheet = contact_sheet([Tile(np.zeros((side, side, 3), np.uint8), ("gyfb", "gyfb", "gyfb"))], side=side)
    words = (sheet[8 + side + 5 :].min((1, 2)) < 200).astype(int)
    assert (np.diff(words) == 1).sum() == 3 and not words[-1], "three lines, with paper between and below them"
