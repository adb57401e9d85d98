"""What a head looks like beyond age and gender: glasses, beard, length and colour of the hair, as short tags.

From mesh, head mask and colours alone. A tag is given only where the picture leaves little doubt: a wrong one
costs more likeness than a missing one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..fusion.topology import OVAL
from .align import Alignment
from .filters import polygon, resized, to_lab
from .occlusion import CHEEKS, CHIN_PATCH, Chip, Openness, chip_of

CHINESE = {
    "glasses": "戴眼镜",
    "sunglasses": "戴墨镜",
    "beard": "络腮胡",
    "long hair": "长发",
    "short hair": "短发",
    "black hair": "黑发",
    "brown hair": "棕发",
    "blonde hair": "金发",
    "red hair": "红发",
    "white hair": "白发",
    "purple hair": "紫发",
}
_KINDS = {"glasses": "eyewear", "sunglasses": "eyewear", "beard": "beard"}
_SIDE = 128  # pixels on which hair is looked at
_MOUSTACHE = [165, 167, 164, 393, 391, 322, 270, 269, 267, 0, 37, 39, 40, 92]
# Depth of the dark line across the nose bridge, in natural logarithms of brightness: frames reach 0.95 and more,
# 170 bare noses 0.71 at most.
_FRAME = (0.6, 1.1)
_BEARD = (0.8, 1.2)  # how much darker than the cheeks chin and upper lip both are
_LONG = (0.12, 0.3)  # hair below the chin, in parts of the face's width squared
_HAT = 1.3  # area above the forehead from which it is more than hair, in the same unit
_SURE = 0.5
_COMMON = 0.5  # share of the photos that must agree


@dataclass(frozen=True)
class Tag:
    """english: for the prompt. confidence: 0..1."""

    english: str
    confidence: float

    @property
    def chinese(self) -> str:
        return CHINESE[self.english]

    @property
    def kind(self) -> str:
        return _KINDS.get(self.english) or ("length" if self.english.split()[0] in ("long", "short") else "colour")


def tags_of(aligned: Alignment, mask: np.ndarray, openness: Openness, gender: str | None) -> list[Tag]:
    """The tags of one head crop, each at least half sure. mask: [S, S] 0..1 of the head."""
    chip = chip_of(aligned.image, aligned.mesh)
    hair = _Hair(aligned, mask)
    found = [_eyewear(chip, openness), _beard(chip, openness, gender), hair.length(gender), hair.colour()]
    return [tag for tag in found if tag is not None and tag.confidence >= _SURE]


def common_tags(photos: Sequence[Sequence[Tag]]) -> list[Tag]:
    """The tags that more than half of the photos share, one of a kind, with their mean confidence over all photos."""
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for tags in photos:
        for tag in tags:
            sums[tag.english] += tag.confidence
            counts[tag.english] += 1
    return [Tag(name, round(sums[name] / len(photos), 2)) for name in CHINESE if counts[name] > _COMMON * len(photos)]


def _step(limits: tuple[float, float], value: float) -> float:
    """0 at the first limit, half at the middle, 1 at the second."""
    low, high = limits
    return float(np.clip((value - low) / (high - low), 0, 1))


def _eyewear(chip: Chip, openness: Openness) -> Tag | None:
    inner, other = chip.points[133], chip.points[362]
    gap, width = abs(float(other[0] - inner[0])), float(np.linalg.norm(chip.points[33] - inner))
    x, y = (float(v) for v in (inner + other) / 2)
    rows = slice(max(0, int(y - 0.55 * width)), int(y + 0.35 * width) + 1)
    columns = slice(max(0, int(x - 0.22 * gap)), int(x + 0.22 * gap) + 1)
    down = np.median(chip.away[rows, columns, 2], axis=1) if gap > 3 else np.zeros(0)
    depth = max(
        (min(down[:i].max(), down[i + 1 :].max()) - down[i] for i in range(1, len(down) - 1)),
        default=0.0,
    )
    sure = _step(_FRAME, float(depth))
    if openness.eyes < 0.25 and openness.mouth > 0.5:
        return Tag("sunglasses", max(sure, 1 - openness.eyes))
    return Tag("glasses", sure)


def _beard(chip: Chip, openness: Openness, gender: str | None) -> Tag | None:
    """A full dark beard; stubble and shadows cannot be told apart."""
    if gender != "man" or openness.mouth < 0.5:
        return None
    places = [chip.area(place) for place in (*CHEEKS, CHIN_PATCH, _MOUSTACHE)]
    if not all(place.any() for place in places):
        return None
    right, left, chin, lip = (float(np.median(chip.away[place][:, 2])) for place in places)
    cheeks = min(right, left)  # the shaded one: a shadow is no beard
    return Tag("beard", _step(_BEARD, cheeks - max(chin, lip)))


class _Hair:
    """Where the hair of a head crop is, and its colours in Lab. Areas in parts of the face's width squared."""

    def __init__(self, aligned: Alignment, mask: np.ndarray) -> None:
        from scipy.ndimage import distance_transform_edt

        scale = _SIDE / aligned.image.shape[0]
        points = aligned.mesh[:, :2] * scale
        lab = np.stack([resized(c, _SIDE) for c in np.moveaxis(to_lab(aligned.image), -1, 0)], -1)
        share = resized(mask, _SIDE)
        outline = points[list(OVAL)]
        face = polygon(outline, _SIDE)
        low, high = outline.min(0), outline.max(0)
        width, height = high - low
        y, x = np.mgrid[:_SIDE, :_SIDE]
        away = np.asarray(distance_transform_edt(~face))
        cheeks = polygon(points[CHEEKS[0]], _SIDE) | polygon(points[CHEEKS[1]], _SIDE)
        skin = np.median(lab[cheeks], axis=0) if cheeks.any() else np.array([60.0, 12.0, 14.0])
        other = np.linalg.norm((lab - skin) / np.array([22.0, 10.0, 10.0]), axis=-1) > 1
        hair = (share > 0.8) & (away > 0.05 * width) & other
        chin, brow, middle = points[152, 1], points[9, 1], (low[0] + high[0]) / 2
        beside = hair & (y >= brow - 0.1 * height) & (y < chin)
        self._lab, self._unit = lab, float(width) ** 2
        self._crown = hair & (y < points[10, 1])
        self._sides = beside & (x < middle), beside & (x >= middle)
        self._below = (share > 0.5) & (away > 0.05 * width) & (y > chin + 0.08 * height)
        ends = np.nonzero(aligned.inside[:, aligned.inside.shape[1] // 2])[0]
        self._seen_below = len(ends) > 0 and ends[-1] * scale > chin + 0.3 * height

    def _area(self, place: np.ndarray) -> float:
        return float(place.sum()) / self._unit

    def length(self, gender: str | None) -> Tag | None:
        sides = sorted(self._area(side) for side in self._sides)
        below = self._area(self._below)
        # A man's collar or a dark jacket reaches the hair at one side or both: much of it must hang there.
        enough = min(sides) > 0.3 and below > 0.5 if gender == "man" else max(sides) > 0.12
        if enough and below > _LONG[0]:
            return Tag("long hair", _step(_LONG, below))
        # A woman's hair that is not below the chin may be tied up.
        if gender == "man" and self._seen_below and below < 0.02 and sides[1] < 0.2 < self._area(self._crown):
            return Tag("short hair", 1 - sides[1] / 0.2 * 0.5)
        return None

    def colour(self) -> Tag | None:
        """By the brighter half of the hair, where a colour shows; parts that disagree (a hat, dyed tips) give none."""
        places = [*self._sides, self._below & (self._area(self._sides[0]) + self._area(self._sides[1]) > 0.1)]
        if self._area(self._crown) < _HAT:
            places.append(self._crown)
        votes: dict[str, float] = defaultdict(float)
        places = [place for place in places if self._area(place) > 0.04]
        for place in places:
            votes[_colour_name(self._lab[place])] += self._area(place)
        if len(places) < 2:
            return None
        name = max(votes, key=lambda key: votes[key])
        share, area = votes[name] / sum(votes.values()), sum(votes.values())
        if not name or area < 0.25:
            return None
        return Tag(f"{name} hair", _step((0.45, 0.95), share))


def _colour_name(pixels: np.ndarray) -> str:
    """The name of a hair colour from Lab pixels [N, 3]; "" between two."""
    light = pixels[:, 0]
    low, high = np.percentile(light, [50, 92])
    lit = pixels[(light >= low) & (light <= high)]
    level, a, b = (float(v) for v in lit.mean(0))
    strength = float(np.hypot(a, b))
    if b < -8 and a > 8:
        return "purple"
    if a > 22 and a > 0.85 * b:
        return "red"
    if level > 60 and strength < 9:
        return "white"
    if level > 50 and strength >= 9 and b > 1.5 * a:
        return "blonde"
    if level < 38 and strength < 7.5:
        return "black"
    if strength >= 10.5 and level < 50 and a > -2 and b > 0:
        return "brown"
    return ""
