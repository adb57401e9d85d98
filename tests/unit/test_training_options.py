"""What the training's options do to the loss, the steps, the rate and the memory."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tiny_model import bank, ignore, loss_of, make_model, make_trainee
from tiny_training import TinyHost, make_person

from facechain.errors import TrainingError
from facechain.training.config import TrainConfig, config_from
from facechain.training.data import LatentBank, encode_bank, encode_pictures
from facechain.training.loop import Captions, Trainee, train, training_mode
from facechain.training.loss import Batch, head_weights
from facechain.training.optimizers import Group, make_optimizer, rate_at
from facechain.training.options import ClassPictures
from facechain.training.trainer import train_person

CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", ["eps", "v", "flow"])
def test_min_snr_weighs_the_error_of_the_picture(kind: str) -> None:
    """Against the formulas of its paper: min(SNR, gamma) / SNR for noise, / (SNR + 1) for velocity."""
    with training_mode(0, CPU):
        trainee = make_trainee(make_model(kind), TrainConfig(batch_size=3))
        latents = bank().batch(3, torch.Generator().manual_seed(2)).latents
        loss = loss_of(trainee, Batch(latents), torch.Generator().manual_seed(9), min_snr_gamma=5.0)
        generator = torch.Generator().manual_seed(9)
        noise, clean = torch.randn(latents.shape, generator=generator), latents * 0.5
        sigma = (1 - torch.rand(3, generator=generator)) * (1 if kind == "flow" else 3)
        s = sigma.view(-1, 1, 1, 1)
        target = {"eps": noise, "v": (noise - s * clean) / (s**2 + 1) ** 0.5, "flow": noise - clean}[kind]
        snr = ((1 - s) / s) ** 2 if kind == "flow" else 1 / s**2
        weight = snr.clamp(max=5) / {"eps": snr, "v": snr + 1, "flow": 1 / s**2}[kind]
        explicit = (weight * (trainee.model.last_output - target).square()).mean()
    assert loss.item() == pytest.approx(explicit.item(), rel=1e-4)


def test_the_noise_offset_moves_whole_channels() -> None:
    seen: list[torch.Tensor] = []
    with training_mode(0, CPU):
        trainee = make_trainee(make_model("flow"), TrainConfig())
        scaling = trainee.model.model_sampling.noise_scaling

        def keep(sigma: torch.Tensor, noise: torch.Tensor, clean: torch.Tensor, most: bool) -> torch.Tensor:
            seen.append(noise)
            return scaling(sigma, noise, clean, most)

        trainee.model.model_sampling.noise_scaling = keep
        for offset in (0.0, 0.5):
            loss_of(trainee, Batch(bank().latents[:1]), torch.Generator().manual_seed(1), noise_offset=offset)
    difference = seen[1] - seen[0]
    assert float(difference.std((-2, -1)).max()) < 1e-6 and float(difference.abs().max()) > 0.05


def test_the_head_mask_weighs_the_loss() -> None:
    head = torch.zeros(2, 4, 4)
    head[:, :2] = 1.0
    weights = head_weights(head, 0.8, 4)
    assert weights.shape == (2, 1, 4, 4) and weights.mean().item() == pytest.approx(1.0)
    assert float(weights[0, 0, 0, 0] / weights[0, 0, 3, 0]) == pytest.approx(5.0)
    assert head_weights(head, 0.8, 5).shape == (2, 1, 1, 4, 4)
    assert (head_weights(0 * head, 1.0, 4) == 1).all(), "an empty mask must not make a picture count for nothing"
    with training_mode(0, CPU):
        trainee = make_trainee(make_model(), TrainConfig())
        latents = bank().latents
        for focus, changed in ((0.0, False), (1.0, True)):
            losses = [
                loss_of(trainee, Batch(latents, mask), torch.Generator().manual_seed(1), head_focus=focus).item()
                for mask in (head, 1 - head)
            ]
            assert (losses[0] != losses[1]) is changed


def test_the_bank_keeps_the_head_of_each_crop_where_it_is_asked_for() -> None:
    images, masks = torch.zeros(1, 128, 128, 3), torch.zeros(1, 128, 128)
    images[:, 40:70, 30:60], masks[:, 40:70, 30:60] = 1.0, 1.0  # the picture shows what the mask says

    def encode(pictures: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(pictures.movedim(-1, 1), 8)

    own = encode_bank(images, masks, TrainConfig(resolution=64, head_focus=0.5), 600, encode, ignore)
    assert own.heads is not None and own.heads.shape == (16, 8, 8)
    assert torch.allclose(own.heads, own.latents[:, 0], atol=1e-5), "cropped and mirrored alike"
    batch = own.batch(3, torch.Generator().manual_seed(0))
    assert batch.head is not None and torch.allclose(batch.head, batch.latents[:, 0], atol=1e-5)
    assert encode_bank(images, masks, TrainConfig(resolution=64), 600, encode, ignore).heads is None


def test_class_pictures_of_any_shape_become_squares() -> None:
    pictures = torch.zeros(5, 96, 128, 3)
    pictures[:, :, 16:112, 1] = 1.0  # the middle square

    def encode(batch: torch.Tensor) -> torch.Tensor:
        assert batch.shape[1:] == (64, 64, 3) and float(batch[..., 1].min()) > 0.9
        return batch.movedim(-1, 1)[:, :, ::8, ::8]

    transparent = torch.cat([pictures, pictures[..., :1]], -1)
    for given in (pictures, transparent):
        assert encode_pictures(given, 64, encode, ignore).latents.shape == (5, 3, 8, 8)
    assert ClassPictures(pictures).hash == ClassPictures(pictures.double()).hash != ClassPictures(pictures[:4]).hash


def conditions(trainee: Trainee, names: list[str]) -> Any:
    """Captions that write down which of them was asked for."""

    def of(name: str) -> Any:
        def made() -> dict[str, Any]:
            names.append(name)
            return trainee.captions.person()

        return made

    return of


def test_captions_are_dropped_class_pictures_added_and_batches_accumulated() -> None:
    names: list[str] = []
    config = TrainConfig(caption_dropout=0.4, prior_weight=0.5, accumulation=2, rank=4)
    with training_mode(0, CPU):
        trainee = make_trainee(make_model(), config)
        of = conditions(trainee, names)
        captions = Captions(of("person"), of("empty"), of("others"))
        told = Trainee(trainee.model, trainee.groups, captions, CPU)
        train(told, bank(), config, 30, ignore, others=bank())
    assert names[1::2] == ["others"] * 60
    assert 12 <= names[::2].count("empty") <= 36 and names[::2].count("person") + names[::2].count("empty") == 60


def test_accumulated_batches_count_as_one_of_their_size() -> None:
    """Two equal batches accumulated move the weights as one of them does."""

    def moved(accumulation: int) -> list[torch.Tensor]:
        config = TrainConfig(accumulation=accumulation, rank=4, learning_rate=1e-2, seed=3)
        with training_mode(0, CPU):
            trainee = make_trainee(make_model(), config)
            one = LatentBank(bank().latents[:1])
            losses = train(trainee, one, config, 1, ignore).losses
            assert len(losses) == 1
        return [p.detach().clone() for p in trainee.parameters]

    once, twice = moved(1), moved(2)
    # AdamW's first step is as large as the rate, whatever the gradients' size
    assert max(float((a - b).abs().max()) for a, b in zip(once, twice, strict=True)) <= 2.1e-2


def test_rates_warm_up_and_fall() -> None:
    warm = TrainConfig(warmup=0.2, schedule="linear")
    assert [round(rate_at(step, 10, warm), 3) for step in (0, 1, 2, 6, 9)] == [0.333, 0.667, 1.0, 0.5, 0.125]
    assert rate_at(99, 100, TrainConfig(schedule="constant")) == 1.0


def test_groups_have_their_own_peak_rate() -> None:
    first, second = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = make_optimizer([Group([first], 1e-3), Group([second], 5e-5)], TrainConfig(), CPU)
    assert [group["peak"] for group in optimizer.param_groups] == [1e-3, 5e-5]


@pytest.mark.parametrize(("choice", "package"), [("Prodigy", "prodigyopt"), ("AdamW 8-bit", "bitsandbytes")])
def test_a_missing_optimiser_is_named_with_its_package(
    choice: Any, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=f"package {package}") as caught:
        make_optimizer([], config_from("fast", {"optimizer": choice}), CPU)
    assert f"pip install {package}" in caught.value.remedy


def test_8_bit_needs_a_graphics_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "bitsandbytes", ModuleType("bitsandbytes"))
    with pytest.raises(TrainingError, match="NVIDIA"):
        make_optimizer([], TrainConfig(optimizer="AdamW 8-bit"), CPU)


def test_prodigy_trains_where_it_is_installed() -> None:
    pytest.importorskip("prodigyopt", reason="the optional package prodigyopt is absent")
    config = config_from("fast", {"optimizer": "Prodigy"}, rank=8, batch_size=4)
    assert config.learning_rate == 1.0
    with training_mode(0, CPU):
        run = train(make_trainee(make_model(), config), bank(), config, 150, ignore)
    assert sum(run.losses[-20:]) < 0.9 * sum(run.losses[:20])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"optimizer": "Prodigy", "learning_rate": 1e-4}, "Prodigy finds its rate"),
        ({"optimizer": "Prodigy", "learning_rate": 1.0, "clip_rate": 1e-4}, "one rate for all"),
        ({"optimizer": "SGD"}, "optimizer 'SGD' is unknown"),
        ({"head_focus": 1.5}, "head_focus 1.5"),
        ({"caption_dropout": -0.1}, "caption_dropout"),
        ({"min_snr_gamma": float("nan")}, "min_snr_gamma"),
        ({"precision": "float16"}, "float16"),
    ],
)
def test_wrong_options_are_refused_with_a_cure(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(TrainingError, match=told) as caught:
        TrainConfig(**wrong)
    assert caught.value.remedy


def test_presets_choose_snapshots_by_their_cost() -> None:
    fast, balanced, best = (config_from(preset, seed=1) for preset in ("fast", "balanced", "best"))
    assert [c.snapshots_for(3) for c in (fast, balanced, best)] == [1, 4, 6]
    assert [c.choose for c in (fast, balanced, best)] == ["last", "best", "mean of best"]
    assert balanced.snapshots_for(1) == 2, "200 steps"
    assert config_from("best", seed=1, steps=40).snapshots_for(3) == 1 and not config_from(
        "best", seed=1, steps=40
    ).compares(3)
    assert config_from("fast", seed=1, choose="best").compares(3)
    assert config_from("best", seed=1, steps=40, snapshots=5).snapshots_for(3) == 5


def test_lora_files_of_older_versions_are_found_for_equal_settings() -> None:
    """The keys of a hash before there were options; a training without comparison has no others."""
    older = {
        *("steps", "resolution", "batch_size", "rank", "alpha", "learning_rate", "betas", "weight_decay", "epsilon"),
        *("max_gradient_norm", "crops_per_photo", "face_share", "face_height", "flip", "layers", "seed"),
    }
    assert set(config_from("fast", seed=42).decisive(3, 512)) == older
    assert set(config_from("best", seed=42, choose="last", snapshots=3).decisive(3, 512)) == older
    assert set(config_from("balanced", {"head_focus": 0.5}, seed=42).decisive(3, 512)) == older | {
        *("choose", "snapshots", "head_focus")
    }


def test_too_few_steps_are_refused_with_the_number_that_is_enough() -> None:
    TrainConfig(steps=2, batch_size=2, accumulation=2).check_steps(8)
    with pytest.raises(TrainingError, match=r"9 photos cannot each be shown once in 2 step") as caught:
        TrainConfig(steps=2, batch_size=2, accumulation=2).check_steps(9)
    assert "at least 3" in caught.value.remedy


def test_without_peft_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(TrainingError, match="peft cannot be imported") as caught:
        train_person(make_person(), TrainConfig(steps=12, resolution=64), TinyHost(tmp_path), ignore)
    assert "install.py" in caught.value.remedy
