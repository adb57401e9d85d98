"""Skeletons of people in pictures against joints marked by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facechain.faces.embedded import EmbeddedEngine
from facechain.pose import POINTS
from facechain.skeletons import find_skeletons

# Marked by eye on the pictures scaled to 1000 pixels on the longer side. head: crown and chin;
# a person is about 7.5 heads high. hidden: points that must not be drawn.
Marks = dict[str, tuple[int, int]]
MARKED: dict[str, tuple[tuple[int, int], Marks, str]] = {
    "people/man/pose1.png": (
        (33, 390),
        {
            **{"nose": (522, 275), "right eye": (476, 224), "left eye": (562, 224)},
            **{"right ear": (410, 245), "left ear": (628, 250)},
            **{"right shoulder": (245, 500), "left shoulder": (695, 545), "right elbow": (240, 890)},
        },
        "right wrist, left wrist, right hip, left hip",
    ),
    "people/man/pose2.png": (
        (62, 490),
        {
            **{"nose": (515, 365), "right eye": (485, 288), "left eye": (580, 287), "left ear": (715, 320)},
            **{"right shoulder": (335, 610), "left shoulder": (905, 620)},
        },
        "right ear, right hip, left hip, right knee",
    ),
    "people/man/pose3.png": (
        (20, 565),
        {
            **{"nose": (365, 425), "right eye": (308, 336), "left eye": (432, 317), "left ear": (578, 325)},
            **{"right shoulder": (270, 620), "left shoulder": (870, 610)},
        },
        "right hip, left hip, left knee",
    ),
    "people/man/pose4.png": (
        (38, 530),
        {
            **{"nose": (482, 375), "right eye": (435, 284), "left eye": (558, 297)},
            **{"right ear": (352, 325), "left ear": (675, 370)},
            **{"right shoulder": (150, 745), "left shoulder": (895, 750)},
        },
        "right elbow, left elbow, right hip, left hip",
    ),
    "people/woman/pose1.png": (
        (52, 408),
        {
            **{"nose": (541, 297), "right eye": (490, 241), "left eye": (587, 241)},
            **{"right ear": (412, 270), "left ear": (640, 275)},
            **{"right shoulder": (295, 520), "left shoulder": (765, 510)},
            **{"right elbow": (285, 900), "left elbow": (765, 880)},
        },
        "right hip, left hip, right knee",
    ),
    "people/woman/pose2.png": (
        (17, 485),
        {
            **{"nose": (455, 350), "right eye": (411, 264), "left eye": (529, 280), "left ear": (622, 345)},
            **{"right shoulder": (270, 630), "left shoulder": (805, 665)},
        },
        "right hip, left hip, left knee",
    ),
    "people/woman/pose3.png": (
        (62, 490),
        {
            **{"nose": (500, 325), "right eye": (462, 244), "left eye": (577, 291)},
            **{"right ear": (372, 300), "left ear": (635, 390)},
            **{"right shoulder": (225, 660), "left shoulder": (630, 600)},
        },
        "right hip, left hip",
    ),
    "people/woman/pose4.png": (
        (38, 468),
        {
            **{"nose": (545, 345), "right eye": (494, 272), "left eye": (600, 281)},
            **{"right ear": (400, 285), "left ear": (660, 290)},
            **{"right shoulder": (275, 610), "left shoulder": (795, 565)},
            **{"right elbow": (155, 955), "left elbow": (865, 955)},
        },
        "right hip, left hip, right knee",
    ),
    "templates/2.jpg": (
        (105, 420),
        {
            **{"nose": (477, 318), "right eye": (450, 271), "left eye": (526, 268), "left ear": (615, 325)},
            **{"left shoulder": (700, 560)},
        },
        "right ear, right hip, left hip",
    ),
    "templates/3.jpg": (
        (52, 295),
        {
            **{"nose": (343, 220), "right eye": (313, 188), "left eye": (371, 190)},
            **{"right ear": (269, 200), "left ear": (424, 205)},
            **{"right shoulder": (178, 390), "left shoulder": (528, 390)},
            **{"right elbow": (130, 630), "left elbow": (542, 630)},
        },
        "right knee, left knee",
    ),
    "templates/4.jpg": (
        (45, 255),
        {
            **{"nose": (336, 190), "right eye": (313, 163), "left eye": (365, 165), "left ear": (418, 185)},
            **{"right shoulder": (225, 375), "left shoulder": (500, 375)},
            **{"right elbow": (198, 560), "left elbow": (545, 590)},
        },
        "right knee, left knee, right ankle",
    ),
}


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine()


@pytest.fixture(scope="module")
def found(shared_data: Path, engine: EmbeddedEngine) -> Callable[[str], tuple[list[np.ndarray], float]]:
    """Skeletons of a test picture, found once, and the scale from its pixels to those of the marks."""

    @cache
    def find(name: str) -> tuple[list[np.ndarray], float]:
        picture = read(shared_data / name)
        return find_skeletons(picture, engine), 1000 / max(picture.shape[:2])

    return find


def errors(skeleton: np.ndarray, marks: Marks, scale: float) -> dict[str, float]:
    """Distance of each seen joint from its mark, pixels of the picture scaled by `scale`; hidden ones are infinite."""
    points = {name: skeleton[POINTS.index(name)] for name in marks}
    return {
        name: float(np.hypot(*(points[name][:2] * scale - mark))) if points[name][2] else np.inf
        for name, mark in marks.items()
    }


@pytest.mark.parametrize("name", list(MARKED))
def test_joints_lie_where_a_person_marks_them(name: str, found: Callable) -> None:
    """Body within 5 % of the standing height as asked for, in fact within 3 %; eyes and nose within 0.8 %."""
    (crown, chin), marks, hidden = MARKED[name]
    people, scale = found(name)
    assert len(people) == 1
    height = 7.5 * (chin - crown)
    off = errors(people[0], marks, scale)
    for joint, distance in off.items():
        limit = 0.008 if joint == "nose" or joint.endswith("eye") else 0.03
        assert distance <= limit * height, f"{joint} is {distance / height:.1%} of the body's height off"
    for joint in hidden.split(", "):
        assert not people[0][POINTS.index(joint), 2], f"{joint} is not in the picture"


def test_the_mean_error_is_small(found: Callable) -> None:
    """Stricter than the body's height: parts of what is seen of the person, crown to the lower edge."""
    off = []
    for name, ((crown, _), marks, _) in MARKED.items():
        people, scale = found(name)
        off += [distance / (1000 - crown) for distance in errors(people[0], marks, scale).values()]
    assert len(off) > 70
    assert np.mean(off) < 0.022, f"{np.mean(off):.2%}"


