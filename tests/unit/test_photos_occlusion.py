"""What hides a face, drawn onto real ones: masks, a hand, a microphone, dark glasses, reflections."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from occluders import drawn
from PIL import Image, ImageFilter

from facechain.faces import engine
from facechain.faces.base import Face
from facechain.faces.mesh import region_of, run_mesh
from facechain.faces.sharpness import sharpness
from facechain.photos.occlusion import Openness, openness


def load(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture(scope="module")
def people(shared_data: Path, package_photos: dict[str, Path]) -> list[tuple[np.ndarray, Face]]:
    """Bare faces of four people, light and dark, smiling and serious."""
    files = [shared_data / "styles_preview" / f"{name}.jpg" for name in ("Working_suit", "Soccer", "Cowboy")]
    pictures = [load(path) for path in (package_photos["astronaut"], *files)]
    return [(picture, engine().analyze([picture], embed=False)[0][0]) for picture in pictures]


def seen(picture: np.ndarray, face: Face) -> Openness:
    """As the engine sees the changed picture: the mesh is found anew."""
    assert face.mesh is not None
    return openness(picture, replace(face, mesh=run_mesh(picture, region_of(face.mesh))[0]))


def test_bare_faces_are_open(people: list[tuple[np.ndarray, Face]]) -> None:
    for picture, face in people:
        found = seen(picture, face)
        assert found.mouth > 0.9 and found.eyes > 0.9


@pytest.mark.parametrize(
    ("what", "mouth", "eyes"),
    [
        ("blue mask", (0, 0.1), (0, 1)),
        ("black mask", (0, 0.1), (0, 1)),
        ("white mask", (0, 0.45), (0, 1)),
        ("hand", (0, 0.45), (0.9, 1)),
        ("microphone", (0, 0.45), (0.9, 1)),
        ("dark glasses", (0.9, 1), (0, 0.6)),
        ("reflections", (0.9, 1), (0, 0.3)),
        ("clear glasses", (0.9, 1), (0.9, 1)),
    ],
)
def test_what_hides_a_face_is_seen(
    people: list[tuple[np.ndarray, Face]], what: str, mouth: tuple[float, float], eyes: tuple[float, float]
) -> None:
    for picture, face in people:
        assert face.mesh is not None
        found = seen(drawn(picture, face.mesh, what), face)
        assert mouth[0] <= found.mouth <= mouth[1], found
        assert eyes[0] <= found.eyes <= eyes[1], found


def test_real_dark_glasses(shared_data: Path) -> None:
    for name in ("Fashion_glasses", "Hiphop"):
        picture = load(shared_data / "styles_preview" / f"{name}.jpg")
        found = openness(picture, engine().analyze([picture], embed=False)[0][0])
        assert found.eyes < 0.1 and found.mouth > 0.9
    picture = load(shared_data / "styles_preview" / "Cybernetics_punk.jpg")  # clear ones
    assert openness(picture, engine().analyze([picture], embed=False)[0][0]).eyes > 0.9


def test_black_and_white_photos_are_open(people: list[tuple[np.ndarray, Face]]) -> None:
    for picture, face in people:
        grey = np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))
        assert openness(grey, face).mouth > 0.9 and openness(grey, face).eyes > 0.9


def test_a_face_without_a_mesh_counts_as_open(people: list[tuple[np.ndarray, Face]]) -> None:
    picture, face = people[0]
    assert openness(picture, replace(face, mesh=None)) == Openness(1.0, 1.0)


# --- sharpness: blur is seen through noise and compression -----------------------------------


def changed(picture: np.ndarray, blur: float = 0, noise: float = 0, quality: int = 0) -> np.ndarray:
    if blur:
        picture = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(blur)))
    if noise:
        grain = np.random.default_rng(1).normal(0, noise, picture.shape)
        picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
    if quality:
        data = io.BytesIO()
        Image.fromarray(picture).save(data, "JPEG", quality=quality)
        picture = np.asarray(Image.open(data))
    return picture


@pytest.mark.parametrize("spoilt", [{"noise": 8}, {"noise": 16}, {"noise": 30}, {"quality": 30}, {"quality": 10}])
def test_noise_and_blocks_do_not_pass_for_sharpness(
    people: list[tuple[np.ndarray, Face]], spoilt: dict[str, float]
) -> None:
    for picture, face in people:
        assert face.mesh is not None
        region, blur = region_of(face.mesh, 1.0), 0.02 * face.width
        sharp = sharpness(picture, region)
        assert sharpness(changed(picture, blur, **spoilt), region) < 0.6 * sharp  # type: ignore[arg-type]
        assert sharpness(changed(picture, **spoilt), region) > 0.6 * sharp  # type: ignore[arg-type]
