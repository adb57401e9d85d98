"""Adapters on a model's own memory, its loss, and the steps, on a network of a few thousand weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_model import WIDTH, bank, ignore, loss_of, make_model, make_trainee, names_of
from torch import nn

from facechain.errors import TrainingError
from facechain.training.config import TrainConfig
from facechain.training.loop import train, training_mode
from facechain.training.loss import Batch
from facechain.training.network import add_adapters, trainable_view

CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", ["eps", "v", "flow"])
def test_the_loss_is_that_of_the_networks_own_target(kind: str) -> None:
    model = make_model(kind)
    with training_mode(0, CPU):
        trainee = make_trainee(model, TrainConfig(batch_size=3))
        batch = bank().batch(3, torch.Generator().manual_seed(2))
        latents = batch.latents
        loss = loss_of(trainee, batch, torch.Generator().manual_seed(9))
        generator = torch.Generator().manual_seed(9)
        noise, clean = torch.randn(latents.shape, generator=generator), latents * 0.5
        sigma = (1 - torch.rand(3, generator=generator)) * (1 if kind == "flow" else 3)
        s = sigma.view(-1, 1, 1, 1)
        target = {"eps": noise, "v": (noise - s * clean) / (s**2 + 1) ** 0.5, "flow": noise - clean}[kind]
        explicit = (trainee.model.last_output - target).square().mean()
    assert loss.item() == pytest.approx(explicit.item(), rel=1e-5)


def test_training_learns_the_pictures_and_leaves_the_model_as_it_was() -> None:
    model = make_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = TrainConfig(rank=8, learning_rate=2e-2, batch_size=4)
    with training_mode(0, CPU):
        run = train(make_trainee(model, config), bank(), config, 150, ignore)
    assert sum(run.losses[-20:]) < 0.75 * sum(run.losses[:20])
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert model.manual_cast_dtype is None and type(model.diffusion_model.blocks[0].attn1.to_q) is nn.Linear
    assert "forward" not in vars(model.diffusion_model.blocks[0])


def test_the_view_shares_the_models_memory() -> None:
    model = make_model()
    with training_mode(0, CPU):
        view = trainable_view(model, torch.float32)
        for own, shared in zip(model.parameters(), view.parameters(), strict=True):
            assert own.data_ptr() == shared.data_ptr() and own is not shared
            assert own.is_inference() and not shared.is_inference()


def test_torch_compiles_wrappers_are_left_aside() -> None:
    plain, compiled = make_model(), make_model()
    with torch.inference_mode():
        blocks = compiled.diffusion_model.blocks
        blocks[0] = torch.compile(blocks[0])
        compiled.diffusion_model = torch.compile(compiled.diffusion_model)
    names = [[name for name, _ in trainable_view(m, torch.float32).named_modules()] for m in (plain, compiled)]
    assert names[0] == names[1]
    assert "diffusion_model._orig_mod.blocks.0._orig_mod.attn1" in dict(compiled.named_modules()), "it stays as it was"


def test_the_same_seed_trains_the_same_and_the_hosts_random_numbers_stay() -> None:
    def result(seed: int) -> list[torch.Tensor]:
        config = TrainConfig(rank=4, learning_rate=1e-2, seed=seed)
        with training_mode(seed, CPU):
            trainee = make_trainee(make_model(), config)
            train(trainee, bank(), config, 5, ignore)
        return [p.detach() for p in trainee.parameters]

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    model = make_model()
    torch.manual_seed(7)
    with training_mode(3, CPU):
        make_trainee(model, TrainConfig())
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(result(3), result(3), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(result(3), result(4), strict=True))


def test_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for checkpointing in ("on", "off"):
        with training_mode(0, CPU):
            trainee = make_trainee(make_model(), TrainConfig(checkpointing=checkpointing))
            for index, parameter in enumerate(trainee.parameters):  # away from zero, where half the gradients vanish
                parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index)) * 0.1
            loss_of(trainee, Batch(bank().latents[:1]), torch.Generator().manual_seed(0)).backward()
            gradients.append([p.grad for p in trainee.parameters])
    assert all(float(g.abs().max()) > 0 for g in gradients[0])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("checkpointing", ["on", "off"])
def test_a_cancel_is_noticed_in_the_backward_pass(checkpointing: Any) -> None:
    class Cancelled(Exception):
        pass

    chances, cancel_at = 0, -1

    def on_layer() -> None:
        nonlocal chances
        chances += 1
        if chances == cancel_at:
            raise Cancelled

    with training_mode(0, CPU):
        trainee = make_trainee(make_model(), TrainConfig(checkpointing=checkpointing), on_layer)
        loss_of(trainee, Batch(bank().latents[:1]), torch.Generator()).backward()
        in_a_step, chances = chances, 0
        loss = loss_of(trainee, Batch(bank().latents[:1]), torch.Generator())
        forward = chances
        assert forward == 18 and in_a_step - forward >= 10, "at every layer, both ways, where there are gradients"
        cancel_at = in_a_step - 1
        with pytest.raises(Cancelled):
            loss.backward()


def test_an_exploding_rate_ends_the_training_and_names_the_setting() -> None:
    config = TrainConfig(learning_rate=1.0, max_gradient_norm=1e30)
    with training_mode(0, CPU):
        trainee = make_trainee(make_model(), config)
        for parameter in trainee.parameters:
            parameter.data.fill_(1e18)
        calls: list[int] = []

        def poison(step: int, *_: object) -> None:
            calls.append(step)

        with pytest.raises(TrainingError) as caught:
            train(trainee, bank(), config, 50, poison)
    assert len(calls) == 1, "it stops at once"
    assert "not a number" in caught.value.message


def test_nan_after_some_steps_blames_the_learning_rate() -> None:
    config = TrainConfig(learning_rate=0.5)
    with training_mode(0, CPU):
        trainee = make_trainee(make_model(), config)

        def poison(step: int, *_: object) -> None:
            if step == 3:
                trainee.parameters[0].data.fill_(float("nan"))

        with pytest.raises(TrainingError, match=r"step 4 with learning_rate 0\.5"):
            train(trainee, bank(), config, 50, poison)


def test_steps_losses_and_rates_are_reported() -> None:
    seen: list[tuple[int, int, int]] = []
    config = TrainConfig(rank=4)
    with training_mode(0, CPU):
        run = train(
            make_trainee(make_model(), config),
            bank(),
            config,
            4,
            lambda s, n, losses, _: seen.append((s, n, len(losses))),
        )
    assert seen == [(0, 4, 0), (1, 4, 1), (2, 4, 2), (3, 4, 3), (4, 4, 4)]
    assert len(run.losses) == 4 and run.seconds > 0


def test_quantised_and_foreign_models_are_refused_with_a_remedy() -> None:
    class Packed(torch.Tensor):
        pass

    model = make_model()
    model.diffusion_model.blocks[0].attn1.to_q.weight = nn.Parameter(
        torch.zeros(4).as_subclass(Packed), requires_grad=False
    )
    with training_mode(0, CPU), pytest.raises(TrainingError, match="quantised") as caught:
        trainable_view(model, torch.float32)
    assert "16 or 32 bits" in caught.value.remedy

    model = make_model()
    with training_mode(0, CPU), pytest.raises(TrainingError, match="Network"):
        add_adapters(trainable_view(model, torch.float32).diffusion_model, TrainConfig(), {})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_adapters_are_float32_whatever_the_base_holds(dtype: torch.dtype) -> None:
    model = make_model()
    with torch.inference_mode():
        model.diffusion_model.to(dtype)
    with training_mode(0, CPU):
        view = trainable_view(model, torch.float32)
        adapters = add_adapters(view.diffusion_model, TrainConfig(rank=4), names_of(model))
    assert len(adapters) == 16
    assert all(a.down.dtype == a.up.dtype == torch.float32 for a in adapters)
    assert all(a.down.shape == (4, WIDTH) and a.up.shape == (WIDTH, 4) for a in adapters)
    assert all(not a.up.any() and a.down.any() for a in adapters)
