"""From what was seen in all photos to a verdict for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..faces.base import Face, distance
from ..faces.boxes import BOX_RATIO
from ..messages import say
from .align import FACE_SHARE
from .choose import choose_faces, limit_of
from .consistency import consistency_of, duplicates, outliers, typical_distance
from .look import SMALLEST_SIDE, Seen
from .occlusion import Openness
from .verdict import Numbers, Rejection, Verdict

MOST_PHOTOS = 15  # FaceChain trains with the best 15
# Below the first a photo is rejected, below the second it is accepted with a remark.
SHARPNESS = (0.3, 0.5)
FACE_PX = (40, 0)
FRONTAL = (0.15, 0.45)
EXPOSURE = (0.12, 0.45)
CONFIDENCE = (0.6, 0.75)
MOUTH = (0.1, 0.5)
EYES = 0.6  # never a reason to reject: some people are seldom seen without glasses
_SHARP = 0.5  # the engine's sharpness of a face in focus
_MIXED = 0.1  # median consistency below which photos are taken for those of several people
_TURN_LIMIT = 75.0  # degrees of yaw or pitch at which "frontal" reaches 0


@dataclass(frozen=True, eq=False)
class Judged:
    """A verdict, and the face it speaks of (None where none could be chosen)."""

    verdict: Verdict
    face: Face | None


def judge(
    seen: Sequence[Seen], names: Sequence[str], size: int, embedder: str, reference: Face | None = None
) -> list[Judged]:
    """Verdicts in the order of the photos. size: pixels of the crops that will be made."""
    picks = choose_faces([photo.faces for photo in seen], reference, embedder)
    judged = [_one(i, names[i], photo, pick, size) for i, (photo, pick) in enumerate(zip(seen, picks, strict=True))]
    judged = _same_person(judged, embedder, reference)
    judged = _note_duplicates(judged, seen)
    return _best_only(judged)


def numbers_of(face: Face, exposure: float, openness: Openness, size: int) -> Numbers:
    longer = max(face.width, face.height)
    wanted = size * FACE_SHARE / BOX_RATIO
    turned = np.hypot(face.yaw, face.pitch) / _TURN_LIMIT
    return Numbers(
        face_px=round(longer),
        size=float(np.clip(longer / wanted, 0, 1)),
        sharpness=float(np.clip(face.sharpness / _SHARP, 0, 1)),
        frontal=float(np.clip(1 - turned**1.5, 0, 1)),
        exposure=exposure,
        confidence=float(np.clip(face.score, 0, 1)),
        mouth=openness.mouth,
        eyes=openness.eyes,
    )


def _one(index: int, name: str, photo: Seen, pick: tuple[int, str] | Rejection, size: int) -> Judged:
    shared = {"index": index + 1, "name": name, "faces": len(photo.faces), "turned": photo.turns * 90}
    if min(photo.shape) < SMALLEST_SIDE:
        reason = say("picture_small", width=photo.shape[1], height=photo.shape[0])
        return Judged(Verdict(status="rejected", reason=reason, remedy=say("picture_small_cure"), **shared), None)
    if isinstance(pick, Rejection):
        return Judged(Verdict(status="rejected", reason=pick.reason, remedy=pick.remedy, **shared), None)
    place, how = pick
    face = photo.faces[place]
    numbers = numbers_of(face, photo.exposures[place], photo.openness[place], size)
    bad = _unusable(numbers)
    if bad:
        verdict = Verdict(status="rejected", reason=bad.reason, remedy=bad.remedy, numbers=numbers, **shared)
        return Judged(verdict, face)
    notes = _remarks(numbers)
    if how:
        notes.insert(0, how)
    if photo.turns:
        notes.append(say("turned_upright"))
    return Judged(
        Verdict(status="accepted", reason=say("accepted"), notes=tuple(notes), numbers=numbers, **shared), face
    )


def _unusable(n: Numbers) -> Rejection | None:
    if n.face_px < FACE_PX[0]:
        return Rejection(say("face_small", pixels=n.face_px), say("face_small_cure", least=FACE_PX[0]))
    if n.confidence < CONFIDENCE[0]:
        return Rejection(say("hidden"), say("hidden_cure"))
    if n.mouth < MOUTH[0]:
        return Rejection(say("covered"), say("covered_cure"))
    if n.sharpness < SHARPNESS[0]:
        return Rejection(say("blurred", sharpness=f"{n.sharpness:.2f}"), say("blurred_cure"))
    if n.exposure < EXPOSURE[0]:
        return Rejection(say("light"), say("light_cure"))
    if n.frontal < FRONTAL[0]:
        return Rejection(say("turned_away"), say("turned_away_cure"))
    return None


def _remarks(n: Numbers) -> list[str]:
    found: list[str] = []
    if n.size < 0.67:
        found.append(say("enlarged", pixels=n.face_px, times=f"{1 / n.size:.1f}"))
    if n.sharpness < SHARPNESS[1]:
        found.append(say("soft"))
    if n.exposure < EXPOSURE[1]:
        found.append(say("poor_light"))
    if n.frontal < FRONTAL[1]:
        found.append(say("side"))
    if n.confidence < CONFIDENCE[1]:
        found.append(say("partly_hidden"))
    if n.mouth < MOUTH[1]:
        found.append(say("before_mouth"))
    if n.eyes < EYES:
        found.append(say("eyes_hidden"))
    return found


def _same_person(judged: list[Judged], embedder: str, reference: Face | None) -> list[Judged]:
    """Fill in consistency; reject those who are somebody else."""
    places = [i for i, j in enumerate(judged) if j.face is not None]
    vectors = np.stack([_vector(judged[i]) for i in places]) if places else np.zeros((0, 1), np.float32)
    result = list(judged)
    good = [k for k, i in enumerate(places) if judged[i].verdict.accepted]
    out = _strangers(judged, places, vectors, good, embedder) if reference is None else set()
    inside = [k for k in good if places[k] not in out]
    for k, i in enumerate(places):
        away = _distance_to_person(k, vectors, inside, reference)
        if away is None:
            continue
        verdict = judged[i].verdict
        assert verdict.numbers is not None
        verdict = replace(verdict, numbers=replace(verdict.numbers, consistency=consistency_of(away, embedder)))
        if i in out:
            reason = say("stranger", distance=f"{away:.2f}")
            verdict = replace(verdict, status="rejected", reason=reason, remedy=say("stranger_cure"), notes=())
        elif len(inside) == 2 and verdict.accepted and reference is None and away > limit_of(embedder):
            verdict = replace(verdict, notes=(*verdict.notes, say("two_people", distance=f"{away:.2f}")))
        result[i] = replace(judged[i], verdict=verdict)
    return _note_mixture(result) if reference is None else result


def _note_mixture(judged: list[Judged]) -> list[Judged]:
    """Where the accepted photos are not like each other, nobody recurs: every one of them says so."""
    accepted = [j.verdict.numbers for j in judged if j.verdict.accepted and j.verdict.numbers]
    if len(accepted) < 3 or np.median([n.consistency or 0.0 for n in accepted]) >= _MIXED:
        return judged
    note = say("several_people")
    return [
        replace(j, verdict=replace(j.verdict, notes=(note, *j.verdict.notes))) if j.verdict.accepted else j
        for j in judged
    ]


def _strangers(
    judged: Sequence[Judged], places: Sequence[int], vectors: np.ndarray, good: list[int], embedder: str
) -> set[int]:
    """Places of photos of somebody else. What is hidden makes anybody look different, so where three
    faces are clear they alone say how different the person's photos are; the others only have to be near them.
    """
    clear = [k for k in good if _is_clear(judged[places[k]].verdict.numbers)]
    if len(clear) < 3:
        return {places[good[k]] for k in outliers(vectors[good], embedder)}
    strange = {clear[k] for k in outliers(vectors[clear], embedder)}
    known = vectors[[k for k in clear if k not in strange]]
    hidden = {k for k in good if k not in clear and typical_distance(vectors[k], known) > limit_of(embedder)}
    return {places[k] for k in strange | hidden}


def _is_clear(numbers: Numbers | None) -> bool:
    return numbers is not None and numbers.mouth >= MOUTH[1] and numbers.eyes >= EYES


def _distance_to_person(k: int, vectors: np.ndarray, inside: list[int], reference: Face | None) -> float | None:
    if reference is not None and reference.embedding is not None:
        return distance(vectors[k], reference.embedding)
    others = [i for i in inside if i != k]
    return typical_distance(vectors[k], vectors[others]) if others else None


def _note_duplicates(judged: list[Judged], seen: Sequence[Seen]) -> list[Judged]:
    places = [i for i, j in enumerate(judged) if j.verdict.accepted]
    result = list(judged)
    for later, earlier in duplicates([seen[i].signature for i in places]).items():
        note = say("duplicate", photo=places[earlier] + 1)
        verdict = judged[places[later]].verdict
        result[places[later]] = replace(judged[places[later]], verdict=replace(verdict, notes=(*verdict.notes, note)))
    return result


def _best_only(judged: list[Judged]) -> list[Judged]:
    """Mark the best photo; beyond MOST_PHOTOS the lesser ones, near-duplicates first, are spare."""

    def merit(place: int) -> tuple[bool, float]:
        verdict = judged[place].verdict
        assert verdict.numbers is not None
        return not any(note.startswith("nearly the same") for note in verdict.notes), verdict.numbers.rank

    order = sorted((i for i, j in enumerate(judged) if j.verdict.accepted), key=merit, reverse=True)
    result = list(judged)
    for rank, place in enumerate(order):
        verdict = judged[place].verdict
        if rank == 0:
            verdict = replace(verdict, best=True)
        elif rank >= MOST_PHOTOS:
            verdict = replace(verdict, status="spare", reason=say("spare", most=MOST_PHOTOS))
        result[place] = replace(judged[place], verdict=verdict)
    return result


def _vector(judged: Judged) -> np.ndarray:
    if judged.face is None or judged.face.embedding is None:
        raise ValueError("judging photos needs embeddings")
    return judged.face.embedding
