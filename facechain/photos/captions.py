"""How the prompt calls a person: FaceChain's phrases for age and gender."""

from __future__ import annotations

from collections.abc import Sequence

from ..faces.base import Face, Gender
from ..person import TRIGGER, Attributes
from .tags import Tag

# FaceChain reads FairFace's classes (0-2, 3-9, 10-19, 20-29, 30-39, 40-49, ...): a child below
# the third, mature above the fifth.
CHILD_BELOW = 10
MATURE_FROM = 40
# A child only where this share of the photos says so: the network reads young women up to ten years too low.
_AGREED = 0.75
_CHINESE = {
    "a boy, children": "男孩，儿童",
    "a girl, children": "女孩，儿童",
    "a handsome man": "英俊的男士",
    "a beautiful woman": "美丽的女士",
    "a mature man": "成熟男士",
    "a mature woman": "成熟女士",
}


def age_class(age: float) -> str:
    """What FaceChain's phrases tell apart: "child", "adult", "mature adult"."""
    return "child" if age < CHILD_BELOW else "mature adult" if age >= MATURE_FROM else "adult"


def phrase_of(gender: Gender, age: float) -> str:
    """FaceChain's words: "a boy, children", "a handsome man", "a mature woman"."""
    kind = age_class(age)
    if kind == "child":
        return "a boy, children" if gender == "man" else "a girl, children"
    if kind == "mature adult":
        return f"a mature {gender}"
    return "a handsome man" if gender == "man" else "a beautiful woman"


def describe(
    faces: Sequence[Face], weights: Sequence[float], gender: Gender | None = None, age: float | None = None
) -> Attributes:
    """Attributes judged over all photos of one person.

    faces: with age and gender filled in. weights: how much each photo counts (its quality).
    gender, age: the user's word, which settles it.
    """
    if gender is None:
        gender = _voted_gender(faces, weights)
    if age is None:
        age = _middle_age(faces, weights)
    return Attributes(gender=gender, age=round(float(age), 1), phrase=phrase_of(gender, age))


def phrase_zh_of(attributes: Attributes) -> str:
    """The phrase in Chinese, for people to read."""
    return _CHINESE.get(attributes.phrase, attributes.phrase)


def wanted_tags(wanted: str, found: Sequence[Tag]) -> tuple[str, ...]:
    """The tags for the prompt: the user's, between commas or lines; "" for those found, "none" for none."""
    words = [" ".join(piece.split()) for piece in wanted.replace("\n", ",").split(",")]
    written = tuple(dict.fromkeys(word for word in words if word))
    if not written:
        return tuple(tag.english for tag in found)
    return () if [word.lower() for word in written] == ["none"] else written


def caption_of(attributes: Attributes, wanted: str = "") -> str:
    """The caption each photo is trained with; the trigger word comes first, also in the user's own words."""
    wanted = " ".join(wanted.split())
    if not wanted:
        return f"{TRIGGER}, {attributes.phrase}"
    return wanted if TRIGGER in wanted else f"{TRIGGER}, {wanted}"


def _voted_gender(faces: Sequence[Face], weights: Sequence[float]) -> Gender:
    balance = 0.0
    for face, weight in zip(faces, weights, strict=True):
        if face.gender is not None and face.gender_score is not None:
            balance += weight * (face.gender_score - 0.5) * (1 if face.gender == "man" else -1)
    return "man" if balance > 0 else "woman"


def _middle_age(faces: Sequence[Face], weights: Sequence[float]) -> float:
    """Weighted median: one photo with a child's filter or a beard's shadow does not move it far.

    Where it says child and too many photos do not, it is what those say.
    """
    known = sorted((f.age, w) for f, w in zip(faces, weights, strict=True) if f.age is not None)
    if not known:
        return 30.0
    middle, upper = (_quantile(known, share) for share in (0.5, _AGREED))
    return upper if middle < CHILD_BELOW <= upper else middle


def _quantile(known: Sequence[tuple[float, float]], share: float) -> float:
    """The first of these (value, weight), in order, at which the weights' share is reached."""
    goal, passed = share * sum(weight for _, weight in known), 0.0
    for value, weight in known:
        passed += weight
        if passed >= goal:
            return value
    return known[-1][0]
