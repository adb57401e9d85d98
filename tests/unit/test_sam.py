"""Refining head masks with Segment Anything: loading, prompts, and when its answer is taken.

The network is built by segment-anything itself, with random weights: it shows that all fits together, not how good
SAM is. What a good answer does is tested with made answers.
"""

from __future__ import annotations

import importlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from facechain.errors import ModelFileError
from facechain.photos import sam
from facechain.photos.align import Alignment
from facechain.photos.filters import polygon
from facechain.photos.headmask import OVAL
from facechain.photos.sam import LEAST_AGREEMENT, combined, load_sam, prompts, type_of

SIZE = 256
WIDTH = 32  # of the small network's image encoder; SAM's own are 768 to 1280 wide


@pytest.fixture(scope="module")
def package():
    return pytest.importorskip("segment_anything", reason="the optional package segment-anything is not installed")


@pytest.fixture(scope="module")
def head() -> tuple[Alignment, np.ndarray]:
    """A drawn head, hair round an oval face over a shirt, and its mask."""
    y, x = np.mgrid[:SIZE, :SIZE]
    mesh = np.zeros((468, 3), np.float32)
    mesh[:, :2] = (128, 120)  # inner points: somewhere in the face
    angles = np.linspace(-np.pi / 2, 1.5 * np.pi, len(OVAL), endpoint=False)
    mesh[OVAL, 0], mesh[OVAL, 1] = 128 + 32 * np.cos(angles), 120 + 42 * np.sin(angles)
    face = polygon(mesh[OVAL, :2], SIZE)
    hair = np.hypot((x - 128) / 50, (y - 108) / 60) < 1
    image = np.full((SIZE, SIZE, 3), 200, np.uint8)
    image[(np.abs(x - 128) < 70) & (y > 175)] = (30, 60, 120)
    image[hair] = (50, 35, 25)
    image[face] = (220, 180, 160)
    matrix = np.array([[1.0, 0, 0], [0, 1, 0]])
    aligned = Alignment(image, np.ones((SIZE, SIZE), bool), matrix, mesh, float(SIZE))
    return aligned, (hair | face).astype(np.float32)


