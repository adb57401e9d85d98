"""What a node's page shows of several pictures: one file of small pictures, and words for each (web/cards.js).

It stands beside the images of the node's ui data; whoever does not know it (API clients, a page without our
script) sees those alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from comfy_api.latest import ui

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from ..facechain.photos.intake import Intake
    from ..facechain.rank import Ranking

SIDE = 128  # pixels of a small picture
COLUMNS = 10


def verdict_cards(intake: Intake, pictures: Sequence[Image.Image], cls: Any) -> dict[str, Any]:
    """Each photo with its verdict: accepted, warning (accepted, with remarks), spare or rejected.

    pictures: those of the report (facechain.photos.sheet.pictures_of).
    """
    import numpy as np

    from ..facechain.messages import keys_of

    cards = [
        {
            "name": verdict.name,
            "mark": "warning" if verdict.accepted and verdict.notes else verdict.status,
            "best": verdict.best,
            "text": verdict.text,
            "said": keys_of(verdict.reason, *verdict.notes, verdict.remedy),
        }
        for verdict in intake.verdicts
    ]
    return _as_ui([np.asarray(picture) for picture in pictures], cards, cls)


def rank_cards(ranking: Ranking, small: Mapping[int, np.ndarray], keep: int, cls: Any) -> dict[str, Any]:
    """Each portrait with its likeness in percent, most alike first; then those without one, with the reason.

    small: the pictures of facechain.rank.small_pictures.
    """
    from ..facechain.messages import keys_of
    from ..facechain.rank import MOST_SHOWN

    order = ranking.in_order
    cards = [
        {
            "name": verdict.picture + 1,
            "percent": None if verdict.percent is None else round(verdict.percent, 1),
            "kept": verdict.percent is not None and place < keep,
            "text": verdict.reason,
            "said": keys_of(verdict.reason),
        }
        for place, verdict in enumerate(order)
    ]
    return _as_ui([small[verdict.picture] for verdict in order[:MOST_SHOWN]], cards, cls)


def _as_ui(pictures: Sequence[np.ndarray], cards: list[dict[str, Any]], cls: Any) -> dict[str, Any]:
    from ..facechain.images import from_pixels
    from ..facechain.sheets import grid

    count = len(pictures)
    columns = max(1, min(COLUMNS, count))
    (file,) = ui.PreviewImage(from_pixels(grid(pictures, SIDE, columns)), cls=cls).as_dict()["images"]
    shown = {"picture": file, "columns": columns, "cards": cards[:count], "left_out": len(cards) - count}
    return {"facechain_cards": (shown,)}
