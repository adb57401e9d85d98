"""The embedded engine on pictures: who is found, and nobody where nobody is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facechain.errors import ModelFileError
from facechain.faces import engine
from facechain.faces.base import Face

Finder = Callable[[np.ndarray], list[Face]]


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture(scope="module")
def find() -> Finder:
    eng = engine("embedded")
    return lambda image: eng.analyze([image], embed=False)[0]


def test_every_style_picture_has_one_face(find: Finder, shared_data: Path) -> None:
    pictures = sorted((shared_data / "styles_preview").glob("*.jpg"))
    counts = {path.stem: len(find(picture(path))) for path in pictures}
    assert len(counts) == 79
    assert {name: count for name, count in counts.items() if count != 1} == {}


def test_every_person_picture_and_template_has_its_faces(find: Finder, shared_data: Path) -> None:
    pictures = [*sorted((shared_data / "people").glob("*/*.png")), *sorted((shared_data / "templates").glob("*.jpg"))]
    counts = {path.name: len(find(picture(path))) for path in pictures}
    assert len(pictures) == 15
    assert counts.pop("5.jpg") == 2  # a couple
    assert set(counts.values()) == {1}


def test_six_people_in_the_group_photo_largest_first(find: Finder, package_photos: dict[str, Path]) -> None:
    faces = find(picture(package_photos["group"]))
    assert len(faces) == 6
    areas = [face.area for face in faces]
    assert areas == sorted(areas, reverse=True)
    assert all(80 < face.width < 140 for face in faces)


@pytest.mark.parametrize("upright", [False, True])
def test_each_face_of_a_long_strip(find: Finder, shared_data: Path, upright: bool) -> None:
    """Ten heads side by side, or one above the other, and twenty small ones in a wide hall."""
    heads = []
    for number in range(10):
        photo = picture(shared_data / "people" / ("man", "woman")[number % 2] / f"pose{number // 2 % 4 + 1}.png")
        face = find(photo)[0]
        x, y, reach = *face.center, 1.05 * max(face.width, face.height)
        cut = Image.fromarray(photo).crop(
            (int(x - 0.83 * reach), int(y - reach), int(x + 0.83 * reach), int(y + reach))
        )
        heads.append(np.asarray(cut.resize((200, 240), Image.Resampling.LANCZOS)))
    faces = find(np.concatenate(heads, 0 if upright else 1))
    places = sorted(face.center[1 if upright else 0] // (240 if upright else 200) for face in faces)
    assert places == list(range(10))
    hall = np.full((300, 2000, 3), 90, np.uint8)
    hall[100:220] = np.asarray(Image.fromarray(np.concatenate(heads * 2, 1)).resize((2000, 120)))
    assert len(find(hall)) == 20


def test_small_faces_in_a_large_picture(find: Finder, package_photos: dict[str, Path]) -> None:
    """Six faces, each 1/36 of the picture's width: found in its parts alone."""
    canvas = np.full((2400, 3600, 3), 200, np.uint8)
    canvas[700:1586, 1500:2780] = picture(package_photos["group"])
    faces = find(canvas)
    assert len(faces) == 6
    assert all(1500 < face.center[0] < 2780 and 700 < face.center[1] < 1586 for face in faces)


def test_a_face_that_fills_the_picture(find: Finder, package_photos: dict[str, Path]) -> None:
    photo = picture(package_photos["astronaut"])
    x1, y1, x2, y2 = (int(v) for v in find(photo)[0].box)
    (face,) = find(photo[y1:y2, x1:x2])
    assert face.width > 0.85 * (x2 - x1)


def test_the_face_lies_where_it_is(find: Finder, package_photos: dict[str, Path]) -> None:
    """scikit-image's astronaut: eyes at about (210, 108) and (248, 107), by eye."""
    (face,) = find(picture(package_photos["astronaut"]))
    assert np.abs(face.points[:2] - [[206, 105], [247, 107]]).max() < 8
    right, left, nose, mouth_right, mouth_left = face.points
    assert right[0] < left[0] and mouth_right[0] < mouth_left[0]  # the person's right is image left
    assert max(right[1], left[1]) < nose[1] < min(mouth_right[1], mouth_left[1])
    assert face.mesh is not None and face.mesh.shape == (468, 3)
    assert np.allclose(face.box, [*face.mesh[:, :2].min(0), *face.mesh[:, :2].max(0)])