@pytest.fixture(scope="module")
def checkpoint(package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SAM's own builder with a small image encoder, random weights, in SAM's file layout as a pickle."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("sams") / "sam_small.pth"
    torch.save(small(package)().state_dict(), path)
    return path


def small(package):
    build = importlib.import_module("segment_anything.build_sam")._build_sam
    heads = {"encoder_embed_dim": WIDTH, "encoder_depth": 2, "encoder_num_heads": 2}
    return partial(build, **heads, encoder_global_attn_indexes=[1])


@pytest.fixture()
def small_is_known(package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(package.sam_model_registry, "small", small(package))
    monkeypatch.setitem(sam.TYPES, WIDTH, "small")


# --- files -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_the_type_is_read_from_the_shapes(package, name: str) -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in package.sam_model_registry[name]().state_dict().items()}
    assert type_of(shapes, Path("x.safetensors")) == name


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "sam_vit_b_01ec64.pth"
    path.write_bytes(b"not even a pickle")
    with pytest.raises(ModelFileError) as caught:
        load_sam(path)
    assert str(path) in str(caught.value) and "scripts/convert_sam.py" in caught.value.remedy
    assert "sam_vit_b_01ec64.safetensors" in caught.value.remedy


def test_files_that_are_no_sam_are_named(package, tmp_path: Path) -> None:
    broken, other = tmp_path / "broken.safetensors", tmp_path / "lora.safetensors"
    broken.write_bytes(b"\x00" * 40)
    save_file({"lora": torch.zeros(2)}, other)
    for path, why in ((broken, "damaged"), (other, "another network"), (tmp_path / "gone.safetensors", "absent")):
        with pytest.raises(ModelFileError, match=why) as caught:
            load_sam(path)
        assert str(path) in str(caught.value)


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sam.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    monkeypatch.setitem(__import__("sys").modules, "segment_anything", None)
    with pytest.raises(ModelFileError, match="pip install segment-anything"):
        load_sam(path)


# --- prompts and combination -------------------------------------------------------------


def test_prompts_lie_where_they_say(head: tuple[Alignment, np.ndarray]) -> None:
    aligned, mask = head
    box, points, labels = prompts(aligned, mask)
    ys, xs = np.nonzero(mask)
    assert box[0] < xs.min() and box[1] < ys.min() and box[2] > xs.max() and box[3] > ys.max()
    columns, rows = points.round().astype(int).T
    assert (mask[rows, columns] == labels).all()
    assert (labels == 1).sum() >= 6 and (labels == 0).sum() >= 3
    hair = (labels == 1) & ~polygon(aligned.mesh[OVAL, :2], SIZE)[rows, columns]
    assert hair.sum() >= 1


def test_a_sensible_answer_is_taken_and_others_are_not(head: tuple[Alignment, np.ndarray]) -> None:
    aligned, mask = head
    hat = mask.copy()
    hat[40:60, 100:156] = 1
    taken = combined(aligned, mask, hat)
    assert taken.mask[45:58, 110:150].mean() > 0.95 and "refined" in taken.note and taken.agreement > 0.9
    person = np.where(np.arange(SIZE)[:, None] > 170, 1.0, mask)
    eyeless = mask.copy()
    eyeless[100:125, 96:160] = 0
    for answer in (np.zeros_like(mask), np.ones_like(mask), person, eyeless):
        kept = combined(aligned, mask, answer)
        assert kept.mask is mask and "own mask kept" in kept.note
    assert combined(aligned, mask, person).agreement < LEAST_AGREEMENT


# --- the network ---------------------------------------------------------------------------


def test_a_converted_checkpoint_loads_and_answers(
    checkpoint: Path, head: tuple[Alignment, np.ndarray], small_is_known: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convert_sam import convert

    converted = convert(checkpoint)
    weights = torch.load(checkpoint, weights_only=True)
    found = load_file(converted)
    assert found.keys() == weights.keys() and all(torch.equal(found[key], weights[key]) for key in found)
    with pytest.raises(ValueError, match="already there"):
        convert(checkpoint)

    refiner = load_sam(converted)
    aligned, mask = head
    monkeypatch.setattr(sam, "LEAST_AGREEMENT", 0.0)
    refined = refiner.refine(aligned, mask)
    assert refiner.name == "sam_small.safetensors (small)"
    assert refined.mask.shape == mask.shape and refined.mask.dtype == np.float32
    assert 0 <= refined.agreement <= 1 and refined.mask.min() >= 0 and refined.mask.max() <= 1
    assert np.array_equal(refiner.refine(aligned, mask).mask, refined.mask)


def test_a_cancel_reaches_the_midst_of_a_picture(
    checkpoint: Path, head: tuple[Alignment, np.ndarray], small_is_known: None
) -> None:
    """The largest encoder takes many seconds for one picture."""
    from convert_sam import convert

    asked = []

    def cancel_at_the_second_block() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise KeyError("cancelled")

    copy = checkpoint.with_name("sam_cancelled.pth")
    copy.write_bytes(checkpoint.read_bytes())
    refiner = load_sam(convert(copy), check=cancel_at_the_second_block)
    with pytest.raises(KeyError, match="cancelled"):
        refiner.refine(*head)
    assert refiner.refine(*head).mask.shape == head[1].shape, "and it works again afterwards"


def test_convert_refuses_what_is_no_sam(tmp_path: Path) -> None:
    from convert_sam import convert

    other, evil = tmp_path / "other.pth", tmp_path / "evil.pth"
    torch.save({"weight": torch.zeros(2)}, other)
    torch.save({"call": print}, evil)
    with pytest.raises(ValueError, match=r"no image_encoder\.pos_embed"):
        convert(other)
    with pytest.raises(ValueError, match="cannot be read as plain weights"):
        convert(evil)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pth", "other.pth"]


def test_the_intake_reports_what_sam_did(shared_data: Path) -> None:
    from PIL import Image

    from facechain.faces import engine
    from facechain.images import from_pixels
    from facechain.photos.intake import IntakeOptions, take_in
    from facechain.photos.look import Photos
    from facechain.photos.sam import Refined

    class Half:
        """Leaves half of the mask, to see that it is this one that counts."""

        def refine(self, aligned: Alignment, ours: np.ndarray) -> Refined:
            return Refined(np.where(np.arange(512) < 256, ours, 0).astype(np.float32), 0.5, "halved")

    photo = np.asarray(Image.open(shared_data / "people/man/pose4.png").convert("RGB"))
    options = IntakeOptions(retouch=0.0)
    intake = take_in(Photos([from_pixels(photo)]), [], engine(), options, refiner=Half())  # type: ignore[arg-type]
    assert json.loads(intake.as_json())["photos"][0]["mask"] == "halved"
    assert intake.person.masks[0, :, 256:].max() == 0 and intake.person.masks[0, :, :256].max() == 1
    assert (intake.person.images[0][:, 256:] == 1).all()
