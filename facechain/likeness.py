"""How like a person somebody looks, on a scale that people understand.

100 % is as like as the person's photos are to each other, 0 % as like as strangers are on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import RecordError
from .faces.base import FaceEngine
from .images import to_pixels
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
    """A person to compare faces with. embeddings: [N, D] unit rows. baseline: cosine that counts as 100 %.

    note: for reports, what the user should know of where the embeddings come from; "" for nothing.
    """

    embeddings: np.ndarray
    baseline: float
    strangers: float
    note: str = ""

    def cosine(self, embedding: np.ndarray) -> float:
        """Mean cosine similarity of a face's embedding [D] to the person's photos."""
        return float((self.embeddings @ embedding).mean())

    def percent(self, embedding: np.ndarray) -> float:
        """Likeness in percent, 0 or more; above 100 for a face liker than the photos are to each other."""
        part = (self.cosine(embedding) - self.strangers) / max(self.baseline - self.strangers, 1e-3)
        return max(0.0, 100 * part)


def reference(person: Person, engine: FaceEngine) -> Reference:
    """The person as the engine's embeddings can be compared with.

    Where another network made the record's embeddings, the engine reads the person's pictures anew: numbers of two
    networks are never compared. Raises RecordError where it finds the face in none of them.
    The baseline is the mean over the photos of each one's cosine to the others (leave one out); with a single
    photo, what photos of one person have in common on average.
    """
    scale = _SCALES.get(engine.embedder, _OTHERS)
    rows, note = person.embeddings.detach().float().cpu().numpy(), ""
    if person.embedder != engine.embedder:
        rows = _read_anew(person, engine)
        note = (
            f"the person was made with {person.embedder}: {len(rows)} of its {person.count} pictures were read anew "
            f"with {engine.embedder}"
        )
    count = len(rows)
    baseline = scale.same
    if count > 1:
        cosines = rows @ rows.T
        baseline = float((cosines.sum() - np.trace(cosines)) / (count * (count - 1)))
    # Photos that are hardly liker than strangers (wrong person among them) must not make everybody a twin.
    baseline = max(baseline, (scale.same + scale.strangers) / 2)
    return Reference(rows, baseline, scale.strangers, note)


_KEPT = 16
_anew: dict[tuple[str, str], np.ndarray] = {}


def _read_anew(person: Person, engine: FaceEngine) -> np.ndarray:
    """[N, D] unit rows of the person's pictures by this engine; remembered for the last few people."""
    key = (person.hash, engine.embedder)
    if key not in _anew:
        found = engine.analyze(list(to_pixels(person.images)))
        rows = [faces[0].embedding for faces in found if faces and faces[0].embedding is not None]
        if not rows:
            raise RecordError(
                f"person {person.name!r} was made with the face network {person.embedder!r}, and {engine.embedder!r} "
                "finds the face in none of the person's pictures",
                "Choose the engine that FaceChain Preprocess used, or preprocess the photos again with this one",
            )
        if len(_anew) >= _KEPT:
            _anew.clear()
        _anew[key] = np.stack(rows)
    return _anew[key]
