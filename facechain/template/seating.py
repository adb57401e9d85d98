"""Who goes into which face."""

from __future__ import annotations

import re

from ..errors import FaceError
from .cut import faces_in_words


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
    if not all(word.isdecimal() for word in words):
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
