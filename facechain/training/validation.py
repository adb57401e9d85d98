"""A few portraits from each snapshot of a training, what they are worth, and which snapshot is the result."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch

from . import snapshots
from .config import TrainConfig
from .host import Host
from .judge import Judge, Look, Verdict, chosen
from .loss import Conditions, batched
from .network import Adapter
from .recorded import Recorder, shapes_of
from .snapshots import Snapshot

# Two prompts of opposite surroundings: one that keeps the photos' background in both has forgotten how to follow them.
PROMPTS = (
    "{}, portrait photo, head and shoulders, looking at the camera, in front of a dark blue wall",
    "{}, portrait photo, head and shoulders, looking at the camera, in a sunny green garden",
)
NEGATIVE = "blurry, deformed"
SEEDS = (1001, 1002)  # any: the same for every snapshot, so that only the snapshots differ
DRAWING_STEPS = 6  # few: they show who it is, not every pore
# Portraits of large training pictures are drawn at 3/4 of their size, in little more than half of the time:
# a face still has about twice the pixels that its embedding takes.
FULL, SMALLER = 384, 0.75

# portraits [P, H, W, 3] float 0..1, their verdict
Show = Callable[[torch.Tensor, Verdict], None]


def portrait_size(resolution: int) -> int:
    """Pixels of a side of the portraits, a multiple of 64, for training pictures of that size."""
    return resolution if resolution <= FULL else max(FULL, int(resolution * SMALLER) // 64 * 64)


def portrait_shape(latent: Sequence[int], resolution: int) -> tuple[int, ...]:
    """Shape [C, ...] of a portrait's latent. latent: that of a training picture's latent."""
    *front, height, width = latent
    size = portrait_size(resolution)
    return (*front, height * size // resolution, width * size // resolution)


@dataclass(frozen=True, eq=False)
class Text:
    """The encoded prompts: functions, because a text encoder that learns encodes them anew."""

    positive: list[Callable[[], Conditions]]
    negative: Callable[[], Conditions]


@dataclass(frozen=True, eq=False)
class Result:
    """snapshot: what ends as the LoRA. chosen: steps it is made of. reason: why. merged: verdict on a mean."""

    snapshot: Snapshot
    chosen: list[int]
    reason: str
    merged: Verdict | None = None


@dataclass(eq=False)
class Validation:
    """Takes snapshots, draws their portraits with the adapters as they are, and chooses.

    judge: None where likeness cannot be measured, because of `excuse`. compares: whether snapshots are. shape: of one latent, [C, ...].
    recorded: as in Trainee. roomy: memory is plenty, so that a snapshot's portraits are drawn in one batch, which a
    card does in little more than the time of one.
    beside: portraits are judged while the training goes on; `settle` takes up what has become of them.
    taken, portraits: the snapshots, and the portraits [P, H, W, 3] float16 of each. verdicts: of those that are judged.
    base: of the model's own portraits.
    """

    host: Host
    model: Any
    adapters: Sequence[Adapter]
    config: TrainConfig
    text: Text
    shape: tuple[int, ...]
    judge: Judge | None
    excuse: str = ""
    compares: bool = True
    show: Show = lambda *_: None
    recorded: bool = False
    roomy: bool = False
    beside: bool = False
    taken: list[Snapshot] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    portraits: list[torch.Tensor] = field(default_factory=list)
    base: Verdict | None = None
    _base_looks: list[Look] | None = None

    def __post_init__(self) -> None:
        self._drawing = _Drawing(self.model, Recorder(self.recorded and self.roomy))
        self._judging = ThreadPoolExecutor(1, "facechain-judge")  # one, so that verdicts keep their order
        self._unsettled: deque[tuple[Future[Verdict], torch.Tensor]] = deque()

    def begin(self) -> None:
        """The base model's own portraits, where snapshots are to be compared; before the first step."""
        if self.compares and self.judge is not None:
            self._judge(self._draw(), 0, None)

    def add(self, step: int, loss: float) -> None:
        """A snapshot of the adapters as they are."""
        self.taken.append(snapshots.take(step, self.adapters))
        pictures = self._draw()
        self.portraits.append(pictures.half())
        self._judge(pictures, step, loss)

    def settle(self, wait: bool = True) -> None:
        """Take up and show the verdicts that are there; with wait, all of them. Raises what judging raised."""
        while self._unsettled and (wait or self._unsettled[0][0].done()):
            judged, pictures = self._unsettled.popleft()
            verdict = judged.result()
            if verdict.step:
                self.verdicts.append(verdict)
            else:
                self.base = verdict
            self.show(pictures, verdict)

    def all_verdicts(self) -> Callable[[], list[Verdict]]:
        """A function that gives the verdicts of the snapshots taken by now. It waits for them, on any thread."""
        settled, coming = list(self.verdicts), [judged for judged, _ in self._unsettled]
        return lambda: settled + [verdict for judged in coming if (verdict := judged.result()).step]

    def release(self) -> None:
        """Give back the memory of what was recorded; the next drawing is recorded anew."""
        self._drawing.recorder.release()

    def result(self) -> Result:
        """What the snapshots come to. The adapters stay as they are at the end of it."""
        self.settle()
        if self.judge is None and self.compares:
            last = self.taken[-1]
            return Result(last, [last.step], f"the last snapshot, because {self.excuse}")
        best, reason = chosen(self.verdicts, self.config.choose)
        if len(best) == 1:
            return Result(self.taken[best[0]], [self.taken[best[0]].step], reason)
        return self._mean(best, reason)

    def _mean(self, best: list[int], reason: str) -> Result:
        """The mean of these, unless its portraits are worse than those of the best of them alone."""
        merged = snapshots.mean([self.taken[n] for n in best])
        snapshots.restore(merged, self.adapters)
        pictures = self._draw()
        verdict = self._verdict(pictures, merged.step, None)
        self.show(pictures, verdict)
        top = max(best, key=lambda n: (self.verdicts[n].score, n))
        if verdict.score < self.verdicts[top].score:
            step = self.taken[top].step
            return Result(self.taken[top], [step], f"step {step}, whose score is above that of {reason}", verdict)
        self.portraits.append(pictures.half())
        return Result(merged, [self.taken[n].step for n in best], reason, verdict)

    def _judge(self, pictures: torch.Tensor, step: int, loss: float | None) -> None:
        self._unsettled.append((self._judging.submit(self._verdict, pictures, step, loss), pictures))
        if not self.beside:
            self.settle()

    def _verdict(self, pictures: torch.Tensor, step: int, loss: float | None) -> Verdict:
        """step: 0 for the base model, with which the snapshots are compared."""
        if self.judge is None:
            return Verdict(step, 0.0, 0, len(pictures), 0.0, 0.0, 0.0, loss)
        looks = self.judge.look(pictures)
        if step == 0:
            self._base_looks = looks
            return self.judge.verdict(0, looks, None)
        return self.judge.verdict(step, looks, self._base_looks, loss)

    def _draw(self) -> torch.Tensor:
        """The portraits [P, H, W, 3] of the adapters as they are, seed by seed."""
        drawn = []
        with torch.no_grad():
            positive = [conditions() for conditions in self.text.positive]
            wanted = [(seed, conditions) for seed in SEEDS for conditions in positive]
            negative = self.text.negative()
            alike = len({shapes_of(conditions) for conditions in positive}) == 1
            size = len(wanted) if self.roomy and alike else 1
            for start in range(0, len(wanted), size):
                self.host.check_cancel()
                seeds, positives = zip(*wanted[start : start + size], strict=True)
                noise = torch.stack([self._noise(seed) for seed in seeds])
                given = batched(positives), batched([negative] * size)
                latents = self.host.draw(self._drawing, *given, noise, DRAWING_STEPS)
                drawn.append(self.host.decode_latents(latents).cpu().float().clone())
        return torch.cat(drawn).nan_to_num(0.0).clamp(0, 1)

    def _noise(self, seed: int) -> torch.Tensor:
        return torch.randn(self.shape, generator=torch.Generator().manual_seed(seed))


class _Drawing:
    """What samplers need of a model. Its denoising may be recorded, all else is its own."""

    def __init__(self, model: Any, recorder: Recorder) -> None:
        self._model, self.recorder = model, recorder

    @property
    def model_sampling(self) -> Any:
        return self._model.model_sampling

    @property
    def process_latent_out(self) -> Any:
        return self._model.process_latent_out

    def apply_model(
        self, x: torch.Tensor, sigma: torch.Tensor, transformer_options: dict[str, Any], **conditions: Any
    ) -> torch.Tensor:
        def denoise(noisy: dict[str, torch.Tensor], conditions: Conditions) -> torch.Tensor:
            return self._model.apply_model(*noisy.values(), transformer_options=transformer_options, **conditions)

        # a copy: samplers keep what earlier steps gave
        return self.recorder.run(denoise, {"x": x, "sigma": sigma}, conditions).clone()
