"""Which files of the catalogue are there, and whether they are what they should be. Reads; changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .catalog import EMBEDDED, ModelFile

_BLOCK = 4 * 2**20  # bytes read at a time

THERE, MISSING, DIFFERENT, UNVERIFIED = "there", "missing", "different", "there, not verified"


@dataclass(frozen=True)
class Found:
    """Where a file of the catalogue is.

    state: THERE where the size is as published, and the hash as well where it was read; UNVERIFIED where there is
    nothing to compare it with; MISSING or DIFFERENT.
    path: where it lies; None where it is missing.
    why: in which way it is different, for people.
    """

    file: ModelFile
    state: str
    path: Path | None = None
    why: str = ""


def sha256_of(path: Path, tell: Callable[[int], None] = lambda read: None) -> str:
    """sha256 (hex) of a file of any size; tell(bytes) is called after each block. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            tell(len(block))
    return digest.hexdigest()


def look(
    file: ModelFile, folders: Iterable[Path], read: bool = False, tell: Callable[[int], None] = lambda read: None
) -> Found:
    """Where the file lies and whether it is the catalogue's. folders: those of its kind, first one first.

    Files in folders below count too, since people sort their models. read: compare the hash, which takes seconds a
    gigabyte; otherwise the size alone. tell: called with the bytes of each block read; may raise to cancel.
    """
    path = next((found for folder in folders if (found := _find(folder, file.file))), None)
    if path is None:
        return Found(file, MISSING)
    size = path.stat().st_size
    if file.size and size != file.size:
        return Found(file, DIFFERENT, path, f"it has {size:,} bytes, the published one {file.size:,}")
    if read and file.sha256 and sha256_of(path, tell) != file.sha256:
        return Found(file, DIFFERENT, path, "its sha256 is not the published one")
    known = file.sha256 if read else file.size
    return Found(file, THERE if known else UNVERIFIED, path)


def folders_in(models: Path) -> Callable[[ModelFile], list[Path]]:
    """For look(): a file's folders where only ComfyUI's models folder is known."""
    return lambda file: [models / file.folder]


def without_embedded(files: Iterable[ModelFile]) -> list[ModelFile]:
    return [file for file in files if file.group != EMBEDDED]


def _find(folder: Path, name: str) -> Path | None:
    direct = folder / name
    if direct.is_file():
        return direct
    return next((path for path in sorted(folder.rglob(name)) if path.is_file()), None) if folder.is_dir() else None
