"""Which photos to load: a folder and file names inside ComfyUI's input folder, and never outside."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import FaceChainError, PhotoError
from ..names import inside
from .decode import read_photo

MAX_PHOTOS = 200
MAX_CAPTION = 8192  # bytes of a photo's caption file


def list_photos(root: Path, folder: str, files: str, suffixes: Collection[str]) -> list[tuple[str, Path]]:
    """(name, path) of each photo: those of the folder ordered by name, then the named files in their order.

    folder: below root, "" for none. files: names below root, one a line. suffixes: ".jpg", ...
    Raises PhotoError for none, too many, or a name without a file; UnusableNameError for one outside root.
    """
    found: dict[Path, str] = {}
    if folder:
        place = inside(root, folder)
        if not place.is_dir():
            raise PhotoError(f"there is no folder {folder!r} in ComfyUI's input folder", "Choose another, or refresh")
        for path in sorted(place.iterdir(), key=lambda p: _natural(p.name)):
            if path.suffix.lower() in suffixes and not path.name.startswith("."):
                name = path.relative_to(place).as_posix()
                found.setdefault(inside(root, folder, name), name)
    for line in files.splitlines():
        if name := line.strip().strip("\"'"):
            path = inside(root, name)
            if not path.is_file():
                raise PhotoError(
                    f"there is no file {name!r} in ComfyUI's input folder", "Copy it there, or drop its line"
                )
            found.setdefault(path, name)
    if not found:
        remedy = "Drop photos onto the node, choose a folder with pictures, or name files in 'files'"
        raise PhotoError("there is no photo to load", remedy)
    if len(found) > MAX_PHOTOS:
        raise PhotoError(f"{len(found)} photos are too many", f"Load at most {MAX_PHOTOS}; 3 to 15 good ones do best")
    return [(name, path) for path, name in found.items()]


def caption_beside(path: Path) -> str:
    """The words of the .txt file of the same name beside a photo, as trainers have it; "" where there is none.

    Raises PhotoError for one that is no text, UnusableNameError for a link that leads out of the photo's folder.
    """
    beside = path.with_suffix(".txt")
    if not beside.is_file():
        return ""
    inside(path.parent, beside.name)
    try:
        if beside.stat().st_size > MAX_CAPTION:
            raise ValueError(f"longer than {MAX_CAPTION} bytes")
        return " ".join(beside.read_text(encoding="utf-8-sig").split())
    except ValueError as error:  # not UTF-8, too
        raise PhotoError(f"the caption {beside.name} is no text ({error})", "Save it as UTF-8, or delete it") from error


def fingerprint(photos: list[tuple[str, Path]]) -> str:
    """A hash that changes when a photo or its caption is added, taken away, renamed or written again; reads no file."""
    digest = hashlib.sha256()
    for name, path in photos:
        about = path.stat()
        digest.update(repr((name, about.st_mtime_ns, about.st_size)).encode())
        beside = path.with_suffix(".txt")
        if beside.is_file():
            digest.update(repr((beside.stat().st_mtime_ns, beside.stat().st_size)).encode())
    return digest.hexdigest()


def read_photos(
    photos: list[tuple[str, Path]], max_side: int, progress: Callable[[int], None] = lambda done: None
) -> list[np.ndarray]:
    """All photos, decoded one after another. Raises PhotoError that names every file that cannot be read.

    progress: called with the number of photos done; may raise to cancel.
    """
    pictures, broken = [], []
    for number, (name, path) in enumerate(photos, 1):
        try:
            pictures.append(read_photo(path, max_side))
        except FaceChainError as error:
            broken.append(f"photo {number} of {len(photos)} ({name}): {error}")
        progress(number)
    if len(broken) == 1:
        raise PhotoError(broken[0].rstrip("."))
    if broken:
        lines = "\n".join(broken)
        raise PhotoError(f"{len(broken)} of {len(photos)} photos cannot be read:\n{lines.rstrip('.')}")
    return pictures


def thumbnail(picture: np.ndarray, side: int = 256) -> np.ndarray:
    """uint8 RGB [side, side, 3]: the picture as a whole on white."""
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side), "white")
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(square)


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key: photo 2 before photo 10, upper and lower case alike."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p], name
