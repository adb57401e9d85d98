"""Settings, crops, hashes and the loss picture of a training."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from facechain.errors import TrainingError
from facechain.training.config import TrainConfig, config_from
from facechain.training.curve import curve_of, draw_curve, headings_of, note_of
from facechain.training.data import FACE_HEIGHT, FACE_SHARE, LatentBank, cut, encode_bank, plan_crops
from facechain.training.fingerprint import weights_hash
from facechain.training.loop import smoothed
from facechain.training.optimizers import rate_at

SIZE = 512


@pytest.mark.parametrize(
    "wrong",
    [
        {"preset": "slow"},
        {"steps": -1},
        {"resolution": 100},
        {"resolution": 32},
        {"batch_size": 0},
        {"rank": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"seed": -1},
        {"face_share": (0.5, 0.4)},
        {"crops_per_photo": 0},
    ],
)
def test_wrong_settings_are_refused_with_a_remedy(wrong: dict) -> None:
    with pytest.raises(TrainingError) as caught:
        TrainConfig(**wrong)
    assert caught.value.remedy


def test_steps_follow_the_preset_and_the_batch() -> None:
    assert [config_from(p, steps=0, seed=0).steps_for(3) for p in ("fast", "balanced", "best")] == [300, 600, 900]
    assert TrainConfig(batch_size=4).steps_for(3) == 150
    assert TrainConfig(steps=7).steps_for(3) == 7
    assert config_from("fast", seed=0).seed == 0
    assert TrainConfig().resolution_for(512) == 512
    assert TrainConfig(resolution=256).resolution_for(1024) == 256


def test_only_what_changes_the_result_counts_for_its_hash() -> None:
    own = TrainConfig(preset="fast").decisive(3, 512)
    assert own == TrainConfig(preset="best", steps=300, resolution=512, alpha=32, checkpointing="on").decisive(3, 512)
    assert own != TrainConfig(preset="fast").decisive(4, 512)
    assert own != TrainConfig(preset="fast", flip=False).decisive(3, 512)


def test_crops_show_the_face_in_the_share_and_at_the_height_that_facechain_draws() -> None:
    config = TrainConfig(crops_per_photo=200)
    crops = plan_crops(2, SIZE, config, steps=100_000)
    shares = np.array([SIZE * FACE_SHARE / c.side for c in crops])
    heights = np.array([(SIZE * FACE_HEIGHT - c.top) / c.side for c in crops])
    assert len(crops) == 400
    assert 0.349 < shares.min() < 0.36 and 0.44 < shares.max() < 0.451
    assert 0.349 < heights.min() < 0.36 and 0.49 < heights.max() < 0.501
    assert all(c.left >= 0 and c.top >= 0 and c.left + c.side <= SIZE and c.top + c.side <= SIZE for c in crops)
    assert {c.photo for c in crops} == {0, 1}
    assert sum(c.mirrored for c in crops) == 200
    assert not any(c.mirrored for c in plan_crops(2, SIZE, TrainConfig(flip=False), 1000))


def test_the_seed_decides_the_crops_and_few_steps_need_few() -> None:
    assert plan_crops(3, SIZE, TrainConfig(seed=1), 600) == plan_crops(3, SIZE, TrainConfig(seed=1), 600)
    assert plan_crops(3, SIZE, TrainConfig(seed=1), 600) != plan_crops(3, SIZE, TrainConfig(seed=2), 600)
    assert len(plan_crops(3, SIZE, TrainConfig(), 600)) == 48
    assert len(plan_crops(3, SIZE, TrainConfig(), 1)) == 3
    assert len(plan_crops(3, SIZE, TrainConfig(accumulation=4), 150)) == 48, "as many pictures are seen"


def test_cut_keeps_the_face_in_its_place_and_mirrors() -> None:
    picture = torch.zeros(1, SIZE, SIZE, 3)
    y, x = round(SIZE * FACE_HEIGHT), SIZE // 2 + 40
    picture[0, y - 8 : y + 8, x - 8 : x + 8] = 1.0
    for crop in plan_crops(1, SIZE, TrainConfig(), 600)[:6]:
        shown = cut(picture, crop, 128)
        assert shown.shape == (128, 128, 3) and shown.min() >= 0 and shown.max() <= 1
        rows, columns = torch.nonzero(shown[..., 0] > 0.5, as_tuple=True)
        middle = (float(columns.float().mean()) / 128 - 0.5) * (-1 if crop.mirrored else 1)
        assert float(rows.float().mean()) / 128 == pytest.approx((y - crop.top) / crop.side, abs=0.01)
        assert middle == pytest.approx(40 / crop.side, abs=0.01)


def test_the_bank_holds_the_crops_in_order_and_reports_progress() -> None:
    images = torch.rand(2, 128, 128, 3, generator=torch.Generator().manual_seed(0))
    config, seen = TrainConfig(resolution=64, crops_per_photo=3), []

    def encode(pictures: torch.Tensor) -> torch.Tensor:
        assert pictures.shape[1:] == (64, 64, 3)
        return torch.nn.functional.avg_pool2d(pictures.movedim(-1, 1), 8).double()

    bank = encode_bank(images, images[..., 0], config, 600, encode, lambda done, total: seen.append((done, total)))
    crops = plan_crops(2, 128, config, 600)
    assert len(bank) == 6 and bank.latents.dtype == torch.float32
    expected = encode(cut(images, crops[5], 64)[None]).float()
    assert torch.allclose(bank.latents[5:], expected, atol=1e-6)
    assert seen == [(0, 6), (4, 6), (6, 6)]


def test_batches_are_seeded_and_show_every_crop() -> None:
    bank = LatentBank(torch.arange(6).float()[:, None, None, None])
    first, again = (bank.batch(200, torch.Generator().manual_seed(3)).latents for _ in range(2))
    assert torch.equal(first, again)
    assert set(first.flatten().tolist()) == {0, 1, 2, 3, 4, 5}


def test_the_hash_sees_values_shapes_names_and_words_but_not_the_precision() -> None:
    weights = {"a": torch.randn(40, 30).half(), "b": torch.randn(5).half()}
    own = weights_hash(weights.items(), ["eps"])
    assert own == weights_hash(reversed([(k, t.float()) for k, t in weights.items()]), ["eps"])
    assert own != weights_hash(weights.items(), ["v"])
    assert own != weights_hash([("a", weights["a"] * 1.01), ("b", weights["b"])], ["eps"])
    assert own != weights_hash([("a", weights["a"]), ("c", weights["b"])], ["eps"])
    assert own != weights_hash([("a", weights["a"].reshape(30, 40)), ("b", weights["b"])], ["eps"])


def test_the_rate_falls_as_a_cosine_and_losses_are_smoothed_without_a_false_start() -> None:
    assert [round(rate_at(step, 100, TrainConfig()), 4) for step in (0, 50, 99)] == [1.0, 0.5, 0.0002]
    assert smoothed([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])
    assert smoothed([4.0, 0.0])[1] == pytest.approx(4 * 0.95 / 1.95)


def test_the_curve_falls_from_left_to_right() -> None:
    losses = list(np.linspace(1.0, 0.1, 100))
    picture = np.asarray(draw_curve(losses, 200, "anna", note_of(100, 200, losses, 50.0))).astype(int)
    assert picture.shape == (432, 768, 3)
    assert picture.mean() > 225  # light
    line = (picture[..., 2] > 180) & (picture[..., 0] < 90)
    rows, columns = np.nonzero(line)
    assert columns.max() < 768 * 0.6, "half of the steps fill half of the width"
    assert rows[columns < columns.min() + 20].mean() < rows[columns > columns.max() - 20].mean() - 100
    assert "100 of 200" in note_of(100, 200, losses, 50.0) and "0:50 left" in note_of(100, 200, losses, 50.0)


def test_the_speed_of_a_training_that_goes_on_counts_its_own_steps() -> None:
    losses = [0.5] * 60
    assert note_of(60, 100, losses, 10.0, first=50) == "step 60 of 100, loss 0.5000, 1.00 steps/s, 0:40 left"
    assert note_of(50, 100, losses, 0.1, first=50) == "step 50 of 100"


def test_a_long_name_leaves_room_for_what_follows_and_nobody_has_a_likeness_below_zero() -> None:
    report = {"person": "Maximiliane " * 6, "steps": 1, "photos": 3, "resolution": 512, "chosen": [1]}
    report |= {"loss_at_first": 0.5, "loss_at_last": 0.25, "steps_per_second": 2.0, "losses": [0.5], "loss_stride": 1}
    faceless = {"step": 1, "likeness": -50.0, "faces": 0}
    title, note = headings_of({**report, "snapshots": [faceless]})
    assert re.fullmatch(r"(Maximiliane ?)+\w*…: 1 step, 3 photos, 512 px", title)
    assert note == "loss 0.5000 to 0.2500, 2.00 steps/s, no portrait shows a face"
    _, note = headings_of({**report, "snapshots": [{**faceless, "likeness": -12.5, "faces": 2}]})
    assert note.endswith("likeness 0 % at step 1")
    ink = curve_of(report)[:30, :, 0] < 120  # the rows of the title
    assert 600 < np.nonzero(ink.any(0))[0].max() < 768 - 10, "it ends inside the picture"


def test_an_empty_or_flat_curve_can_be_drawn() -> None:
    assert draw_curve([], 10, "anna").size == draw_curve([0.5] * 3, 10, "anna").size == (768, 432)
