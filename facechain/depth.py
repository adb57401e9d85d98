"""Depth for a ControlNet: estimated by a model that the user has, and with head and hair cut out.

FaceChain keeps of its depth picture only the body: a head would hand on the face's shape of whoever posed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .cancelling import looking
from .errors import ModelFileError
from .faces.base import Face
from .faces.segment import person_mask
from .images import invert, warp
from .lack_of_memory import pass_on
from .photos.align import align
from .photos.headmask import head_mask

_HEAD_SIDE = 512  # pixels of the crop that a head's mask is made on
_MARGIN = 0.03  # of the picture's longer side that is cut around the head: depth maps bleed over edges


def estimate(
    picture: np.ndarray, folder: Path, device: torch.device, check: Callable[[], None] = lambda: None
) -> np.ndarray:
    """How near each pixel is, by the Transformers model in a local folder.

    Takes uint8 pixels [H, W, 3], gives [H, W] float32 from 0 to 1, where 1 is nearest.
    Models that give inverse depth do: dpt-hybrid-midas and other DPT models, Depth Anything.
    Nothing is downloaded and no pickle is read.
    check: called before each part of the network, which takes seconds on a processor; may raise to cancel.
    Raises ModelFileError where the folder holds no such model.
    """
    processor, model = _loaded(folder, str(device))
    with looking(model, check), torch.inference_mode():
        values = processor(images=picture, return_tensors="pt", input_data_format="channels_last")
        found = model(**{key: value.to(device) for key, value in values.items()}).predicted_depth
    size = picture.shape[:2]
    depth = torch.nn.functional.interpolate(found[:, None].float(), size, mode="bicubic", align_corners=False)[0, 0]
    depth = depth.cpu().numpy()
    low, high = float(depth.min()), float(depth.max())
    return ((depth - low) / (high - low or 1.0)).astype(np.float32)


def forget_models() -> None:
    """Free the loaded models; the next use loads them again."""
    _loaded.cache_clear()


@lru_cache(maxsize=1)
def _loaded(folder: Path, device: str) -> tuple[Any, Any]:
    from safetensors import SafetensorError

    try:
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        model = AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (SafetensorError, OSError, ValueError, KeyError, ImportError) as error:
        pass_on(error)
        raise ModelFileError(
            f"{folder} holds no depth model that can be read ({str(error).strip().splitlines()[0][:200]})",
            "It needs config.json, preprocessor_config.json and model.safetensors, as on Hugging Face",
        ) from error
    return processor, model.to(device).train(False)


def as_map(depth: np.ndarray) -> np.ndarray:
    """Depth [H, W] 0..1 as a uint8 RGB picture."""
    return np.repeat((depth * 255).round().astype(np.uint8)[..., None], 3, axis=2)


def only_bodies(depth_map: np.ndarray, picture: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """The map, uint8 pixels [H, W, 3], made black wherever the picture shows no body below a head.

    The picture may be of any size.
    """
    shown = bodies_without_heads(picture, faces)
    height, width = depth_map.shape[:2]
    fitted = torch.nn.functional.interpolate(torch.from_numpy(shown)[None, None], (height, width), mode="area")[0, 0]
    kept = torch.from_numpy(depth_map).float() * fitted[..., None]
    return kept.round().to(torch.uint8).numpy()


def bodies_without_heads(picture: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """[H, W] float32 0..1: people in uint8 RGB [H, W, 3], without the head and hair of each of these faces."""
    from scipy.ndimage import grey_dilation

    height, width = picture.shape[:2]
    heads = np.zeros((height, width), np.float32)
    for face in faces:
        if face.mesh is None:
            continue
        aligned = align(picture, face, _HEAD_SIDE)
        mask = head_mask(aligned, picture, [other for other in faces if other is not face])
        placed = warp(torch.from_numpy(mask)[..., None], invert(aligned.matrix), (height, width), fill=0.0)
        heads = np.maximum(heads, placed[..., 0].clamp(0, 1).numpy())
    around = 2 * round(_MARGIN * max(height, width) / 2) + 1
    return np.clip(person_mask(picture) - grey_dilation(heads, (around, around)), 0, 1)
