"""What the embedded engine says of a face: angles, identity, age and gender, sharpness."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facechain.faces import engine
from facechain.faces.base import Face, distance, similarity
from facechain.faces.orientation import analyze_any_orientation

# Seen by eye; the group's faces from left to right.
MEN = {"man", "man portrait", "template 3", "couple left", "group 3", "group 4", "group 5"}


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture(scope="module")
def eng():
    return engine("embedded")


@pytest.fixture(scope="module")
def people(eng, shared_data: Path, package_photos: dict[str, Path]) -> list[tuple[str, Face]]:
    """(who, face): 13 people with 25 faces; templates 1 and 2, and 3 and 4, each show one person."""
    found: list[tuple[str, Face]] = []

    def add(names: list[str], path: Path) -> None:
        faces = eng.analyze([picture(path)], embed=True, attributes=True)[0]
        faces.sort(key=lambda face: face.center[0])
        assert len(faces) == len(names), path
        found.extend(zip(names, faces, strict=True))

    for who in ("man", "woman"):
        for number in range(1, 5):
            add([who], shared_data / "people" / who / f"pose{number}.png")
        add([f"{who} portrait"], shared_data / "people" / who / "portrait.png")
    for number, who in enumerate(("template 1", "template 1", "template 3", "template 3"), start=1):
        add([who], shared_data / "templates" / f"{number}.jpg")
    add(["couple left", "couple right"], shared_data / "templates" / "5.jpg")
    add(["astronaut"], package_photos["astronaut"])
    add([f"group {number}" for number in range(1, 7)], package_photos["group"])
    return found


def test_embeddings_are_unit_vectors_that_name_their_network(people: list[tuple[str, Face]]) -> None:
    for _, face in people:
        assert face.embedding is not None and face.embedding.shape == (128,)
        assert abs(float(np.linalg.norm(face.embedding)) - 1) < 1e-5
        assert face.embedder == "dlib-resnet-128"


def test_identities_are_told_apart(people: list[tuple[str, Face]]) -> None:
    same, different = [], []
    for (who, face), (other, other_face) in combinations(people, 2):
        assert face.embedding is not None and other_face.embedding is not None
        (same if who == other else different).append(distance(face.embedding, other_face.embedding))
    assert len(same) == 14 and len(different) > 200
    area = np.mean(np.array(same)[:, None] < np.array(different)[None])
    assert area > 0.999, area  # AUC
    assert np.mean(same) < 0.2 and np.mean(different) > 0.4
    assert similarity(people[0][1].embedding, people[0][1].embedding) > 0.999  # pyright: ignore[reportArgumentType]


def test_the_mirrored_photo_is_the_same_person(eng, shared_data: Path) -> None:
    photo = picture(shared_data / "people" / "woman" / "pose3.png")
    here, there = (eng.analyze([p])[0][0].embedding for p in (photo, photo[:, ::-1]))
    assert distance(here, there) < 0.08


def test_gender_and_age(people: list[tuple[str, Face]]) -> None:
    wrong = [who for who, face in people if (face.gender == "man") != (who in MEN)]
    assert wrong == []
    for _, face in people:
        assert face.age is not None and 10 < face.age < 45
        assert face.gender_score is not None and 0.5 <= face.gender_score <= 1


def test_nothing_is_computed_unasked(eng, package_photos: dict[str, Path]) -> None:
    (face,) = eng.analyze([picture(package_photos["astronaut"])], embed=False)[0]
    assert (face.embedding, face.embedder, face.age, face.gender, face.gender_score) == (None, "", None, None, None)


def test_yaw_and_roll_change_sign_in_the_mirror_and_pitch_does_not(eng, shared_data: Path) -> None:
    turned = picture(shared_data / "people" / "man" / "pose2.png")  # he looks to image left
    tilted = picture(shared_data / "people" / "woman" / "pose3.png")  # her head leans to image right
    (left,), (right,) = (eng.analyze([p], embed=False)[0] for p in (turned, turned[:, ::-1]))
    assert left.yaw < -15 and right.yaw > 15 and abs(left.yaw + right.yaw) < 3
    assert abs(left.pitch - right.pitch) < 3
    (lean,), (mirrored,) = (eng.analyze([p], embed=False)[0] for p in (tilted, tilted[:, ::-1]))
    assert lean.roll > 15 and abs(lean.roll + mirrored.roll) < 2


@pytest.mark.parametrize("angle", [-75, -50, -25, 25, 50, 75])
def test_roll_follows_the_picture(eng, shared_data: Path, angle: int) -> None:
    photo = Image.open(shared_data / "people" / "man" / "pose1.png").convert("RGB")
    turned = np.asarray(photo.rotate(-angle, resample=Image.Resampling.BICUBIC))  # Pillow turns counter-clockwise
    (still,), (face,) = eng.analyze([np.asarray(photo), turned])
    assert abs(face.roll - still.roll - angle) < 3
    assert abs(face.yaw - still.yaw) < 4 and abs(face.pitch - still.pitch) < 4
    assert distance(face.embedding, still.embedding) < 0.08


def test_a_raised_chin_is_positive_pitch(eng, people: list[tuple[str, Face]]) -> None:
    """Turning the mesh's head back by hand must raise the pitch by as much."""
    from facechain.faces.angles import head_angles

    mesh = people[0][1].mesh
    assert mesh is not None
    angle = np.radians(20)
    back = np.array([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])
    nose = mesh @ back.T
    assert nose[1, 1] - nose[[33, 263], 1].mean() < mesh[1, 1] - mesh[[33, 263], 1].mean()  # the nose went up
    assert abs(head_angles(nose.astype(np.float32))[1] - head_angles(mesh)[1] - 20) < 3


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_photos_are_turned_upright(eng, shared_data: Path, package_photos: dict[str, Path], turns: int) -> None:
    for path in (shared_data / "people" / "man" / "pose3.png", package_photos["astronaut"]):
        photo = picture(path)
        found, faces = analyze_any_orientation(eng, np.rot90(photo, turns))
        assert (found + turns) % 4 == 0, path.name
        assert abs(faces[0].roll) < 35 and faces[0].embedding is not None
        straight = eng.analyze([photo])[0]
        assert len(faces) == len(straight)
        assert distance(faces[0].embedding, straight[0].embedding) < 0.01


