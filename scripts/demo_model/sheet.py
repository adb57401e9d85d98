"""A sheet of what the demo model draws, with what the face engine finds on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from facechain.faces import engine
from facechain.faces.base import Face
from facechain.prompts import compose
from facechain.styles import load_style
from facechain.training.judge import enlarged

from . import ROOT
from .captions import sitter
from .checkpoint import assemble
from .unet import import_comfy

COLUMNS, STEPS, CFG = 11, 20, 2.0


def draw(shipped: Path, whole: Path, comfyui: Path, styles: Sequence[str], size: int, seed: int = 1) -> Image.Image:
    """One portrait a style, as core's nodes draw it; found faces are framed. Prints how many were found."""
    import_comfy(comfyui)
    import comfy.sample
    import comfy.sd

    loaded: Any = comfy.sd.load_checkpoint_guess_config(str(assemble(shipped, whole)))
    model, clip, vae = loaded[:3]
    pictures = []
    with torch.inference_mode():
        for number, style in enumerate(styles):  # each from its own noise
            own = load_style(ROOT / "styles" / f"{style}.json")
            words = compose(own, sitter("a handsome man" if "woman" not in own.outfit else "a beautiful woman"))
            positive, negative = (
                clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (words.positive, words.negative)
            )
            latent = torch.zeros(1, 4, size // 8, size // 8)
            noise = comfy.sample.prepare_noise(latent, seed + number)
            drawn = comfy.sample.sample(
                model, noise, STEPS, CFG, "dpmpp_2m", "karras", positive, negative, latent, disable_pbar=True, seed=seed
            )
            pictures.append((vae.decode(drawn)[0].numpy() * 255 + 0.5).clip(0, 255).astype(np.uint8))
    faces = engine().analyze([enlarged(picture) for picture in pictures], embed=False)
    print(f"faces: {sum(map(bool, faces))} of {len(faces)}")
    return _sheet(pictures, faces, styles, size)


def _sheet(pictures: list[np.ndarray], faces: list[list[Face]], names: Sequence[str], size: int) -> Image.Image:
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * size, rows * (size + 12)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (picture, found, name) in enumerate(zip(pictures, faces, names, strict=True)):
        left, top = number % COLUMNS * size, number // COLUMNS * (size + 12)
        sheet.paste(Image.fromarray(picture), (left, top))
        pen.text(
            (left + 2, top + size), name[:30] if found else f"{name[:22]}: no face", fill="black" if found else "red"
        )
    return sheet
