"""The square views that autoencoder and UNet learn, made once and kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from .faces import with_other_faces
from .pictures import Picture, read_pictures, view

SIZE = 192  # pixels of a side
SITTERS = "people"  # folder of those whom the tests train LoRAs on: their faces go nowhere else
# (scenes, heads on white) of a picture, of one with another's face, and of one that the autoencoder alone learns.
OWN, OTHERS, AUTOENCODER = (4, 2), (2, 1), (6, 3)


@dataclass(frozen=True)
class Use:
    """What a view shows, as in Picture; white: its head alone. drawn: the UNet learns it too."""

    style: str
    phrase: str
    prompt: str
    white: bool
    drawn: bool


def read_views(work: Path, folders: Sequence[Path], faces: int) -> tuple[np.ndarray, list[Use]]:
    """uint8 RGB [N, SIZE, SIZE, 3] and what they show, of all pictures and of each with so many other faces.

    Kept in views.safetensors and views.json of the work folder.
    """
    path, listed = work / "views.safetensors", work / "views.json"
    if not path.is_file():
        views, uses = _make(folders, faces)
        listed.write_text(json.dumps([asdict(use) for use in uses]), encoding="utf-8")
        save_file({"views": views}, path)
    uses = [Use(**use) for use in json.loads(listed.read_text(encoding="utf-8"))]
    return load_file(path)["views"], uses


def _make(folders: Sequence[Path], faces: int) -> tuple[np.ndarray, list[Use]]:
    pictures = read_pictures(folders)
    sitters = {file.stem for folder in folders for file in (folder / SITTERS).rglob("*.*")}
    donors = [one.name for one in pictures if one.name not in sitters]
    random = np.random.default_rng(1)
    views, uses = [], []

    def add(picture: Picture, counts: tuple[int, int]) -> None:
        for white, count in zip((False, True), counts, strict=True):
            views.extend(view(picture, SIZE, random, white) for _ in range(count))
            uses.extend(count * [Use(picture.style, picture.phrase, picture.prompt, white, picture.drawn)])

    for picture in pictures:
        add(picture, OWN if picture.drawn else AUTOENCODER)
    for picture in with_other_faces(pictures, faces, donors):
        add(picture, OTHERS)
    return np.stack(views), uses
