"""The head mask against outlines drawn by hand: its quality as a number.

tests/data/head_outlines.json holds for each picture the head's outline in parts of the picture's sides, and the
intersection over union that the mask must keep (measured, less 0.02). "@" names a photo that a PyPI package carries.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facechain.faces import engine
from facechain.images import apply_affine, invert
from facechain.photos.align import Alignment, align
from facechain.photos.filters import polygon
from facechain.photos.headmask import CHIN, head_mask, person_in_crop

OUTLINES = json.loads((Path(__file__).parents[1] / "data" / "head_outlines.json").read_text(encoding="utf-8"))


@dataclass(frozen=True, eq=False)
class Drawn:
    """outline: bool [S, S], the head as drawn. ours: the mask. person: all of the person."""

    aligned: Alignment
    outline: np.ndarray
    ours: np.ndarray
    person: np.ndarray
    least: float

    def fit(self, mask: np.ndarray) -> float:
        marked = mask > 0.5
        return float((marked & self.outline).sum() / (marked | self.outline).sum())


def draw(entry: dict[str, Any], photo: np.ndarray, size: int = 512) -> Drawn:
    faces = engine().analyze([photo], embed=False)[0]
    points = np.array(entry["outline"]) * photo.shape[1::-1] - 0.5
    # In a group the head is meant whose face lies inside the outline.
    face = min(faces, key=lambda f: float(np.hypot(*(np.array(f.center) - (points.min(0) + points.max(0)) / 2))))
    aligned = align(photo, face, size)
    outline = polygon(apply_affine(invert(aligned.matrix), points), size) & aligned.inside
    ours = head_mask(aligned, photo, [f for f in faces if f is not face])
    return Drawn(aligned, outline, ours, person_in_crop(aligned, photo), entry["least"])


@pytest.fixture(scope="module")
def photo_of(shared_data: Path, package_photos: dict[str, Path]) -> Callable[[str], np.ndarray]:
    def read(picture: str) -> np.ndarray:
        path = package_photos[picture[1:]] if picture.startswith("@") else shared_data / picture
        return np.asarray(Image.open(path).convert("RGB"))

    return read


@pytest.fixture(scope="module")
def drawn(photo_of: Callable[[str], np.ndarray]) -> list[Drawn]:
    return [draw(entry, photo_of(entry["picture"])) for entry in OUTLINES]


def test_masks_fit_the_outlines(drawn: list[Drawn]) -> None:
    fits = [d.fit(d.ours) for d in drawn]
    short = [
        f"{o['name']}: {fit:.3f} < {d.least}" for o, d, fit in zip(OUTLINES, drawn, fits, strict=True) if fit < d.least
    ]
    assert not short
    assert np.mean(fits) > 0.89


def test_simpler_masks_do_not(drawn: list[Drawn]) -> None:
    """The whole person, or what of it lies above the chin, would not pass: the numbers tell good masks from bad."""
    whole = [d.fit(d.person) for d in drawn]
    above = [d.fit(np.where(np.arange(512)[:, None] < d.aligned.mesh[CHIN, 1], d.person, 0)) for d in drawn]
    assert np.mean(whole) < 0.5 and np.mean(above) < 0.8
    assert all(fit < d.least for fit, d in zip(whole, drawn, strict=True))
    assert all(fit < d.least for fit, d in zip(above, drawn, strict=True))


def test_1024_fits_as_well(photo_of: Callable[[str], np.ndarray], drawn: list[Drawn]) -> None:
    for place in (1, 4):  # a hat, and hair to the shoulders
        large = draw(OUTLINES[place], photo_of(OUTLINES[place]["picture"]), 1024)
        assert large.fit(large.ours) > drawn[place].fit(drawn[place].ours) - 0.01
