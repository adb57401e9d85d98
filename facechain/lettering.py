"""Words on drawn pictures: a font for any script, where the system has one, and lines cut to their room."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

# Fonts with Chinese, Japanese and Korean, by the names systems give them.
_WIDE_FONTS = ("NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc", "Arial Unicode.ttf", "wqy-zenhei.ttc")


def write(
    pen: ImageDraw,
    at: tuple[float, float],
    text: str,
    size: float,
    colour: str | tuple[int, int, int],
    room: float,
    anchor: str = "la",
) -> None:
    """One line at this place (pixels; anchor: which point of it, as Pillow calls them), cut where it is wider than room."""
    font = font_for(text, size)
    pen.text(at, shortened(text, font, room), fill=colour, font=font, anchor=anchor)


def font_for(text: str, size: float) -> Font:
    """A font that has the text's letters where the system has one; Pillow's own, which draws boxes for what it lacks."""
    return plain_font(size) if text.isascii() else wide_font(size)


def shortened(text: str, font: Font, room: float) -> str:
    """The text, cut and ended by an ellipsis where it is wider than room pixels."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"


@functools.lru_cache(maxsize=16)
def plain_font(size: float) -> Font:
    from PIL import ImageFont

    return ImageFont.load_default(size)


@functools.lru_cache(maxsize=16)
def wide_font(size: float) -> Font:
    from PIL import ImageFont

    for name in _WIDE_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:  # not on this system
            continue
    return plain_font(size)
