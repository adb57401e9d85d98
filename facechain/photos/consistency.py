"""Whether all photos show the same person, and whether two are the same photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .choose import limit_of, scale_of

DUPLICATE = 0.08  # mean difference of two photos' normalised signatures below which they are one picture


def typical_distance(embedding: np.ndarray, others: np.ndarray) -> float:
    """Distance of a unit embedding [D] to the middle one of others [N, D], N at least 1.

    The lower median: it stays small for the person's photos even where nearly half of all show somebody else.
    """
    return float(np.sort(np.linalg.norm(others - embedding, axis=1))[(len(others) - 1) // 2])


def outliers(embeddings: np.ndarray, embedder: str) -> list[int]:
    """Indices of photos that show another person than most, from N x D unit embeddings; needs 3 photos to tell.

    Out is, first, who is too far from the largest group of photos that are near each other, where there
    is one; then who is clearly further from the others than they are from each other, whatever the
    absolute distances: strangers of one look may be nearer than one's own photos.
    """
    if len(embeddings) < 3:
        return []
    same, _ = scale_of(embedder)
    apart = limit_of(embedder)
    pairs = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=-1)
    left = _majority(pairs, apart)
    out = [i for i in range(len(embeddings)) if i not in left]
    while len(left) >= 3:
        among = pairs[np.ix_(left, left)] + np.diag(np.full(len(left), np.inf))
        away = np.sort(among, axis=1)[:, (len(left) - 2) // 2]
        worst = int(np.argmax(away))
        others = np.delete(among, worst, 0)
        others = np.delete(others, worst, 1)
        spread = float(np.median(others[np.triu_indices(len(others), 1)]))
        allowed = max(min(1.6 * spread + 0.1 * same, apart), 1.15 * spread, 0.7 * same)
        if away[worst] <= allowed or spread > apart:
            break
        out.append(left.pop(worst))
    return sorted(out)


def _majority(pairs: np.ndarray, apart: float) -> list[int]:
    """Indices of the photos near the largest group, from distances [N, N]; all where no group of 3 is the largest."""
    near = pairs < apart
    center = int(np.argmax(near.sum(1)))
    group = np.flatnonzero(near[center])
    rest = ~near[center]
    rival = int(near[np.ix_(rest, rest)].sum(1).max()) if rest.any() else 0
    if len(group) < 3 or len(group) <= rival:
        return list(range(len(pairs)))
    away = np.sort(pairs[:, group], axis=1)[:, len(group) // 2]
    return [i for i in range(len(pairs)) if away[i] <= apart]


def consistency_of(away: float, embedder: str) -> float:
    """Distance to the person's other photos as 0 (a stranger) to 1."""
    same, different = scale_of(embedder)
    never = (same + 2 * different) / 3  # beyond it nobody is the same person
    return float(np.clip((never - away) / (never - 0.5 * same), 0, 1))


def duplicates(signatures: Sequence[np.ndarray]) -> dict[int, int]:
    """{index: earlier index} of pictures that are nearly the same as an earlier one."""
    found: dict[int, int] = {}
    stack = np.stack(signatures) if len(signatures) else np.zeros((0, 1, 1), np.float32)
    for later in range(1, len(signatures)):
        alike = np.abs(stack[:later] - stack[later]).mean((1, 2)) < DUPLICATE
        if alike.any():
            earlier = int(np.argmax(alike))
            found[later] = found.get(earlier, earlier)
    return found
