"""What hides a face: a mask, a hand or a microphone before the mouth; dark glasses or reflections before the eyes.

Read from the photo's own colours at places of the mesh, no network. Colours are compared as the ratios
of linear red, green and blue, which shadows hardly change, and as brightness with a wide tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..faces.base import Face
from ..faces.crops import crop
from ..faces.mesh import region_of
from ..fusion.topology import INNER_LIPS, LEFT_EYE, LIPS, OVAL, RIGHT_EYE
from .filters import linear_light, polygon, steps
from .headmask import SKIN_PATCHES

_SIDE = 160  # pixels of the face crop that is read
# From the nose's tip along the cheeks round the chin.
LOWER_FACE = [5, 50, 123, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 352, 280]
CHEEKS = SKIN_PATCHES[:2]
CHIN_PATCH = [32, 194, 83, 18, 313, 418, 262, 369, 175, 140]
# Places that are skin in most photos: forehead, nose bridge, both cheeks, chin, nose tip.
_PLACES = (
    [109, 10, 338, 336, 9, 107],
    [168, 193, 122, 196, 3, 51, 5, 281, 248, 419, 351, 417],
    *CHEEKS,
    CHIN_PATCH,
    [45, 4, 275, 1, 44, 274],
)
_COLOUR, _DARKER, _BRIGHTER = (
    0.35,
    1.6,
    0.8,
)  # differences (natural logarithm) at which skin begins to be something else
# What lips do to colour: redder and darker than the skin around them, darkest where they meet. Each weighed
# so that its spread over 220 faces, half of them real photos, is alike; something before the mouth gives sums near 0.
_REDDER, _DARK, _LINE = 0.1, 0.35, 0.55
_LIPS = (0.6, 1.2)
# On skin that has colour lips are redder than what is around them: by 0.17 and more on 102 faces; a microphone is not, nor
# are the dark lines between the fingers of a hand. Skin has at least 0.44 more red than green there (logarithm).
_RED_AT_LEAST, _COLOURFUL = (0.02, 0.1), (0.15, 0.3)
_UPPER, _LOWER_LIP = [191, 80, 81, 82, 13, 312, 311, 310, 415], [95, 88, 178, 87, 14, 317, 402, 318, 324]
_FAR_EYE = 40.0  # degrees of yaw beyond which the far eye is not to be seen anyway
_BURNT = 215  # of 255, the darkest channel of a reflection


@dataclass(frozen=True)
class Openness:
    """Each 0..1. mouth: 1 = nothing before the lower face. eyes: 1 = no dark glasses, no reflections."""

    mouth: float
    eyes: float


@dataclass(frozen=True, eq=False)
class Chip:
    """A level crop of a face.

    pixels: uint8 [S, S, 3].
    points: [468, 2].
    away: [S, S, 3], the logarithms of red/green, of blue/green and of brightness, less those of the face's skin.
    like: [S, S] 0..1, where 1 is that skin.
    skin: [3], the same three of that skin itself.
    """

    pixels: np.ndarray
    points: np.ndarray
    away: np.ndarray
    like: np.ndarray
    skin: np.ndarray

    def area(self, outline: Sequence[int], scale: float = 1.0) -> np.ndarray:
        """bool [S, S]: inside these mesh points, drawn `scale` times as large around their middle."""
        shape = self.points[list(outline)]
        middle = shape.mean(0)
        return polygon(middle + (shape - middle) * scale, len(self.pixels))


def openness(photo: np.ndarray, face: Face) -> Openness:
    """How open the face lies in uint8 RGB [H, W, 3]. A face without a mesh counts as open."""
    if face.mesh is None:
        return Openness(1.0, 1.0)
    chip = chip_of(photo, face.mesh)
    return Openness(mouth_openness(chip, face.yaw), _eyes(chip, face.yaw))


def mouth_openness(chip: Chip, yaw: float) -> float:
    """0..1, as Openness.mouth; yaw: degrees."""
    seen = float(np.maximum(_lips(chip), steps(35, 55, abs(yaw))))  # in profile lips are a few pixels
    lower = chip.area(LOWER_FACE) & chip.area(OVAL) & ~chip.area(LIPS, 1.1)
    if not lower.any():
        return seen
    beard = seen * (chip.away[..., 2] < -1.0)  # what is dark around visible lips has grown there
    skin = float(np.maximum(chip.like, beard)[lower].mean())
    return float(steps(0.1, 0.45, skin) * (0.2 + 0.8 * seen))


def _lips(chip: Chip) -> float:
    """0..1, whether the mouth's place looks like a mouth."""
    around = chip.area(LIPS, 1.7) & ~chip.area(LIPS, 1.12) & chip.area(OVAL)
    lips = chip.area(LIPS) & ~chip.area(INNER_LIPS)
    if not lips.any() or not around.any():
        return 1.0
    skin = np.median(chip.away[around], 0)
    red, _, bright = np.median(chip.away[lips], 0) - skin
    upper, lower = chip.points[_UPPER], chip.points[_LOWER_LIP]
    spots = np.stack([upper, (upper + lower) / 2, lower]).round().astype(int).clip(0, len(chip.pixels) - 1)
    line = float(np.median(chip.away[spots[..., 1], spots[..., 0], 2].min(0))) - skin[2]
    signs = max(red, 0.0) / _REDDER + max(-bright, 0.0) / _DARK + max(-line, 0.0) / _LINE
    pale = steps(*_COLOURFUL, chip.skin[0]) * (1 - steps(*_RED_AT_LEAST, red))
    return float(steps(*_LIPS, signs) * (1 - steps(0.08, 0.25, -red)) * (1 - pale))


