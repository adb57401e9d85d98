"""The fixed template on real pictures: numbering, crops, masks, and pastes that touch nothing else."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facechain.errors import FaceError, PhotoError, RecordError
from facechain.faces import engine
from facechain.faces.base import Face
from facechain.images import from_pixels, warp
from facechain.template import (
    TemplateFace,
    crop_of,
    find_faces,
    numbered_faces,
    paste_face,
    place_face,
)
from facechain.template.outline import distance_to, outline_of

SETTINGS = {"size": 512, "face_part": 0.45, "grow": 0.1}


def load(path: Path) -> torch.Tensor:
    return from_pixels(np.asarray(Image.open(path).convert("RGB")))


@pytest.fixture(scope="module")
def couple(shared_data: Path) -> torch.Tensor:
    return load(shared_data / "templates" / "5.jpg")


@pytest.fixture(scope="module")
def group(package_photos: dict[str, Path]) -> torch.Tensor:
    return load(package_photos["group"])


_found: dict[int, tuple[torch.Tensor, list[Face]]] = {}


def faces_of(template: torch.Tensor) -> list[Face]:
    """find_faces, once for each picture."""
    if id(template) not in _found:
        _found[id(template)] = (template, find_faces(template, engine()))
    return _found[id(template)][1]


def place_all(template: torch.Tensor, **changes: float) -> list[TemplateFace]:
    faces = faces_of(template)
    return [place_face(template, faces, n, **{**SETTINGS, **changes}) for n in range(1, len(faces) + 1)]


def inside(record: TemplateFace) -> torch.Tensor:
    """The record's mask [H, W] bool, in the template."""
    mask = torch.zeros(record.template_size, dtype=torch.bool)
    mask[record.region] = record.depth > 0
    return mask


def repaint(crop: torch.Tensor, value: float = 0.0) -> torch.Tensor:
    return torch.full_like(crop, value)


# --- finding and numbering ---


def test_six_people_are_numbered_from_the_left(group: torch.Tensor) -> None:
    centers = [face.center for face in faces_of(group)]
    # looked up in the picture: where each nose is
    noses = [(125, 345), (315, 220), (510, 355), (785, 425), (945, 145), (1180, 345)]
    assert len(centers) == 6
    for (x, y), (nose_x, nose_y) in zip(centers, noses, strict=True):
        assert abs(x - nose_x) < 35 and abs(y - nose_y) < 35


def test_a_face_too_many_is_named_with_what_there_is(couple: torch.Tensor) -> None:
    faces = faces_of(couple)
    with pytest.raises(FaceError, match=r"shows 2 faces; face 3 does not exist.*from 1 to 2"):
        place_face(couple, faces, 3, **SETTINGS)
    with pytest.raises(FaceError, match="face 0 does not exist"):
        place_face(couple, faces, 0, **SETTINGS)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 1, 400, 3), (1, 300, 200, 3)])
def test_a_template_without_faces_says_so(shape: tuple[int, ...]) -> None:
    with pytest.raises(FaceError, match="shows no face"):
        find_faces(torch.rand(shape, generator=torch.manual_seed(0)), engine())


def test_unusable_templates_are_refused(couple: torch.Tensor) -> None:
    broken = couple.clone()
    broken[0, 3, 4, 1] = float("nan")
    with pytest.raises(PhotoError, match="not numbers"):
        find_faces(broken, engine())
    with pytest.raises(PhotoError, match="batch of 2"):
        find_faces(couple.repeat(2, 1, 1, 1), engine())
    with pytest.raises(PhotoError, match="no picture"):
        find_faces(couple[0], engine())


def test_a_huge_template_gives_faces_in_its_own_pixels(couple: torch.Tensor) -> None:
    """Above 4096 pixels the engine sees every second pixel only; the results are full-size all the same."""
    huge = torch.full((1, 4200, 1220, 3), 0.5)
    huge[:, 1000:2622] = couple.repeat_interleave(2, 1).repeat_interleave(2, 2)
    small, large = faces_of(couple), find_faces(huge, engine())
    assert len(large) == 2
    for a, b in zip(small, large, strict=True):
        assert np.abs(b.points / 2 - a.points - [0, 500]).max() < 4
    record = place_face(huge, large, 2, **SETTINGS)
    pasted, changed = paste_face(huge, repaint(crop_of(huge, record), 0.5), record)
    assert torch.equal(pasted[0][changed[0] == 0], huge[0][changed[0] == 0])
    assert changed.sum() > 200 * 200


# --- crops ---


