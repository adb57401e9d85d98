"""The picture that shows a template's faces with their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..faces.base import Face
from ..images import from_pixels, to_pixels
from .record import TemplateFace

_SMALLEST, _LARGEST = 768, 1536  # longest side of the preview: room for numbers, no waste on huge templates
_ACCENT = (0, 190, 140)
_PLAIN = (255, 255, 255)
_SHADOW = (0, 0, 0, 150)
_FINE = 2  # drawn this much larger and shrunk, for smooth lines


def numbered_faces(
    template: torch.Tensor,
    faces: Sequence[Face],
    records: Sequence[TemplateFace] = (),
    names: Mapping[int, str] | None = None,
) -> torch.Tensor:
    """The template [1, H, W, C] with its faces boxed and numbered: [1, h, w, 3], longest side 768 to 1536.

    records: faces to mark; their masks are tinted, and the crop of a single one is framed.
    names: words beside a face's number, by number.
    """
    picture, scale = _scaled(template)
    marked = {record.number for record in records}
    canvas = Image.new("RGBA", (picture.width * _FINE, picture.height * _FINE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(canvas)
    unit = max(canvas.size) / 400  # width of a line
    for record in records:
        _tint(canvas, record, scale * _FINE)
        if len(records) == 1:  # the frames of several would cross each other
            _frame(draw, record, scale * _FINE, unit)
    for number, face in enumerate(faces, 1):
        _box(draw, face, scale * _FINE, unit, number in marked)
    for number, face in enumerate(faces, 1):  # after all boxes, so that no line crosses a number
        words = " ".join([str(number), (names or {}).get(number, "")]).strip()
        _badge(draw, face, scale * _FINE, words, number in marked)
    canvas = canvas.reduce(_FINE)
    picture = Image.alpha_composite(picture.convert("RGBA"), canvas).convert("RGB")
    return from_pixels(np.asarray(picture))


def _scaled(template: torch.Tensor) -> tuple[Image.Image, float]:
    """The template at the preview's size, and preview pixels for each of its pixels."""
    longest = max(template.shape[1:3])
    scale = min(max(longest, _SMALLEST), _LARGEST) / longest
    step = max(1, round(0.5 / scale))  # leave out what would be shrunk away, before anything is copied
    picture = Image.fromarray(to_pixels(template[:, ::step, ::step])[0])
    size = (max(1, round(template.shape[2] * scale)), max(1, round(template.shape[1] * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS), scale


def _box(draw: ImageDraw.ImageDraw, face: Face, scale: float, unit: float, marked: bool) -> None:
    x1, y1, x2, y2 = _corners(face, scale)
    line = round(unit * (1.6 if marked else 1))
    radius = 0.08 * (x2 - x1)
    shadow = max(1, line // 2)
    draw.rounded_rectangle(
        (x1 - shadow, y1 - shadow, x2 + shadow, y2 + shadow), radius + shadow, outline=_SHADOW, width=line + 2 * shadow
    )
    draw.rounded_rectangle((x1, y1, x2, y2), radius, outline=_ACCENT if marked else _PLAIN, width=line)


def _badge(draw: ImageDraw.ImageDraw, face: Face, scale: float, words: str, marked: bool) -> None:
    """The number on the upper edge of the box: as large as the picture allows, never wider than a small face."""
    x1, y1, x2, _ = _corners(face, scale)
    font = ImageFont.load_default(max(26.0, min(max(draw.im.size) / 36, (x2 - x1) * 0.4)))
    left, top, right, bottom = draw.textbbox((0, 0), words, font=font)
    height = (bottom - top) * 1.9
    width = max(height, right - left + height * 0.6)
    cx = min(max((x1 + x2) / 2, width / 2), draw.im.size[0] - width / 2)
    cy = min(max(y1 - 0.2 * height, height / 2), draw.im.size[1] - height / 2)
    place = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    draw.rounded_rectangle(
        place, height / 2, fill=(*_ACCENT, 255) if marked else (30, 30, 30, 235), outline=_PLAIN, width=3
    )
    draw.text((cx - (left + right) / 2, cy - (top + bottom) / 2), words, font=font, fill=_PLAIN)


def _tint(canvas: Image.Image, record: TemplateFace, scale: float) -> None:
    """Colour over the mask, denser along its edge."""
    rows, columns = record.region
    depth = Image.fromarray(record.depth.numpy())
    left, top = round(columns.start * scale), round(rows.start * scale)
    size = (max(1, round(columns.stop * scale) - left), max(1, round(rows.stop * scale) - top))
    pixels = np.asarray(depth.resize(size, Image.Resampling.BILINEAR)) * scale
    edge = max(canvas.size) / 350
    opacity = np.where(pixels > 0, np.where(pixels < edge, 190, 30), 0).astype(np.uint8)
    colour = Image.new("RGBA", size, (*_ACCENT, 255))
    colour.putalpha(Image.fromarray(opacity))
    canvas.alpha_composite(colour, (left, top))


def _frame(draw: ImageDraw.ImageDraw, record: TemplateFace, scale: float, unit: float) -> None:
    """Corners of the crop."""
    x1, y1 = record.window.x * scale, record.window.y * scale
    x2, y2 = x1 + record.window.side * scale, y1 + record.window.side * scale
    inset = unit
    width, height = draw.im.size
    x1, y1, x2, y2 = max(x1, inset), max(y1, inset), min(x2, width - inset), min(y2, height - inset)
    arm = 0.12 * record.window.side * scale
    for colour, line in ((_SHADOW, round(unit * 1.6)), ((*_PLAIN, 255), round(unit * 0.8))):
        for x, dx in ((x1, arm), (x2, -arm)):
            for y, dy in ((y1, arm), (y2, -arm)):
                draw.line([(x + dx, y), (x, y), (x, y + dy)], fill=colour, width=line, joint="curve")


def _corners(face: Face, scale: float) -> tuple[float, float, float, float]:
    """The box in preview pixels; pixel centres lie at whole numbers."""
    x1, y1, x2, y2 = ((float(v) + 0.5) * scale for v in face.box)
    return x1, y1, x2, y2
