"""Where results lie: a folder (also NFS), or any URL that fsspec knows (s3://, gs://, sftp://)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from facechain.errors import FaceChainError
from facechain.files import write_atomically

# On these an object appears whole or not at all; elsewhere it is written under another name and moved.
WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "az", "oss", "memory"}


class StoreError(FaceChainError):
    """A folder or URL cannot be opened, read or written."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_system(place: str) -> tuple[Any, str]:
    """(fsspec file system, path on it) of a folder, file or URL. Raises StoreError for a URL that cannot be used."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        kind = place.split("://")[0]
        raise StoreError(
            f"{place} cannot be opened ({error})",
            f"Install what fsspec needs for {kind}:// on every machine (for s3:// that is pip install s3fs), or name a folder",
        ) from error


def pictures_in(folder: str, suffixes: set[str]) -> list[str]:
    """Full paths or URLs of the pictures in a folder or URL, by name. Raises StoreError where there is no such folder."""
    fs, path = file_system(folder)
    try:
        listed = fs.ls(path, detail=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"there is no folder {folder}") from error
    names = [entry["name"] for entry in listed if entry["type"] == "file"]
    kept = [name for name in names if Path(name).suffix.lower() in suffixes and not Path(name).name.startswith(".")]
    return [fs.unstrip_protocol(name) if "://" in folder else name for name in sorted(kept)]


def read_file(place: str) -> bytes:
    """Raises StoreError where it is absent or cannot be read."""
    fs, path = file_system(place)
    try:
        return fs.cat_file(path)
    except OSError as error:
        raise StoreError(
            f"{place} cannot be read here ({error.strerror or type(error).__name__})",
            "It must be reachable under this name from every machine of the fleet",
        ) from error


class Store:
    """Files below a folder or URL, by names with / between their parts. Writing is atomic: a file is whole or absent."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.fs, self.root = file_system(place)
        protocols = {self.fs.protocol} if isinstance(self.fs.protocol, str) else set(self.fs.protocol)
        self._folder = Path(self.root) if "file" in protocols else None
        self._whole = bool(protocols & WHOLE)

    def write(self, name: str, data: bytes) -> None:
        """Raises StoreError; an older file stays whole."""
        try:
            if self._folder is not None:
                write_atomically(self._folder / name, data)
            elif self._whole:
                self.fs.pipe_file(self._path(name), data)
            else:
                self._write_and_move(self._path(name), data)
        except OSError as error:
            raise StoreError(
                f"{name} could not be written to {self.place} ({error.strerror or error})",
                "Free some space there, or allow writing; then start the same command again",
            ) from error

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        return self.fs.cat_file(self._path(name))

    def exists(self, name: str) -> bool:
        return self.fs.exists(self._path(name))

    def names(self, folder: str) -> list[str]:
        """Names of all files below a folder, at any depth; unfinished ones left out."""
        root = self._path(folder)
        self.fs.invalidate_cache()
        found = (name[len(root) :].lstrip("/") for name in self.fs.find(root))
        return sorted(name for name in found if name and not name.rsplit("/", 1)[-1].startswith("."))

    def remove(self, name: str) -> None:
        self.fs.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"

    def _write_and_move(self, path: str, data: bytes) -> None:
        folder, _, name = path.rpartition("/")
        unfinished = f"{folder}/.{name}.{sha256(data)[:12]}"
        self.fs.makedirs(folder, exist_ok=True)
        self.fs.pipe_file(unfinished, data)
        self.fs.mv(unfinished, path)