def test_the_crop_shows_the_face_at_the_asked_size(couple: torch.Tensor) -> None:
    for record in place_all(couple):
        crop = crop_of(couple, record)
        assert crop.shape == (1, 512, 512, 3) and crop.min() >= 0 and crop.max() <= 1
        own = max(find_faces(crop, engine()), key=lambda face: face.area)
        # the mesh's box is 1 / 1.13 of what FaceChain calls the face
        assert max(own.width, own.height) / 512 == pytest.approx(0.45 / 1.13, rel=0.08)
        assert abs(own.center[0] - 256) < 30 and abs(own.center[1] - 256) < 40


def test_a_crop_at_the_edge_moves_inside(group: torch.Tensor) -> None:
    left, top = place_all(group)[0], place_all(group)[4]
    assert left.window.x == 0 and top.window.y == 0
    assert left.window.y > 0 and top.window.x > 0
    for record in (left, top):
        x, y, side = record.window.x, record.window.y, record.window.side
        expected = group[:, y : y + side, x : x + side].mean((1, 2))
        assert (crop_of(group, record).mean((1, 2)) - expected).abs().max() < 0.002  # all of it is real picture


def test_a_template_smaller_than_the_crop_is_filled_with_its_edge(couple: torch.Tensor) -> None:
    x1, y1, x2, y2 = (int(v) for v in faces_of(couple)[1].box)
    tight = couple[:, y1 - 25 : y2 + 15, x1 - 20 : x2 + 20]
    record = place_all(tight)[0]
    assert record.window.x < 0 and record.window.y < 0 and record.window.side > max(tight.shape[1:3])
    crop = crop_of(tight, record)
    scale = 512 / record.window.side
    row = round((60 - record.window.y) * scale)
    outside = crop[0, row, : int(-record.window.x * scale) - 2]
    assert (outside - outside[0]).abs().max() < 0.01
    mask = record.crop_mask()
    assert mask[:, : int(-record.window.x * scale) - 1].max() == 0
    pasted, changed = paste_face(tight, repaint(crop), record)
    assert changed.sum() > 80 * 80
    assert torch.equal(pasted[0][changed[0] == 0], tight[0][changed[0] == 0])


def test_a_crop_of_nearly_the_wanted_size_is_not_resampled(couple: torch.Tensor) -> None:
    record = place_all(couple, size=288)[0]
    assert abs(record.face_size / 0.45 - 288) > 5 and record.window.side == 288
    w = record.window
    crop = crop_of(couple, record)
    assert torch.equal(crop, couple[:, w.y : w.y + 288, w.x : w.x + 288])
    pasted, changed = paste_face(couple, crop, record)
    assert torch.equal(pasted, couple) and changed.sum() > 0


# --- masks ---


def test_the_mask_covers_the_face_from_forehead_to_chin(couple: torch.Tensor) -> None:
    faces = faces_of(couple)
    for face, record in zip(faces, place_all(couple), strict=True):
        mask = inside(record)
        assert face.mesh is not None
        for x, y in face.mesh[:, :2]:
            assert mask[round(float(y)), round(float(x))]
        rows = torch.nonzero(mask.any(1))[:, 0]
        assert face.box[1] - rows.min() == pytest.approx(0.1 * record.face_size, abs=3)  # forehead
        assert rows.max() - face.box[3] == pytest.approx(0.1 * record.face_size, abs=3)  # chin


def test_the_crops_mask_is_the_same_mask(group: torch.Tensor) -> None:
    for record in place_all(group):
        scale = 512 / record.window.side
        matrix = np.array(
            [[scale, 0, (0.5 - record.window.x) * scale - 0.5], [0, scale, (0.5 - record.window.y) * scale - 0.5]]
        )
        back = warp(record.crop_mask()[..., None], matrix, record.template_size, fill=0)[..., 0]
        assert ((back > 0.5) != inside(record)).float().sum() < 0.02 * inside(record).sum()


@pytest.mark.parametrize("grow", [0.0, 0.1, 1.0])
def test_six_masks_never_meet(group: torch.Tensor, grow: float) -> None:
    masks = [inside(record) for record in place_all(group, grow=grow)]
    for a, b in combinations(masks, 2):
        assert not (a & b).any()
    assert all(mask.sum() > 5000 for mask in masks)


def test_neighbours_are_spared_however_far_the_mask_grows(couple: torch.Tensor) -> None:
    faces = faces_of(couple)
    for index, record in enumerate(place_all(couple, grow=1.0)):
        mesh = faces[1 - index].mesh
        assert mesh is not None
        mask = inside(record)
        # the whole neighbour, not just the mesh's points
        for a, b in combinations(mesh[::9, :2], 2):
            x, y = (a + b) / 2
            assert not mask[round(float(y)), round(float(x))]
        pasted, _ = paste_face(couple, repaint(crop_of(couple, record)), record)
        x1, y1, x2, y2 = (int(v) for v in faces[1 - index].box)
        middle = (slice(None), slice(y1 + 10, y2 - 10), slice(x1 + 12, x2 - 12))
        assert torch.equal(pasted[middle], couple[middle])


