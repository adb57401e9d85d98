"""Similarity Rank: which portraits look most like the person, and why some cannot be judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from . import sheets
from .errors import FaceError
from .faces.base import Face, FaceEngine
from .images import to_pixels
from .likeness import Reference, reference
from .messages import say
from .person import Person
from .threads import side_by_side

# A second face of at least this part of the largest one's area makes it unclear whose portrait it is; smaller
# ones are passers-by.
_SEVERAL = 0.25
MOST_SHOWN = 200  # pictures on the sheet and on the node


@dataclass(frozen=True)
class Verdict:
    """What was found in one picture.

    picture: its number in the order they came in, from 0. percent, cosine: likeness, or None where it cannot be
    judged, and then reason says why. face_part: longer side of the face by the shorter side of the picture.
    """

    picture: int
    faces: int
    face_part: float | None = None
    cosine: float | None = None
    percent: float | None = None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Ranking:
    """judged: most alike first, equals in the order they came in. rejected: in the order they came in.

    note: what the user should know of the comparison, "" for nothing.
    """

    judged: list[Verdict]
    rejected: list[Verdict]
    baseline: float
    note: str = ""

    @property
    def in_order(self) -> list[Verdict]:
        return [*self.judged, *self.rejected]

    def kept(self, keep: int) -> list[Verdict]:
        """The best `keep` pictures; where none could be judged, all of them, unranked."""
        return self.judged[:keep] if self.judged else self.rejected


def pictures_in(images: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Each picture [1, H, W, C] of a list of IMAGE batches; views, not copies."""
    for batch in images:
        for number in range(len(batch)):
            yield batch[number : number + 1]


def rank(
    images: Sequence[torch.Tensor],
    person: Person,
    engine: FaceEngine,
    *,
    min_face: float = 0.1,
    max_face: float = 0.8,
    must_judge: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Ranking:
    """Judge the pictures, a few at a time; memory does not grow with their number, but for a line on each.

    images: IMAGE batches, any sizes. min_face, max_face: limits of Verdict.face_part.
    must_judge: raise FaceError with the reasons where not one picture can be judged.
    progress: called with the number of pictures done; may raise to cancel.
    Raises RecordError where person and engine use different embedders and the person's pictures cannot be read anew.
    """
    known = reference(person, engine)
    verdicts: list[Verdict] = []
    numbered = ((number, to_pixels(picture)[0]) for number, picture in enumerate(pictures_in(images)))
    for verdict in side_by_side(lambda one: _judge(*one, engine, known, (min_face, max_face)), numbered):
        verdicts.append(verdict)
        progress(len(verdicts))
    judged = sorted((v for v in verdicts if v.percent is not None), key=lambda v: -(v.cosine or 0))
    rejected = [v for v in verdicts if v.percent is None]
    if must_judge and not judged:
        raise FaceError(_reasons(rejected), "Use portraits of one person, or wider limits for the size of the face")
    return Ranking(judged, rejected, known.baseline, known.note)


def _judge(
    number: int, pixels: np.ndarray, engine: FaceEngine, known: Reference, limits: tuple[float, float]
) -> Verdict:
    faces = engine.analyze([pixels])[0]
    if not faces:
        return Verdict(number, 0, reason=say("portrait_no_face"))
    largest = faces[0]
    part = max(largest.width, largest.height) / min(pixels.shape[:2])
    several = sum(face.area >= _SEVERAL * largest.area for face in faces)
    reason = ""
    if several > 1:
        reason = say("portrait_faces", count=several)
    elif part < limits[0]:
        reason = say("portrait_face_small", part=f"{part:.2f}", limit=f"{limits[0]:.2f}")
    elif part > limits[1]:
        reason = say("portrait_face_large", part=f"{part:.2f}", limit=f"{limits[1]:.2f}")
    if reason:
        return Verdict(number, len(faces), part, reason=reason)
    embedding = _embedding(largest)
    return Verdict(number, len(faces), part, known.cosine(embedding), known.percent(embedding))


def _embedding(face: Face) -> np.ndarray:
    assert face.embedding is not None
    return face.embedding


def _reasons(rejected: list[Verdict]) -> str:
    counts: dict[str, int] = {}
    for verdict in rejected:
        word = verdict.reason.split(" (")[0]
        counts[word] = counts.get(word, 0) + 1
    if not counts:
        return "there are no pictures to rank"
    return f"none of {len(rejected)} pictures can be ranked: " + ", ".join(f"{n} x {w}" for w, n in counts.items())


def report_of(ranking: Ranking, person: Person, engine: FaceEngine) -> dict[str, Any]:
    """Scores and reasons, ready for JSON; pictures are numbered from 1 in the order they came in."""
    about = engine.info()
    return {
        "person": person.name,
        "engine": engine.name,
        "embedder": engine.embedder,
        "provider": about.provider,
        "warning": about.warning,
        "note": ranking.note,
        "baseline_cosine": round(ranking.baseline, 4),
        "photos": person.count,
        "ranked": [
            {
                "place": place + 1,
                "picture": v.picture + 1,
                "percent": round(v.percent or 0.0, 1),
                "cosine": round(v.cosine or 0.0, 4),
                "face_part": round(v.face_part or 0.0, 3),
            }
            for place, v in enumerate(ranking.judged)
        ],
        "rejected": [{"picture": v.picture + 1, "faces": v.faces, "reason": v.reason} for v in ranking.rejected],
    }


def sheet_of(
    ranking: Ranking,
    small: Mapping[int, np.ndarray],
    person: Person,
    keep: int,
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Contact sheet, uint8 RGB [H, W, 3]: ranked pictures first, then the rejected ones with their reasons.

    small: the pictures of small_pictures. check: called before each of them; may raise to cancel.
    """
    tiles = []
    for place, verdict in enumerate(ranking.in_order[:MOST_SHOWN]):
        check()
        if verdict.percent is None:
            lines, colour = (f"picture {verdict.picture + 1}", verdict.reason), sheets.NEUTRAL
        else:
            kept = "" if place < keep else ", not kept"
            lines = (f"{place + 1}.  {verdict.percent:.0f} %", f"picture {verdict.picture + 1}{kept}")
            colour = sheets.likeness_colour(verdict.percent)
        tiles.append(sheets.tile(small[verdict.picture], lines, colour))
    title = f"Likeness to {person.name}: 100 % = as like as the person's photos are to each other"
    return sheets.contact_sheet(tiles, title=title, left_out=len(ranking.in_order) - len(tiles))


def small_pictures(
    ranking: Ranking, images: Sequence[torch.Tensor], check: Callable[[], None] = lambda: None
) -> dict[int, np.ndarray]:
    """The first pictures in their order, by their number, as uint8 RGB and at most 192 pixels long.

    There are no more of them than MOST_SHOWN.
    images: batches of them, as they were ranked.
    check: called before each picture; may raise to cancel.
    """
    shown = {verdict.picture for verdict in ranking.in_order[:MOST_SHOWN]}
    small = {}
    for number, picture in enumerate(pictures_in(images)):
        if number in shown:
            check()
            height, width = picture.shape[1:3]
            scale = min(1.0, 192 / max(height, width))
            size = max(1, round(height * scale)), max(1, round(width * scale))
            planes = picture.float().movedim(-1, 1)
            small[number] = to_pixels(torch.nn.functional.interpolate(planes, size, mode="area").movedim(1, -1))[0]
    return small
