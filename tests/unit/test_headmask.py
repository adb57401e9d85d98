"""The head mask on real pictures: face always, hair and hats where they are, neck and clothes never."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from facechain.faces import engine
from facechain.photos.align import Alignment, align
from facechain.photos.filters import guided_filter, polygon, to_lab
from facechain.photos.headmask import CHIN, OVAL, head_mask
from facechain.photos.mixture import Mixture
from facechain.photos.retouch import retouched, skin_mask
from facechain.photos.walker import random_walk


@dataclass(frozen=True, eq=False)
class Head:
    aligned: Alignment
    mask: np.ndarray

    def part(self, across: tuple[float, float], down: tuple[float, float]) -> np.ndarray:
        """The mask in a box given in faces: across from the middle, down from the chin (y up is negative)."""
        oval = self.aligned.mesh[OVAL, :2]
        width, height = np.ptp(oval, axis=0)
        x = oval[:, 0].mean() + np.array(across) * width
        y = self.aligned.mesh[CHIN, 1] + np.array(down) * height
        return self.mask[round(y[0]) : round(y[1]), round(x[0]) : round(x[1])]


@pytest.fixture(scope="module")
def head(shared_data: Path):
    known: dict[str, Head] = {}

    def of(name: str) -> Head:
        if name not in known:
            path = shared_data / name
            photo = np.asarray(Image.open(path).convert("RGB"))
            faces = engine().analyze([photo], embed=False)[0]
            aligned = align(photo, faces[0], 512)
            known[name] = Head(aligned, head_mask(aligned, photo, faces[1:]))
        return known[name]

    return of


SHORT = ["people/man/portrait.png", "people/man/pose3.png", "people/man/pose4.png", "styles_preview/Gentleman.jpg"]
SHORT += ["styles_preview/Men_suit.jpg", "people/woman/pose4.png", "styles_preview/Hanfu.jpg", "templates/5.jpg"]
LONG = ["Innocent_Girl_in_White_Dress", "Flame_red_style", "Jacket_in_Snow_Mountain", "Kimono", "Redstyle", "Tyndall"]
HATS = ["Wild_west", "West_cowboy", "Tibetan_clothing", "Miaozu", "Zhuang_style"]


@pytest.mark.parametrize("name", [*SHORT, *(f"styles_preview/{n}.jpg" for n in [*LONG, *HATS])])
def test_the_face_is_in_and_the_throat_is_out(head, name: str) -> None:
    found = head(name)
    face = polygon(found.aligned.mesh[OVAL, :2], 512)
    assert found.mask.dtype == np.float32 and found.mask.min() >= 0 and found.mask.max() <= 1
    assert found.mask[face].mean() > 0.97
    assert found.part((-0.12, 0.12), (0.15, 0.4)).mean() < 0.1  # throat
    assert found.part((-0.5, 0.5), (0.8, 1.3)).mean() < 0.35  # chest
    assert found.part((-0.3, 0.3), (-1.12, -1.05)).mean() > 0.9  # hair or hat above the forehead
    assert 0.05 < found.mask.mean() < 0.35


@pytest.mark.parametrize("name", SHORT)
def test_short_hair_ends_at_the_head(head, name: str) -> None:
    found = head(name)
    assert found.part((-1.5, 1.5), (0.25, 1.4)).mean() < 0.01
    assert found.mask[:40].max() < 0.02 and found.mask[:, :40].max() < 0.02


@pytest.mark.parametrize("name", LONG)
def test_long_hair_is_followed_below_the_chin(head, name: str) -> None:
    found = head(f"styles_preview/{name}.jpg")
    below = found.part((-1.0, 1.0), (0.1, 0.5))
    assert 0.12 < below.mean() < 0.7
    assert below[:, round(below.shape[1] * 0.45) : round(below.shape[1] * 0.55)].mean() < 0.15  # not the neck between


@pytest.mark.parametrize("name", HATS)
def test_hats_belong_to_the_head(head, name: str) -> None:
    assert head(f"styles_preview/{name}.jpg").part((-0.4, 0.4), (-1.35, -1.1)).mean() > 0.85


@pytest.mark.parametrize(
    ("name", "across", "down"),
    [("styles_preview/sdxl_fields.jpg", (0.5, 0.7), (0.1, 0.35)), ("templates/2.jpg", (-0.6, -0.4), (0.2, 0.6))],
)  # sunlit hair, and hair behind the shoulder
def test_hair_beside_the_neck_is_kept(head, name: str, across: tuple[float, float], down: tuple[float, float]) -> None:
    assert head(name).part(across, down).mean() > 0.75


def test_lapels_of_the_colour_of_hair_are_left_out(head) -> None:
    assert head("styles_preview/Rainy_night.jpg").part((-1, -0.2), (0.5, 1.4)).mean() < 0.05


def test_bodies_in_a_group_are_left_out(package_photos: dict[str, Path]) -> None:
    """What is behind a head and below a short-haired one may look like hair, and is other people and a shirt."""
    photo = np.asarray(Image.open(package_photos["group"]).convert("RGB"))
    faces = engine().analyze([photo], embed=False)[0]
    for place, across, down in ((4, (0.1, 0.9), (-1.9, -1.4)), (1, (0.1, 1.0), (0.1, 1.2))):
        aligned = align(photo, faces[place], 512)
        mask = head_mask(aligned, photo, [face for face in faces if face is not faces[place]])
        assert Head(aligned, mask).part(across, down).mean() < 0.05


def test_the_neighbour_in_a_couple_is_left_out(shared_data: Path) -> None:
    photo = np.asarray(Image.open(shared_data / "templates" / "5.jpg").convert("RGB"))
    faces = engine().analyze([photo], embed=False)[0]
    for face in faces:
        others = [f for f in faces if f is not face]
        aligned = align(photo, face, 512)
        mask = head_mask(aligned, photo, others)
        neighbour = align(photo, others[0], 512)
        # the other's face, brought into this crop
        points = (neighbour.matrix[:, :2] @ neighbour.mesh[:, :2].T).T + neighbour.matrix[:, 2]
        linear = np.linalg.inv(aligned.matrix[:, :2])
        there = (points - aligned.matrix[:, 2]) @ linear.T
        assert mask[polygon(there[OVAL], 512)].mean() < 0.02
        assert mask[polygon(aligned.mesh[OVAL, :2], 512)].mean() > 0.97


def test_the_edge_is_soft_but_narrow(head) -> None:
    mask = head("people/man/pose4.png").mask
    between = ((mask > 0.05) & (mask < 0.95)).mean()
    assert 0.001 < between < 0.02


def test_nothing_outside_the_photo_is_head(head) -> None:
    for name in ("styles_preview/Model_style.jpg", "styles_preview/Casual_Lifestyle.jpg"):
        found = head(name)
        assert not found.aligned.inside.all() and found.mask[~found.aligned.inside].max() == 0
        assert (found.aligned.image[~found.aligned.inside] > 250).mean() > 0.98


def test_the_same_photo_gives_the_same_mask(head, shared_data: Path) -> None:
    photo = np.asarray(Image.open(shared_data / "people/man/pose4.png").convert("RGB"))
    face = engine().analyze([photo], embed=False)[0][0]
    assert np.array_equal(head_mask(align(photo, face, 512), photo), head("people/man/pose4.png").mask)


def test_1024_shows_the_same_head(head, shared_data: Path) -> None:
    photo = np.asarray(Image.open(shared_data / "people/man/pose4.png").convert("RGB"))
    aligned = align(photo, engine().analyze([photo], embed=False)[0][0], 1024)
    small = head_mask(aligned, photo).reshape(512, 2, 512, 2).mean((1, 3))
    assert np.abs(small - head("people/man/pose4.png").mask).mean() < 0.01


# --- retouch ---------------------------------------------------------------------------


def blotched(head) -> tuple[Alignment, np.ndarray]:
    """An aligned face with made-up red blotches of 6 pixels on its skin."""
    aligned = head("people/woman/portrait.png").aligned
    noise = np.random.default_rng(3).normal(size=(64, 64)).astype(np.float32)
    wide = np.asarray(Image.fromarray(noise).resize((512, 512), Image.Resampling.BICUBIC))
    spots = aligned.image + 9 * wide[..., None] * np.array([1.0, -0.6, -0.4])
    return aligned, spots.clip(0, 255).astype(np.uint8)


def test_retouch_evens_blotches_on_skin_alone(head) -> None:
    aligned, spots = blotched(head)
    assert retouched(spots, aligned.mesh, 0.0) is spots
    skin = skin_mask(spots, aligned.mesh) > 0.95
    assert skin.mean() > 0.01
    untouched = skin_mask(spots, aligned.mesh) == 0
    left = [np.abs(spots.astype(int) - aligned.image)[skin].mean()]
    for strength in (0.2, 0.6, 1.0):
        result = retouched(spots, aligned.mesh, strength)
        clean = retouched(aligned.image, aligned.mesh, strength)
        left.append(np.abs(result.astype(int) - clean)[skin].mean())
        assert np.array_equal(result[untouched], spots[untouched])
    assert left == sorted(left, reverse=True) and left[1] > 0.8 * left[0] and left[3] < 0.75 * left[0]


def test_pores_stay(head) -> None:
    aligned = head("people/woman/portrait.png").aligned
    pores = np.random.default_rng(4).normal(0, 6, (512, 512, 1))
    grainy = (aligned.image + pores).clip(0, 255).astype(np.uint8)
    skin = skin_mask(aligned.image, aligned.mesh) > 0.95

    def detail(picture: np.ndarray) -> float:
        grey = picture.astype(np.float32).mean(-1)
        return float(np.abs(grey[1:, 1:] - grey[:-1, :-1])[skin[1:, 1:]].mean())

    assert detail(retouched(grainy, aligned.mesh, 1.0)) > 0.9 * detail(grainy)


@pytest.mark.parametrize(
    "name", ["people/man/portrait.png", "styles_preview/Hiphop.jpg", "people/woman/portrait.png"]
)  # the second has a beard and sunglasses
def test_real_skin_keeps_its_detail_and_nothing_else_changes(head, name: str) -> None:
    aligned = head(name).aligned
    skin = skin_mask(aligned.image, aligned.mesh)

    def detail(picture: np.ndarray) -> float:
        grey = picture.astype(np.float32).mean(-1)
        return float(((grey - gaussian_filter(grey, 1.2))[skin > 0.9] ** 2).mean() ** 0.5)

    changes = []
    for strength, kept in ((0.2, 0.96), (0.5, 0.92), (1.0, 0.85)):
        result = retouched(aligned.image, aligned.mesh, strength)
        assert detail(result) > kept * detail(aligned.image)
        assert np.array_equal(result[skin == 0], aligned.image[skin == 0])
        changes.append(np.abs(result.astype(int) - aligned.image).max())
    assert changes[0] <= 4 and changes == sorted(changes) and 8 <= changes[2] <= 16


def test_eyes_brows_and_lips_are_no_skin(head) -> None:
    aligned = head("people/man/portrait.png").aligned
    skin = skin_mask(aligned.image, aligned.mesh)
    for point in (159, 145, 386, 374, 105, 334, 13, 14, 0, 17):  # lids, brows, lips
        x, y = aligned.mesh[point, :2].round().astype(int)
        assert skin[y, x] < 0.1, point
    for point in (50, 280, 151):  # cheeks, forehead
        x, y = aligned.mesh[point, :2].round().astype(int)
        assert skin[y, x] > 0.9, point


# --- the tools -------------------------------------------------------------------------


def test_lab_of_known_colours() -> None:
    found = to_lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [119, 119, 119]], np.uint8))
    assert np.abs(found - [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.2], [50.03, 0, 0]]).max() < 0.3


def test_a_mixture_finds_two_colours() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal((20, 0, 0), 2, (300, 3)), rng.normal((70, 10, 20), 3, (100, 3))])
    mixture = Mixture(points, parts=2)
    order = np.argsort(mixture.means[:, 0])
    assert np.abs(mixture.means[order] - [[20, 0, 0], [70, 10, 20]]).max() < 1
    assert np.abs(mixture.shares[order] - [0.75, 0.25]).max() < 0.03
    near, far = mixture.log(np.array([[20.0, 0, 0], [45.0, 40, 0]]))
    assert near > far + 10


def test_a_random_walk_stops_at_an_edge() -> None:
    picture = np.zeros((20, 40, 1))
    picture[:, 23:] = 5
    seeds = np.full((20, 40), -1)
    seeds[10, 2], seeds[10, 38] = 1, 0
    found = random_walk(picture, np.full((20, 40), 0.5), seeds, contrast=1.0, trust=1e-4)
    assert found[:, :22].min() > 0.8 and found[:, 24:].max() < 0.2


def test_the_guided_filter_follows_the_guide() -> None:
    guide = np.zeros((40, 40), np.float32)
    guide[:, 20:] = 1
    rough = np.zeros((40, 40), np.float32)
    rough[:, 18:] = 1  # two pixels off
    found = guided_filter(guide, rough, 6, 1e-4)
    assert np.abs(found[:, 21:] - 1).max() < 0.1 and found[:, 14].max() < 0.25 and found[10, 19] < 0.5
