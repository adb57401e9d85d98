"""Photos to a person, on real pictures and the real face engine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from facechain.errors import FaceError, PhotoError, UnusableNameError
from facechain.faces import engine
from facechain.faces.base import Face
from facechain.faces.boxes import BOX_RATIO
from facechain.images import from_pixels
from facechain.person import Person, load_person
from facechain.photos.align import CENTER, FACE_SHARE, align
from facechain.photos.intake import Intake, IntakeOptions, options_of, save_new, take_in
from facechain.photos.look import Photos, exposure
from facechain.photos.sheet import age_doubts, pictures_of, report_sheet


def load(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def intake(
    *pictures: np.ndarray, names: tuple[str, ...] = (), reference: np.ndarray | None = None, **options: object
) -> Intake:
    photos = Photos([from_pixels(p) for p in pictures])
    return take_in(photos, names, engine(), IntakeOptions(**options), reference)  # type: ignore[arg-type]


def first_face(picture: np.ndarray) -> Face:
    return engine().analyze([picture])[0][0]


@pytest.fixture(scope="module")
def astronaut(package_photos: dict[str, Path]) -> np.ndarray:
    return load(package_photos["astronaut"])


@pytest.fixture(scope="module")
def group(package_photos: dict[str, Path]) -> np.ndarray:
    return load(package_photos["group"])


@pytest.fixture(scope="module")
def man(shared_data: Path) -> Intake:
    """Another man's portrait, and four photos of one man lying four ways."""
    files = [
        shared_data / "people" / "man" / f"{name}.png" for name in ("portrait", "pose1", "pose2", "pose3", "pose4")
    ]
    pictures = [np.rot90(load(file), turns) for file, turns in zip(files, (0, 0, 1, 2, 3), strict=True)]
    return intake(*pictures, names=tuple(f.name for f in files), name="man")


def test_the_other_man_is_rejected_and_the_four_photos_are_accepted(man: Intake) -> None:
    assert [v.accepted for v in man.verdicts] == [False, True, True, True, True]
    assert "another person" in man.verdicts[0].reason
    assert [v.turned for v in man.verdicts] == [0, 0, 270, 180, 90]
    assert man.person.photo_names == ("pose1.png", "pose2.png", "pose3.png", "pose4.png")
    assert man.person.attributes.phrase == "a handsome man" and man.person.caption == "<fcsks>, a handsome man"


def test_crops_are_framed_level_and_upright(man: Intake) -> None:
    assert man.person.images.shape == (4, 512, 512, 3)
    for image, mask in zip(man.person.images, man.person.masks, strict=True):
        face = first_face((image * 255).byte().numpy())
        assert abs(face.roll) < 4
        longer = max(face.width, face.height)
        assert abs(longer - 512 * FACE_SHARE / BOX_RATIO) < 8
        assert abs(face.center[0] - 512 * CENTER[0]) < 8
        assert abs(face.center[1] - 512 * CENTER[1] - 0.052 * longer) < 8
        outside = image[mask < 1 / 255]
        assert len(outside) > 0.5 * 512 * 512 and (outside == 1).all()


def test_the_person_is_recognised_in_the_crops(man: Intake) -> None:
    for image, embedding in zip(man.person.images, man.person.embeddings, strict=True):
        again = first_face((image * 255).byte().numpy()).embedding
        assert again is not None and np.linalg.norm(again - embedding.numpy()) < 0.15
    assert torch.allclose(man.person.embeddings.norm(dim=1), torch.ones(4), atol=1e-5)


def test_the_record_is_exact_and_survives_its_file(man: Intake, tmp_path: Path) -> None:
    path = tmp_path / "man.safetensors"
    save_new(man.person, path)
    assert load_person(path).hash == man.person.hash
    assert man.person.best == next(i for i, v in enumerate(v for v in man.verdicts if v.accepted) if v.best)


def test_the_report_tells_all_photos(man: Intake) -> None:
    about = json.loads(man.as_json())
    assert [p["name"] for p in about["photos"]] == ["portrait.png", "pose1.png", "pose2.png", "pose3.png", "pose4.png"]
    assert [p["accepted"] for p in about["photos"]] == [False, True, True, True, True]
    assert about["accepted"] == 4 and about["photos"][0]["remedy"]
    numbers = about["photos"][1]["numbers"]
    assert 100 < numbers["face_px"] < 140 and all(0 <= v <= 1 for k, v in numbers.items() if k != "face_px")
    sheet = report_sheet(man, pictures_of(man))
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    greens = (np.abs(sheet.astype(int) - (0, 158, 115)).max(-1) < 8).sum()
    reds = (np.abs(sheet.astype(int) - (213, 94, 0)).max(-1) < 8).sum()
    assert greens > 3 * 1000 and reds > 1000


