"""A training from beginning to end: find the finished file, or encode, train, choose a snapshot, write it."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import TrainingError
from ..person import Person
from . import lora_file, report, snapshots
from .config import TrainConfig
from .data import LatentBank, encode_bank, encode_pictures
from .host import Host, TextEncoder
from .judge import held_out, judge_for
from .loop import Captions, Moment, NotANumberError, Run, Trainee, train, training_mode
from .loss import Conditions, diffusion_loss
from .memory import activations_fit
from .network import Adapter, add_adapters, checkpoint_blocks, trainable_view, watch_layers
from .optimizers import Group
from .options import ClassPictures
from .unfinished import Unfinished
from .validation import NEGATIVE, PROMPTS, Result, Show, Text, Validation

log = logging.getLogger(__name__)

Progress = Callable[[int, int, "list[float]", float], None]


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

    @property
    def samples(self) -> torch.Tensor | None:
        """The validation portraits [P, H, W, 3], of the snapshots by step; None where their picture is absent."""
        return report.read_samples(self.path, self.report)


def train_person(
    person: Person,
    config: TrainConfig,
    host: Host,
    progress: Progress,
    show: Show = lambda *_: None,
    others: ClassPictures | None = None,
) -> Trained:
    """Train a LoRA of the person on the host's model, or find the one that the same inputs gave before.

    progress(steps done, steps in all, losses, seconds) is called before every step and may raise to cancel;
    show(portraits, verdict) with every snapshot's validation portraits. others: class pictures, for prior_weight.
    Nothing is written into the LoRA folder unless the training ends well. The model is left bit by bit as it was.
    Raises TrainingError, OSError (disk full), and whatever the host raises for a cancel or for lack of memory.
    """
    if config.prior_weight and others is None:
        raise TrainingError(
            "prior_weight is set, but there are no class pictures", "Connect class_images, or set it to 0"
        )
    others = others if config.prior_weight else None
    key = lora_file.training_hash(person, host.base, config, others.hash if others else "")
    name = lora_file.lora_name(person, key)
    path = host.find_lora(name)
    told = lora_file.read_report(path, key) if path else None
    if path and told is not None:
        return Trained(person.with_lora(name), path, True, told)
    path = path or host.lora_folder() / name
    training = _Training(person, config, host, progress, show, others, path, key)
    return Trained(person.with_lora(name), path, False, training.run())


@dataclass(eq=False)
class _Training:
    person: Person
    config: TrainConfig
    host: Host
    progress: Progress
    show: Show
    others: ClassPictures | None
    path: Path
    key: str

    def run(self) -> dict[str, Any]:
        """Train and write; returns the report."""
        person, config, host = self.person, self.config, self.host
        self._clock = _Clock()
        try:
            with training_mode(config.seed, host.device):
                adapters, validation, run = self._steps()
                result = validation.result()
                snapshots.restore(result.snapshot, adapters)
                tensors = lora_file.to_tensors(adapters, self._names, config.scale_alpha)
            self._clock.lap("choice")
            told = report.report_of(person, config, self._device, run, validation, result, self._clock.laps)
            lora_file.write(self.path, tensors, lora_file.metadata(person, host.base, config, self.key, told))
            report.write_samples(self.path, validation.portraits)
            self._unfinished.forget()
            self._clock.lap("save")
            return told | {"seconds": self._clock.laps}
        except torch.cuda.OutOfMemoryError:
            log.error(
                "FaceChain: not enough graphics memory to train at %d pixels with batch size %d. Lower one of them.",
                config.resolution_for(person.size),
                config.batch_size,
            )
            raise
        finally:
            gc.collect()  # the copied modules and their watches refer to each other in circles
            host.free_memory()

    @property
    def _device(self) -> str:
        return f"{self.host.device} {self._dtype}".replace("torch.", "")

    @property
    def _dtype(self) -> torch.dtype:
        chosen = {"float32": torch.float32, "bfloat16": torch.bfloat16}
        return chosen.get(self.config.precision, self.host.dtype)

    def _steps(self) -> tuple[list[Adapter], Validation, Run]:
        """Encode, prepare, train."""
        person, config, host, clock = self.person, self.config, self.host, self._clock
        steps = config.steps_for(person.count)
        bank, others = self._banks(steps)
        clock.lap("latents")
        texts = self._texts()
        clock.lap("caption")
        model = trainable_view(host.load_model(), self._dtype)
        adapters = add_adapters(model.diffusion_model, config, host.layer_names)
        groups = [Group(_halves(adapters), config.learning_rate)]
        self._names = dict(host.layer_names)
        encoder = host.text_encoder() if config.clip_rate else None
        if encoder is not None:
            taught = add_adapters(encoder.network, config, encoder.layer_names)
            groups.append(Group(_halves(taught), config.clip_rate))
            self._names |= encoder.layer_names
            adapters = [*adapters, *taught]
        trainee = self._trainee(model, groups, texts, encoder, bank)
        judge, excuse = judge_for(person, config, len(PROMPTS), host.face_engine)
        shape = tuple(bank.latents.shape[1:])
        prompts = self._prompts(model, texts, encoder, bank.latents[:1])
        validation = Validation(
            host, model, adapters, config, prompts, shape, judge, excuse, config.compares(person.count), self.show
        )
        self._unfinished = Unfinished(host.unfinished_folder(), self.key, adapters, validation)
        clock.lap("preparation")
        validation.begin()
        clock.lap("validation")

        def on_snapshot(moment: Moment) -> None:
            validation.add(moment.step, report.recent_loss(moment.losses))
            if moment.step < steps:
                self._unfinished.save(moment)

        try:
            run = train(
                trainee,
                bank,
                config,
                steps,
                self.progress,
                on_snapshot=on_snapshot,
                snapshots=config.snapshots_for(person.count),
                resume=self._unfinished.take_up,
                others=others,
            )
        except NotANumberError as error:
            raise self._kept_last(error, adapters, validation) from error
        clock.split("steps", "validation", run.seconds)
        return adapters, validation, run

    def _banks(self, steps: int) -> tuple[LatentBank, LatentBank | None]:
        person, config, host = self.person, self.config, self.host
        held = held_out(person, config)
        kept = [n for n in range(person.count) if n not in held]

        def check(*_: int) -> None:
            host.check_cancel()

        bank = encode_bank(person.images[kept], person.masks[kept], config, steps, host.encode_images, check)
        if self.others is None:
            return bank, None
        resolution = config.resolution_for(person.size)
        return bank, encode_pictures(self.others.images, resolution, host.encode_images, check)

    def _texts(self) -> dict[str, Any]:
        """Every text of the training, encoded by the text encoder as it is."""
        person, config = self.person, self.config
        wanted = [person.caption, NEGATIVE, *(prompt.format(person.caption) for prompt in PROMPTS)]
        wanted += [""] if config.caption_dropout else []
        wanted += [person.attributes.phrase] if self.others is not None else []
        return {text: self.host.encode_text(text) for text in wanted}

    def _trainee(
        self, model: Any, groups: list[Group], texts: dict[str, Any], encoder: TextEncoder | None, bank: LatentBank
    ) -> Trainee:
        config, host = self.config, self.host
        shape = bank.latents[:1].expand(config.batch_size, *bank.latents.shape[1:])

        def conditions(text: str) -> Callable[[], Conditions]:
            return self._conditions(model, text, texts, encoder, shape)

        captions = Captions(
            conditions(self.person.caption),
            conditions("") if config.caption_dropout else None,
            conditions(self.person.attributes.phrase) if self.others is not None else None,
        )
        networks = [model.diffusion_model] + ([encoder.network] if encoder else [])
        for network in networks:
            watch_layers(network, host.check_cancel)
        trainee = Trainee(model, groups, captions, host.device, host.options())
        if config.checkpointing == "on" or (config.checkpointing == "auto" and not self._fits(trainee, bank)):
            for network in networks:
                checkpoint_blocks(network)
        return trainee

    def _fits(self, trainee: Trainee, bank: LatentBank) -> bool:
        generator = torch.Generator().manual_seed(0)
        batch = bank.batch(self.config.batch_size, generator)

        def forward() -> torch.Tensor:
            conditions = trainee.captions.person()
            return diffusion_loss(
                trainee.model, conditions, batch, self.config, generator, trainee.device, trainee.options
            )

        return activations_fit(forward, trainee.model.diffusion_model, self.host.free_bytes())

    def _prompts(self, model: Any, texts: dict[str, Any], encoder: TextEncoder | None, shape: torch.Tensor) -> Text:
        def conditions(text: str) -> Callable[[], Conditions]:
            return self._conditions(model, text, texts, encoder, shape)

        return Text([conditions(prompt.format(self.person.caption)) for prompt in PROMPTS], conditions(NEGATIVE))

    def _conditions(
        self, model: Any, text: str, texts: dict[str, Any], encoder: TextEncoder | None, shape: torch.Tensor
    ) -> Callable[[], Conditions]:
        """The conditions of a text: made once, or each time where the text encoder learns."""
        if encoder is not None:
            return lambda: self.host.conditions(model, encoder.encode(text), shape)
        made = usable(self.host.conditions(model, texts[text], shape))
        return lambda: made

    def _kept_last(self, error: NotANumberError, adapters: list[Adapter], validation: Validation) -> TrainingError:
        """The error, after writing the last good snapshot under a name of its own where there is one."""
        self._unfinished.forget()  # it would end in the same way
        if not validation.taken:
            return error
        last = validation.taken[-1]
        with torch.no_grad():
            snapshots.restore(last, adapters)
        tensors = lora_file.to_tensors(adapters, self._names, self.config.scale_alpha)
        path = self.path.with_name(f"{self.path.stem}-step-{last.step}.safetensors")
        result = Result(last, [last.step], "the last snapshot before the loss was no longer a number")
        told = report.report_of(
            self.person, self.config, self._device, Run([], 0.0), validation, result, self._clock.laps
        )
        about = lora_file.metadata(self.person, self.host.base, replace(self.config, steps=last.step), "", told)
        lora_file.write(path, tensors, about)
        return TrainingError(f"{error.message}; the snapshot of step {last.step} is kept as {path.name}", error.remedy)


def usable(conditions: Conditions) -> Conditions:
    """The same with tensors that may take part in training: those made in inference mode may not."""
    return {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in conditions.items()}


def _halves(adapters: list[Adapter]) -> list[torch.nn.Parameter]:
    return [half for adapter in adapters for half in (adapter.down, adapter.up)]


class _Clock:
    """Wall time of each phase, in seconds."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, phase: str) -> None:
        now = time.monotonic()
        self.laps[phase] = round(self.laps.get(phase, 0.0) + now - self._last, 3)
        self._last = now

    def split(self, phase: str, rest: str, seconds: float) -> None:
        """Count that many seconds of the time since the last lap for phase, the others for rest."""
        passed = time.monotonic() - self._last
        self.laps[phase] = round(seconds, 3)
        self.laps[rest] = round(self.laps.get(rest, 0.0) + max(passed - seconds, 0.0), 3)
        self._last = time.monotonic()
