"""Faces: engines that find and describe them, and what is derived from a face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import ModelFileError
from .base import FaceEngine

ENGINES = ("embedded", "insightface")


def engine(name: str = "embedded", *, folders: Sequence[Path] = (), gpu: bool = False) -> FaceEngine:
    """The engine of this name; its networks load when it is first used.

    folders: where models/<pack> of insightface may lie.
    gpu: whether the host runs its models on an NVIDIA card.
    The embedded networks stay on the processor, where they are faster.
    Raises ModelFileError for another name.
    """
    if name == "embedded":
        from .embedded import EmbeddedEngine

        return EmbeddedEngine()
    if name == "insightface":
        from .insightface import InsightfaceEngine

        return InsightfaceEngine(folders, gpu)
    raise ModelFileError(f"there is no face engine {name!r}", f"Choose one of: {', '.join(ENGINES)}")
