"""How like a person somebody looks, on a scale that people understand.

100 % is as like as the person's photos are to each other, 0 % as like as strangers are on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import RecordError
from .faces.base import FaceEngine
from .person import Person


@dataclass(frozen=True)
class Scale:
    """Mean cosines of an embedder: two photos of one person, photos of two people."""

    same: float
    strangers: float


# dlib-resnet-128: 20 pairs of photos of one person lie 0.40 apart on average, 358 pairs of two people 0.85, before
# the vectors (length 1.45) are brought to length 1; cosine = 1 - distance^2 / (2 * 1.45^2).
# Others: near what ArcFace networks give on photos of everyday quality.
_SCALES = {"dlib-resnet-128": Scale(0.96, 0.83)}
_OTHERS = Scale(0.6, 0.03)


@dataclass(frozen=True, eq=False)
class Reference:
    """A person to compare faces with. embeddings: [N, D] unit rows. baseline: cosine that counts as 100 %."""

    embeddings: np.ndarray
    baseline: float
    strangers: float

    def cosine(self, embedding: np.ndarray) -> float:
        """Mean cosine similarity of a face's embedding [D] to the person's photos."""
        return float((self.embeddings @ embedding).mean())

    def percent(self, embedding: np.ndarray) -> float:
        """Likeness in percent, 0 or more; above 100 for a face liker than the photos are to each other."""
        part = (self.cosine(embedding) - self.strangers) / max(self.baseline - self.strangers, 1e-3)
        return max(0.0, 100 * part)


def reference(person: Person, engine: FaceEngine) -> Reference:
    """The person as the engine's embeddings can be compared with. Raises RecordError where another network made them.

    The baseline is the mean over the photos of each one's cosine to the others (leave one out); with a single
    photo, what photos of one person have in common on average.
    """
    if person.embedder != engine.embedder:
        raise RecordError(
            f"person {person.name!r} was made with the face network {person.embedder!r}, this node uses "
            f"{engine.embedder!r}, and their numbers cannot be compared",
            "Choose the engine that FaceChain Preprocess used, or preprocess the photos again with this one",
        )
    scale = _SCALES.get(engine.embedder, _OTHERS)
    rows = person.embeddings.detach().float().cpu().numpy()
    count = len(rows)
    baseline = scale.same
    if count > 1:
        cosines = rows @ rows.T
        baseline = float((cosines.sum() - np.trace(cosines)) / (count * (count - 1)))
    # Photos that are hardly liker than strangers (wrong person among them) must not make everybody a twin.
    baseline = max(baseline, (scale.same + scale.strangers) / 2)
    return Reference(rows, baseline, scale.strangers)
