"""A training from beginning to end: find the finished file, or encode, train, choose a snapshot, write it."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import TrainingError
from ..lack_of_memory import is_lack_of_memory
from ..locks import one_at_a_time
from ..person import Person
from . import lora_file, report, snapshots
from .average import Average
from .config import TrainConfig
from .data import LatentBank, encode_bank, encode_pictures
from .host import Host
from .judge import Judge, held_out, judge_for
from .loop import Moment, NotANumberError, Run, train, training_mode
from .network import import_ahead
from .optimizers import check_optimizer
from .options import ClassPictures
from .prepare import Prepared, dtype_of, encode_texts, prepare
from .unfinished import Unfinished
from .validation import PROMPTS, Result, Show, Validation

log = logging.getLogger(__name__)

STATES = 4  # parts of a training without snapshots on the way; after each its state is kept for resuming

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
    Where another server that shares the folders is training the same, it is waited for, and its LoRA found.
    Raises TrainingError (a full disk, too), and whatever the host raises for a cancel or for lack of memory.
    """
    if config.prior_weight and others is None:
        raise TrainingError(
            "prior_weight is set, but there are no class pictures", "Connect class_images, or set it to 0"
        )
    config.check_steps(person.count)
    others = others if config.prior_weight else None
    key = lora_file.training_hash(person, host.base, config, others.hash if others else "")
    found = _find(person, host, key)
    if found is not None:
        return found
    check_optimizer(config, host.device)
    waiting = _Waiting(host.check_cancel)
    with one_at_a_time(host.unfinished_folder() / f"{key[:16]}.lock", waiting):
        found = _find(person, host, key) if waiting.waited else None  # by the server that was waited for
        if found is not None:
            return found
        name = lora_file.lora_name(person, key)
        path = host.find_lora(name) or host.lora_folder() / name
        training = _Training(person, config, host, progress, show, others, path, key)
        return Trained(person.with_lora(name), path, False, training.run())


def _find(person: Person, host: Host, key: str) -> Trained | None:
    """The finished LoRA of the same inputs, where there is one."""
    name = lora_file.lora_name(person, key)
    path = host.find_lora(name)
    told = lora_file.read_report(path, key) if path else None
    return Trained(person.with_lora(name), path, True, told) if path and told is not None else None


