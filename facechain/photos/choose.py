"""Which face is the person: the only one, the dominant one, the one that recurs, the one like the reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..faces.base import Face, distance
from ..messages import say
from .verdict import Rejection

DOMINANT = 4.0  # FaceChain: the largest face counts as the only one from this many times the second's area
_MARGIN = 0.12  # part of the gap between same and different by which the chosen face must lead the runner-up

# Typical distances of unit embeddings: the same person's photos, and two people's. dlib: measured on our test
# pictures; others: ArcFace, whose strangers are nearly orthogonal.
_SCALES = {"dlib-resnet-128": (0.25, 0.52)}
_ARCFACE = (0.95, 1.38)


def scale_of(embedder: str) -> tuple[float, float]:
    """(same, different): typical distances of that network."""
    return _SCALES.get(embedder, _ARCFACE)


def limit_of(embedder: str) -> float:
    """Distance from which two faces are taken for two people."""
    same, different = scale_of(embedder)
    return (same + different) / 2


def choose_faces(
    seen: Sequence[Sequence[Face]], reference: Face | None, embedder: str
) -> list[tuple[int, str] | Rejection]:
    """For each photo the index of the person's face in its list and a note ("" or how it was chosen), or why not.

    seen: the faces of each photo, largest first, with embeddings.
    """
    if reference is not None:
        return [_nearest(faces, [reference], embedder, "reference") for faces in seen]
    clear = [_obvious(faces) for faces in seen]
    anchors = [faces[i] for faces, i in zip(seen, clear, strict=True) if i is not None]
    if not anchors and len([faces for faces in seen if faces]) > 1:
        anchors = _recurring(seen, embedder)
    chosen: list[tuple[int, str] | Rejection] = []
    for faces, index in zip(seen, clear, strict=True):
        if index is not None:
            chosen.append((index, "" if len(faces) == 1 else say("others_smaller")))
        else:
            chosen.append(_nearest(faces, anchors, embedder, "others"))
    return chosen


def _obvious(faces: Sequence[Face]) -> int | None:
    if not faces or (len(faces) > 1 and faces[0].area < DOMINANT * faces[1].area):
        return None
    return 0


def _nearest(faces: Sequence[Face], anchors: Sequence[Face], embedder: str, what: str) -> tuple[int, str] | Rejection:
    """what: what the anchors are from, "reference" or "others" (the other photos), for the words."""
    if not faces:
        return Rejection(say("no_face"), say("no_face_cure"))
    count = len(faces)
    if not anchors:
        return Rejection(say("several", count=count), say("several_cure"))
    away = [float(np.median([distance(_vector(f), _vector(a)) for a in anchors])) for f in faces]
    order = np.argsort(away)
    same, different = scale_of(embedder)
    best = away[order[0]]
    if best > limit_of(embedder):
        key = f"not_the_{what}" if count == 1 else f"none_is_the_{what}"
        return Rejection(say(key, count=count, distance=f"{best:.2f}"), say("not_one_person_cure"))
    if len(faces) > 1 and away[order[1]] - best < _MARGIN * (different - same):
        return Rejection(say(f"equally_{what}", count=count), say("equally_cure"))
    return int(order[0]), "" if count == 1 else say(f"most_like_{what}", count=count)


def _recurring(seen: Sequence[Sequence[Face]], embedder: str) -> list[Face]:
    """The faces, one a photo at most, of the person who is in more photos than anybody else; [] for a tie."""
    limit = limit_of(embedder)
    groups: list[list[Face]] = []
    for number, faces in enumerate(seen):
        for face in faces:
            group = [face]
            for other_number, others in enumerate(seen):
                if other_number == number or not others:
                    continue
                nearest = min(others, key=lambda o: distance(_vector(face), _vector(o)))
                if distance(_vector(face), _vector(nearest)) < limit:
                    group.append(nearest)
            groups.append(group)
    groups.sort(key=lambda g: (-len(g), _spread(g)))
    if not groups or len(groups[0]) < 2:
        return []
    best = groups[0]
    members = {id(face) for face in best}
    rivals = [g for g in groups if id(g[0]) not in members and len(g) == len(best)]
    return [] if rivals else best


def _spread(group: Sequence[Face]) -> float:
    return float(np.mean([distance(_vector(group[0]), _vector(f)) for f in group[1:]])) if len(group) > 1 else 9.0


def _vector(face: Face) -> np.ndarray:
    if face.embedding is None:
        raise ValueError("choosing a face needs embeddings")
    return face.embedding
