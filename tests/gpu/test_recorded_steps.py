"""Steps that are recorded and replayed do what steps by Python do. Run where there is a card (-m gpu)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from tiny_model import bank, ignore, make_model, make_trainee

from facechain.training.config import TrainConfig
from facechain.training.data import LatentBank
from facechain.training.gradients import Gradients
from facechain.training.loop import Run, train, training_mode
from facechain.training.loss import add_noise
from facechain.training.recorded import Recorder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SETTINGS: dict[str, Any] = {"rank": 4, "learning_rate": 1e-2, "steps": 30, "batch_size": 2}
CARD = torch.device("cuda")


def run_of(
    recorded: bool, model: Any = None, on_layer: Callable[[], None] = ignore, **settings: Any
) -> tuple[Run, list[torch.Tensor]]:
    config = TrainConfig(**{**SETTINGS, **settings})
    with training_mode(0, CARD):
        trainee = make_trainee(model or make_model().to(CARD), config, on_layer, "cuda")
        object.__setattr__(trainee, "recorded", recorded)
        run = train(trainee, bank(), config, config.steps, ignore, snapshots=3)
        return run, [parameter.detach().cpu() for parameter in trainee.parameters]


@pytest.mark.parametrize(
    "settings",
    [{}, {"checkpointing": "on"}, {"accumulation": 3, "caption_dropout": 0.3}, {"min_snr_gamma": 5.0, "ema": 0.9}],
    ids=str,
)
def test_recorded_steps_give_the_same_weights(settings: dict[str, Any]) -> None:
    (run, weights), (recorded, replayed) = run_of(False, **settings), run_of(True, **settings)
    assert recorded.losses == pytest.approx(run.losses, rel=1e-4)
    for own, other in zip(weights, replayed, strict=True):
        torch.testing.assert_close(other, own, rtol=1e-3, atol=1e-5)
    assert not torch.equal(weights[1], torch.zeros_like(weights[1])), "something was learnt"


@pytest.fixture()
def gradients() -> Iterator[Gradients]:
    config = TrainConfig(**SETTINGS)
    with training_mode(0, CARD):
        trainee = make_trainee(make_model().to(CARD), config, device="cuda")
        yield Gradients(trainee.model, trainee.options, trainee.parameters, config, Recorder(True))


def test_a_step_is_really_recorded_and_given_back(gradients: Gradients) -> None:
    config, generator = gradients.config, torch.Generator().manual_seed(0)
    conditions = {"c_crossattn": torch.randn(2, 3, 16, device=CARD)}
    calls = []
    gradients.model.diffusion_model.register_forward_hook(lambda *_: calls.append(1))
    losses = []
    for _ in range(6):
        gradients.clear()
        noised = add_noise(gradients.model, bank().batch(2, generator), config, generator, CARD)
        losses.append(float(gradients.add(conditions, noised, 1.0)))
    assert len(calls) == 2, "one step by Python, one that is recorded"
    assert len(set(losses)) == 6, "each replay has its own batch"
    assert gradients.recorder.holds
    gradients.release()
    assert not gradients.recorder.holds
    assert all(parameter.grad is None for parameter in gradients.parameters)


class Waiting(torch.nn.Module):
    """A part of a model that waits for the card, which cannot be recorded."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (1 + 0 * float(x.sum()))


def test_steps_that_cannot_be_recorded_go_on_by_python(caplog: pytest.LogCaptureFixture) -> None:
    def model() -> Any:
        made = make_model()
        made.diffusion_model.out = torch.nn.Sequential(made.diffusion_model.out, Waiting())
        return made.to(CARD)

    (run, _), (recorded, _) = run_of(False, model()), run_of(True, model())
    assert "cannot record steps" in caplog.text
    assert recorded.losses == pytest.approx(run.losses, rel=1e-4)


class Cancelled(Exception):
    pass


def test_a_cancel_while_a_step_is_recorded_comes_through() -> None:
    def look() -> None:
        if torch.cuda.is_current_stream_capturing():
            raise Cancelled

    with pytest.raises(Cancelled):
        run_of(True, on_layer=look)
    run, _ = run_of(True)  # and the card works on
    assert len(run.losses) == SETTINGS["steps"]


def test_pictures_of_another_shape_have_a_record_of_their_own() -> None:
    others = LatentBank(torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(2)))
    config = TrainConfig(**{**SETTINGS, "prior_weight": 1.0})
    losses = []
    for recorded in (False, True):
        with training_mode(0, CARD):
            trainee = make_trainee(make_model().to(CARD), config, device="cuda")
            object.__setattr__(trainee, "recorded", recorded)
            object.__setattr__(trainee.captions, "others", trainee.captions.person)
            losses.append(train(trainee, bank(), config, config.steps, ignore, others=others).losses)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
