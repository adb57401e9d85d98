"""The loss by step as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .loop import smoothed

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = (768, 432)
SCALE = 2  # drawn larger, then scaled down: Pillow's lines have no smooth edges
INK, PALE, GRID, LINE, DOTS = "#1f2933", "#7b8794", "#e4e7eb", "#2563eb", "#bfdbfe"
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 56, 44


def draw_curve(losses: Sequence[float], steps: int, title: str, note: str = "", stride: int = 1) -> Image:
    """losses so far, as dots, and their running mean, as a line, on axes for all steps. RGB, 768x432.

    note: a second line below the title ("step 40 of 600, 2.1 it/s"). stride: steps between two of the losses.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    image = Pillow.new("RGB", (SIZE[0] * SCALE, SIZE[1] * SCALE), "white")
    draw = ImageDraw.Draw(image)
    low, high = _bounds(losses)
    right, bottom = SIZE[0] - RIGHT, SIZE[1] - BOTTOM

    def place(step: float, loss: float) -> tuple[float, float]:
        x = LEFT + (right - LEFT) * step / max(steps, 1)
        y = bottom - (bottom - TOP) * (min(max(loss, low), high) - low) / (high - low)
        return x * SCALE, y * SCALE

    _grid(draw, place, low, high, steps, stride)
    _text(draw, (LEFT, 12), title, 17, INK, "la")
    _text(draw, (LEFT, 34), note, 12, PALE, "la")
    thinned = max(1, len(losses) // 600)
    for step in range(0, len(losses), thinned):
        x, y = place(step + 1, losses[step])
        draw.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), fill=DOTS)
    if len(losses) > 1:
        mean = smoothed(list(losses))
        draw.line(
            [place(s + 1, mean[s]) for s in range(0, len(mean), thinned)], fill=LINE, width=2 * SCALE, joint="curve"
        )
    return image.resize(SIZE, Pillow.Resampling.LANCZOS)


def curve_of(report: Mapping[str, Any]) -> np.ndarray:
    """The picture of a finished training, uint8 [432, 768, 3]; report: as trainer.train_person gives it."""
    title = f"{report['person']}: {report['steps']} steps, {report['photos']} photos, {report['resolution']} px"
    note = (
        f"loss {report['loss_at_first']:.4f} to {report['loss_at_last']:.4f}, {report['steps_per_second']:.2f} steps/s"
    )
    return np.asarray(draw_curve(report["losses"], len(report["losses"]), title, note, stride=report["loss_stride"]))


def note_of(step: int, steps: int, losses: Sequence[float], seconds: float) -> str:
    """ "step 40 of 600, loss 0.1234, 2.10 steps/s, 4:26 left" for a running training."""
    if not losses or seconds <= 0:
        return f"step {step} of {steps}"
    left = round((steps - step) * seconds / max(step, 1))
    mean = smoothed(list(losses))[-1]
    return f"step {step} of {steps}, loss {mean:.4f}, {step / seconds:.2f} steps/s, {left // 60}:{left % 60:02} left"


def _bounds(losses: Sequence[float]) -> tuple[float, float]:
    """The axis: from 0 or just below the smallest, to above all but the highest hundredth."""
    if not losses:
        return 0.0, 1.0
    ordered = sorted(losses)
    high = ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))] * 1.05
    low = ordered[0]
    low = 0.0 if low < 0.6 * high else low * 0.98
    return low, max(high, low + 1e-6)


def _grid(draw: Any, place: Any, low: float, high: float, steps: int, stride: int) -> None:
    for part in range(5):
        level = low + (high - low) * part / 4
        start, end = place(0, level), place(steps, level)
        draw.line([start, end], fill=GRID, width=SCALE)
        _text(draw, (start[0] / SCALE - 8, start[1] / SCALE), f"{level:.3g}", 12, PALE, "rm")
        x, _ = place(steps * part / 4, low)
        _text(draw, (x / SCALE, SIZE[1] - BOTTOM + 10), f"{round(steps * stride * part / 4)}", 12, PALE, "ma")
    _text(draw, (SIZE[0] - RIGHT, SIZE[1] - 14), "step", 12, PALE, "rm")
    _text(draw, (12, TOP - 12), "loss", 12, PALE, "lm")


def _text(draw: Any, place: tuple[float, float], text: str, size: int, colour: str, anchor: str) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(size * SCALE)
    draw.text((place[0] * SCALE, place[1] * SCALE), text, fill=colour, font=font, anchor=anchor)
