"""Face fusion on real faces: the person gets nearer, the rest of the picture stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from facechain.errors import FaceChainError, FaceError, PhotoError, RecordError
from facechain.faces import engine
from facechain.faces.base import Face, distance
from facechain.faces.segment import person_mask
from facechain.fusion import FusedPictures, Strength, fuse_pictures
from facechain.fusion.eyes import look_at_eyes
from facechain.fusion.masks import mouth_gap
from facechain.fusion.sources import HALF_PIXEL, best_photo, photos_of, side_light
from facechain.images import crop_matrix, from_pixels, to_pixels, warp
from facechain.person import Attributes, Person, quantise

EMBEDDED = engine("embedded")


def load(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def only_face(pixels: np.ndarray) -> Face:
    return EMBEDDED.analyze([pixels])[0][0]


def person_of(*paths: Path, **changes: object) -> Person:
    """A record as Preprocess makes it: head crops of 512 pixels on white."""
    images, masks, faces = [], [], []
    for path in paths:
        pixels = load(path)
        face = only_face(pixels)
        matrix = crop_matrix(face.center, max(face.width, face.height) * 3.29, 512, face.roll, (0.5, 0.435))
        crop = warp(from_pixels(pixels)[0], matrix, (512, 512)).clamp(0, 1)
        mask = torch.from_numpy(person_mask(to_pixels(crop)[0]))
        images.append(quantise(crop * mask[..., None] + 1 - mask[..., None]))
        masks.append(quantise(mask))
        faces.append(face)
    fields = {
        "name": "Test",
        "images": torch.stack(images),
        "masks": torch.stack(masks),
        "embeddings": torch.from_numpy(np.stack([np.asarray(face.embedding) for face in faces])),
        "embedder": EMBEDDED.embedder,
        "quality": torch.ones(len(faces)),
        "poses": torch.tensor([[face.yaw, face.pitch, face.roll] for face in faces]),
        "attributes": Attributes("man", 30, "a handsome man"),
        "caption": "<fcsks>, a handsome man",
        "photo_names": tuple(path.name for path in paths),
    }
    return Person(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def man(shared_data: Path) -> Person:
    return person_of(shared_data / "people/man/portrait.png")


@pytest.fixture(scope="module")
def targets(shared_data: Path) -> list[np.ndarray]:
    names = ("Gentleman", "Men_suit", "Soccer")
    return [load(shared_data / f"styles_preview/{name}.jpg") for name in names]


def fuse_one(pixels: np.ndarray, person: Person, strength: Strength | None = None, **options: Any) -> FusedPictures:
    return fuse_pictures(from_pixels(pixels), person, EMBEDDED, strength or Strength(), **options)


def only_mesh(pixels: np.ndarray) -> np.ndarray:
    mesh = only_face(pixels).mesh
    assert mesh is not None
    return mesh - HALF_PIXEL


def to_person(person: Person, pixels: np.ndarray) -> float:
    embedding = only_face(pixels).embedding
    assert embedding is not None
    return distance(person.embeddings[0].numpy(), embedding)


def test_the_face_becomes_the_persons(man: Person, targets: list[np.ndarray]) -> None:
    for target in targets:
        done = fuse_one(target, man)
        before, after = to_person(man, target), to_person(man, to_pixels(done.images)[0])
        assert after < 0.65 * before
        changed = done.reports[0]["changed"][0]
        assert changed["photo"] == "portrait.png"
        assert changed["distance_after"] < 0.65 * changed["distance_before"]
        assert changed["likeness_after"] > changed["likeness_before"] + 20


def test_expression_and_gaze_stay(man: Person, targets: list[np.ndarray]) -> None:
    for target in targets:
        new = to_pixels(fuse_one(target, man).images)[0]
        old_mesh, new_mesh = only_face(target).mesh, only_face(new).mesh
        assert old_mesh is not None and new_mesh is not None
        assert abs(mouth_gap(new_mesh) - mouth_gap(old_mesh)) < 0.05
        eyes = [look_at_eyes(p / np.float32(255), m - HALF_PIXEL) for p, m in ((target, old_mesh), (new, new_mesh))]
        for side in ("left", "right"):
            old, new_gaze = eyes[0][side].gaze, eyes[1][side].gaze
            assert old is not None and new_gaze is not None
            assert abs(old - new_gaze) < 0.1


def test_a_gaze_that_cannot_be_brought_along_stays_the_pictures(shared_data: Path) -> None:
    """The man's narrow eyes cannot look as far aside as this picture's do: it keeps its own, lids and brows are his."""
    target, person = load(shared_data / "styles_preview/Gentleman.jpg"), person_of(shared_data / "people/man/pose1.png")
    new = to_pixels(fuse_one(target, person).images)[0]
    for side, before in look_at_eyes(target / np.float32(255), only_mesh(target)).items():
        after = look_at_eyes(new / np.float32(255), only_mesh(new))[side]
        assert before.gaze is not None and after.gaze is not None and abs(before.gaze - after.gaze) < 0.06
    assert to_person(person, new) < 0.6 * to_person(person, target)


def test_pixels_outside_the_mask_are_the_same_bits(man: Person, targets: list[np.ndarray]) -> None:
    image = from_pixels(targets[0]) * 0.987  # values that are not whole steps of 1/255
    done = fuse_pictures(image, man, EMBEDDED, Strength())
    outside = done.masks == 0
    assert torch.equal(done.images[outside], image[outside])
    assert 0.5 < float(outside.float().mean()) < 0.95
    changed = (done.images != image).any(-1)
    assert float(changed.float().mean()) > 0.03
    assert not bool((changed & outside).any())


def test_the_mask_lies_on_the_face(man: Person, targets: list[np.ndarray]) -> None:
    face = only_face(targets[0])
    rows, columns = np.nonzero(fuse_one(targets[0], man, Strength(shape=0)).masks[0].numpy() > 0.5)
    assert abs(columns.mean() - face.center[0]) < 0.1 * face.width
    assert abs(rows.mean() - face.center[1]) < 0.2 * face.height
    assert columns.min() > face.box[0] - 1 and columns.max() < face.box[2] + 1


def test_identity_zero_changes_nothing(man: Person, targets: list[np.ndarray]) -> None:
    image = from_pixels(targets[0]) * 0.987
    done = fuse_pictures(image, man, EMBEDDED, Strength(identity=0))
    assert torch.equal(done.images, image)
    assert not done.masks.any()


def test_identity_works_by_degrees(man: Person, targets: list[np.ndarray]) -> None:
    distances = [
        to_person(man, to_pixels(fuse_one(targets[0], man, Strength(identity=part)).images)[0])
        for part in (0.3, 0.6, 1)
    ]
    assert to_person(man, targets[0]) > distances[0] > distances[1] > distances[2]


def test_shape_moves_features_towards_the_persons(shared_data: Path, man: Person) -> None:
    target = load(shared_data / "styles_preview/Gentleman.jpg")
    masks = [fuse_one(target, man, Strength(shape=s)).masks for s in (0.0, 1.0)]
    assert float((masks[1] > 0).float().mean()) > 1.2 * float((masks[0] > 0).float().mean())


def test_skin_tone_takes_the_persons_colour(shared_data: Path, man: Person) -> None:
    target = load(shared_data / "styles_preview/Cybernetics_punk.jpg")  # a face in cyan light
    redness = []
    for tone in (0.0, 1.0):
        done = fuse_one(target, man, Strength(shape=0, skin_tone=tone))
        skin = done.images[done.masks > 0.95].mean(0)
        redness.append(float(skin[0] - skin[2]))
    assert redness[1] > redness[0] + 0.1


def test_a_grey_picture_stays_grey(man: Person, targets: list[np.ndarray]) -> None:
    grey = np.repeat(targets[0].mean(-1, keepdims=True).astype(np.uint8), 3, axis=2)
    done = fuse_one(grey, man)
    assert to_person(man, to_pixels(done.images)[0]) < to_person(man, grey) - 0.05
    assert float((done.images.amax(-1) - done.images.amin(-1)).max()) < 0.04


def test_a_picture_without_a_face_passes(man: Person, targets: list[np.ndarray]) -> None:
    empty = np.full_like(targets[0], 128)
    done = fuse_pictures(from_pixels(targets[0], empty), man, EMBEDDED, Strength())
    assert torch.equal(done.images[1], from_pixels(empty)[0])
    assert done.reports[1]["faces"] == 0 and "no face" in done.reports[1]["note"]
    assert done.reports[0]["changed"] and done.masks[0].any() and not done.masks[1].any()


def test_not_a_number_and_alpha(man: Person, targets: list[np.ndarray]) -> None:
    image = torch.cat([from_pixels(targets[0]), torch.full((1, *targets[0].shape[:2], 1), 0.25)], -1)
    image[..., 3] = 1
    image[0, 0, 0] = float("nan")
    done = fuse_pictures(image, man, EMBEDDED, Strength())
    assert done.images.shape == image.shape and bool((done.images[..., 3][done.masks > 0] == 1).all())
    assert done.images[0, 0, 0].isnan().all() and done.images[done.masks > 0].isfinite().all()


def test_choice_of_faces_in_a_group(man: Person, package_photos: dict[str, Path]) -> None:
    group = load(package_photos["group"])
    faces = sorted(EMBEDDED.analyze([group], embed=False)[0], key=lambda face: face.center[0])
    assert len(faces) == 6

    def changed(**options: Any) -> list[int]:
        mask = fuse_one(group, man, **options).masks[0].numpy()
        return [n + 1 for n, f in enumerate(faces) if mask[int(f.center[1]), int(f.center[0])] > 0.5]

    assert changed(faces="by index", face_index=2) == [2]
    assert changed(faces="by index", face_index=7) == []
    assert changed(faces="all") == [1, 2, 3, 4, 5, 6]
    largest = max(range(6), key=lambda n: faces[n].area) + 1
    assert changed(faces="largest") == [largest]
    right_half = torch.zeros(1, *group.shape[:2])
    right_half[..., group.shape[1] // 2 :] = 1
    assert changed(faces="by index", face_index=1, region=right_half) == [
        next(n + 1 for n, f in enumerate(faces) if f.center[0] > group.shape[1] / 2)
    ]


def test_most_alike_finds_the_person_again(package_photos: dict[str, Path]) -> None:
    group = load(package_photos["group"])
    faces = sorted(EMBEDDED.analyze([group])[0], key=lambda face: face.center[0])
    embedding = faces[3].embedding
    assert embedding is not None
    person = person_of(package_photos["astronaut"], embeddings=torch.from_numpy(embedding)[None])
    report = fuse_one(group, person, faces="most alike").reports[0]
    assert [c["face"] for c in report["changed"]] == [4]


def test_pixels_outside_the_region_stay(man: Person, targets: list[np.ndarray]) -> None:
    face = only_face(targets[0])
    region = torch.zeros(1, *targets[0].shape[:2])
    region[:, :, : int(face.center[0])] = 1
    done = fuse_one(targets[0], man, region=region)
    assert not done.masks[region == 0].any()
    assert done.masks.any()


def test_glasses_stay(man: Person, shared_data: Path) -> None:
    target = load(shared_data / "styles_preview/Cybernetics_punk.jpg")
    mesh = only_face(target).mesh
    assert mesh is not None
    low, high = mesh[:, :2].min(0).astype(int), mesh[:, :2].max(0).astype(int)
    middle = slice(low[1] + (high[1] - low[1]) // 5, low[1] + (high[1] - low[1]) // 2), slice(low[0], high[0])
    frame = target[middle].max(-1) < 50
    assert frame.sum() > 1000
    new = to_pixels(fuse_one(target, man, Strength(shape=0)).images)[0][middle]
    assert float((new[frame].max(-1) < 90).mean()) > 0.85


def test_an_engine_without_meshes_gets_them(man: Person, targets: list[np.ndarray]) -> None:
    class Bare:
        name, embedder, info = "bare", EMBEDDED.embedder, EMBEDDED.info

        def analyze(self, images: Any, *, embed: bool = True, attributes: bool = False) -> list[list[Face]]:
            return [[replace(face, mesh=None) for face in faces] for faces in EMBEDDED.analyze(images)]

    bare = fuse_pictures(from_pixels(targets[0]), man, Bare(), Strength())
    assert torch.equal(bare.images, fuse_one(targets[0], man).images)


def test_the_photo_of_the_nearest_pose_is_used(shared_data: Path) -> None:
    person = person_of(*(shared_data / f"people/man/pose{n}.png" for n in (1, 2, 4)))
    photos = photos_of(person)
    for wanted in photos:
        picture = wanted.source.picture
        assert best_photo(photos, picture, only_face(to_pixels(torch.from_numpy(picture))[0])) is wanted


def test_yaw_pitch_and_light_choose_the_photo(man: Person, targets: list[np.ndarray]) -> None:
    face, picture = only_face(targets[0]), targets[0] / np.float32(255)
    (photo,) = photos_of(man)
    near = replace(photo, yaw=face.yaw, pitch=face.pitch, side_light=side_light(picture, only_mesh(targets[0])))
    others = ({"yaw": face.yaw - 25}, {"pitch": face.pitch + 25}, {"side_light": near.side_light + 0.5})
    for other in others:
        far = replace(near, **other)
        assert best_photo([near, far], picture, face) is near and best_photo([far, near], picture, face) is near


def test_errors_say_what_to_do(man: Person, targets: list[np.ndarray]) -> None:
    image = from_pixels(targets[0])
    blank = person_with(man, embedder="arcface-512", images=torch.ones_like(man.images))
    with pytest.raises(RecordError, match="in none of the person's pictures"):
        fuse_pictures(image, blank, EMBEDDED, Strength())
    with pytest.raises(FaceChainError, match="no choice of faces"):
        fuse_pictures(image, man, EMBEDDED, Strength(), faces="best")
    with pytest.raises(PhotoError, match="region mask"):
        fuse_pictures(image, man, EMBEDDED, Strength(), region=torch.ones(3, 8, 8))
    with pytest.raises(FaceError, match="no photo"):
        fuse_pictures(image, person_with(man, images=torch.ones_like(man.images)), EMBEDDED, Strength())


@pytest.mark.parametrize("cut", ["left half missing", "chin missing", "tiny", "on its side"])
def test_awkward_faces_are_fused_without_harm(man: Person, targets: list[np.ndarray], cut: str) -> None:
    face = only_face(targets[0])
    x, bottom = int(face.center[0]), int(face.box[3])
    picture = {
        "left half missing": targets[0][:, x - 10 :],
        "chin missing": targets[0][: bottom - 25],
        "tiny": np.asarray(Image.fromarray(targets[0]).resize((100, 100))),
        "on its side": np.rot90(targets[0]),
    }[cut]
    picture = np.ascontiguousarray(picture)
    done = fuse_one(picture, man)
    assert done.images.isfinite().all() and done.masks.any()
    changed = done.reports[0]["changed"][0]
    assert changed["distance_after"] < changed["distance_before"]


def test_progress_can_cancel(man: Person, targets: list[np.ndarray]) -> None:
    class Cancelled(Exception):
        pass

    seen = []

    def progress(done: int) -> None:
        seen.append(done)
        raise Cancelled

    with pytest.raises(Cancelled):
        fuse_pictures(from_pixels(targets[0], targets[0]), man, EMBEDDED, Strength(), progress=progress)
    assert seen == [1]


def person_with(person: Person, **changes: object) -> Person:
    return replace(person, **changes)  # type: ignore[arg-type]


def test_a_lost_face_is_fused_on_the_fallback_picture(man: Person, targets: list[np.ndarray]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, targets[0].shape, np.uint8)
    both = from_pixels(noise, targets[1])
    done = fuse_pictures(both, man, EMBEDDED, Strength(), fallback=from_pixels(targets[0]))
    alone = fuse_one(targets[0], man)
    assert torch.equal(done.images[0], alone.images[0])
    assert done.reports[0]["note"] == "no face found: the fallback picture was taken"
    assert torch.equal(done.images[1], fuse_one(targets[1], man).images[0])  # its own face was there
    with pytest.raises(PhotoError, match="same size"):
        fuse_pictures(both, man, EMBEDDED, Strength(), fallback=from_pixels(targets[0][:100]))
