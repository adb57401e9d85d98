"""Adapters on a model's own memory, its loss, and the steps, on a network of a few thousand weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from facechain.errors import TrainingError
from facechain.training.config import TrainConfig
from facechain.training.data import LatentBank
from facechain.training.loop import Captions, Trainee, train, training_mode
from facechain.training.loss import Batch, diffusion_loss
from facechain.training.network import add_adapters, checkpoint_blocks, trainable_view, watch_layers
from facechain.training.optimizers import Group

WIDTH = 16


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.to_out = nn.Sequential(nn.Linear(WIDTH, WIDTH))

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        weights = (self.to_q(x) @ self.to_k(context).mT / WIDTH**0.5).softmax(-1)
        return self.to_out(weights @ self.to_v(context))


class BasicTransformerBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn1, self.attn2 = Attention(), Attention()

    def forward(self, x: torch.Tensor, context: torch.Tensor, transformer_options: dict[str, Any]) -> torch.Tensor:
        # as ComfyUI's models do: the options change on the way, and work depends on them
        transformer_options["index"] = transformer_options.get("index", 0) + 1
        x = x + self.attn1(x, x) * transformer_options["index"]
        return x + self.attn2(x, context)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(4, WIDTH), nn.Linear(WIDTH, 4)
        self.blocks = nn.ModuleList([BasicTransformerBlock(), BasicTransformerBlock()])
        self.register_buffer("shift", torch.zeros(4))

    def forward(self, x: torch.Tensor, context: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        h = self.into(x.movedim(1, -1).flatten(1, 2))
        for block in self.blocks:
            h = block(h, context, transformer_options=options)
        return (self.out(h) + self.shift).movedim(-1, 1).reshape(x.shape)


class Sampling(nn.Module):
    """eps: noisy = clean + sigma noise, predicts noise. v: predicts velocity. flow: noisy on a straight line."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.scale: torch.Tensor
        self.register_buffer("scale", torch.tensor(3.0))

    def percent_to_sigma(self, percent: float) -> torch.Tensor:
        return (1 - torch.tensor(percent)) * (1.0 if self.kind == "flow" else self.scale)

    def noise_scaling(self, sigma: torch.Tensor, noise: torch.Tensor, clean: torch.Tensor, _: bool) -> torch.Tensor:
        s = sigma.view(-1, 1, 1, 1)
        return s * noise + (1 - s) * clean if self.kind == "flow" else clean + s * noise

    def calculate_denoised(self, sigma: torch.Tensor, output: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        s = sigma.view(-1, 1, 1, 1)
        if self.kind == "v":
            return noisy / (s**2 + 1) - output * s / (s**2 + 1) ** 0.5
        return noisy - output * s


class Model(nn.Module):
    """A model as ComfyUI wraps it."""

    def __init__(self, kind: str = "eps") -> None:
        super().__init__()
        self.diffusion_model, self.model_sampling = Network(), Sampling(kind)
        self.manual_cast_dtype = None

    def process_latent_in(self, latents: torch.Tensor) -> torch.Tensor:
        return latents * 0.5

    def apply_model(
        self, x: torch.Tensor, sigma: torch.Tensor, c_crossattn: torch.Tensor, transformer_options: dict[str, Any]
    ) -> torch.Tensor:
        output = self.diffusion_model(x.to(self.manual_cast_dtype), c_crossattn, transformer_options)
        self.last_output = output
        return self.model_sampling.calculate_denoised(sigma, output.float(), x)


def make_model(kind: str = "eps") -> Any:  # for pyright, every part of a module may be a tensor
    torch.manual_seed(0)
    with torch.inference_mode():  # as ComfyUI loads its models
        return Model(kind).requires_grad_(False)


def names_of(model: Any) -> dict[str, str]:
    return {path: "lora_unet_" + path.replace(".", "_") for path, _ in model.diffusion_model.named_modules()}


def make_trainee(model: Any, config: TrainConfig, on_layer: Callable[[], None] = lambda: None) -> Trainee:
    view = trainable_view(model, torch.float32)
    adapters = add_adapters(view.diffusion_model, config, names_of(model))
    watch_layers(view.diffusion_model, on_layer)
    if config.checkpointing == "on":
        checkpoint_blocks(view.diffusion_model)
    context = torch.randn(config.batch_size, 3, WIDTH, generator=torch.Generator().manual_seed(5))
    parameters = [half for adapter in adapters for half in (adapter.down, adapter.up)]
    groups = [Group(parameters, config.learning_rate)]
    return Trainee(view, groups, Captions(lambda: {"c_crossattn": context}), torch.device("cpu"))


def loss_of(trainee: Trainee, batch: Batch, generator: torch.Generator, **settings: Any) -> torch.Tensor:
    config = TrainConfig(**settings)
    return diffusion_loss(trainee.model, trainee.captions.person(), batch, config, generator, trainee.device)


def bank() -> LatentBank:
    return LatentBank(torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1)))


def ignore(*_: object) -> None:
    return None


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
