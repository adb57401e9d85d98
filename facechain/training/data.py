"""From a person's aligned pictures to a bank of latents: augmented crops, encoded once, before the first step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..photos.align import CENTER, FACE_SHARE
from .config import TrainConfig
from .loss import Batch

FACE_HEIGHT = CENTER[1]  # of the face's middle in a person's pictures
ENCODE_BATCH = 4
VIEWS = 4  # how often a crop is shown at least, roughly

Encode = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class LatentBank:
    """latents: [K, C, ...] float32 on the CPU, as the VAE gives them; one each crop.

    heads: [K, h, w] float32 0..1, which part of each latent pixel is head, or None.
    photos: [K] int64, which picture each crop shows, or None.
    """

    latents: torch.Tensor
    heads: torch.Tensor | None = None
    photos: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.latents)

    def batch(self, size: int, generator: torch.Generator, photo: int | None = None) -> Batch:
        """A random batch of that size: every crop as likely as the others. photo: of that picture's crops alone."""
        chosen = torch.randint(len(self.latents), (size,), generator=generator)
        if photo is not None and self.photos is not None:
            own = (self.photos == photo).nonzero()[:, 0]
            chosen = own[chosen % len(own)]  # each picture has as many crops as the others
        return Batch(self.latents[chosen], None if self.heads is None else self.heads[chosen])


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
    shown = steps * config.batch_size * config.accumulation
    per_photo = max(1, min(config.crops_per_photo, round(shown / photos / VIEWS)))
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
    images: torch.Tensor,
    masks: torch.Tensor,
    config: TrainConfig,
    steps: int,
    encode: Encode,
    progress: Callable[[int, int], None],
) -> LatentBank:
    """The bank of a person's pictures [N, S, S, 3] and their head masks [N, S, S].

    encode: [B, H, W, 3] float32 0..1 to latents [B, C, ...].
    progress: called between batches with what is done and the total; it may raise.
    """
    resolution = config.resolution_for(int(images.shape[1]))
    crops = plan_crops(len(images), int(images.shape[1]), config, steps)
    latents = _encoded(lambda n: cut(images, crops[n], resolution), len(crops), encode, progress)
    shown = [cut(masks[..., None], crop, resolution)[..., 0] for crop in crops] if config.head_focus else []
    size = (int(latents.shape[-2]), int(latents.shape[-1]))
    heads = torch.nn.functional.adaptive_avg_pool2d(torch.stack(shown), size) if shown else None
    return LatentBank(latents, heads, torch.tensor([crop.photo for crop in crops]))


def encode_pictures(
    images: torch.Tensor, resolution: int, encode: Encode, progress: Callable[[int, int], None]
) -> LatentBank:
    """The bank of pictures [N, H, W, 3 or 4] (0..1) of any shape, each cut to a square in its middle."""
    side = min(images.shape[1:3])
    top, left = ((int(length) - side) // 2 for length in images.shape[1:3])
    squares = images[:, top : top + side, left : left + side, :3]  # some come with transparency

    def picture(index: int) -> torch.Tensor:
        return cut(squares, Crop(index, 0, 0, side, False), resolution)

    return LatentBank(_encoded(picture, len(images), encode, progress))


def _encoded(
    picture: Callable[[int], torch.Tensor], count: int, encode: Encode, progress: Callable[[int, int], None]
) -> torch.Tensor:
    """Latents of pictures 0 to count - 1, made when they are needed."""
    latents = []
    for start in range(0, count, ENCODE_BATCH):
        progress(start, count)
        pictures = torch.stack([picture(index) for index in range(start, min(start + ENCODE_BATCH, count))])
        latents.append(encode(pictures).to("cpu", torch.float32))
    progress(count, count)
    # clone: what a host encodes in inference mode cannot take part in training
    return torch.cat(latents).clone()


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
