"""Whether all photos show the same person, and whether two are the same photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .choose import scale_of

DUPLICATE = 0.08  # mean difference of two photos' normalised signatures below which they are one picture


def typical_distances(embeddings: np.ndarray) -> np.ndarray:
    """For each row of [N, D] its distance to the middle one of its nearer neighbours, [N]; N at least 2.

    The lower median: it stays small for the person's photos even where nearly half of all show somebody else.
    """
    away = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=-1)
    count = len(embeddings)
    np.fill_diagonal(away, np.inf)
    return np.sort(away, axis=1)[:, (count - 2) // 2]


def outliers(embeddings: np.ndarray, embedder: str) -> list[int]:
    """Indices of photos that show another person than most, from N x D unit embeddings; needs 3 photos to tell.

    A photo is out when it is clearly further from the others than they are from each other,
    whatever the absolute distances: strangers of one look may be nearer than one's own photos.
    """
    same, different = scale_of(embedder)
    left, out = list(range(len(embeddings))), []
    while len(left) >= 3:
        away = typical_distances(embeddings[left])
        worst = int(np.argmax(away))
        others = [index for place, index in enumerate(left) if place != worst]
        pairs = np.linalg.norm(embeddings[others][:, None] - embeddings[others][None], axis=-1)
        spread = float(np.median(pairs[np.triu_indices(len(others), 1)]))
        if away[worst] <= max(1.6 * spread + 0.1 * same, 0.7 * same) or spread > (same + different) / 2:
            break
        out.append(left.pop(worst))
    return sorted(out)


def consistency_of(away: float, embedder: str) -> float:
    """Distance to the person's other photos as 0 (a stranger) to 1."""
    same, different = scale_of(embedder)
    never = (same + 2 * different) / 3  # beyond it nobody is the same person
    return float(np.clip((never - away) / (never - 0.5 * same), 0, 1))


def duplicates(signatures: Sequence[np.ndarray]) -> dict[int, int]:
    """{index: earlier index} of pictures that are nearly the same as an earlier one."""
    found: dict[int, int] = {}
    for later in range(1, len(signatures)):
        for earlier in range(later):
            if float(np.abs(signatures[later] - signatures[earlier]).mean()) < DUPLICATE:
                found[later] = found.get(earlier, earlier)
                break
    return found