@pytest.mark.parametrize("angle", range(15, 360, 30))
def test_a_photo_turned_by_any_angle_is_found_the_right_way_up(eng, shared_data: Path, angle: int) -> None:
    """A portrait whose armour passes for hair where it stands upside down."""
    photo = Image.open(shared_data / "styles_preview" / "Armor.jpg").convert("RGB")
    turned = photo.rotate(-angle, resample=Image.Resampling.BICUBIC, expand=True, fillcolor=(90, 80, 70))
    turns, (face,) = analyze_any_orientation(eng, np.asarray(turned), embed=False)
    assert abs((face.roll + 90 * turns - angle + 180) % 360 - 180) < 10
    assert abs(face.roll) < 60


def test_a_photo_without_a_face_stays_as_it_is(eng) -> None:
    assert analyze_any_orientation(eng, np.full((200, 300, 3), 90, np.uint8)) == (0, [])


def test_blur_lowers_the_sharpness_and_darkness_hardly_does(eng, shared_data: Path) -> None:
    photo = Image.open(shared_data / "people" / "woman" / "pose4.png").convert("RGB")
    versions = [photo, *(photo.filter(ImageFilter.GaussianBlur(radius)) for radius in (1.5, 3, 6))]
    values = [faces[0].sharpness for faces in eng.analyze([np.asarray(v) for v in versions], embed=False)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.45 and values[1] < 0.75 * values[0] and values[3] < 0.15
    dark = eng.analyze([(np.asarray(photo) * 0.4).astype(np.uint8)], embed=False)[0][0].sharpness
    assert abs(dark - values[0]) < 0.1


def test_the_person_mask_holds_the_head_and_not_the_corners(shared_data: Path, eng) -> None:
    from facechain.faces.segment import person_mask

    photo = picture(shared_data / "people" / "man" / "pose4.png")
    mask = person_mask(photo)
    assert mask.shape == photo.shape[:2] and mask.dtype == np.float32 and mask.min() >= 0 and mask.max() <= 1
    points = eng.analyze([photo], embed=False)[0][0].points.astype(int)
    assert mask[points[:, 1], points[:, 0]].min() > 0.9
    assert 0.2 < mask.mean() < 0.6
    assert mask[:60, :60].max() < 0.1 and mask[:60, -60:].max() < 0.1
