"""Who goes into which face of a group portrait."""

from __future__ import annotations

import pytest

from facechain.errors import FaceError
from facechain.template import seating


def test_people_sit_from_left_to_right_unless_told_otherwise() -> None:
    assert seating("", 2, 3) == [1, 2]
    assert seating(" 3 ,1", 2, 3) == [3, 1]
    assert seating("2、1", 2, 2) == [2, 1]


@pytest.mark.parametrize(
    ("wanted", "people", "faces", "message"),
    [
        ("", 3, 2, "shows 2 faces, but there are 3 people.*more faces"),
        ("", 0, 2, "nobody came"),
        ("1, x", 2, 2, "not numbers.*'1, 3'"),
        ("-1", 1, 2, "not numbers"),
        ("1, 2", 1, 2, "names 2 faces .1, 2. for 1 person"),
        ("2", 2, 2, "names 1 face .2. for 2 people"),
        ("2, 2", 2, 2, "face 2 for more than one"),
        ("1, 4", 2, 3, "face 4, but the template shows 3 faces.*from 1 to 3"),
        ("0", 1, 1, "face 0, but the template shows 1 face.*Choose face 1"),
    ],
)
def test_a_seating_that_cannot_be_says_why(wanted: str, people: int, faces: int, message: str) -> None:
    with pytest.raises(FaceError, match=message):
        seating(wanted, people, faces)
