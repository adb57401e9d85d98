"""Loss and likeness by step as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..lettering import font_for, shortened, write
from .loop import smoothed

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

SIZE = (768, 432)
SCALE = 2  # drawn larger, then scaled down: Pillow's lines have no smooth edges
INK, PALE, GRID, LINE, DOTS = "#1f2933", "#7b8794", "#e4e7eb", "#2563eb", "#bfdbfe"
LIKENESS = "#d97706"
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 56, 44
NAME = 400  # room for a person's name in a title, so that what follows it is seen
WITH_LIKENESS = 56  # RIGHT, where a second axis needs room


def draw_curve(
    losses: Sequence[float],
    steps: int,
    title: str,
    note: str = "",
    stride: int = 1,
    verdicts: Sequence[Mapping[str, Any]] = (),
    chosen: Sequence[int] = (),
) -> Image:
    """losses so far, as dots, and their running mean, as a line, on axes for all steps. RGB, 768x432.

    title: cut where it is too long. note: a second line below the title ("step 40 of 600, 2.1 it/s").
    stride: steps between two of the losses.
    verdicts: of snapshots, as judge.Verdict.as_dict gives them, drawn as a second line with an axis at the right;
    chosen: steps whose marks are filled.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    image = Pillow.new("RGB", (SIZE[0] * SCALE, SIZE[1] * SCALE), "white")
    draw = ImageDraw.Draw(image)
    low, high = _bounds(losses)
    right, bottom = SIZE[0] - (WITH_LIKENESS if verdicts else RIGHT), SIZE[1] - BOTTOM

    def place(step: float, loss: float) -> tuple[float, float]:
        x = LEFT + (right - LEFT) * step / max(steps, 1)
        y = bottom - (bottom - TOP) * (min(max(loss, low), high) - low) / (high - low)
        return x * SCALE, y * SCALE

    _grid(draw, place, low, high, steps, stride)
    _text(draw, (LEFT, 27), title, 17, INK, "ls", SIZE[0] - LEFT - RIGHT)  # fonts rise to different heights
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
    if verdicts:
        _likeness(draw, lambda step: place(step / stride, low)[0] / SCALE, bottom, right, verdicts, chosen)
    return image.resize(SIZE, Pillow.Resampling.LANCZOS)


def _likeness(
    draw: Any,
    across: Any,
    bottom: float,
    right: float,
    verdicts: Sequence[Mapping[str, Any]],
    chosen: Sequence[int],
) -> None:
    """Likeness in percent by step: a line with round marks, filled where the result is made of them."""
    top = max(100.0, *(10 * math.ceil(v["likeness"] / 10) for v in verdicts))
    points = [(across(v["step"]), bottom - (bottom - TOP) * min(max(v["likeness"], 0.0), top) / top) for v in verdicts]
    for part in range(5):
        level = bottom - (bottom - TOP) * part / 4
        _text(draw, (right + 8, level), f"{top * part / 4:.0f} %", 12, LIKENESS, "lm")
    _text(draw, (SIZE[0] - 12, TOP - 14), "likeness", 12, LIKENESS, "rm")
    scaled = [(x * SCALE, y * SCALE) for x, y in points]
    if len(scaled) > 1:
        draw.line(scaled, fill=LIKENESS, width=2 * SCALE, joint="curve")
    for (x, y), verdict in zip(scaled, verdicts, strict=True):
        size = 5 * SCALE
        fill = LIKENESS if verdict["step"] in chosen else "white"
        draw.ellipse((x - size, y - size, x + size, y + size), fill=fill, outline=LIKENESS, width=2 * SCALE)


def with_portraits(curve: Image, portraits: torch.Tensor | None) -> Image:
    """The curve below a row of portraits [P, H, W, 3] (0..1), as wide as they are together; the curve without any."""
    from PIL import Image as Pillow

    from ..images import to_pixels

    if portraits is None or not len(portraits):
        return curve
    row = Pillow.fromarray(np.concatenate(to_pixels(portraits), 1))
    row = row.resize((curve.width, round(row.height * curve.width / row.width)), Pillow.Resampling.BICUBIC)
    both = Pillow.new("RGB", (curve.width, row.height + curve.height), "white")
    both.paste(row, (0, 0))
    both.paste(curve, (0, row.height))
    return both


def curve_of(report: Mapping[str, Any]) -> np.ndarray:
    """The picture of a finished training, uint8 [432, 768, 3]; report: as trainer.train_person gives it."""
    verdicts = report.get("snapshots", [])
    if report.get("base_likeness") is not None:
        verdicts = [{"step": 0, "likeness": report["base_likeness"]}, *verdicts]
    losses, stride = report["losses"], report["loss_stride"]
    title, note = headings_of(report)
    return np.asarray(draw_curve(losses, len(losses), title, note, stride, verdicts, report.get("chosen", [])))


def headings_of(report: Mapping[str, Any]) -> tuple[str, str]:
    """ "anna: 200 steps, 3 photos, 512 px" and "loss 0.2 to 0.1, 5.03 steps/s, likeness 61 % at step 150"."""
    name = shortened(report["person"], font_for(report["person"], 17), NAME)
    steps, photos = (f"{report[key]} {key[:-1] if report[key] == 1 else key}" for key in ("steps", "photos"))
    chosen = report.get("chosen", [])
    kept = [verdict for verdict in report.get("snapshots", []) if verdict["step"] in chosen]
    likeness = ""
    if any(verdict["faces"] for verdict in kept):
        known = max(0.0, *(verdict["likeness"] for verdict in kept))
        likeness = f", likeness {known:.0f} % at step {', '.join(map(str, chosen))}"
    elif kept:
        likeness = ", no portrait shows a face"
    first, last, speed = (report[key] for key in ("loss_at_first", "loss_at_last", "steps_per_second"))
    title = f"{name}: {steps}, {photos}, {report['resolution']} px"
    return title, f"loss {first:.4f} to {last:.4f}, {speed:.2f} steps/s{likeness}"


def note_of(step: int, steps: int, losses: Sequence[float], seconds: float, first: int = 0) -> str:
    """ "step 40 of 600, loss 0.1234, 2.10 steps/s, 4:26 left" for a running training.

    seconds: since the step `first`, which is not 0 where it goes on from an earlier run.
    """
    done = step - first
    if not losses or seconds <= 0 or done <= 0:
        return f"step {step} of {steps}"
    left = round((steps - step) * seconds / done)
    mean = smoothed(list(losses))[-1]
    return f"step {step} of {steps}, loss {mean:.4f}, {done / seconds:.2f} steps/s, {left // 60}:{left % 60:02} left"


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
    for step in sorted({round(steps * stride * part / 4) for part in range(5)}):
        x, _ = place(step / stride, low)
        _text(draw, (x / SCALE, SIZE[1] - BOTTOM + 10), f"{step}", 12, PALE, "ma")
    _text(draw, (SIZE[0] - RIGHT, SIZE[1] - 14), "step", 12, PALE, "rm")
    _text(draw, (12, TOP - 12), "loss", 12, PALE, "lm")


def _text(
    draw: Any, place: tuple[float, float], text: str, size: int, colour: str, anchor: str, room: float = SIZE[0]
) -> None:
    write(draw, (place[0] * SCALE, place[1] * SCALE), text, size * SCALE, colour, room * SCALE, anchor)
