"""The demo model's two forms: the small file that is shipped, and the checkpoint that ComfyUI loads.

Shipped: UNet as int8 with one scale a row (half the size of float16 and a third of the rounding error of
fp8, which has 3 bits of mantissa), autoencoder as float16. The text encoder is CLIP-L's layout with seeded
random weights; it was frozen while the UNet learned, so the seed is all that need be kept of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from standin import LATENT_SCALE

from facechain.files import write_atomically

from . import ROOT
from .text import text_encoder

Weights = dict[str, np.ndarray]

SHIPPED = ROOT / "models" / "demo" / "facechain_demo_sd15.safetensors"
CHECKPOINT_NAME = SHIPPED.name
FORMAT = "facechain-demo-model-1"
TEXT_SEED = 2026
_SCALE = ".scale"
_PREFIXES = {"unet.": "model.diffusion_model.", "vae.": "first_stage_model."}
_TEXT = "cond_stage_model.transformer."
_FOUND = "source"  # metadata of an assembled checkpoint: hash of the shipped file


def ship(path: Path, unet: Weights, autoencoder: Weights, about: dict[str, str]) -> int:
    """Write the small file; returns its bytes. about: strings for the file's metadata."""
    from safetensors.numpy import save

    tensors: Weights = {}
    for key, value in unet.items():
        if value.ndim < 2:
            tensors[f"unet.{key}"] = value.astype(np.float16)
            continue
        rows = value.reshape(len(value), -1).astype(np.float32)
        scale = np.maximum(np.abs(rows).max(1), 1e-8) / 127
        tensors[f"unet.{key}"] = np.round(rows / scale[:, None]).astype(np.int8).reshape(value.shape)
        tensors[f"unet.{key}{_SCALE}"] = scale.astype(np.float32)
    tensors |= {f"vae.{key}": value.astype(np.float16) for key, value in autoencoder.items()}
    data = save({key: np.ascontiguousarray(value) for key, value in tensors.items()}, {"format": FORMAT, **about})
    write_atomically(path, data)
    return len(data)


def assemble(shipped: Path, path: Path) -> Path:
    """Write the whole checkpoint (float16, 300 MB) unless the one at path was made of the same file; returns path.

    Raises SystemExit for a file of another format.
    """
    from hashlib import sha256

    from safetensors import safe_open
    from safetensors.numpy import load, save

    data = shipped.read_bytes()
    source = sha256(data).hexdigest()
    if path.is_file() and _source(path) == source:
        return path
    with safe_open(shipped, framework="np") as file:
        if (file.metadata() or {}).get("format") != FORMAT:
            raise SystemExit(f"error: {shipped} is not a demo model of this version ({FORMAT}).")
    weights = whole(load(data))
    write_atomically(path, save(weights, {"format": FORMAT, _FOUND: source}))
    return path


def whole(tensors: Weights) -> Weights:
    """All weights of the checkpoint under core's names, float16, from those of the shipped file."""
    weights: Weights = {}
    for key, value in tensors.items():
        if key.endswith(_SCALE):
            continue
        scale = tensors.get(key + _SCALE)
        if scale is not None:
            value = value.astype(np.float32) * scale.reshape(-1, *[1] * (value.ndim - 1))
        part = key[: key.index(".") + 1]
        weights[_PREFIXES[part] + key[len(part) :]] = value.astype(np.float16)
    weights["first_stage_model.vae_scale"] = np.array(LATENT_SCALE, np.float16)
    weights["first_stage_model.vae_shift"] = np.zeros((), np.float16)
    words = text_encoder(TEXT_SEED)
    return weights | {_TEXT + key: value.astype(np.float16) for key, value in words.items()}


def _source(path: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return (file.metadata() or {}).get(_FOUND)
    except SafetensorError:
        return None
