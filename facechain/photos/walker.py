"""Random walker with priors (Grady 2005): a soft segmentation as one sparse linear system."""

from __future__ import annotations

import numpy as np


def random_walk(
    features: np.ndarray, prior: np.ndarray, seeds: np.ndarray, contrast: float, trust: float
) -> np.ndarray:
    """Probability [H, W] that a pixel belongs to the object.

    features: [H, W, D]; neighbours that differ much are hard to walk between.
    prior: [H, W] 0..1, what each pixel's own colour says. seeds: [H, W] int, 1 object, 0 not, -1 unknown.
    contrast: squared feature distance at which a step is e times harder. trust: weight of the prior against
    that of a step.
    """
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import cg

    height, width = prior.shape
    index = np.arange(height * width).reshape(height, width)
    rows, columns, weights = [], [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = index[: height - dy, max(0, -dx) : width - max(0, dx)]
        there = index[dy:, max(0, dx) : width - max(0, -dx)]
        away = (features.reshape(-1, features.shape[-1])[here] - features.reshape(-1, features.shape[-1])[there]) ** 2
        step = (np.exp(-away.sum(-1) / contrast) + 1e-4) / np.hypot(dy, dx)
        rows.append(here.ravel())
        columns.append(there.ravel())
        weights.append(step.ravel())
    i, j, w = (np.concatenate(part) for part in (rows, columns, weights))
    count = height * width
    steps = coo_matrix((np.r_[w, w], (np.r_[i, j], np.r_[j, i])), shape=(count, count)).tocsr()
    known = np.flatnonzero(seeds.ravel() >= 0)
    open_ = np.flatnonzero(seeds.ravel() < 0)
    if not len(open_):
        return seeds.astype(np.float64)
    answer = prior.ravel().astype(np.float64)
    answer[known] = seeds.ravel()[known]
    total = np.asarray(steps.sum(1)).ravel()[open_] + trust
    rows_open = steps[open_]
    matrix = diags(total) - rows_open[:, open_]
    right = trust * prior.ravel()[open_] + rows_open[:, known] @ answer[known]
    solution, _ = cg(matrix, right, x0=answer[open_], rtol=3e-3, maxiter=300, M=diags(1 / total))
    answer[open_] = solution
    return np.clip(answer, 0, 1).reshape(height, width)
