"""What is said about each photo: numbers from 0 to 1, a decision, its reason and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

_HIDDEN = 0.1  # what a hidden mouth or hidden eyes count as

Status = Literal["accepted", "rejected", "spare"]


@dataclass(frozen=True)
class Numbers:
    """How good one photo is for its purpose; each 0 (useless) to 1 (ideal) except face_px.

    face_px: longer side of the face in pixels of the photo.  size: 1 where no enlargement is needed.
    frontal: 1 = looks straight into the camera.  exposure: 0 = burnt out, black or flat.
    confidence: how sure the landmarks are.
    mouth: 1 = nothing before the lower face, 0 = a mask, a hand.  eyes: 1 = plain to see, 0 = dark glasses or reflections.
    consistency: likeness to the person's other photos or the reference; None where there is nothing to compare.
    """

    face_px: int
    size: float
    sharpness: float
    frontal: float
    exposure: float
    confidence: float
    consistency: float | None = None
    mouth: float = 1.0
    eyes: float = 1.0

    @property
    def quality(self) -> float:
        """Technical quality: the geometric mean, so that one bad value cannot hide behind good ones.

        What hides the face takes off it; never all, for a person who always wears dark glasses has a best photo too.
        """
        seen = max(self.mouth, _HIDDEN) * max(self.eyes, _HIDDEN)
        return float((self.sharpness * self.size * self.exposure * self.confidence * seen) ** 0.25)

    @property
    def rank(self) -> float:
        """FaceChain's order of photos: similarity x quality x frontal angle."""
        return (1.0 if self.consistency is None else self.consistency) * self.quality * self.frontal

    def as_dict(self) -> dict[str, float | int | None]:
        values = {**self.__dict__, "quality": self.quality}
        return {key: round(value, 3) if isinstance(value, float) else value for key, value in values.items()}


@dataclass(frozen=True)
class Verdict:
    """index: from 1. status "spare": good, but better ones were enough. notes: flaws that do not rule it out."""

    index: int
    name: str
    status: Status
    reason: str
    remedy: str = ""
    notes: tuple[str, ...] = ()
    numbers: Numbers | None = None
    faces: int = 0
    turned: int = 0
    best: bool = False

    @property
    def accepted(self) -> bool:
        return self.status == "accepted"

    @property
    def text(self) -> str:
        """One or two sentences for people."""
        sentences = [self.reason, *self.notes, self.remedy]
        return ". ".join(s[0].upper() + s[1:] for s in sentences if s) + "."

    def as_dict(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "name": self.name,
            "accepted": self.accepted,
            "status": self.status,
            "best": self.best,
            "reason": self.reason,
            "remedy": self.remedy,
            "notes": list(self.notes),
            "faces": self.faces,
            "turned_degrees": self.turned,
            "numbers": self.numbers.as_dict() if self.numbers else None,
        }


@dataclass(frozen=True)
class Rejection:
    """Why a photo cannot be used, and what to do."""

    reason: str
    remedy: str
