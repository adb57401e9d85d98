"""Letterbox geometry and the drawn skeleton."""

from __future__ import annotations

import numpy as np
import pytest

from facechain import pose

SKELETON = np.zeros((18, 3), np.float32)
SKELETON[:, 2] = 1
SKELETON[:, 0] = np.linspace(60, 440, 18)
SKELETON[:, 1] = 256 + 150 * np.sin(np.arange(18) * 1.3)


@pytest.mark.parametrize(
    ("size", "canvas", "picture_area"),
    [
        ((100, 200), (512, 512), (0, 128, 512, 384)),  # wide into square: bars above and below
        ((200, 100), (512, 512), (128, 0, 384, 512)),
        ((512, 512), (512, 768), (128, 0, 640, 512)),
        ((1000, 500), (100, 100), (25, 0, 75, 100)),  # shrinks
        ((64, 64), (640, 640), (0, 0, 640, 640)),  # grows
    ],
)
def test_letterbox_fits_whole_and_centred(
    size: tuple[int, int], canvas: tuple[int, int], picture_area: tuple[int, int, int, int]
) -> None:
    white = np.full((*size, 3), 255, np.uint8)
    boxed = pose.letterbox(white, canvas)
    left, top, right, bottom = picture_area
    assert boxed.shape == (*canvas, 3)
    assert (boxed[top:bottom, left:right] == 255).all()
    outside = np.ones(canvas, bool)
    outside[top:bottom, left:right] = False
    assert (boxed[outside] == 0).all()


def test_the_same_size_comes_back_bit_identical() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    assert (pose.letterbox(picture, (48, 64)) == picture).all()


def test_letterbox_never_stretches() -> None:
    y, x = np.mgrid[:300, :500]
    disc = (((x - 250) ** 2 + (y - 150) ** 2) < 100**2)[..., None] * np.full(3, 255, np.uint8)
    boxed = pose.letterbox(disc.astype(np.uint8), (640, 400))[..., 0] > 127
    rows, columns = np.flatnonzero(boxed.any(1)), np.flatnonzero(boxed.any(0))
    assert len(rows) == pytest.approx(len(columns), abs=1)
    assert len(rows) == pytest.approx(160, abs=2)  # 400 / 500 of 200 pixels
    assert (rows.mean(), columns.mean()) == pytest.approx((319.5, 199.5), abs=0.6)


def test_corners_map_to_corners() -> None:
    matrix = pose.letterbox_matrix((100, 200), (512, 512))
    edges = np.array([[-0.5, -0.5], [199.5, 99.5]]) @ matrix[:, :2].T + matrix[:, 2]
    assert np.allclose(edges, [[-0.5, 127.5], [511.5, 383.5]])


def test_points_and_limbs_have_openposes_colours() -> None:
    canvas = pose.draw([SKELETON], (512, 512))
    assert canvas.dtype == np.uint8 and canvas.shape == (512, 512, 3)
    for (x, y, _), colour in zip(SKELETON, pose.COLOURS, strict=True):
        assert tuple(canvas[round(float(y)), round(float(x))]) == colour
    lone = SKELETON.copy()
    lone[:, 2] = 0
    lone[[1, 2], 2] = 1  # neck and right shoulder: the first limb, dark red
    middle = lone[[1, 2], :2].mean(0).round().astype(int)
    assert tuple(pose.draw([lone], (512, 512))[middle[1], middle[0]]) == (153, 0, 0)


def test_hidden_points_and_their_limbs_are_not_drawn() -> None:
    hidden = SKELETON.copy()
    hidden[3, 2] = 0  # right elbow: with it go both its limbs and the point
    canvas = pose.draw([hidden], (512, 512)).reshape(-1, 3)
    drawn = {tuple(int(v) for v in colour) for colour in np.unique(canvas, axis=0)}
    assert pose.COLOURS[3] not in drawn
    for limb in (2, 3):  # shoulder to elbow, elbow to wrist
        assert tuple(int(v * 0.6) for v in pose.COLOURS[limb]) not in drawn
    assert tuple(int(v * 0.6) for v in pose.COLOURS[4]) in drawn


@pytest.mark.parametrize(("canvas", "thickness"), [((512, 512), 8), ((1024, 1024), 16), ((1024, 512), 8)])
def test_limbs_grow_with_the_shorter_side(canvas: tuple[int, int], thickness: int) -> None:
    points = np.zeros((18, 3), np.float32)
    points[1] = (50, 256, 1)
    points[2] = (450, 256, 1)
    column = pose.draw([points], canvas)[:, 250].any(-1)
    assert column.sum() == pytest.approx(thickness, abs=1.5)


def test_pose_map_moves_the_skeleton_with_the_picture() -> None:
    drawn = pose.pose_map([SKELETON], (512, 512), (256, 512))  # half as high, bars left and right
    x, y = SKELETON[0, :2] / 2 + (128 - 0.25, -0.25)
    assert tuple(drawn[round(float(y)), round(float(x))]) == pose.COLOURS[0]
    assert not drawn[:, :128].any() and not drawn[:, 384:].any()
    assert not pose.pose_map([], (512, 512), (64, 64)).any()


def test_two_points_at_one_place_draw() -> None:
    points = SKELETON.copy()
    points[:] = (100, 100, 1)
    assert pose.draw([points], (200, 200)).any()
