"""Face fusion: the person's own face over the faces of pictures, by mesh warp or by a swap network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import FaceChainError
from .face import Strength
from .inswapper import Swapper, load_swapper
from .looks import inspection
from .pictures import FACE_CHOICES, FusedPictures, fuse_pictures

FUSIONS = ("embedded", "inswapper")

__all__ = [
    "FACE_CHOICES",
    "FUSIONS",
    "FusedPictures",
    "Strength",
    "Swapper",
    "fuse_pictures",
    "inspection",
    "swapper_of",
]


def swapper_of(fusion: str, *, folders: Sequence[Path] = (), gpu: bool = False) -> Swapper | None:
    """The swap network behind a fusion of this name; None for the embedded one, which needs none.

    folders: where the file of the swap network may lie.
    gpu: run it on the NVIDIA card.
    Raises FaceChainError where there is no fusion of this name, ModelFileError where its file cannot be used.
    """
    if fusion not in FUSIONS:
        raise FaceChainError(f"there is no face fusion {fusion!r}", f"Choose one of: {', '.join(FUSIONS)}")
    return load_swapper(folders, gpu) if fusion == "inswapper" else None
