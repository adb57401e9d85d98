"""Training pictures of the demo model: square views around each face, with their captions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from facechain.faces import engine
from facechain.photos.align import align
from facechain.photos.background import with_background
from facechain.photos.headmask import head_mask

CAPTIONS = Path(__file__).with_name("captions.json")

# The middle of what Train Person LoRA frames: face's longer side and its middle, in parts of the view. The narrower
# the range the sooner a picture is learnt.
FACE_SHARE = (0.38, 0.44)
CENTER_X = (0.475, 0.525)
CENTER_Y = (0.41, 0.45)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture with one face that matters.

    pixels: uint8 RGB [H, W, 3].  face: x1, y1, x2, y2.  style: id of a style or "".  phrase: who it shows.
    prompt: what else it shows, where it is of no style.
    head: uint8 RGB [512, 512, 3] crop on white as Preprocess makes it.  head_face: the face's x1, y1, x2, y2 in it.
    drawn: the UNet learns it; otherwise the autoencoder alone does.
    """

    name: str
    pixels: np.ndarray
    face: np.ndarray
    style: str
    phrase: str
    prompt: str
    head: np.ndarray
    head_face: np.ndarray
    drawn: bool


def read_pictures(folders: Sequence[Path]) -> list[Picture]:
    """Every picture below the folders, once for each of its faces; what captions.json does not name is not drawn."""
    known: dict[str, dict[str, Any]] = json.loads(CAPTIONS.read_text(encoding="utf-8"))
    found = []
    for folder in folders:
        files = (path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
        for path in sorted(files):
            about = known.get(path.relative_to(folder).as_posix(), {})
            found += _faces_of(path, about)
    return found


def _faces_of(path: Path, about: dict[str, Any]) -> Iterator[Picture]:
    with Image.open(path) as file:
        pixels = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
    faces = sorted(engine().analyze([pixels], embed=False)[0], key=lambda face: face.center[0])
    phrases = about.get("phrases", [""] * len(faces))
    if not faces or len(faces) != len(phrases):
        raise SystemExit(f"{path}: {len(faces)} faces found, {len(phrases)} phrases in {CAPTIONS.name}.")
    for face, phrase in zip(faces, phrases, strict=True):
        head, head_face = head_on_white(pixels, face, [other for other in faces if other is not face])
        style, prompt = about.get("style", ""), about.get("prompt", "")
        yield Picture(path.stem, pixels, face.box, style, phrase, prompt, head, head_face, bool(phrase))


def head_on_white(pixels: np.ndarray, face: Any, others: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """(head, head_face) of a Picture."""
    aligned = align(pixels, face, 512)
    head = with_background(aligned.image, head_mask(aligned, pixels, others), "white")
    low, high = aligned.mesh[:, :2].min(0), aligned.mesh[:, :2].max(0)
    return head, np.concatenate([low, high])


def view(picture: Picture, size: int, random: np.random.Generator, on_white: bool) -> np.ndarray:
    """A square around the face as uint8 RGB [size, size, 3], the colours of a scene moved a little."""
    pixels, box = (picture.head, picture.head_face) if on_white else (picture.pixels, picture.face)
    height, width = pixels.shape[:2]
    longer = float(max(box[2] - box[0], box[3] - box[1]))
    side = longer / random.uniform(*FACE_SHARE)
    left = (box[0] + box[2]) / 2 - side * random.uniform(*CENTER_X)
    top = (box[1] + box[3]) / 2 - side * random.uniform(*CENTER_Y)
    if not on_white:  # where the view is larger than the picture it shrinks, else it moves inside
        side = min(side, height, width)
        left, top = np.clip(left, 0, width - side), np.clip(top, 0, height - side)
    image = Image.fromarray(pixels)
    if on_white:
        margin = 128
        image = ImageOps.expand(image, margin, (255, 255, 255))
        left, top = left + margin, top + margin
    image = image.resize(
        (size, size), Image.Resampling.LANCZOS, (left, top, left + side, top + side), reducing_gap=None
    )
    if on_white:
        return np.asarray(image)
    gain = 1 + random.normal(0, 0.03) + random.normal(0, 0.015, 3)
    return np.clip(np.asarray(image, np.float32) * gain + 0.5, 0, 255).astype(np.uint8)