def test_a_couple_close_together_is_two_people(shared_data: Path, engine: EmbeddedEngine) -> None:
    man, woman = find_skeletons(read(shared_data / "templates" / "5.jpg"), engine)
    nose, right, left = (POINTS.index(point) for point in ("nose", "right shoulder", "left shoulder"))
    assert man[nose, :2] == pytest.approx((248, 170), abs=20)
    assert woman[nose, :2] == pytest.approx((388, 255), abs=20)
    for person in (man, woman):
        assert person[[right, left], 2].all()
        assert person[right, 0] < person[nose, 0] < person[left, 0]
    assert woman[[right, left], 0].mean() - man[[right, left], 0].mean() > 100  # not one body twice


def test_six_people_at_a_table(package_photos: dict[str, Path], engine: EmbeddedEngine) -> None:
    people = find_skeletons(read(package_photos["group"]), engine)
    assert len(people) == 6
    noses = np.array([person[0, :2] for person in people])
    faces = engine.analyze([read(package_photos["group"])], embed=False)[0]
    for face in faces:  # every face has a skeleton of its own
        assert np.linalg.norm(noses - face.points[2], axis=1).min() < 0.15 * face.height
    necks = np.array([person[1] for person in people])
    assert (necks[:, 2] > 0).sum() >= 5
    assert (necks[necks[:, 2] > 0, 1] > noses[necks[:, 2] > 0, 1]).all()


def test_a_mirrored_picture_gives_the_mirrored_skeleton(shared_data: Path, engine: EmbeddedEngine) -> None:
    picture = read(shared_data / "people" / "woman" / "pose1.png")
    (plain,) = find_skeletons(picture, engine)
    (mirrored,) = find_skeletons(np.ascontiguousarray(picture[:, ::-1]), engine)
    swap = [POINTS.index(_other_side(name)) for name in POINTS]
    mirrored[:, 0] = picture.shape[1] - 1 - mirrored[:, 0]
    both = (plain[:, 2] > 0) & (mirrored[swap, 2] > 0)
    assert both.sum() >= 9
    assert np.linalg.norm(plain[both, :2] - mirrored[swap][both, :2], axis=1).max() < 0.04 * 460


@pytest.mark.parametrize("turn", [1, -1])
def test_people_who_lie(turn: int, found: Callable, shared_data: Path, engine: EmbeddedEngine) -> None:
    picture = read(shared_data / "templates" / "4.jpg")
    (upright,), _ = found("templates/4.jpg")
    (lying,) = find_skeletons(np.ascontiguousarray(np.rot90(picture, turn)), engine)
    height, width = picture.shape[:2]
    x, y = upright[:, 0], upright[:, 1]
    turned = np.stack([y, width - 1 - x] if turn == 1 else [height - 1 - y, x], axis=1)
    both = (upright[:, 2] > 0) & (lying[:, 2] > 0)
    assert both.sum() >= 12
    assert np.linalg.norm(turned - lying[:, :2], axis=1)[both].max() < 0.03 * height


def test_a_large_picture_gives_the_same_skeleton(found: Callable, shared_data: Path, engine: EmbeddedEngine) -> None:
    (plain,), _ = found("people/woman/pose1.png")
    picture = Image.open(shared_data / "people" / "woman" / "pose1.png").convert("RGB")
    (large,) = find_skeletons(np.asarray(picture.resize((6000, 6000))), engine)
    both = (plain[:, 2] > 0) & (large[:, 2] > 0)
    assert both.sum() >= 9
    assert np.linalg.norm(plain[both, :2] - large[both, :2] * 512 / 6000, axis=1).max() < 0.02 * 460


def test_nobody_gives_nothing(engine: EmbeddedEngine) -> None:
    ramp = np.linspace(0, 255, 300).astype(np.uint8)
    assert find_skeletons(np.stack([np.tile(ramp, (200, 1))] * 3, -1), engine) == []
    assert find_skeletons(np.zeros((1, 1, 3), np.uint8), engine) == []
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    assert find_skeletons(noise, engine) == []


def _other_side(name: str) -> str:
    side, _, joint = name.partition(" ")
    return {"right": f"left {joint}", "left": f"right {joint}"}.get(side, name)
