"""How good a snapshot is: whether its portraits look like the person, and still follow the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from .. import onnx
from ..errors import ModelFileError
from ..faces import ENGINES
from ..faces.base import Face, FaceEngine
from ..images import to_pixels
from ..likeness import reference
from ..person import Person
from .config import Choice, TrainConfig

# A portrait without a face counts as this many percent of likeness: worse than any stranger's face (0).
NO_FACE = -50.0
# What a snapshot loses, in percent of likeness, when all its portraits have the photos' surroundings and
# none differs by its prompt; in proportion where they do so in part.
PENALTY = 30.0
SMALL = 384  # pixels of the shorter side below which pictures are enlarged for the face engine,
ENLARGED = 512  # to about this many
GRID = 16  # colours of surroundings are compared on so many cells a side
TELLING = 0.05  # mean difference of colours (0..1) below which nothing can be concluded
PHOTOS_TO_HOLD_OUT = 4  # with fewer, all photos train and all are compared with
MOST_HELD_OUT = 4  # FaceChain's number of reference photos


@dataclass(frozen=True)
class Verdict:
    """step: of the snapshot; 0 is the base model. likeness: percent, mean over the portraits (NO_FACE without a face).

    faces: portraits with a face. copied, ignored: 0..1, how far the surroundings went from what the base model draws
    to those of the photos, and how much less than the base model's they differ by prompt. score: what counts.
    """

    step: int
    likeness: float
    faces: int
    portraits: int
    copied: float
    ignored: float
    score: float
    loss: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class Look:
    """What is seen in one portrait. percent: likeness, or None without a face.

    colours: [GRID, GRID, 3] float 0..1. around: [GRID, GRID] bool, cells that show neither head nor body.
    """

    percent: float | None
    colours: np.ndarray
    around: np.ndarray


class Judge:
    """Compares portraits with a person. The portraits of all snapshots are drawn from the same prompts and seeds.

    prompts: how many prompts there are; portraits come seed by seed, for each seed prompt by prompt.
    """

    def __init__(self, person: Person, engine: FaceEngine, compared: Sequence[int], prompts: int) -> None:
        whole = reference(person, engine)
        self._reference = replace(whole, embeddings=whole.embeddings[list(compared)])
        self._engine, self._prompts = engine, prompts
        self._photos = [_photo(image, mask) for image, mask in zip(person.images, person.masks, strict=True)]

    @property
    def on_cpu(self) -> bool:
        """Whether its networks leave a graphics card alone."""
        return self._engine.info().provider == onnx.CPU

    def look(self, portraits: torch.Tensor) -> list[Look]:
        """portraits: [P, H, W, 3] float 0..1."""
        pictures = [enlarged(picture) for picture in to_pixels(portraits)]
        found = self._engine.analyze(pictures)
        return [
            self._look(picture, faces[0] if faces else None) for picture, faces in zip(pictures, found, strict=True)
        ]

    def verdict(self, step: int, looks: list[Look], base: list[Look] | None, loss: float | None = None) -> Verdict:
        """base: the base model's own portraits, or None, which measures likeness alone."""
        percents = [NO_FACE if look.percent is None else look.percent for look in looks]
        likeness = float(np.mean(percents))
        copied = ignored = 0.0
        if base is not None:
            copied = float(np.mean([self._copied(own, before) for own, before in zip(looks, base, strict=True)]))
            ignored = _lost(self._spread(base), self._spread(looks))
        score = likeness - PENALTY * (copied + ignored) / 2
        faces = sum(look.percent is not None for look in looks)
        return Verdict(step, likeness, faces, len(looks), copied, ignored, score, loss)

    def _look(self, picture: np.ndarray, face: Face | None) -> Look:
        percent = None if face is None or face.embedding is None else self._reference.percent(face.embedding)
        return Look(percent, _cells(picture / 255.0), _around(picture.shape[:2], face))

    def _copied(self, own: Look, base: Look) -> float:
        return _lost(self._from_photos(base), self._from_photos(own))

    def _from_photos(self, look: Look) -> float:
        """Difference of the surroundings from those of the nearest photo."""
        differences = [_difference(look.colours, photo, look.around & outside) for photo, outside in self._photos]
        return min((d for d in differences if d is not None), default=0.0)

    def _spread(self, looks: list[Look]) -> float:
        """Mean difference of the surroundings between prompts, with the same seed."""
        differences = []
        for start in range(0, len(looks), self._prompts):
            first, *others = looks[start : start + self._prompts]
            differences += [_difference(first.colours, o.colours, first.around & o.around) for o in others]
        known = [d for d in differences if d is not None]
        return float(np.mean(known)) if known else 0.0


