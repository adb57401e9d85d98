"""LoRA files that trainings of this server gave, for ComfyUI's cache: what is gone is trained anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import _host


class TrainedFiles:
    """ComfyUI's cache knows inputs alone: it would go on giving out the name of a LoRA that was deleted or replaced."""

    def __init__(self, stamp: Callable[[Path], str] = _host.file_stamp) -> None:
        self._stamp, self._stamps, self._changes = stamp, dict[Path, str](), 0

    def add(self, path: Path) -> None:
        """The file as it is now is what a training gave."""
        self._stamps[path] = self._stamp(path)

    def fingerprint(self) -> str:
        """Another one whenever a file has changed since; then every training looks for its file again."""
        changed = [path for path, stamp in self._stamps.items() if self._stamp(path) != stamp]
        for path in changed:
            del self._stamps[path]
        self._changes += len(changed)
        return str(self._changes)


TRAINED = TrainedFiles()
