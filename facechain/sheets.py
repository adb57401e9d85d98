"""Contact sheets: pictures in a grid, each with a few words and a coloured mark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .lettering import font_for, write

# Colours that people who cannot tell red from green still tell apart (Okabe and Ito's palette).
GOOD = (0, 158, 115)
FAIR = (230, 159, 0)
BAD = (213, 94, 0)
NEUTRAL = (120, 120, 120)

_LIKE, _FAIRLY = 80.0, 50.0  # percent of likeness from which a bar is green, or yellow
_PAPER = (250, 250, 250)
_INK = (30, 30, 30)
_GAP = 8
_LINE = 1.45  # from line to line, in sizes of the letters: Chinese ones hang lower than others


def likeness_colour(percent: float) -> tuple[int, int, int]:
    """The colour of a bar for a likeness in percent (see likeness.py)."""
    return GOOD if percent >= _LIKE else FAIR if percent >= _FAIRLY else BAD


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture of a sheet.

    picture: uint8 RGB [H, W, 3] of any size; `tile` makes one that is already small.
    lines: the words under it; the first one is set larger, over-long ones are cut.
    colour: RGB of the bar between picture and words.
    """

    picture: np.ndarray
    lines: tuple[str, ...] = ()
    colour: tuple[int, int, int] = NEUTRAL


def tile(picture: np.ndarray, lines: Iterable[str], colour: tuple[int, int, int] = NEUTRAL, *, side: int = 192) -> Tile:
    """A Tile whose picture is shrunk to at most side x side, so that many can be kept at once."""
    return Tile(_shrunk(picture, side), tuple(lines), colour)


def contact_sheet(
    tiles: Sequence[Tile],
    *,
    title: str = "",
    side: int = 192,
    columns: int = 0,
    left_out: int = 0,
    of: str = "pictures",
) -> np.ndarray:
    """Draw tiles row by row. Returns uint8 RGB [H, W, 3].

    side: pixels of the square that each picture is fitted into. columns: 0 chooses by their number.
    left_out: how many further ones (of: what they are called) the last line says are not shown.
    """
    columns = columns or max(1, min(len(tiles), math.ceil(math.sqrt(len(tiles) * 1.5)), 12))
    big, small = max(11, side // 12), max(10, side // 15)
    line_height = round(_LINE * small)
    words = max((len(t.lines) for t in tiles), default=0)
    cell_w, cell_h = side + _GAP, side + 6 + _down(words, (big, small)) + 2 * _GAP
    head = _down(1, (big, small)) + 2 * _GAP if title else _GAP
    rows = math.ceil(len(tiles) / columns)
    width = columns * cell_w + _GAP
    if title:  # a sheet of one or two pictures is made wide enough for its title
        width = max(width, min(int(font_for(title, big).getlength(title)) + 2 * _GAP + 1, 5 * side))
    height = head + rows * cell_h + (line_height + _GAP if left_out else 0)
    sheet = Image.new("RGB", (width, max(height, head)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        write(draw, (_GAP, _GAP), title, big, _INK, width - 2 * _GAP)
    for i, one in enumerate(tiles):
        x, y = _GAP + i % columns * cell_w, head + i // columns * cell_h
        _draw_tile(sheet, draw, one, (x, y), side, (big, small))
    if left_out:
        place = (_GAP, height - line_height - _GAP // 2)
        write(draw, place, f"and {left_out} more {of}, not shown", small, _INK, width - 2 * _GAP)
    return np.asarray(sheet)


def grid(pictures: Sequence[np.ndarray], side: int, columns: int) -> np.ndarray:
    """Pictures alone, row by row, for a page that writes the words itself. Returns uint8 RGB [rows * side, columns * side, 3].

    pictures: uint8 RGB [h, w, 3] of any sizes; each is fitted into the middle of a square of `side` pixels.
    """
    squares = np.full((math.ceil(len(pictures) / columns) * side, columns * side, 3), 40, np.uint8)
    for place, picture in enumerate(pictures):
        small = _shrunk(picture, side)
        height, width = small.shape[:2]
        y, x = place // columns * side + (side - height) // 2, place % columns * side + (side - width) // 2
        squares[y : y + height, x : x + width] = small
    return squares


def _draw_tile(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    one: Tile,
    at: tuple[int, int],
    side: int,
    sizes: tuple[int, int],
) -> None:
    x, y = at
    picture = Image.fromarray(_shrunk(one.picture, side))
    sheet.paste(picture, (x + (side - picture.width) // 2, y + side - picture.height))
    draw.rectangle((x, y + side, x + side - 1, y + side + 4), one.colour)
    for number, line in enumerate(one.lines):
        write(draw, (x, y + side + 6 + _down(number, sizes)), line, sizes[min(number, 1)], _INK, side)


def _down(lines: int, sizes: tuple[int, int]) -> int:
    """Height of so many lines, the first of which is larger."""
    big, small = sizes
    return round(_LINE * (big + (lines - 1) * small)) if lines else 0


def _shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    """uint8 RGB [h, w, 3], as large as fits into side x side; smaller ones are enlarged to it."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (width, height):
        return picture
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS))