def textures() -> dict[str, np.ndarray]:
    """Pictures without faces: plain, noise, stripes, rings like a cup of coffee, soft blobs of many sizes."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:512, :512]
    radius = np.hypot(x - 256, y - 256)
    gray = {
        "black": np.zeros((300, 700)),
        "plain": np.full((512, 512), 128),
        "coffee": np.where(radius < 180, 90 - 20 * np.sin(radius / 9), 220),
        "rings": 127 + 127 * np.sin(radius / 6),
        "checks": (x // 32 + y // 32) % 2 * 255,
        "stripes": 127 + 127 * np.sin(y / 5),
    }
    found = {name: np.repeat(values[..., None], 3, 2).astype(np.uint8) for name, values in gray.items()}
    found["noise"] = rng.integers(0, 256, (512, 512, 3), np.uint8)
    for number in range(10):
        cells = [4, 8, 16, 32, 64][number % 5]
        blobs = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        found[f"blobs {number}"] = np.asarray(blobs.resize((640, 480), Image.Resampling.BICUBIC))
    return found


def test_patterns_have_no_face(find: Finder) -> None:
    assert {name for name, image in textures().items() if find(image)} == set()


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 3),
        (1, 2000, 3),
        (2000, 1, 3),
        (2, 2, 3),
        (5, 4000, 3),
        (64, 64),
        (80, 80, 1),
        (80, 80, 4),
        (300, 12000, 3),
    ],
    ids=str,
)
def test_odd_pictures_have_no_face_and_do_no_harm(find: Finder, shape: tuple[int, ...]) -> None:
    assert find(np.full(shape, 90, np.uint8)) == []


def test_a_huge_picture(find: Finder, package_photos: dict[str, Path]) -> None:
    photo = Image.fromarray(picture(package_photos["astronaut"])).resize((6000, 6000))
    (face,) = find(np.asarray(photo))
    assert 900 < face.width < 1300


def test_a_grey_picture_is_a_picture(find: Finder, package_photos: dict[str, Path]) -> None:
    gray = np.asarray(Image.open(package_photos["astronaut"]).convert("L"))
    assert len(find(gray)) == 1


def test_floats_are_refused(find: Finder) -> None:
    with pytest.raises(ValueError, match="uint8"):
        find(np.zeros((64, 64, 3), np.float32))


def test_many_pictures_at_once_keep_their_order(shared_data: Path) -> None:
    one = picture(shared_data / "people" / "man" / "pose1.png")
    couple = picture(shared_data / "templates" / "5.jpg")
    counts = [len(faces) for faces in engine().analyze([couple, np.zeros((9, 9, 3), np.uint8), one], embed=False)]
    assert counts == [2, 0, 1]
    assert engine().analyze([]) == []


def test_pictures_read_side_by_side_give_the_same_bits(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # one thread else, where the tests are to share a machine
    monkeypatch.setattr("facechain.threads.cores", lambda: 4)
    pictures = [picture(path) for path in sorted((shared_data / "people" / "man").glob("*.png"))]
    alone = [engine().analyze([image], attributes=True)[0][0] for image in pictures]
    together = [faces[0] for faces in engine().analyze(pictures, attributes=True)]
    assert len(together) == 5
    for one, other in zip(alone, together, strict=True):
        for name in ("box", "points", "mesh", "embedding"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        assert (one.score, one.sharpness, one.age, one.yaw) == (other.score, other.sharpness, other.age, other.yaw)


def test_the_same_picture_gives_the_same_face(find: Finder, package_photos: dict[str, Path]) -> None:
    photo = picture(package_photos["astronaut"])
    first, second = find(photo)[0], find(photo)[0]
    assert np.array_equal(first.box, second.box) and first.yaw == second.yaw


def test_unknown_and_future_engines() -> None:
    with pytest.raises(ModelFileError, match=r"there is no face engine 'arcface'.*embedded"):
        engine("arcface")
