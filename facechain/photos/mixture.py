"""Gaussian mixtures of colours: what hair looks like in this photo, and what does not."""

from __future__ import annotations

import numpy as np

_FLOOR = 4.0  # variance added to each colour axis (Lab units squared): a patch is never one single colour
_ENOUGH = 1500  # points to fit; more of them only cost time


class Mixture:
    """A few Gaussians over [N, D] points, fitted by weighted EM from a k-means start.

    Deterministic: the start comes from the points' order along their main axis.
    """

    def __init__(self, points: np.ndarray, weights: np.ndarray | None = None, parts: int = 3, rounds: int = 8) -> None:
        stride = max(1, len(points) // _ENOUGH)
        weights = np.ones(len(points)) if weights is None else np.asarray(weights, np.float64)
        points, weights = np.asarray(points[::stride], np.float64), weights[::stride]
        dims = points.shape[1]
        centered = points - np.average(points, axis=0, weights=weights)
        axis = np.linalg.eigh((centered * weights[:, None]).T @ centered)[1][:, -1]
        order = np.argsort(centered @ axis, kind="stable")
        share = np.cumsum(weights[order]) / weights.sum()
        belongs = np.zeros((len(points), parts))
        belongs[order, np.minimum((share * parts).astype(int), parts - 1)] = 1
        for _ in range(rounds):
            mass = belongs * weights[:, None]
            total = mass.sum(0) + 1e-6
            self.shares = total / total.sum()
            self.means = mass.T @ points / total[:, None]
            self.covariances = np.stack(
                [
                    (mass[:, [k]] * (points - self.means[k])).T @ (points - self.means[k]) / total[k]
                    + _FLOOR * np.eye(dims)
                    for k in range(parts)
                ]
            )
            logs = self._parts_log(points)
            belongs = np.exp(logs - logs.max(1, keepdims=True))
            belongs /= belongs.sum(1, keepdims=True)

    def log(self, points: np.ndarray) -> np.ndarray:
        """Log density [N] at points [N, D]."""
        logs = self._parts_log(np.asarray(points, np.float64))
        top = logs.max(1)
        return top + np.log(np.exp(logs - top[:, None]).sum(1))

    def _parts_log(self, points: np.ndarray) -> np.ndarray:
        columns = []
        for share, mean, covariance in zip(self.shares, self.means, self.covariances, strict=True):
            away = points - mean
            squared = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
            size = np.linalg.slogdet(covariance)[1] + len(mean) * np.log(2 * np.pi)
            columns.append(np.log(share + 1e-12) - 0.5 * (squared + size))
        return np.stack(columns, 1)
