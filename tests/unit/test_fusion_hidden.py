"""What lies before a face stays there when the face is another one: a hand, a microphone, a mask, glasses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from occluders import drawn
from scipy.ndimage import binary_erosion
from test_fusion import fuse_one, load, only_face, only_mesh, person_of

from facechain.fusion import Strength
from facechain.fusion.hidden import hidden_part
from facechain.fusion.masks import ring_mask
from facechain.fusion.topology import INNER_LIPS, OVAL, RIGHT_BROW
from facechain.images import to_pixels
from facechain.person import Person


@pytest.fixture(scope="module")
def woman(shared_data: Path) -> Person:
    return person_of(shared_data / "people/woman/pose1.png")


@pytest.mark.parametrize("what", ["hand", "large hand", "microphone", "white mask"])
@pytest.mark.parametrize("name", ["Working_suit", "Soccer", "Men_suit"])
def test_what_hides_the_mouth_stays_before_it(shared_data: Path, woman: Person, name: str, what: str) -> None:
    bare = load(shared_data / f"styles_preview/{name}.jpg")
    mesh = only_face(bare).mesh
    assert mesh is not None
    picture = drawn(bare, mesh, what)
    new = to_pixels(fuse_one(picture, woman).images)[0].astype(int)
    cover = binary_erosion(np.abs(picture.astype(int) - bare).max(-1) > 12, iterations=3)
    cover &= hidden_part(picture / np.float32(255), only_mesh(picture), float(np.ptp(mesh[:, 0]))) == 1
    changed = np.abs(new - picture).mean(-1)
    assert cover.sum() > 1500 and float((changed[cover] < 4).mean()) > 0.98
    around = np.abs(np.mgrid[:512, :512][0] - mesh[[33, 263], 1].mean()) < 25  # eyes and brows are hers
    assert changed[around & (changed > 0)].mean() > 8


def test_nothing_is_hidden_in_a_bare_face(shared_data: Path) -> None:
    for name in ("Working_suit", "Soccer", "Men_suit", "Cowboy"):
        picture = load(shared_data / f"styles_preview/{name}.jpg")
        assert hidden_part(picture / np.float32(255), only_mesh(picture), 150) is None


def test_thin_rims_stay(shared_data: Path, woman: Person) -> None:
    bare = load(shared_data / "styles_preview/Working_suit.jpg")
    mesh = only_face(bare).mesh
    assert mesh is not None
    picture = drawn(bare, mesh, "spectacles")
    rims = (picture.max(-1) < 90) & (np.abs(picture.astype(int) - bare).max(-1) > 90)
    new = to_pixels(fuse_one(picture, woman, Strength(shape=0)).images)[0]
    assert rims.sum() > 500 and float((new[rims].max(-1) < 150).mean()) > 0.8


def test_hair_over_the_face_and_teeth_stay(shared_data: Path, woman: Person) -> None:
    """Strands over the forehead and the laugh of the picture: nothing is drawn over them, and no second row of teeth."""
    picture = load(shared_data / "styles_preview/Street_style.jpg")
    mesh = only_mesh(picture)
    new = to_pixels(fuse_one(picture, woman, Strength(shape=0)).images)[0].astype(int)
    changed = np.abs(new - picture).mean(-1)
    teeth = binary_erosion(ring_mask(mesh[list(INNER_LIPS), :2], picture.shape[:2], 0) > 0.9, iterations=2)
    assert teeth.sum() > 60 and changed[teeth].mean() < 2
    rows, columns = np.mgrid[:512, :512]
    forehead = (
        (rows > mesh[10, 1]) & (rows < mesh[[52, 282], 1].min()) & (columns > mesh[103, 0]) & (columns < mesh[332, 0])
    )
    hair = binary_erosion(forehead & (picture.max(-1) < 70))
    assert hair.sum() > 150 and changed[hair].mean() < 3
    assert changed[ring_mask(mesh[list(OVAL), :2], picture.shape[:2], 0) > 0.5].mean() > 8


def test_hair_over_a_brow_stays(shared_data: Path, woman: Person) -> None:
    """Red strands lie over the outer end of this picture's brow: hers is not laid over them."""
    picture = load(shared_data / "styles_preview/Redstyle.jpg")
    mesh, whole = only_mesh(picture), picture.astype(int)
    brow = mesh[list(RIGHT_BROW), :2]
    rows, columns = np.mgrid[:512, :512]
    place = (np.abs(rows - brow[:, 1].mean()) < 14) & (columns < brow[:, 0].min() + 12)
    hair = (whole[..., 0] - whole[..., 1] > 45) & (whole[..., 1] < 70)
    hair = binary_erosion(hair & place & (ring_mask(mesh[list(OVAL), :2], picture.shape[:2], 0) > 0.9))
    new = to_pixels(fuse_one(picture, woman, Strength(shape=0)).images)[0]
    assert hair.sum() > 200 and np.abs(new - whole).mean(-1)[hair].mean() < 8