def judge_for(
    person: Person, config: TrainConfig, prompts: int, engine_of: Callable[[str], FaceEngine]
) -> tuple[Judge | None, str]:
    """A judge with the engine that made the person's embeddings; None, and why, where it is not at hand.

    engine_of: the face engine by its name; raises ModelFileError where it cannot be had.
    """
    for name in ENGINES:
        try:
            engine = engine_of(name)
            fits = engine.embedder == person.embedder
        except ModelFileError:  # insightface without its package or its models
            continue
        if fits:
            compared = held_out(person, config) or list(range(person.count))
            return Judge(person, engine, compared, prompts), ""
    return None, f"no face engine at hand makes the person's kind of embeddings ({person.embedder})"


def held_out(person: Person, config: TrainConfig) -> list[int]:
    """Photos that are kept from training, to compare with: one in four, at most four; none below four photos.

    Those that are most alike to the others, but never the best one, which is worth most in training.
    """
    if not config.compares(person.count) or person.count < PHOTOS_TO_HOLD_OUT:
        return []
    rows = person.embeddings.float()
    typical = (rows @ rows.T).mean(1).tolist()
    order = sorted((n for n in range(person.count) if n != person.best), key=lambda n: -typical[n])
    return sorted(order[: min(MOST_HELD_OUT, person.count // PHOTOS_TO_HOLD_OUT)])


def chosen(verdicts: Sequence[Verdict], choose: Choice) -> tuple[list[int], str]:
    """Indices of the verdicts that make the result, and why. verdicts: of the snapshots alone, by step."""
    last = len(verdicts) - 1
    if choose == "last":
        return [last], "the last snapshot, as chosen"
    if len(verdicts) == 1:
        return [last], "the only snapshot: more than one would have cost too much for so few steps"
    seen = [n for n, verdict in enumerate(verdicts) if verdict.faces]
    if not seen:
        return [last], "the last snapshot, because no portrait of any snapshot shows a face"
    ordered = sorted(seen, key=lambda n: (verdicts[n].score, n), reverse=True)
    if choose == "best" or len(ordered) == 1:
        return ordered[:1], "the snapshot of the highest score"
    return sorted(ordered[: max(2, -(-len(verdicts) // 2))]), "the mean of the better half"


def enlarged(picture: np.ndarray) -> np.ndarray:
    """uint8 RGB [H, W, 3]; small pictures made larger, which detectors and meshes are used to."""
    from PIL import Image

    height, width = picture.shape[:2]
    if min(height, width) >= SMALL:
        return picture
    scale = ENLARGED / min(height, width)
    size = (round(width * scale), round(height * scale))
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BICUBIC))


def _photo(image: torch.Tensor, mask: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Colours of a photo's cells, and which of them lie outside the head."""
    return _cells(image.float().numpy()), _cells(mask.float().numpy()[..., None])[..., 0] < 0.1


def _cells(picture: np.ndarray) -> np.ndarray:
    """Float [H, W, C] to the mean colours of GRID x GRID cells."""
    tensor = torch.from_numpy(np.ascontiguousarray(picture)).float().movedim(-1, 0)
    return torch.nn.functional.adaptive_avg_pool2d(tensor, GRID).movedim(0, -1).numpy()


def _around(shape: tuple[int, ...], face: Face | None) -> np.ndarray:
    """Cells beside and above the head (about twice as wide as the face's box); without a face, the upper corners."""
    height, width = shape
    y, x = (np.mgrid[:GRID, :GRID] + 0.5) / GRID * np.array([height, width])[:, None, None]
    if face is None:
        return (np.abs(x / width - 0.5) > 0.3) & (y < 0.6 * height)
    across, down = face.center
    head = ((x - across) / (1.1 * face.width)) ** 2 + ((y - down + 0.15 * face.height) / (1.25 * face.height)) ** 2 < 1
    return ~head & (y < float(face.box[3]))


def _difference(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float | None:
    """Mean absolute difference of colours in these cells; None where there are hardly any."""
    return float(np.abs(a - b)[where].mean()) if where.sum() >= GRID // 2 else None


def _lost(before: float, now: float) -> float:
    """The part of a difference that is gone, 0..1; 0 where there was hardly any."""
    return min(max(1 - now / before, 0.0), 1.0) if before > TELLING else 0.0