def test_masks_of_different_settings_still_never_meet(couple: torch.Tensor) -> None:
    wide, narrow = place_all(couple, grow=1.0, size=1024)[0], place_all(couple, grow=0.0, face_part=0.8)[1]
    assert not (inside(wide) & inside(narrow)).any()


def test_distances_to_an_outline_are_true() -> None:
    """A face without a mesh is the ellipse in its box; a round one has distances known exactly."""
    face = Face(np.array([100.0, 50.0, 180.0, 130.0]), 1.0, np.zeros((5, 2)), None, 0.0, 0.0, 0.0)
    xs, ys = np.linspace(60, 220, 81), np.linspace(10, 170, 81)
    true = np.hypot(xs[None] - 140, ys[:, None] - 90) - 40
    assert np.abs(distance_to(outline_of(face), xs, ys) - true).max() < 0.003 * 80


def test_faces_without_a_mesh_are_cut_and_pasted_alike() -> None:
    template = torch.rand((1, 300, 400, 3), generator=torch.manual_seed(2))
    boxes = ([90, 80, 160, 170], [170, 90, 240, 180])
    faces = [Face(np.array(b, np.float32), 1.0, np.zeros((5, 2)), None, 0.0, 0.0, 0.0) for b in boxes]
    records = [place_face(template, faces, n, **{**SETTINGS, "size": 256, "grow": 0.2}) for n in (1, 2)]
    assert not (inside(records[0]) & inside(records[1])).any()
    pasted, changed = paste_face(template, repaint(crop_of(template, records[0])), records[0])
    assert changed[0, 125, 125] == 1 and changed[0, 135, 205] == 0
    assert torch.equal(pasted[0][changed[0] == 0], template[0][changed[0] == 0])


# --- pastes ---


def test_pixels_outside_the_mask_are_the_templates_own(group: torch.Tensor) -> None:
    noise = torch.rand((1, 512, 512, 3), generator=torch.manual_seed(1))
    for record in place_all(group):
        pasted, changed = paste_face(group, noise, record, feather=0.0)
        kept = changed[0] == 0
        assert torch.equal(kept, ~inside(record) | kept) and not (changed[0].bool() & ~inside(record)).any()
        assert torch.equal(pasted[0][kept], group[0][kept])
        different = (pasted[0] != group[0]).any(-1)
        assert different.sum() > 0.95 * changed.sum()


@pytest.mark.parametrize("size", [256, 512, 1024])
@pytest.mark.parametrize("match", [True, False])
def test_an_unchanged_crop_gives_back_the_template(group: torch.Tensor, size: int, match: bool) -> None:
    for record in place_all(group, size=size)[1:4]:
        pasted, changed = paste_face(group, crop_of(group, record), record, match_colour=match)
        assert torch.equal(pasted, group) and changed.sum() > 5000


def test_a_crop_that_came_back_larger_still_fits(couple: torch.Tensor) -> None:
    record = place_all(couple)[0]
    crop = crop_of(couple, record).permute(0, 3, 1, 2)
    larger = torch.nn.functional.interpolate(crop, (1024, 1024), mode="bicubic", antialias=True).permute(0, 2, 3, 1)
    pasted, _ = paste_face(couple, larger, record)
    assert (pasted - couple).abs().max() < 0.02


def test_a_new_face_lands_where_the_old_one_was(couple: torch.Tensor) -> None:
    """A mirrored crop is a new picture of known geometry: its landmarks must arrive mirrored in the crop's window."""
    faces = faces_of(couple)
    record = place_all(couple)[0]
    pasted, _ = paste_face(couple, crop_of(couple, record).flip(2), record, feather=0.02)
    found = find_faces(pasted, engine())[0]
    mirrored = faces[0].points[[1, 0, 2, 4, 3]] * [-1, 1] + [2 * record.window.x + record.window.side - 1, 0]
    assert np.abs(found.points - mirrored).max() < 0.03 * record.face_size


def test_the_edge_is_soft_and_lies_inside(couple: torch.Tensor) -> None:
    record = place_all(couple)[0]
    black = paste_face(couple, repaint(crop_of(couple, record)), record, feather=0.1, match_colour=False)[0]
    depth = torch.full(record.template_size, -1.0)
    depth[record.region] = record.depth
    core = depth > 0.1 * record.face_size + 1
    rim = (depth > 0) & (depth < 1)
    assert black[0][core].max() == 0
    assert (black[0][rim] - couple[0][rim]).abs().max() < 0.05


def test_a_colour_cast_is_taken_out(couple: torch.Tensor) -> None:
    record = place_all(couple)[0]
    cast = crop_of(couple, record) + torch.tensor([0.08, 0.04, 0.02])
    error = {}
    for match in (True, False):
        pasted, changed = paste_face(couple, cast, record, match_colour=match)
        error[match] = float((pasted - couple)[0][changed[0] > 0].abs().mean())
    assert error[True] < 0.35 * error[False]