@pytest.mark.parametrize(
    ("age", "guessed", "words"),
    [(8.0, True, "an adult, set 'age'"), (14.0, True, "a child, set 'age'"), (14.0, False, ""), (30.0, True, "")],
)
def test_the_report_asks_where_the_age_is_in_doubt(man: Intake, age: float, guessed: bool, words: str) -> None:
    attributes = replace(man.person.attributes, age=age)
    asked = age_doubts(replace(man, person=replace(man.person, attributes=attributes), age_guessed=guessed))
    assert len(asked) == bool(words) and all(words in line for line in asked)
    assert man.age_guessed and json.loads(man.as_json())["age_class"] == "adult"


def test_the_same_photos_give_the_same_hash(astronaut: np.ndarray) -> None:
    assert intake(astronaut).person.hash == intake(astronaut, name="Other").person.hash


def test_several_threads_give_the_same_record(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [load(shared_data / "people" / "woman" / f"pose{number}.png") for number in (1, 2, 3)]
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        found.append(intake(*pictures))
    assert found[0].person.hash == found[1].person.hash
    assert found[0].as_json() == found[1].as_json()


def test_copies_and_enlarged_faces_are_told(shared_data: Path, tmp_path: Path) -> None:
    photo = Image.open(shared_data / "people" / "man" / "pose3.png").convert("RGB")
    photo.resize((400, 400)).save(tmp_path / "sent.jpg", quality=60)
    other = load(shared_data / "people" / "man" / "pose1.png")
    copy, turned = load(tmp_path / "sent.jpg"), np.rot90(np.asarray(photo), 2)
    small = np.asarray(Image.fromarray(other).resize((256, 256), Image.Resampling.LANCZOS))
    told = [v.text for v in intake(np.asarray(photo), copy, turned, small).verdicts]
    assert [("same picture as photo 1" in text) for text in told] == [False, True, True, False]
    assert "had to be enlarged" in told[3] and "enlarged" not in told[0]


def test_a_person_in_a_group_is_found_by_reference(group: np.ndarray) -> None:
    faces = engine().analyze([group])[0]
    wanted = faces[3]
    x, y = wanted.center
    reach = int(1.2 * wanted.height)
    reference = group[max(0, int(y) - reach) : int(y) + reach, max(0, int(x) - reach) : int(x) + reach]
    with pytest.raises(PhotoError, match="6 people"):
        intake(group)
    found = intake(group, reference=reference, size=512)
    assert wanted.embedding is not None
    assert np.linalg.norm(found.person.embeddings[0].numpy() - wanted.embedding) < 0.1


def test_all_rejected_names_every_reason(group: np.ndarray) -> None:
    blank = np.full((300, 400, 3), 200, np.uint8)
    with pytest.raises(PhotoError) as caught:
        intake(blank, group, blank[:1, :1], names=("sky.jpg", "party.jpg", "dot.png"))
    text = str(caught.value)
    for words in ("none of the 3", "photo 1 of 3 (sky.jpg): No face", "photo 2 of 3 (party.jpg): 6 people", "1 x 1"):
        assert words in text, text


@pytest.mark.parametrize(
    "image",
    [
        torch.full((1, 64, 64, 3), float("nan")),
        torch.full((2, 64, 64, 1), 0.5),
        torch.rand(1, 64, 64, 4),
        torch.zeros(1, 1, 1, 3),
        torch.zeros(64, 64, 3),
    ],
)
def test_odd_tensors_are_judged_not_crashed_on(image: torch.Tensor) -> None:
    with pytest.raises(PhotoError, match=r"no face|No face|pixels"):
        take_in(Photos([image]), [], engine(), IntakeOptions())


def test_tensors_that_are_no_pictures_are_explained() -> None:
    for image in (torch.zeros(3), torch.zeros(1, 4, 4, 2), torch.zeros(0, 4, 4, 3)):
        with pytest.raises(PhotoError, match="shape"):
            Photos([image])[0]
    with pytest.raises(PhotoError, match="0 photos"):
        take_in(Photos([]), [], engine(), IntakeOptions())


def test_grey_and_transparent_photos_work(astronaut: np.ndarray) -> None:
    grey = from_pixels(astronaut).mean(-1, keepdim=True)
    clear = torch.cat([from_pixels(astronaut), torch.ones(1, 512, 512, 1)], -1)
    batch = take_in(Photos([grey, clear]), [], engine(), IntakeOptions())
    assert batch.person.count == 2


def test_huge_pictures_are_brought_to_size(astronaut: np.ndarray) -> None:
    huge = torch.ones(1, 700, 12_000, 3)
    huge[:, 100:612, 6000:6512] = from_pixels(astronaut)
    photo = Photos([huge])[0]
    assert photo.shape == (239, 4096, 3)
    with pytest.raises(UnusableNameError):
        take_in(Photos([huge]), [], engine(), IntakeOptions(name="../x"))


def test_options_as_widgets_spell_them() -> None:
    options = options_of("a", "1024", "blurred", 0.3, "auto", 0, "")
    assert (options.size, options.gender, options.age) == (1024, None, None)
    for wrong in (("a", "640", "white", 0, "auto", 0, ""), ("a", "512", "pink", 0, "auto", 0, "")):
        with pytest.raises(PhotoError, match="no choice"):
            options_of(*wrong)


def test_overrides_reach_the_record(astronaut: np.ndarray) -> None:
    person = intake(astronaut, gender="man", age=60.0, caption="my pilot", size=1024).person
    assert (person.attributes.phrase, person.caption, person.size) == ("a mature man", "<fcsks>, my pilot", 1024)


def test_backgrounds(astronaut: np.ndarray) -> None:
    kept, grey, blurred = (
        intake(astronaut, background=kind, retouch=0.0).person for kind in ("keep", "grey", "blurred")
    )
    face = first_face(astronaut)
    assert torch.equal(kept.images[0], from_pixels(align(astronaut, face, 512).image)[0])  # retouch 0: bit-identical
    outside = kept.masks[0] == 0
    assert (grey.images[0][outside] == 128 / 255).all()
    assert 0.01 < blurred.images[0][outside].std() < kept.images[0][outside].std()
    inside = kept.masks[0] == 1
    assert torch.equal(blurred.images[0][inside], kept.images[0][inside])


def test_a_reference_must_show_one_face(astronaut: np.ndarray, group: np.ndarray) -> None:
    with pytest.raises(FaceError, match="shows no face"):
        intake(astronaut, reference=np.zeros((100, 100, 3), np.uint8))
    with pytest.raises(FaceError, match="6 people"):
        intake(astronaut, reference=group)


def test_blur_and_darkness_are_seen(astronaut: np.ndarray) -> None:
    soft = np.asarray(Image.fromarray(astronaut).filter(ImageFilter.GaussianBlur(1.2)))
    sharp = intake(astronaut, soft).verdicts
    assert sharp[0].numbers and sharp[1].numbers and sharp[1].numbers.sharpness < 0.75 * sharp[0].numbers.sharpness
    face = first_face(astronaut)
    plain = exposure(astronaut, face)
    assert plain > 0.8
    for gain in (0.08, 4.0):
        assert exposure((astronaut * gain).clip(0, 255).astype(np.uint8), face) < 0.5 * plain
    # a dark skin that is well lit is no flaw
    assert exposure((astronaut * 0.45).astype(np.uint8), face) > 0.75


def test_a_lora_stays_with_an_unchanged_person_only(man: Intake, tmp_path: Path) -> None:
    path = tmp_path / "man.safetensors"
    save_new(man.person.with_lora("facechain/man-1.safetensors"), path)
    assert save_new(man.person, path).lora == load_person(path).lora == "facechain/man-1.safetensors"
    changed: Person = replace(man.person, caption="<fcsks>, somebody else")
    assert save_new(changed, path).lora == load_person(path).lora == ""
    path.write_bytes(b"damaged")
    save_new(man.person, path)
    assert load_person(path).hash == man.person.hash


def test_cancel_passes_through(astronaut: np.ndarray) -> None:
    class Interrupted(Exception):
        pass

    def cancel(done: int, total: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        take_in(Photos([from_pixels(astronaut)]), [], engine(), IntakeOptions(), progress=cancel)

    def cancel_the_drawing() -> None:
        raise Interrupted

    found = intake(astronaut)  # the report of 200 photos takes seconds
    with pytest.raises(Interrupted):
        pictures_of(found, cancel_the_drawing)
    with pytest.raises(Interrupted):
        report_sheet(found, pictures_of(found), cancel_the_drawing)


@pytest.mark.parametrize("name", ["小明的照片.jpg", "a" * 300, "😀.png", "x\ny\t.jpg", ""])
def test_any_file_name_can_be_drawn(astronaut: np.ndarray, name: str) -> None:
    found = intake(astronaut, names=(name,), name="小明")
    assert report_sheet(found, pictures_of(found)).shape[1] > 500
    assert json.loads(found.as_json())["photos"][0]["name"] == name
