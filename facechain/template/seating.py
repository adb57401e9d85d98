"""Who goes into which face: by hand, by order, by likeness, or by gender and age."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..errors import FaceChainError, FaceError
from ..faces.base import Face, FaceEngine
from ..likeness import reference
from ..person import Person
from .cut import faces_in_words

WAYS = ("left to right", "by likeness", "by gender and age")
_OTHER_GENDER, _YEARS = 1.0, 40.0  # years of difference that weigh as much as the other gender
_LEFT_FIRST = 1e-4  # a face further right costs so much more: equals sit from left to right


def seated(way: str, wanted: str, people: Sequence[Person], faces: Sequence[Face], engine: FaceEngine) -> list[int]:
    """The face of each person, counted from 1.

    way: one of WAYS; wanted: faces named by hand (see `seating`), which then count alone. faces: of the template, left
    to right, with embedding and attributes where the way needs them. All people are placed together, so that the
    sum over all is best. Raises FaceError where that cannot be, FaceChainError for a way that does not exist.
    """
    if way not in WAYS:
        raise FaceChainError(
            f"there is no way {way!r} of giving people their faces", f"Choose one of: {', '.join(WAYS)}"
        )
    order = seating(wanted, len(people), len(faces))
    if wanted.strip() or way == WAYS[0]:
        return order
    costs = _unlikeness(people, faces, engine) if way == WAYS[1] else _strangeness(people, faces)
    from scipy.optimize import linear_sum_assignment

    _, places = linear_sum_assignment(costs + _LEFT_FIRST * np.arange(len(faces)))
    return [int(place) + 1 for place in places]


def seat_of(way: str, person: Person | None, faces: Sequence[Face], engine: FaceEngine) -> int:
    """The face nearest to one person, counted from 1; see `seated`. Raises FaceError where there is no person."""
    if person is None:
        raise FaceError(f"nobody is connected for whom a face could be chosen {way}", "Connect a PERSON to person")
    return seated(way, "", [person], faces, engine)[0]


def _unlikeness(people: Sequence[Person], faces: Sequence[Face], engine: FaceEngine) -> np.ndarray:
    """[people, faces] 1 - cosine of each person to each face."""
    rows = np.stack([np.asarray(face.embedding) for face in faces])
    return 1 - np.stack([rows @ reference(person, engine).embeddings.mean(0) for person in people])


def _strangeness(people: Sequence[Person], faces: Sequence[Face]) -> np.ndarray:
    """[people, faces] how far gender and age are apart. An unsure gender weighs less."""

    def cost(person: Person, face: Face) -> float:
        sure = 2 * ((face.gender_score or 0.5) - 0.5)
        other = _OTHER_GENDER * sure * (face.gender != person.attributes.gender)
        return other + abs((face.age or 0) - person.attributes.age) / _YEARS

    return np.array([[cost(person, face) for face in faces] for person in people])


def seating(wanted: str, people: int, faces: int) -> list[int]:
    """The face of each person, counted from 1.

    wanted: such as "1, 3", one number a person in any order; empty means from left to right.
    people, faces: how many there are. Raises FaceError where that cannot be.
    """
    if people < 1:
        raise FaceError("nobody came to the group portrait", "Connect a PERSON to person_1")
    if people > faces:
        raise FaceError(
            f"the template shows {faces_in_words(faces)}, but there are {people} people",
            "Use a template with more faces, or connect fewer people",
        )
    words = [word for word in re.split(r"[\s,;，、；]+", wanted) if word]
    if not words:
        return list(range(1, people + 1))
    if not all(word.isdecimal() and len(word) < 9 for word in words):
        raise FaceError(f"'faces' is {wanted!r}, which are not numbers", "Write it like '1, 3', or leave it empty")
    numbers = [int(word) for word in words]
    if len(numbers) != people:
        raise FaceError(
            f"'faces' names {faces_in_words(len(numbers))} ({wanted.strip()}) for {people} "
            + ("person" if people == 1 else "people"),
            "Name one face for each person, or leave it empty",
        )
    twice = [number for number in numbers if numbers.count(number) > 1]
    if twice:
        raise FaceError(f"'faces' names face {twice[0]} for more than one person", "Give each person another face")
    for number in numbers:
        if not 1 <= number <= faces:
            raise FaceError(
                f"'faces' names face {number}, but the template shows {faces_in_words(faces)}",
                f"Choose from 1 to {faces}, counted from the left" if faces > 1 else "Choose face 1",
            )
    return numbers
