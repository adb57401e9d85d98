"""Faces: engines that find and describe them, and what is derived from a face."""

from __future__ import annotations

from ..errors import ModelFileError
from .base import FaceEngine

ENGINES = ("embedded",)


def engine(name: str = "embedded") -> FaceEngine:
    """The engine of this name; its networks load when it is first used. Raises ModelFileError."""
    if name == "embedded":
        from .embedded import EmbeddedEngine

        return EmbeddedEngine()
    raise ModelFileError(f"there is no face engine {name!r}", f"Choose one of: {', '.join(ENGINES)}")
