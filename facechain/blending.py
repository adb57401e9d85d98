"""Several styles in one portrait: which, how strongly, and what they add to the prompt."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .errors import RecordError
from .styles import MAX_WEIGHT, Style

_NUMBER = r"[-+]?[0-9]*\.?[0-9]+"
_LINE = rf"^(?P<name>.*?)(?:[\s:=]+(?P<weight>{_NUMBER}))?$"
DEFAULT_WEIGHT = 0.5


@dataclass(frozen=True)
class Blend:
    """A further style. weight: of its words and, times its own style weight, of its LoRA. with_lora: that is applied."""

    style: Style
    weight: float
    with_lora: bool = False


def parse_blend(text: str) -> list[tuple[str, float]]:
    """The styles and their weights, as in "armor 0.4, kimono: 0.6": one to a line, or between commas.

    A style without a weight has the default one; a weight of zero leaves the style out.
    Raises RecordError for a weight that is negative or above the limit, and for a style named twice.
    """
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in re.split(r"[\n,;]", text))):
        match = re.match(_LINE, part)
        name, weight = (match["name"].strip(), match["weight"]) if match else (part, None)
        value = DEFAULT_WEIGHT if weight is None else float(weight)
        if not re.search(r"[^\W\d_]", name):
            raise RecordError(f"blend: {part!r} names no style", "Write one style a line, such as: armor 0.4")
        if not 0 <= value <= MAX_WEIGHT:
            raise RecordError(f"blend: {name} has the weight {value:g}", f"Use 0 to {MAX_WEIGHT:g}")
        if name in found:
            raise RecordError(f"blend: {name} stands there twice", "Name each style once")
        found[name] = value
    return [(name, weight) for name, weight in found.items() if weight]


def weighted(pieces: Iterable[str], weight: float) -> list[str]:
    """Pieces of a prompt at a weight, in ComfyUI's syntax; what is weighted already is multiplied by ComfyUI."""
    return list(pieces) if weight == 1 else [f"({piece}:{weight:g})" for piece in pieces]
