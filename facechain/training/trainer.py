"""A training from beginning to end: find the finished file, or encode, train, write it."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from ..person import Person
from . import lora_file
from .config import TrainConfig
from .data import encode_bank
from .loop import Run, Trainee, smoothed, train, training_mode
from .network import add_adapters, checkpoint_blocks, trainable_view, watch_layers

log = logging.getLogger(__name__)

MAX_LOSSES = 2000  # kept in a report, evenly thinned

Progress = Callable[[int, int, "list[float]", float], None]


class Host(Protocol):
    """What a training asks of the program that holds the model."""

    base: lora_file.Base
    device: torch.device
    dtype: torch.dtype
    """What the network computes in."""
    layer_names: Mapping[str, str]
    """"lora_unet_..." by the path of a layer inside the diffusion model."""

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """[B, H, W, 3] float32 0..1 to latents [B, C, ...]."""
        ...

    def load_model(self) -> Any:
        """Bring the model onto the device, patched as it is to be; returns it. Called after the last encoding."""
        ...

    def encode_caption(self, caption: str) -> Any:
        """The caption as the model's text encoders see it, in the host's own form."""
        ...

    def conditions(self, model: Any, caption: Any, latents: torch.Tensor) -> dict[str, Any]:
        """apply_model's keyword arguments for an encoded caption and a batch shaped like latents."""
        ...

    def options(self) -> dict[str, Any]:
        """transformer_options for training."""
        ...

    def find_lora(self, name: str) -> Path | None:
        """A LoRA file by its name below any loras folder."""
        ...

    def lora_folder(self) -> Path:
        """Where new LoRAs go."""
        ...

    def check_cancel(self) -> None:
        """Raises when the user cancelled."""
        ...

    def free_memory(self) -> None: ...


@dataclass(frozen=True)
class Trained:
    """A finished person LoRA. found: it had been trained before. report: settings, losses and times, as JSON takes it."""

    person: Person
    path: Path
    found: bool
    report: dict[str, Any]

    @property
    def name(self) -> str:
        """Of the LoRA, below a loras folder."""
        return self.person.lora

    @property
    def summary(self) -> dict[str, Any]:
        """The report, with which file it is about and whether it was found."""
        return {"lora": self.name, "file": str(self.path), "found": self.found, **self.report}


def train_person(person: Person, config: TrainConfig, host: Host, progress: Progress) -> Trained:
    """Train a LoRA of the person on the host's model, or find the one that the same inputs gave before.

    progress(steps done, steps in all, losses, seconds) is called before every step and may raise to cancel.
    Nothing is written unless the training ends well. The model is left bit by bit as it was.
    Raises TrainingError, OSError (disk full), and whatever the host raises for a cancel or for lack of memory.
    """
    key = lora_file.training_hash(person, host.base, config)
    name = lora_file.lora_name(person, key)
    path = host.find_lora(name)
    report = lora_file.read_report(path, key) if path else None
    if path and report is not None:
        return Trained(person.with_lora(name), path, True, report)
    path = path or host.lora_folder() / name
    report = _train(person, config, host, progress, path, key)
    return Trained(person.with_lora(name), path, False, report)


def _train(person: Person, config: TrainConfig, host: Host, progress: Progress, path: Path, key: str) -> dict[str, Any]:
    clock = _Clock()
    try:
        with training_mode(config.seed, host.device):
            tensors, run = _steps(person, config, host, progress, clock)
        report = _report(person, config, host, run, clock)
        lora_file.write(path, tensors, lora_file.metadata(person, host.base, config, key, report))
        clock.lap("save")
        return report | {"seconds": clock.laps}
    except torch.cuda.OutOfMemoryError:
        size = config.resolution_for(person.size)
        advice = "FaceChain: not enough graphics memory to train at %d pixels with batch size %d. Lower one of them."
        log.error(advice, size, config.batch_size)
        raise
    finally:
        gc.collect()  # the copied modules and their watches refer to each other in circles
        host.free_memory()


def _steps(
    person: Person, config: TrainConfig, host: Host, progress: Progress, clock: _Clock
) -> tuple[dict[str, torch.Tensor], Run]:
    """Encode, train; returns the LoRA's tensors and the run."""
    steps = config.steps_for(person.count)
    bank = encode_bank(person.images, config, steps, host.encode_images, lambda *_: host.check_cancel())
    clock.lap("latents")
    caption = host.encode_caption(person.caption)
    clock.lap("caption")
    model = trainable_view(host.load_model(), host.dtype)
    adapters = add_adapters(model.diffusion_model, config, host.layer_names)
    watch_layers(model.diffusion_model, host.check_cancel)
    if config.checkpointing:
        checkpoint_blocks(model.diffusion_model)
    parameters = [half for adapter in adapters for half in (adapter.down, adapter.up)]
    shape = bank.latents[:1].expand(config.batch_size, *bank.latents.shape[1:])
    conditions = usable(host.conditions(model, caption, shape))
    clock.lap("preparation")
    run = train(Trainee(model, parameters, conditions, host.device, host.options()), bank, config, steps, progress)
    clock.lap("steps")
    return lora_file.to_tensors(adapters, host.layer_names, config.scale_alpha), run


def usable(conditions: dict[str, Any]) -> dict[str, Any]:
    """The same with tensors that may take part in training: those made in inference mode may not."""
    return {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in conditions.items()}


class _Clock:
    """Wall time of each phase, in seconds."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, phase: str) -> None:
        now = time.monotonic()
        self.laps[phase] = round(now - self._last, 3)
        self._last = now


def _report(person: Person, config: TrainConfig, host: Host, run: Run, clock: _Clock) -> dict[str, Any]:
    mean = smoothed(run.losses)
    stride = -(-len(run.losses) // MAX_LOSSES)
    return {
        "person": person.name,
        "photos": person.count,
        "steps": len(run.losses),
        "resolution": config.resolution_for(person.size),
        "steps_per_second": round(len(run.losses) / max(run.seconds, 1e-9), 4),
        "loss_at_first": round(mean[min(len(mean), 20) - 1], 5),
        "loss_at_last": round(mean[-1], 5),
        "loss_stride": stride,
        "losses": [round(loss, 5) for loss in run.losses[::stride]],
        "settings": config.as_dict(),
        "device": f"{host.device} {host.dtype}".replace("torch.", ""),
        "seconds": dict(clock.laps),
    }
