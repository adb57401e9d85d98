"""Writing files so that nobody ever reads a half-written one, and reading what others may have written."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from .errors import RecordError
from .lack_of_memory import pass_on


def write_atomically(path: Path, data: bytes) -> None:
    """Write data beside path, flush it to the disk, then rename it over path.

    Readers see the old file or the new one, never a part. Raises OSError (disk full,
    folder not writable) with the older file left whole and nothing left over.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.chmod(0o644 & ~_umask())  # mkstemp makes files that only their owner may read
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink()
        raise


def keep(path: Path, data: bytes, what: str) -> None:
    """Write a file of the user's atomically. what: how a message calls it.

    Raises RecordError where the disk is full or the folder not writable; the older file stays whole.
    """
    try:
        write_atomically(path, data)
    except OSError as error:
        raise RecordError(
            f"the {what} {path.name} could not be written to {path.parent} ({error.strerror})",
            "Free some space there, or let ComfyUI write into that folder; then queue again",
        ) from error


def json_object(text: str) -> dict[str, Any]:
    """The object that a JSON text holds; {} for anything else, such as a damaged or hostile text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def metadata_of(path: Path) -> dict[str, str]:
    """Of a safetensors file; {} where it has none, is damaged or is something else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        pass_on(error)
        return {}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