def test_a_person_after_person_leaves_the_others(group: torch.Tensor) -> None:
    records = place_all(group)
    picture = group
    for number, record in enumerate(records):
        picture, _ = paste_face(picture, repaint(crop_of(group, record), number / 10), record, match_colour=False)
    union = torch.stack([inside(record) for record in records]).any(0)
    assert torch.equal(picture[0][~union], group[0][~union])
    for number, record in enumerate(records):
        assert picture[0][inside(record)].median() == pytest.approx(number / 10, abs=0.01)


def test_a_batch_of_crops_gives_a_batch_of_pictures(couple: torch.Tensor) -> None:
    record = place_all(couple)[0]
    crop = crop_of(couple, record)
    both, changed = paste_face(couple, torch.cat([crop, repaint(crop)]), record)
    one, _ = paste_face(couple, repaint(crop), record)
    assert both.shape[0] == 2 and changed.shape[0] == 1
    assert torch.equal(both[1], one[0]) and (both[0] - couple[0]).abs().max() < 1e-4


def test_half_precision_and_transparency_pass_through(couple: torch.Tensor) -> None:
    clear = torch.cat([couple, torch.full_like(couple[..., :1], 0.25)], -1)
    record = place_all(clear)[0]
    pasted, changed = paste_face(clear, repaint(crop_of(clear, record)), record)
    assert torch.equal(pasted[..., 3], clear[..., 3]) and changed.sum() > 0
    half = couple.half()
    record = place_all(half)[0]
    pasted, changed = paste_face(half, repaint(crop_of(half, record)), record)
    assert pasted.dtype == torch.float16
    assert torch.equal(pasted[0][changed[0] == 0], half[0][changed[0] == 0])


# --- records that do not fit ---


def test_another_size_or_another_picture_is_refused(couple: torch.Tensor) -> None:
    record = place_all(couple)[0]
    crop = crop_of(couple, record)
    with pytest.raises(RecordError, match=r"600x811 pixels, but face 1 was cut from one with 610x811.*Template Face"):
        paste_face(couple[:, :, :600], crop, record)
    with pytest.raises(RecordError, match="something else where face 1"):
        paste_face(couple.flip(2), crop, record)
    with pytest.raises(RecordError, match="something else"):
        paste_face(torch.full_like(couple, float("nan")), crop, record)


def test_the_same_picture_after_jpeg_is_known_again(couple: torch.Tensor, tmp_path: Path) -> None:
    Image.fromarray((couple[0] * 255).byte().numpy()).save(tmp_path / "a.jpg", quality=80)
    record = place_all(couple)[0]
    paste_face(load(tmp_path / "a.jpg"), crop_of(couple, record), record)


def test_unusable_crops_are_refused(couple: torch.Tensor) -> None:
    record = place_all(couple)[0]
    with pytest.raises(PhotoError, match="square"):
        paste_face(couple, torch.zeros(1, 512, 500, 3), record)
    with pytest.raises(PhotoError, match=r"not numbers.*--fp32-vae"):
        paste_face(couple, torch.full((1, 64, 64, 3), float("nan")), record)
    with pytest.raises(PhotoError, match="3 crops do not fit 2 templates"):
        paste_face(couple.repeat(2, 1, 1, 1), torch.zeros(3, 64, 64, 3), record)
    pasted, _ = paste_face(couple, torch.full((1, 1, 1, 3), 0.5), record)  # tiny, but a square picture
    assert pasted.shape == couple.shape


# --- the preview ---


def test_the_preview_marks_this_face_and_only_this(couple: torch.Tensor) -> None:
    faces = faces_of(couple)
    record = place_face(couple, faces, 2, **SETTINGS)
    preview = numbered_faces(couple, faces, [record])
    assert max(preview.shape[1:3]) == 811
    accent = (preview[0] - torch.tensor([0, 190, 140]) / 255).abs().sum(-1) < 0.03
    columns = torch.nonzero(accent.any(0))[:, 0]
    assert columns.min() > faces[0].box[2] and columns.max() < faces[1].box[2] + 40
    assert accent.sum() > 1000


@pytest.mark.parametrize("longest", [128, 3000])
def test_the_preview_has_a_size_to_look_at(couple: torch.Tensor, longest: int) -> None:
    scale = longest / 811
    image = torch.nn.functional.interpolate(couple.permute(0, 3, 1, 2), scale_factor=scale, mode="nearest")
    resized = image.permute(0, 2, 3, 1)
    preview = numbered_faces(resized, faces_of(couple)[:0])
    assert max(preview.shape[1:3]) == (768 if longest < 768 else 1536)
    assert preview.shape[1] / preview.shape[2] == pytest.approx(811 / 610, rel=0.02)
