"""What a task is reckoned to take, for its place in the order and for memory. Estimates: no result depends on them.

Seconds are of one GPU of the usual kind; only their ratios matter, so that a slow machine needs no other numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facechain.training.config import config_from

SECONDS_A_PHOTO = 1.2  # FaceChain Preprocess on one core: 3.5 s for 3 photos
SECONDS_A_STEP = 0.1  # training at 512 pixels
SECONDS_A_PICTURE = 2.0  # 30 steps at 512 pixels, fusion, ranking
SECONDS_A_LANE = 3.0  # a face of a group photo: 20 steps, fusion, paste
SERVER_BYTES = 2 * 2**30  # what a ComfyUI with our networks holds besides the base model
TRAINING_BYTES = 1.3 * 2**30  # beyond the model, at 512 pixels, float32 (README)
SAMPLING_BYTES = 0.4 * 2**30  # a picture of 512 pixels in a batch
STANDARD = 512  # pixels of a side that these hold for


def area(settings: Mapping[str, Mapping[str, Any]]) -> float:
    """Of a portrait, in pictures of 512 x 512."""
    size = settings.get("EmptyLatentImage", {})
    return size.get("width", STANDARD) * size.get("height", STANDARD) / STANDARD**2


def training_steps(preset: str, photos: int, settings: Mapping[str, Mapping[str, Any]]) -> int:
    chosen = settings.get("FaceChain_TrainPersonLoRA", {})
    sizes = {key: chosen[key] for key in ("steps", "batch_size") if chosen.get(key)}
    return config_from(preset, **sizes).steps_for(photos)


def training_bytes(checkpoint: int, settings: Mapping[str, Mapping[str, Any]]) -> int:
    side = settings.get("FaceChain_TrainPersonLoRA", {}).get("resolution") or STANDARD
    return int(checkpoint + SERVER_BYTES + TRAINING_BYTES * (side / STANDARD) ** 2)


def sampling_bytes(checkpoint: int, pictures: float) -> int:
    """pictures: of 512 x 512 in a batch."""
    return int(checkpoint + SERVER_BYTES + SAMPLING_BYTES * pictures)
