"""The demo's contact sheet: inputs, portraits and group photo, each face with its likeness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from facechain.faces import engine
from facechain.faces.base import Face, FaceEngine, distance
from facechain.sheets import FAIR, GOOD, NEUTRAL, Tile, contact_sheet

# Unit embeddings of the embedded network: two photos of one person lie 0.14 apart on average and 0.19 at most,
# two people 0.50 on average and 0.26 at least, on our test pictures (tests/unit/test_faces_describe.py).
ALIKE = 0.3
MAX_SIDE = 1536
NAMES = {"person1": "person 1", "person2": "person 2", "template": "template"}


def draw(inputs: dict[str, list[Path]], pictures: dict[str, list[Path]], path: Path) -> None:
    """Write the sheet as PNG. inputs and pictures: files by name, as demo.py has them."""
    faces = engine("embedded")
    people = {name: _reference(faces, inputs[name]) for name in ("person1", "person2")}
    tiles = [_input_tile(faces, NAMES[name], file) for name, files in inputs.items() for file in files[:4]]
    styles = [name for name in pictures if name.startswith("style_portrait/")]
    shown = 1 if len(styles) > 1 else None  # the best of each of several styles, or all of one
    for name in styles:
        title = name.split("/")[1].replace("_", " ")
        tiles += [_output_tile(faces, title, file, people) for file in pictures[name][:shown]]
    tiles += [_output_tile(faces, "group photo", file, people) for file in pictures["group_photo"]]
    title = "FaceChain demo: distance of each face to the persons' photos (photos of one person: about 0.14; of strangers: about 0.50)"
    Image.fromarray(contact_sheet(tiles, title=title, side=320, columns=4)).save(path)


def _open(file: Path) -> np.ndarray:
    picture = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    return np.asarray(picture)


def _reference(faces: FaceEngine, files: list[Path]) -> np.ndarray | None:
    """Mean embedding of the largest face in each photo."""
    found = [one[0].embedding for one in faces.analyze([_open(file) for file in files]) if one]
    mean = np.mean([e for e in found if e is not None], axis=0) if found else None
    return None if mean is None else mean / np.linalg.norm(mean)


def _input_tile(faces: FaceEngine, name: str, file: Path) -> Tile:
    picture = _open(file)
    count = len(faces.analyze([picture], embed=False)[0])
    return Tile(picture, (f"input: {name}", f"{count} face{'s' * (count != 1)}"), NEUTRAL)


def _output_tile(faces: FaceEngine, name: str, file: Path, people: dict[str, np.ndarray | None]) -> Tile:
    picture = _open(file)
    found = faces.analyze([picture])[0]
    lines, alike = [f"output: {name}"], False
    for key, reference in people.items():
        nearest = _nearest(found, reference)
        if nearest is not None:
            lines.append(f"{NAMES[key]}: distance {nearest:.2f}")
            alike |= nearest < ALIKE
    if not found:
        lines.append("no face found")
    return Tile(picture, tuple(lines), GOOD if alike else FAIR)


def _nearest(found: list[Face], reference: np.ndarray | None) -> float | None:
    distances = [distance(f.embedding, reference) for f in found if f.embedding is not None and reference is not None]
    return min(distances, default=None)
