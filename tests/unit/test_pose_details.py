"""Hands and faces in pose maps, and depth without heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_nets import COLOURS, make_depth_model, make_dwpose, paint

from facechain import depth, pose, wholebody
from facechain.errors import ModelFileError
from facechain.faces.embedded import EmbeddedEngine
from facechain.onnx import EMBEDDED
from facechain.skeletons import face_points, find_figures, find_skeletons

LEFT_HAND, RIGHT_HAND = range(91, 112), range(112, 133)


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine()


@pytest.fixture(scope="module")
def dwpose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dwpose(tmp_path_factory.mktemp("pose") / wholebody.FILE)


@pytest.fixture(scope="module")
def woman(shared_data: Path) -> np.ndarray:
    return np.asarray(Image.open(shared_data / "people" / "woman" / "pose1.png").convert("RGB"))


# --- hands ---


@pytest.mark.parametrize("size", [(1000, 800), (1200, 700), (900, 900)])
def test_all_points_come_back_in_pixels_of_the_picture(size: tuple[int, int], dwpose: Path) -> None:
    height, width = size
    random = np.random.default_rng(4)
    grid = [(x, y) for y in np.linspace(0.1, 0.9, 12) for x in np.linspace(0.1, 0.9, 12)]
    places = {n: (grid[k][0] * width, grid[k][1] * height) for n, k in enumerate(random.permutation(len(grid))[:133])}
    hidden = {2, 5, 6}  # bright colours, which no dot fades into at its edge
    picture = paint(np.zeros((height, width, 3), np.uint8), {n: p for n, p in places.items() if n not in hidden}, 16)
    whole = wholebody.read_person(picture, np.array([0, 0, width, height]), dwpose)
    parts = {
        **{n: whole.hands[0][n - 91] for n in LEFT_HAND},
        **{n: whole.hands[1][n - 112] for n in RIGHT_HAND},
        **{n: whole.face[n - 23] for n in range(23, 91)},
        **{6: whole.body[2], 9: whole.body[7], 16: whole.body[10], 1: whole.body[15], 4: whole.body[16]},
    }
    for number, (x, y, seen) in parts.items():
        assert seen == (number not in hidden), number
        if seen:
            assert np.hypot(x - places[number][0], y - places[number][1]) < 20, number  # the dots are 32 wide
    assert whole.body[1, 2] == 0, "no neck without both shoulders"


def test_hands_are_found_on_a_photo_and_drawn(woman: np.ndarray, dwpose: Path, engine: EmbeddedEngine) -> None:
    height, width = woman.shape[:2]
    places = {n: (0.25 * width + 9 * (k % 5), 0.6 * height + 9 * (k // 5)) for k, n in enumerate(LEFT_HAND)}
    painted = paint(woman, places)
    (plain,) = find_figures(painted, engine)
    assert plain.hands == ()
    (figure,) = find_figures(painted, engine, dwpose)
    left, _ = figure.hands
    assert left[:, 2].all()
    assert np.abs(left[:, :2] - np.array(list(places.values()))).max() < 9
    assert figure.face.shape == (70, 3) and np.array_equal(figure.face, plain.face), "the mesh knows faces better"
    with_hands = pose.figure_map([figure], (height, width), (height, width), True, False)
    without = pose.figure_map([figure], (height, width), (height, width), False, False)
    new = np.argwhere((with_hands != without).any(-1))
    seen = np.concatenate([hand[hand[:, 2] > 0, :2] for hand in figure.hands])
    reach = 12 + max(
        0.0, *(np.linalg.norm(a - b) for hand in figure.hands for a, b in zip(hand[:-1, :2], hand[1:, :2], strict=True))
    )
    assert len(new) > 100
    assert all(np.hypot(*(seen - spot[::-1]).T).min() < reach for spot in new[::37])
    x, y = (round(float(v)) for v in left[20, :2])
    assert with_hands[y, x].tolist() == [0, 0, 255]


def test_a_hand_has_twenty_bones_in_five_fingers() -> None:
    assert len(pose.FINGERS) == 20 and len(set(pose.FINGERS)) == 20
    assert {end for _, end in pose.FINGERS} == set(range(1, 21))
    assert [start for start, _ in pose.FINGERS].count(0) == 5
    hand = np.ones((21, 3), np.float32)
    hand[:, 0] = np.linspace(20, 480, 21)
    hand[:, 1] = 256 + 100 * np.sin(np.arange(21))
    drawn = pose.draw([], (512, 512), [hand])
    middles = [(hand[a] + hand[b])[:2].round().astype(int) // 2 for a, b in pose.FINGERS[1:4]]
    assert all(drawn[y, x].any() for x, y in middles)
    hidden = hand.copy()
    hidden[:, 2] = 0
    assert not pose.draw([], (512, 512), [hidden]).any()


def test_another_network_or_none_says_what_is_wrong(woman: np.ndarray, tmp_path: Path) -> None:
    box = np.array([0, 0, 100, 100])
    with pytest.raises(ModelFileError, match="is not DWPose's network"):
        wholebody.read_person(woman, box, EMBEDDED / "pose_detection.onnx")
    (tmp_path / wholebody.FILE).write_bytes(b"<html>")
    with pytest.raises(ModelFileError, match="damaged"):
        wholebody.read_person(woman, box, tmp_path / wholebody.FILE)
    assert len({tuple(colour) for colour in COLOURS.tolist()}) == 133


# --- faces ---


def test_face_points_lie_on_the_face(woman: np.ndarray, engine: EmbeddedEngine) -> None:
    (face,) = engine.analyze([woman], embed=False)[0]
    points = face_points(face)
    assert points.shape == (70, 3) and points[:, 2].all()
    eye, other, nose, corner, corner2 = face.points
    near = 0.12 * face.height
    for index, place in ((30, nose), (48, corner), (54, corner2), (68, eye), (69, other)):
        assert np.linalg.norm(points[index, :2] - place) < near, index
    jaw, chin = points[:17, :2], points[8, 1]
    assert chin == jaw[:, 1].max() and abs(chin - face.box[3]) < near
    assert (np.diff(points[17:27, 0]) > 0).all(), "brows from the person's right to their left"
    assert points[17:27, 1].max() < points[36:48, 1].min() < points[31:36, 1].min() < points[48:68, 1].min()


def test_face_points_are_drawn_only_when_asked(woman: np.ndarray, engine: EmbeddedEngine) -> None:
    size = woman.shape[:2]
    figures = find_figures(woman, engine)
    body = pose.figure_map(figures, size, size, True, False)
    assert np.array_equal(body, pose.pose_map(find_skeletons(woman, engine), size, size))
    both = pose.figure_map(figures, size, size, True, True)
    white = (both == 255).all(-1)
    x, y = figures[0].face[:, :2].T
    assert white[y.round().astype(int), x.round().astype(int)].all()
    assert white.sum() > 70 and not (body == 255).all(-1).any()


# --- depth ---


def test_a_local_depth_model_is_used_and_gives_the_pictures_size(woman: np.ndarray, tmp_path: Path) -> None:
    folder = make_depth_model(tmp_path / "tiny")
    found = depth.estimate(woman, folder, torch.device("cpu"))
    assert found.shape == woman.shape[:2] and found.dtype == np.float32
    assert (found.min(), found.max()) == (0.0, 1.0)
    assert np.array_equal(found, depth.estimate(woman, folder, torch.device("cpu")))
    asked = []

    def cancel_in_the_midst() -> None:
        asked.append(1)
        if len(asked) == 5:
            raise KeyError("cancelled")

    with pytest.raises(KeyError, match="cancelled"):
        depth.estimate(woman, folder, torch.device("cpu"), cancel_in_the_midst)
    mirrored = depth.estimate(np.ascontiguousarray(woman[:, ::-1]), folder, torch.device("cpu"))
    assert np.abs(mirrored - found).mean() > 0.01, "it looks at the picture"
    depth.forget_models()


def test_a_folder_without_a_model_says_what_it_needs(woman: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelFileError, match="holds no depth model") as raised:
        depth.estimate(woman, tmp_path, torch.device("cpu"))
    assert "model.safetensors" in raised.value.remedy


def test_only_the_body_stays(woman: np.ndarray, engine: EmbeddedEngine) -> None:
    faces = engine.analyze([woman], embed=False)[0]
    height, width = woman.shape[:2]
    full = np.full((height, width, 3), 200, np.uint8)
    kept = depth.only_bodies(full, woman, faces)
    x1, y1, x2, y2 = faces[0].box.astype(int)
    assert faces[0].mesh is not None
    across, down = faces[0].mesh[:, :2].round().astype(int).T
    assert not kept[down, across].any(), "no face"
    assert not kept[:y1, x1:x2].any(), "no hair above it"
    assert not kept[:, : width // 12].any(), "no background"
    (skeleton,) = find_skeletons(woman, engine)
    for joint in (1, 2, 5, 3, 6):  # neck, shoulders, elbows
        x, y = skeleton[joint, :2].round().astype(int)
        below = kept[min(y + 12, height - 1), x]
        assert below.min() > 150, pose.POINTS[joint]
    half = depth.only_bodies(np.full((height // 2, width // 2, 3), 200, np.uint8), woman, faces)
    assert half.shape == (height // 2, width // 2, 3)
    assert np.abs(half.astype(int) - kept[::2, ::2]).mean() < 8
    assert depth.only_bodies(full, woman, []).astype(int)[y1:y2, x1:x2].mean() > 150, "it is the faces that are cut"
