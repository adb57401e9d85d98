"""Face fusion: the person's own face over the faces of pictures, by mesh warp, without a swap network."""

from __future__ import annotations

from ..errors import FaceChainError
from .face import Strength
from .pictures import FACE_CHOICES, FusedPictures, fuse_pictures

FUSIONS = ("embedded",)

__all__ = ["FACE_CHOICES", "FUSIONS", "FusedPictures", "Strength", "check_fusion", "fuse_pictures"]


def check_fusion(name: str) -> None:
    """Raise FaceChainError where there is no fusion of this name."""
    if name not in FUSIONS:
        raise FaceChainError(f"there is no face fusion {name!r}", f"Choose one of: {', '.join(FUSIONS)}")