def _eyes(chip: Chip, yaw: float) -> float:
    found = []
    for side, outline in ((-1, RIGHT_EYE), (1, LEFT_EYE)):
        if side * yaw > _FAR_EYE:  # the nose points to that side
            continue
        shape = chip.points[list(outline)]
        (x, y), width = shape.mean(0), float(np.ptp(shape[:, 0]))
        rows, columns = np.mgrid[: len(chip.pixels), : len(chip.pixels)]
        below = (np.abs(columns - x) < 0.6 * width) & (np.abs(rows - y - 0.44 * width) < 0.16 * width)
        near = (np.abs(columns - x) < 0.65 * width) & (np.abs(rows - y) < 0.28 * width)
        if not below.any():
            continue
        skin = float(chip.like[below].mean())
        darkest, brightest = chip.pixels[near].min(-1).astype(int), chip.pixels[near].max(-1).astype(int)
        burnt = (darkest > _BURNT) & (brightest - darkest < 40) & (chip.away[near][:, 2] > 0.2)
        found.append(float(steps(0.02, 0.3, skin) * (1 - steps(0.12, 0.4, burnt.mean()))))
    return float(np.mean(found)) if found else 1.0


def chip_of(photo: np.ndarray, mesh: np.ndarray) -> Chip:
    region = region_of(mesh, 1.15)
    pixels = crop(photo, region, _SIDE)
    cos, sin = np.cos(region.angle), np.sin(region.angle)
    turned = (mesh[:, :2] - (region.cx, region.cy)) @ np.array([[cos, -sin], [sin, cos]])
    points = turned * (_SIDE / region.size) + _SIDE / 2
    ratios = _ratios(pixels)
    skin = _skin(ratios, points)
    away = ratios - skin
    darkness = np.where(away[..., 2] < 0, away[..., 2] / _DARKER, away[..., 2] / _BRIGHTER)
    distance = np.sqrt((away[..., :2] ** 2).sum(-1) / _COLOUR**2 + darkness**2)
    return Chip(pixels, points, away, 1 / (1 + np.exp((distance - 1.25) * 6)), skin)


def _ratios(pixels: np.ndarray) -> np.ndarray:
    """[H, W, 3] natural logarithms of red / green, blue / green and brightness, of linear light."""
    light = np.log(linear_light(pixels) + 0.01)
    brightness = light @ np.array([0.3, 0.6, 0.1], np.float32)
    return np.stack([light[..., 0] - light[..., 1], light[..., 2] - light[..., 1], brightness], -1)


def _skin(ratios: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[3]: the skin's ratios, of the place that is most like the other places which can be skin at all."""
    areas = [polygon(points[place], len(ratios)) for place in _PLACES]
    found = np.array([np.median(ratios[area], axis=0) for area in areas if area.any()])
    # Skin of every colour reflects more red than green and more green than blue.
    possible = found[(found[:, 0] > 0.05) & (found[:, 1] < 0.05) & (found[:, 0] - found[:, 1] > 0.12)]
    if not len(possible):  # coloured light, or black and white
        possible = found
    gaps = np.abs(possible[:, None] - possible[None]) @ np.array([1.0, 1.0, 0.15])
    return possible[int(np.argmin(np.median(gaps, axis=1)))]
