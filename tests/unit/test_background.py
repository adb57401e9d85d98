"""What stands behind the head, and the colours at its edge."""

from __future__ import annotations

import numpy as np
import pytest

from facechain.photos.background import foreground, with_background

SIZE = 256


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dark brown disk with a soft edge before bright green: picture, mask, and the disk's own colours."""
    y, x = np.mgrid[:SIZE, :SIZE]
    mask = np.clip((88 - np.hypot(x - 128, y - 128)) / 6 + 0.5, 0, 1).astype(np.float32)
    own = np.full((SIZE, SIZE, 3), (60.0, 40.0, 30.0)) + ((x // 4 + y // 4) % 2)[..., None] * 8.0
    mixed = own * mask[..., None] + np.array([90.0, 230.0, 80.0]) * (1 - mask[..., None])
    return mixed.round().astype(np.uint8), mask, own


def test_the_old_background_leaves_the_soft_edge(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    picture, mask, own = scene
    edge = (mask > 0.2) & (mask < 0.95)
    before = np.abs(picture[edge] - own[edge]).mean()
    after = np.abs(foreground(picture, mask)[edge] - own[edge]).mean()
    assert after < 0.15 * before


@pytest.mark.parametrize(("kind", "value"), [("white", 255), ("grey", 128)])
def test_no_halo_on_a_plain_ground(scene, kind: str, value: int) -> None:
    picture, mask, own = scene
    alpha = mask[..., None]
    wanted = own * alpha + value * (1 - alpha)
    found = with_background(picture, mask, kind)  # type: ignore[arg-type]
    assert np.abs(found - wanted).max() < 16 and np.abs(found - wanted)[(mask > 0) & (mask < 1)].mean() < 3
    naive = picture * alpha + value * (1 - alpha)
    assert np.abs(naive - wanted).max() > 40


def test_sure_places_keep_their_pixels(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    picture, mask, _ = scene
    assert with_background(picture, mask, "keep") is picture
    for kind in ("white", "grey", "blurred"):
        found = with_background(picture, mask, kind)  # type: ignore[arg-type]
        assert found.dtype == np.uint8 and np.array_equal(found[mask == 1], picture[mask == 1])
    white = with_background(picture, mask, "white")
    assert (white[mask == 0] == 255).all()


def test_a_blurred_ground_holds_nothing_of_the_head(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    picture, mask, _ = scene
    found = with_background(picture, mask, "blurred")
    assert np.abs(found[mask == 0].astype(int) - [90, 230, 80]).max() <= 3


def test_masks_without_a_soft_edge_change_nothing() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    for value in (0.0, 1.0):
        assert np.array_equal(foreground(picture, np.full((32, 32), value, np.float32)), picture)
