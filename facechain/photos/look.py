"""One look at each photo: who is in it, and what later steps need to know. The photo itself is let go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from ..faces.base import Face, FaceEngine
from ..faces.crops import Region, crop
from ..faces.orientation import analyze_any_orientation
from ..images import LUMA, to_pixels
from ..threads import side_by_side
from .occlusion import Openness, openness

LARGEST_SIDE = 4096  # pixels; larger pictures are scaled down before anything looks at them
SMALLEST_SIDE = 32
THUMBNAIL = 256
_SIGNATURE = 24


class Photos(Sequence[np.ndarray]):
    """IMAGE tensors, batches or single ones, as uint8 RGB [H, W, 3] photos made one at a time."""

    def __init__(self, images: Sequence[torch.Tensor]) -> None:
        self._places = [
            image[i : i + 1] for image in (_four_axes(image) for image in images) for i in range(image.shape[0])
        ]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override] - slices are not needed
        image = self._places[index]
        longest = max(image.shape[1:3])
        if longest > LARGEST_SIDE:
            size = tuple(max(1, round(side * LARGEST_SIDE / longest)) for side in image.shape[1:3])
            shrunk = torch.nn.functional.interpolate(image.movedim(-1, 1).float(), size, mode="area")
            image = shrunk.movedim(1, -1)
        return to_pixels(image)[0]


@dataclass(frozen=True, eq=False)
class Seen:
    """What one photo shows.

    turns: quarter turns counter-clockwise (np.rot90) that set it upright.
    faces: in the upright photo, largest first.
    exposures: 0..1 of each face.
    openness: what hides each face.
    thumbnail: the upright photo, uint8 RGB, longer side 256 or less, and its scale.
    signature: [24, 24] float32, grey and normalised; near-duplicates have nearly the same one.
    """

    turns: int
    faces: list[Face]
    exposures: list[float]
    thumbnail: np.ndarray
    scale: float
    signature: np.ndarray
    shape: tuple[int, int]
    openness: list[Openness]


def look_at_all(
    photos: Sequence[np.ndarray], engine: FaceEngine, progress: Callable[[int], None] = lambda done: None
) -> list[Seen]:
    """What each photo shows, in their order; several are looked at side by side, with the same results as one by one.

    photos: made one at a time, and only as many kept in memory as there are threads.
    progress: called with the number of photos done; may raise to cancel.
    """
    seen: list[Seen] = []
    progress(0)
    for shown in side_by_side(lambda photo: look(photo, engine), photos):
        seen.append(shown)
        progress(len(seen))
    return seen


def look(photo: np.ndarray, engine: FaceEngine) -> Seen:
    """photo: uint8 RGB [H, W, 3] of any size."""
    turns, faces = 0, []
    if min(photo.shape[:2]) >= SMALLEST_SIDE:
        turns, faces = analyze_any_orientation(engine, photo, attributes=True)
    upright = np.rot90(photo, turns)
    scale = min(1.0, THUMBNAIL / max(upright.shape[:2]))
    picture = Image.fromarray(np.ascontiguousarray(upright))
    small = picture.resize(
        (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), reducing_gap=2
    )
    grey = np.asarray(small.convert("L").resize((_SIGNATURE, _SIGNATURE), Image.Resampling.BOX)).astype(np.float32)
    return Seen(
        turns,
        faces,
        [exposure(upright, face) for face in faces],
        np.asarray(small),
        scale,
        (grey - grey.mean()) / (grey.std() + 4),
        upright.shape[:2],
        [openness(upright, face) for face in faces],
    )


def exposure(photo: np.ndarray, face: Face) -> float:
    """0..1: how much of the face is neither burnt out nor black, and whether it has any modelling.

    Not a matter of light or dark skin: means count only at the very ends of the scale.
    """
    x, y = face.center
    part = crop(photo, Region(x, y, 0.8 * max(face.width, face.height)), 64).astype(np.float32)
    light = part @ LUMA
    burnt, black = float((light > 250).mean()), float((light < 10).mean())
    spread = float(np.percentile(light, 95) - np.percentile(light, 5))
    modelling = np.clip((spread - 12) / 40, 0, 1)
    level = np.clip((light.mean() - 15) / 35, 0, 1) * np.clip((252 - light.mean()) / 25, 0, 1)
    return float(np.clip(1 - 2.5 * burnt - 1.5 * max(0.0, black - 0.1), 0, 1) * modelling * level)


def _four_axes(image: torch.Tensor) -> torch.Tensor:
    if image.ndim not in (3, 4) or 0 in image.shape:
        to_pixels(image)  # says what is wrong with it
    return image[None] if image.ndim == 3 else image