class _Waiting:
    """Called while another server trains the same; says so once, and lets the user cancel."""

    def __init__(self, check_cancel: Callable[[], None]) -> None:
        self.waited, self._check_cancel = False, check_cancel

    def __call__(self) -> None:
        if not self.waited:
            log.info("FaceChain: another server trains the same LoRA; waiting for it")
        self.waited = True
        self._check_cancel()


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
            with training_mode(config.seed, host.device), ExitStack() as ending:
                prepared, validation, run = self._steps(ending)
                result = validation.result()
                snapshots.restore(result.snapshot, prepared.adapters)
                tensors = lora_file.to_tensors(prepared.adapters, prepared.names, config.scale_alpha)
            self._clock.lap("choice")
            told = report.report_of(person, config, self._device, run, validation, result, self._clock.laps)
            about = lora_file.metadata(person, host.base, config, self.key, told)
            lora_file.write(self.path, tensors, about)
            report.write_samples(self.path, validation.portraits)
            self._unfinished.forget()
            self._clock.lap("save")
            told |= {"seconds": self._clock.laps}
            log.info("FaceChain: %s", report.time_split(told["seconds"]))
            return told
        except (RuntimeError, MemoryError) as error:
            if is_lack_of_memory(error):  # torch's of a card is a RuntimeError, too
                error.args = (f"{error}\n{self._advice}",)  # the same exception, which hosts know how to treat
            raise
        finally:
            gc.collect()  # the copied modules and their watches refer to each other in circles
            host.free_memory()

    @property
    def _advice(self) -> str:
        size, batch = self.config.resolution_for(self.person.size), self.config.batch_size
        kind, user = (
            ("memory", "") if self.host.device.type == "cpu" else ("graphics memory", " that use the graphics card")
        )
        advice = f"FaceChain: not enough {kind} to train at {size} pixels with batch size {batch}. "
        advice += "Lower one of them" if size > 64 and batch > 1 else "Lower the resolution"
        advice += ", or set checkpointing to on" if self.config.checkpointing == "off" else ""
        return f"{advice}, or close other programs{user}."

    @property
    def _device(self) -> str:
        return f"{self.host.device} {dtype_of(self.config, self.host)}".replace("torch.", "")

    def _steps(self, ending: ExitStack) -> tuple[Prepared, Validation, Run]:
        """Encode, prepare, train. ending: gives back what the validation holds, however the training ends."""
        person, config, host, clock = self.person, self.config, self.host, self._clock
        steps, count = config.steps_for(person.count), config.snapshots_for(person.count)
        import_ahead()
        bank, others = self._banks(steps)
        clock.lap("latents")
        texts = encode_texts(person, config, host, others is not None)
        clock.lap("caption")
        loaded = host.load_model()
        clock.lap("load")
        prepared = prepare(person, config, host, loaded, texts, bank, others is not None)
        validation = self._validation(prepared)
        ending.callback(validation.release)
        lora_file.check_room(self.path.parent, prepared.adapters)
        average = Average(prepared.trainee.parameters, config.ema) if config.ema else None
        folder, adapters = host.unfinished_folder(), prepared.adapters
        unfinished = Unfinished(folder, self.key, adapters, validation, average, person.name)
        clock.lap("preparation")
        validation.begin()
        clock.lap("validation")

        def on_step(*told: Any) -> None:
            validation.settle(wait=False)
            self.progress(*told)

        def on_snapshot(moment: Moment) -> None:
            with average.shown() if average else nullcontext():
                validation.add(moment.step, report.recent_loss(moment.losses))

        try:
            run = train(
                prepared.trainee,
                bank,
                config,
                steps,
                on_step,
                on_snapshot=on_snapshot,
                snapshots=count,
                on_state=unfinished.save,
                states=count if count > 1 else STATES,
                resume=unfinished.take_up,
                others=others,
                average=average,
            )
        except NotANumberError as error:
            unfinished.forget()  # it would end in the same way
            raise self._kept_last(error, prepared, validation) from error
        finally:
            unfinished.finish()
        self._unfinished = unfinished
        clock.split("steps", "validation", run.seconds)
        return prepared, validation, run

    def _validation(self, prepared: Prepared) -> Validation:
        person, config, host = self.person, self.config, self.host
        judge, excuse = judge_for(person, config, len(PROMPTS), host.face_engine)
        return Validation(
            host,
            prepared.trainee.model,
            prepared.adapters,
            config,
            prepared.prompts,
            prepared.portrait,
            judge,
            excuse,
            config.compares(person.count),
            self.show,
            prepared.trainee.recorded,
            prepared.trainee.roomy,
            beside=judge is not None and _leaves_room(host.device, judge),
        )

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

    def _kept_last(self, error: NotANumberError, prepared: Prepared, validation: Validation) -> TrainingError:
        """The error, after writing the last good snapshot under a name of its own where there is one."""
        validation.settle()
        good = [snapshot for snapshot in validation.taken if snapshot.is_finite]
        if not good:
            return error
        last = good[-1]
        with torch.no_grad():
            snapshots.restore(last, prepared.adapters)
        tensors = lora_file.to_tensors(prepared.adapters, prepared.names, self.config.scale_alpha)
        path = self.path.with_name(f"{self.path.stem}-step-{last.step}.safetensors")
        result = Result(last, [last.step], "the last snapshot before the loss was no longer a number")
        told = report.report_of(
            self.person, self.config, self._device, Run([], 0.0), validation, result, self._clock.laps
        )
        about = lora_file.metadata(self.person, self.host.base, replace(self.config, steps=last.step), "", told)
        lora_file.write(path, tensors, about)
        return TrainingError(f"{error.message}; the snapshot of step {last.step} is kept as {path.name}", error.remedy)


def _leaves_room(device: torch.device, judge: Judge) -> bool:
    """Whether a card can train while portraits are judged: on a CPU both would want the same cores."""
    return device.type != "cpu" and judge.on_cpu


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
