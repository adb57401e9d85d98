"""Whose face is meant in pictures of several people, on real pictures put side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facechain.errors import PhotoError
from facechain.faces import engine
from facechain.images import from_pixels
from facechain.photos.intake import Intake, IntakeOptions, take_in
from facechain.photos.look import Photos


def load(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB").resize((512, 512)))


@pytest.fixture(scope="module")
def men(shared_data: Path) -> list[np.ndarray]:
    return [load(shared_data / "people" / "man" / f"pose{i}.png") for i in (1, 2, 4)]


@pytest.fixture(scope="module")
def others(shared_data: Path, package_photos: dict[str, Path]) -> list[np.ndarray]:
    """Three people unlike each other; the synthetic women are of one look."""
    files = [package_photos["astronaut"], *(shared_data / "styles_preview" / f"{n}.jpg" for n in ("Soccer", "Cowboy"))]
    return [load(file) for file in files]


@pytest.fixture(scope="module")
def groups(men: list[np.ndarray], others: list[np.ndarray]) -> list[np.ndarray]:
    """The man beside somebody else each time, now on the right and now on the left."""
    pairs = [(man, other) if i % 2 else (other, man) for i, (man, other) in enumerate(zip(men, others, strict=True))]
    return [np.concatenate(pair, axis=1) for pair in pairs]


def intake(pictures: list[np.ndarray], reference: np.ndarray | None = None) -> Intake:
    return take_in(Photos([from_pixels(p) for p in pictures]), [], engine(), IntakeOptions(), reference)


def is_man(found: Intake, men: list[np.ndarray]) -> list[bool]:
    known = engine().analyze([men[0]])[0][0].embedding
    assert known is not None
    return [float(np.linalg.norm(row - known)) < 0.3 for row in found.person.embeddings.numpy()]


def test_who_recurs_in_group_photos_is_the_person(groups: list[np.ndarray], men: list[np.ndarray]) -> None:
    found = intake(groups)
    assert is_man(found, men) == [True, True, True] and found.person.attributes.gender == "man"
    assert all("most like the other photos" in verdict.text for verdict in found.verdicts)


def test_a_photo_alone_or_a_reference_decides(
    groups: list[np.ndarray], men: list[np.ndarray], others: list[np.ndarray]
) -> None:
    assert is_man(intake([groups[0], men[1]]), men) == [True, True]
    assert is_man(intake([groups[0]], men[1]), men) == [True]
    found = intake(groups[:2], others[0])
    assert is_man(found, men) == [False] and [v.accepted for v in found.verdicts] == [True, False]
    assert "none of the 2 faces is the person of the reference" in found.verdicts[1].reason


def test_a_lone_group_photo_is_refused_with_the_reason(groups: list[np.ndarray]) -> None:
    with pytest.raises(PhotoError, match=r"(?i)two people of similar size, and nothing says which one is meant"):
        intake([groups[0]])
