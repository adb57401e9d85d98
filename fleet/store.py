"""Where results lie: a folder (also NFS), or any URL that fsspec knows (s3://, gs://, sftp://)."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from facechain.errors import FaceChainError
from facechain.files import write_atomically

# On these an object appears whole or not at all; elsewhere it is written under another name and moved.
WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "az", "oss", "memory"}


PATIENCE, PAUSE = 120.0, 2.0  # seconds for a store that does not answer, and between tries
T = TypeVar("T")


class StoreError(FaceChainError):
    """A folder or URL cannot be opened, read or written."""


class StoreOutOfReach(StoreError):
    """The store itself does not do its work: full, forbidden, without credentials, or behind a line that is down."""


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


@contextlib.contextmanager
def _reaching(place: str, what: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes StoreOutOfReach, but for a file that is absent.

    All errors, not only OSError: each kind of URL also has those of its own library's.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except Exception as error:
        raise _out_of_reach(place, what, error) from error


def _out_of_reach(place: str, what: str, error: Exception) -> StoreOutOfReach:
    remedy = "Free some space there, or allow reading and writing"
    if "://" in place:
        remedy = (
            "Look whether the line, the credentials and the endpoint are right on this machine, and the rights there"
        )
    return StoreOutOfReach(f"{what} {place} ({_said(error)})", f"{remedy}; then start the same command again")


def patiently(work: Callable[[], T], stopped: Callable[[], bool]) -> T:
    """What work returns, begun anew for a while where the store does not answer. Raises StoreOutOfReach after that.

    A line that is down for a minute is no reason to give up a night's work.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except StoreOutOfReach:
            if stopped() or time.monotonic() > until:
                raise
            time.sleep(PAUSE)


def pictures_in(folder: str, suffixes: set[str]) -> list[str]:
    """Full paths or URLs of the pictures in a folder or URL, by name. Raises StoreError where there is no such folder."""
    fs, path = file_system(folder)
    try:
        with _reaching(folder, "no list can be had of"):
            listed = fs.ls(path, detail=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"there is no folder {folder}") from error
    names = [entry["name"] for entry in listed if entry["type"] == "file"]
    kept = [name for name in names if Path(name).suffix.lower() in suffixes and not Path(name).name.startswith(".")]
    return [fs.unstrip_protocol(name) if "://" in folder else name for name in sorted(kept)]


def read_file(place: str) -> bytes:
    """Raises StoreError where it is absent or forbidden, StoreOutOfReach where its place does not answer."""
    fs, path = file_system(place)
    try:
        return fs.cat_file(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise StoreError(
            f"{place} cannot be read here ({_said(error)})",
            "It must be reachable under this name from every machine of the fleet",
        ) from error
    except Exception as error:  # see _reaching
        raise _out_of_reach(place, "cannot read", error) from error


def _said(error: Exception) -> str:
    """An error's own words, for a message that goes on after them."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__).rstrip(".")


class Store:
    """Files below a folder or URL, by names with / between their parts. Writing is atomic: a file is whole or absent."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.fs, self.root = file_system(place)
        protocols = {self.fs.protocol} if isinstance(self.fs.protocol, str) else set(self.fs.protocol)
        self._folder = Path(self.root) if "file" in protocols else None
        self._whole = bool(protocols & WHOLE)

    def write(self, name: str, data: bytes) -> None:
        """Raises StoreOutOfReach; an older file stays whole."""
        try:
            with _reaching(self.place, f"{name} could not be written to"):
                if self._folder is not None:
                    write_atomically(self._folder / name, data)
                elif self._whole:
                    self.fs.pipe_file(self._path(name), data)
                else:
                    self._write_and_move(self._path(name), data)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._absent(error) from error

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError, StoreOutOfReach."""
        with _reaching(self.place, f"{name} could not be read from"):
            return self.fs.cat_file(self._path(name))

    def names(self, folder: str) -> list[str]:
        """Names of all files below a folder, at any depth; unfinished ones left out. Raises StoreOutOfReach."""
        root = self._path(folder)
        self.fs.invalidate_cache()
        try:
            with _reaching(self.place, "no list can be had of"):
                listed = self.fs.find(root)
        except FileNotFoundError as error:  # a folder that is absent is empty, a bucket is an error
            raise self._absent(error) from error
        found = (name[len(root) :].lstrip("/") for name in listed)
        return sorted(name for name in found if name and not name.rsplit("/", 1)[-1].startswith("."))

    def remove(self, name: str) -> None:
        """Raises FileNotFoundError, StoreOutOfReach."""
        with _reaching(self.place, f"{name} could not be removed from"):
            self.fs.rm_file(self._path(name))

    def _absent(self, error: OSError) -> StoreOutOfReach:
        return StoreOutOfReach(
            f"{self.place} is not there ({_said(error)})",
            "Make the bucket or folder, or name another; then start the same command again",
        )

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"

    def _write_and_move(self, path: str, data: bytes) -> None:
        folder, _, name = path.rpartition("/")
        unfinished = f"{folder}/.{name}.{sha256(data)[:12]}"
        self.fs.makedirs(folder, exist_ok=True)
        self.fs.pipe_file(unfinished, data)
        self.fs.mv(unfinished, path)
