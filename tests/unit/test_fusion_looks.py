"""The sheet that shows what Face Fusion did to each face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_fusion import person_of

from facechain.faces import engine
from facechain.fusion import FusedPictures, Strength, fuse_pictures, inspection
from facechain.images import from_pixels, to_pixels

TITLE = 40  # rows of the sheet above its first tile, at most


@pytest.fixture(scope="module")
def target(shared_data: Path) -> np.ndarray:
    return np.asarray(Image.open(shared_data / "styles_preview/Gentleman.jpg").convert("RGB"))


@pytest.fixture(scope="module")
def done(shared_data: Path, target: np.ndarray) -> FusedPictures:
    person = person_of(shared_data / "people/man/portrait.png")
    return fuse_pictures(from_pixels(target, np.full_like(target, 128)), person, engine(), Strength())


def test_each_face_has_a_row_with_photo_face_new_face_mask_and_result(done: FusedPictures, target: np.ndarray) -> None:
    row, untouched = done.looks
    photo, before, _, shown, result = row
    assert photo.lines[0] == "photo portrait.png" and before.lines[0] == "picture 1, face 1"
    report = done.reports[0]["changed"][0]
    assert result.lines[1] == f"likeness {report['likeness_after']:.0f} %"
    assert np.abs(result.picture.astype(int) - before.picture).mean() > 2
    middle = shown.picture.shape[0] // 2
    assert shown.picture[middle, middle].min() > 200 and shown.picture[0, 0].max() == 0
    # the result's tile is the part of the picture that was worked on
    pixels = to_pixels(done.images)[0]
    assert abs(float(result.picture.mean()) - float(pixels.mean())) < 60
    assert untouched[0].lines == ("picture 2", "no face found")


def test_the_sheet_has_a_line_for_each_row(done: FusedPictures) -> None:
    one, two = (inspection(done.looks[:count]) for count in (1, 2))
    assert one.dtype == np.uint8 and one.shape[1] > 5 * 224
    assert 1.5 * one.shape[0] < two.shape[0] + TITLE < 2.2 * one.shape[0]
    many = inspection([*done.looks] * 30)
    assert many.shape[0] < 41 * one.shape[0]  # 40 rows, and a line that says how many are not shown
