"""What a node's page shows of several pictures: one file of small pictures, and words for each (web/cards.js).

It stands beside the images of the node's ui data; whoever does not know it (API clients, a page without our
script) sees those alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from comfy_api.latest import ui

if TYPE_CHECKING:
    import numpy as np

    from ..facechain.photos.intake import Intake
    from ..facechain.rank import Ranking

SIDE = 128  # pixels of a small picture
COLUMNS = 10
MOST = 200  # pictures; further ones are counted


def verdict_cards(intake: Intake, cls: Any) -> dict[str, Any]:
    """Each photo with its verdict: accepted, warning (accepted, with remarks), spare or rejected."""
    import numpy as np

    from ..facechain.photos.sheet import picture_of

    pictures = [np.asarray(picture_of(intake, place)) for place in range(min(len(intake.verdicts), MOST))]
    cards = [
        {
            "name": verdict.name,
            "mark": "warning" if verdict.accepted and verdict.notes else verdict.status,
            "best": verdict.best,
            "text": verdict.text,
        }
        for verdict in intake.verdicts
    ]
    return _as_ui(pictures, cards, cls)


def rank_cards(ranking: Ranking, images: Sequence[Any], keep: int, cls: Any) -> dict[str, Any]:
    """Each portrait with its likeness in percent, most alike first; then those without one, with the reason.

    images: IMAGE batches [N, H, W, C], as they were ranked.
    """
    from ..facechain.images import to_pixels
    from ..facechain.rank import thumbnails

    order = [*ranking.judged, *ranking.rejected]
    shown = [verdict.picture for verdict in order[:MOST]]
    small = {number: to_pixels(picture)[0] for number, picture in thumbnails(images, set(shown))}
    cards = [
        {
            "name": verdict.picture + 1,
            "percent": None if verdict.percent is None else round(verdict.percent, 1),
            "kept": verdict.percent is not None and place < keep,
            "text": verdict.reason,
        }
        for place, verdict in enumerate(order)
    ]
    return _as_ui([small[number] for number in shown], cards, cls)


def _as_ui(pictures: Sequence[np.ndarray], cards: list[dict[str, Any]], cls: Any) -> dict[str, Any]:
    from ..facechain.images import from_pixels
    from ..facechain.sheets import grid

    columns = max(1, min(COLUMNS, len(pictures)))
    (file,) = ui.PreviewImage(from_pixels(grid(pictures, SIDE, columns)), cls=cls).as_dict()["images"]
    shown = {"picture": file, "columns": columns, "cards": cards[:MOST], "left_out": max(0, len(cards) - MOST)}
    return {"facechain_cards": (shown,)}
