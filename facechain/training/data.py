"""From a person's aligned pictures to a bank of latents: augmented crops, encoded once, before the first step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..photos.align import CENTER, FACE_SHARE
from .config import TrainConfig

FACE_HEIGHT = CENTER[1]  # of the face's middle in a person's pictures
ENCODE_BATCH = 4
VIEWS = 4  # how often a crop is shown at least, roughly

Encode = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class LatentBank:
    """latents: [K, C, ...] float32 on the CPU, as the VAE gives them; one each crop."""

    latents: torch.Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def batch(self, size: int, generator: torch.Generator) -> torch.Tensor:
        """A random batch [size, C, ...]: every crop as likely as the others."""
        return self.latents[torch.randint(len(self.latents), (size,), generator=generator)]


@dataclass(frozen=True)
class Crop:
    """A square of a picture in pixels, and whether it is mirrored."""

    photo: int
    left: int
    top: int
    side: int
    mirrored: bool


def plan_crops(photos: int, size: int, config: TrainConfig, steps: int) -> list[Crop]:
    """Crops as FaceChain draws them: the face takes a random share, at a random height, mirrored or not.

    photos: how many pictures; size: pixels of a side of theirs. So few crops that each is shown about
    VIEWS times at least, for encoding must not take longer than training. The same settings and seed give the same crops.
    """
    generator = torch.Generator().manual_seed(config.seed)
    per_photo = max(1, min(config.crops_per_photo, round(steps * config.batch_size / photos / VIEWS)))
    crops = []
    for index in range(photos * per_photo):
        share, height = (_uniform(*bounds, generator) for bounds in (config.face_share, config.face_height))
        side = min(size, round(size * FACE_SHARE / share))
        left = round((size - side) / 2)
        top = min(max(round(size * FACE_HEIGHT - height * side), 0), size - side)
        mirrored = config.flip and index // photos % 2 == 1
        crops.append(Crop(index % photos, left, top, side, mirrored))
    return crops


def cut(images: torch.Tensor, crop: Crop, resolution: int) -> torch.Tensor:
    """One crop of images [N, S, S, 3] (0..1) as [resolution, resolution, 3] float32, 0..1."""
    picture = images[crop.photo, crop.top : crop.top + crop.side, crop.left : crop.left + crop.side].float()
    scaled = torch.nn.functional.interpolate(
        picture.movedim(-1, 0)[None], (resolution, resolution), mode="bicubic", antialias=True
    )
    cropped = scaled[0].movedim(0, -1).clamp(0, 1)
    return cropped.flip(1) if crop.mirrored else cropped


def encode_bank(
    images: torch.Tensor, config: TrainConfig, steps: int, encode: Encode, progress: Callable[[int, int], None]
) -> LatentBank:
    """The bank of a person's pictures [N, S, S, 3].

    encode: [B, H, W, 3] float32 0..1 to latents [B, C, ...]. progress(done, total): called between batches, may raise.
    """
    resolution = config.resolution_for(int(images.shape[1]))
    crops = plan_crops(len(images), int(images.shape[1]), config, steps)
    latents = []
    for start in range(0, len(crops), ENCODE_BATCH):
        progress(start, len(crops))
        pictures = torch.stack([cut(images, crop, resolution) for crop in crops[start : start + ENCODE_BATCH]])
        latents.append(encode(pictures).to("cpu", torch.float32))
    progress(len(crops), len(crops))
    # clone: what a host encodes in inference mode cannot take part in training
    return LatentBank(torch.cat(latents).clone())


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
