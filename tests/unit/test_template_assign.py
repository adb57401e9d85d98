"""People given their faces by likeness, or by gender and age, on real pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_fusion import person_of

from facechain.errors import FaceChainError, FaceError
from facechain.faces import engine
from facechain.faces.base import Face
from facechain.images import from_pixels
from facechain.person import Attributes, Person
from facechain.template import faces_report, find_faces, seat_of, seated

EMBEDDED = engine("embedded")


@pytest.fixture(scope="module")
def group(package_photos: dict[str, Path]) -> list[Face]:
    """Six people: women and men side by side."""
    picture = np.asarray(Image.open(package_photos["group"]).convert("RGB"))
    return find_faces(from_pixels(picture), EMBEDDED, described=True)


@pytest.fixture(scope="module")
def somebody(package_photos: dict[str, Path]) -> Person:
    return person_of(package_photos["astronaut"])


def like(person: Person, face: Face, name: str) -> Person:
    embedding = torch.from_numpy(np.asarray(face.embedding))[None]
    return replace(person, name=name, embeddings=embedding)


def of(person: Person, gender: str, age: float) -> Person:
    return replace(person, attributes=Attributes(gender, age, "somebody"))


def test_each_person_finds_their_own_face(group: list[Face], somebody: Person) -> None:
    people = [like(somebody, group[n], f"person of face {n + 1}") for n in (3, 0, 5)]
    assert seated("by likeness", "", people, group, EMBEDDED) == [4, 1, 6]
    assert seat_of("by likeness", people[2], group, EMBEDDED) == 6


def test_two_people_of_one_face_do_not_share_it(group: list[Face], somebody: Person) -> None:
    seats = seated("by likeness", "", [like(somebody, group[2], n) for n in ("a", "b")], group, EMBEDDED)
    assert 3 in seats and len(set(seats)) == 2


def test_gender_and_age(group: list[Face], somebody: Person) -> None:
    women = [n for n, face in enumerate(group, 1) if face.gender == "woman"]
    men = [n for n, face in enumerate(group, 1) if face.gender == "man"]
    assert women and men
    people = [of(somebody, "man", 35), of(somebody, "woman", 35), of(somebody, "man", 35)]
    seats = seated("by gender and age", "", people, group, EMBEDDED)
    assert seats[0] in men and seats[1] in women and seats[2] in men and len(set(seats)) == 3
    ages = [face.age or 0 for face in group]
    oldest = max(men, key=lambda n: ages[n - 1])
    assert seat_of("by gender and age", of(somebody, "man", 90), group, EMBEDDED) == oldest


def test_a_hand_written_seating_comes_first(group: list[Face], somebody: Person) -> None:
    people = [like(somebody, group[3], "a"), like(somebody, group[0], "b")]
    assert seated("by likeness", "2, 5", people, group, EMBEDDED) == [2, 5]
    assert seated("left to right", "", people, group, EMBEDDED) == [1, 2]


def test_what_cannot_be_says_why(group: list[Face], somebody: Person) -> None:
    with pytest.raises(FaceChainError, match=r"no way 'by beauty'.*left to right"):
        seated("by beauty", "", [somebody], group, EMBEDDED)
    with pytest.raises(FaceError, match=r"nobody is connected.*by likeness"):
        seat_of("by likeness", None, group, EMBEDDED)
    with pytest.raises(FaceError, match="6 faces, but there are 7 people"):
        seated("by likeness", "", [somebody] * 7, group, EMBEDDED)


def test_the_report_names_all_faces(group: list[Face]) -> None:
    rows = faces_report(group)
    assert [row["face"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(row["gender"] in ("man", "woman") and len(row["box"]) == 4 for row in rows)
    assert [row["box"][0] for row in rows] == sorted(row["box"][0] for row in rows)
