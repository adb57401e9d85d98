"""The demo model's two forms: the small file that is shipped, and the checkpoint that ComfyUI loads.

Shipped: the UNet's weights with 5 bits each, in blocks of 64 with one scale (5 % rounding error; fp8 has 4 % with
8 bits), the autoencoder's with 8 bits. The text encoder is CLIP-L's layout with seeded random weights; it was frozen
while the UNet learned, so the seed is all that need be kept of it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from standin import LATENT_SCALE

from facechain.files import write_atomically

from . import ROOT
from .text import text_encoder

Weights = dict[str, np.ndarray]

SHIPPED = ROOT / "models" / "demo" / "facechain_demo_sd15.safetensors"
CHECKPOINT_NAME = SHIPPED.name
FORMAT = "facechain-demo-model-2"
TEXT_SEED = 2026
BITS = {"unet.": 5, "vae.": 8}
BLOCK = 64
_SCALE = ".scale"
_PREFIXES = {"unet.": "model.diffusion_model.", "vae.": "first_stage_model."}
_TEXT = "cond_stage_model.transformer."
_FOUND = "source"  # metadata of an assembled checkpoint: hash of the shipped file


def ship(path: Path, unet: Weights, autoencoder: Weights, about: dict[str, str]) -> int:
    """Write the small file; returns its bytes. about: strings for the file's metadata."""
    from safetensors.numpy import save

    tensors: Weights = {}
    shapes: dict[str, list[int]] = {}
    for part, weights in (("unet.", unet), ("vae.", autoencoder)):
        for key, value in weights.items():
            if value.ndim < 2:
                tensors[part + key] = value.astype(np.float16)
            else:
                tensors[part + key], tensors[part + key + _SCALE] = _packed(value, BITS[part])
                shapes[part + key] = list(value.shape)
    texts = {
        "format": FORMAT,
        "shapes": json.dumps(shapes),
        "text_encoder": _digest(text_encoder(TEXT_SEED)),
        **about,
    }
    data = save({key: np.ascontiguousarray(value) for key, value in tensors.items()}, texts)
    write_atomically(path, data)
    return len(data)


def assemble(shipped: Path, path: Path) -> Path:
    """Write the whole checkpoint (float16, 320 MB) unless the one at path was made of the same file; returns path.

    Raises SystemExit for a file of another format, or where this numpy's random numbers are others.
    """
    from safetensors.numpy import save

    source = hashlib.sha256(shipped.read_bytes()).hexdigest()
    if path.is_file() and _source(path) == source:
        return path
    parts, about = read_shipped(shipped)
    words = text_encoder(TEXT_SEED)
    if _digest(words) != about["text_encoder"]:
        raise SystemExit(
            "error: this numpy makes other random numbers than the demo model was trained with; use numpy 2."
        )
    named = {_PREFIXES[part]: weights for part, weights in parts.items()} | {_TEXT: words}
    weights = {prefix + key: value.astype(np.float16) for prefix, part in named.items() for key, value in part.items()}
    weights["first_stage_model.vae_scale"] = np.array(LATENT_SCALE, np.float16)
    weights["first_stage_model.vae_shift"] = np.zeros((), np.float16)
    write_atomically(path, save(weights, {"format": FORMAT, _FOUND: source}))
    return path


def read_shipped(shipped: Path) -> tuple[dict[str, Weights], dict[str, str]]:
    """({"unet.": weights, "vae.": weights} of the small file, its metadata). SystemExit for a file of another format."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    with safe_open(shipped, framework="np") as file:
        about = file.metadata() or {}
    if about.get("format") != FORMAT:
        raise SystemExit(f"error: {shipped} is not a demo model of this version ({FORMAT}).")
    shapes, tensors = json.loads(about["shapes"]), load_file(shipped)
    parts: dict[str, Weights] = {part: {} for part in BITS}
    for key, value in tensors.items():
        part = key[: key.index(".") + 1]
        if key in shapes:
            value = _unpacked(value, tensors[key + _SCALE], shapes[key], BITS[part])
        if not key.endswith(_SCALE):
            parts[part][key[len(part) :]] = value
    return parts, about


def _packed(value: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of so many bits as bytes, and the scale of each block (float16)."""
    most = 2 ** (bits - 1) - 1
    flat = np.pad(value.astype(np.float32).ravel(), (0, -value.size % BLOCK)).reshape(-1, BLOCK)
    scale = np.maximum(np.abs(flat).max(1) / most, 1e-7).astype(np.float16)
    levels = np.clip(np.round(flat / scale[:, None].astype(np.float32)), -most, most) + most
    planes = (levels.astype(np.uint8).ravel()[:, None] >> np.arange(bits, dtype=np.uint8)) & 1
    return np.packbits(planes.ravel()), scale


def _unpacked(packed: np.ndarray, scale: np.ndarray, shape: list[int], bits: int) -> np.ndarray:
    """float32 of this shape; the inverse of _packed but for the rounding."""
    planes = np.unpackbits(packed)[: scale.size * BLOCK * bits].reshape(-1, bits)
    levels = planes @ (1 << np.arange(bits, dtype=np.int16)) - (2 ** (bits - 1) - 1)
    blocks = levels.reshape(-1, BLOCK) * scale[:, None].astype(np.float32)
    return blocks.ravel()[: int(np.prod(shape))].reshape(shape)


def _digest(weights: Weights) -> str:
    """sha256 (hex) of the weights as float16."""
    return hashlib.sha256(b"".join(np.float16(weights[key]).tobytes() for key in sorted(weights))).hexdigest()


def _source(path: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return (file.metadata() or {}).get(_FOUND)
    except SafetensorError:
        return None
