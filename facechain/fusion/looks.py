"""What was done to each face, on one sheet: for people who wonder why a face looks as it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import sheets
from .face import Fused
from .sources import Photo

COLUMNS = 5
_SIDE = 224  # pixels of a tile
_MOST = 40  # faces on a sheet

Look = tuple[sheets.Tile, ...]


def face_look(title: str, before: np.ndarray, photo: Photo, done: Fused, report: dict[str, Any]) -> Look:
    """The photo used, the face before, the new face alone, how much of it shows, and the result, with the scores.

    before: the crop [H, W, 3] float32 0..1 that was fused; done: on that crop; report: of this face.
    """
    likeness = [_percent(report[f"likeness_{when}"]) for when in ("before", "after")]
    colour = sheets.NEUTRAL if report["likeness_after"] is None else sheets.likeness_colour(report["likeness_after"])
    shown = float(done.alpha.max())
    pictures_and_words = (
        (photo.source.picture, (f"photo {report['photo']}", f"yaw {photo.yaw:.0f}, pitch {photo.pitch:.0f}")),
        (before, (title, f"{likeness[0]}, yaw {report['face_yaw']:.0f}")),
        (done.face, ("new face", "before it was blended in")),
        (np.repeat(done.alpha[..., None], 3, -1), ("where it shows", f"at most {100 * shown:.0f} %")),
        (done.picture, ("result", likeness[1])),
    )
    return tuple(sheets.tile(_pixels(picture), words, colour, side=_SIDE) for picture, words in pictures_and_words)


def untouched_look(title: str, picture: np.ndarray, why: str) -> Look:
    """A picture uint8 [H, W, 3] that was left as it is, with the reason."""
    blank = np.full((_SIDE, _SIDE, 3), 235, np.uint8)
    return (
        sheets.tile(picture, (title, why), side=_SIDE),
        *(sheets.tile(blank, (), side=_SIDE) for _ in range(COLUMNS - 1)),
    )


def inspection(looks: Sequence[Look]) -> np.ndarray:
    """The sheet uint8 RGB [H, W, 3], one row a face; the first 40 of them."""
    tiles = [tile for look in looks[:_MOST] for tile in look]
    title = "What Face Fusion did: photo used, face before, new face, mask, result"
    return sheets.contact_sheet(
        tiles, title=title, side=_SIDE, columns=COLUMNS, left_out=max(0, len(looks) - _MOST), of="faces"
    )


def _percent(likeness: float | None) -> str:
    return "likeness unknown" if likeness is None else f"likeness {likeness:.0f} %"


def _pixels(picture: np.ndarray) -> np.ndarray:
    return (picture.clip(0, 1) * 255).round().astype(np.uint8)
