"""The training steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..errors import TrainingError
from .average import Average
from .config import TrainConfig
from .data import LatentBank
from .gradients import Gradients
from .loss import Conditions, add_noise
from .optimizers import Group, make_optimizer, rate_at, set_rate
from .recorded import Recorder

# Raises to cancel. Arguments: steps done, steps in all, losses so far, seconds since the first step, without snapshots.
OnStep = Callable[[int, int, list[float], float], None]


class NotANumberError(TrainingError):
    """The loss is no longer a number: the weights are lost."""


@dataclass(frozen=True, eq=False)
class Captions:
    """Conditions of the caption, of no caption, and of the class pictures, made anew where a text encoder learns.

    each: of each picture's own caption, where they have any; a batch is then of one picture.
    """

    person: Callable[[], Conditions]
    empty: Callable[[], Conditions] | None = None
    others: Callable[[], Conditions] | None = None
    each: Sequence[Callable[[], Conditions]] = ()


@dataclass(frozen=True, eq=False)
class Trainee:
    """A model ready to be trained.

    model: as network.trainable_view makes it. groups: the adapters' float32 parameters.
    options: transformer_options for the model; copied for each step. recorded: steps are recorded and replayed.
    roomy: memory is plenty, so that records are kept while a snapshot's portraits are drawn.
    """

    model: Any
    groups: list[Group]
    captions: Captions
    device: torch.device
    options: dict[str, Any] = field(default_factory=dict)
    recorded: bool = False
    roomy: bool = False

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.groups for parameter in group.parameters]


@dataclass(frozen=True, eq=False)
class Moment:
    """Where a training stands at a snapshot: all that its next steps depend on, besides the parameters."""

    step: int
    losses: list[float]
    optimizer: torch.optim.Optimizer
    generator: torch.Generator


@dataclass(frozen=True)
class Run:
    """What the steps left behind: loss of each step, seconds that new_steps of them took, without the snapshots.

    The others were made by an earlier run that was cut off.
    """

    losses: list[float]
    seconds: float
    new_steps: int = 0


@contextmanager
def training_mode(seed: int, device: torch.device) -> Iterator[None]:
    """Autograd on, also inside a host's inference mode; torch's random numbers seeded, and afterwards as before."""
    devices = [device] if device.type == "cuda" else []
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def train(
    trainee: Trainee,
    bank: LatentBank,
    config: TrainConfig,
    steps: int,
    on_step: OnStep,
    *,
    snapshots: int = 1,
    on_snapshot: Callable[[Moment], None] = lambda _moment: None,
    states: int = 1,
    on_state: Callable[[Moment], None] = lambda _moment: None,
    resume: Callable[[torch.optim.Optimizer, torch.Generator], list[float]] = lambda *_: [],
    others: LatentBank | None = None,
    average: Average | None = None,
) -> Run:
    """Train the parameters in place.

    on_step is called before each step and after the last, on_snapshot after each of snapshot_steps, on_state after the
    steps that part the training into that many states; what they raise ends the training. resume: brings optimiser and
    generator to where an earlier run stopped, and gives its losses.
    others: class pictures. average: of the parameters, which follows them.
    Raises NotANumberError when the loss is no longer a number.
    """
    optimizer = make_optimizer(trainee.groups, config, trainee.device)
    gradients = Gradients(trainee.model, trainee.options, trainee.parameters, config, Recorder(trainee.recorded))
    generator = torch.Generator().manual_seed(config.seed)
    losses = resume(optimizer, generator)
    marks, kept = snapshot_steps(steps, snapshots), snapshot_steps(steps, states)[:-1]
    begun, first, paused = time.monotonic(), len(losses), 0.0
    try:
        for step in range(first, steps):
            on_step(step, steps, losses, time.monotonic() - begun - paused)
            set_rate(optimizer, rate_at(step, steps, config))
            gradients.clear()
            loss = _add_gradients(gradients, trainee, bank, others, config, generator)
            nn.utils.clip_grad_norm_(trainee.parameters, config.max_gradient_norm)
            optimizer.step()
            if average:
                average.update()
            losses.append(float(loss))  # waits for a card, which is late with what comes before
            _check_number(losses, config)
            stopped = time.monotonic()
            if step + 1 in marks:
                if not trainee.roomy:
                    gradients.release()
                on_snapshot(Moment(step + 1, losses, optimizer, generator))
            if step + 1 in kept:
                on_state(Moment(step + 1, losses, optimizer, generator))
            paused += time.monotonic() - stopped
    finally:
        gradients.release()
    seconds = time.monotonic() - begun - paused
    on_step(steps, steps, losses, seconds)
    return Run(losses, seconds, steps - first)


def snapshot_steps(steps: int, count: int) -> list[int]:
    """After which steps snapshots are taken: evenly spread, the last one after the last step."""
    return sorted({math.ceil(steps * (number + 1) / count) for number in range(count)})


def _add_gradients(
    gradients: Gradients,
    trainee: Trainee,
    bank: LatentBank,
    others: LatentBank | None,
    config: TrainConfig,
    generator: torch.Generator,
) -> torch.Tensor:
    """Add the gradients of one step's batches; returns their mean loss [] (on the person's own pictures)."""

    def add(
        pictures: LatentBank, conditions: Callable[[], Conditions], weight: float, photo: int | None = None
    ) -> torch.Tensor:
        batch = pictures.batch(config.batch_size, generator, photo)
        noised = add_noise(trainee.model, batch, config, generator, trainee.device)
        return gradients.add(conditions(), noised, weight)

    captions, part = trainee.captions, 1 / config.accumulation
    total = torch.zeros((), device=trainee.device)
    for _ in range(config.accumulation):
        dropped = captions.empty is not None and float(torch.rand((), generator=generator)) < config.caption_dropout
        photo = int(torch.randint(len(captions.each), (), generator=generator)) if captions.each else None
        own = captions.person if photo is None else captions.each[photo]
        loss = add(bank, captions.empty if dropped and captions.empty else own, part, photo)
        total = total + loss * part
        if others is not None and captions.others is not None:
            add(others, captions.others, config.prior_weight * part)
    return total


def smoothed(losses: list[float], weight: float = 0.95) -> list[float]:
    """Running mean of losses, which jump with the noise level of each step; without a false start."""
    means, total, norm = [], 0.0, 0.0
    for loss in losses:
        total, norm = weight * total + loss, weight * norm + 1
        means.append(total / norm)
    return means


def _check_number(losses: list[float], config: TrainConfig) -> None:
    if math.isfinite(losses[-1]):
        return
    step = len(losses)
    if step == 1:
        raise NotANumberError(
            "the model's loss is not a number at the first step",
            "The checkpoint may be damaged, or overflow in float16: try another one, or start ComfyUI with --bf16-unet",
        )
    raise NotANumberError(
        f"the loss was no longer a number at step {step} with learning_rate {config.learning_rate:g}",
        "Set learning_rate lower, for example to 0.00015",
    )
