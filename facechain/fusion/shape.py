"""The shape of the new face: the person's proportions with the picture's pose and expression."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .topology import INNER_LIPS, LEFT_BROW, LEFT_EYE, LIPS, OVAL, RIGHT_BROW, RIGHT_EYE, surface

_UPPER_LIP, _LOWER_LIP = 13, 14  # inner middle of the lips
_MOUTH_CORNERS = (61, 291)
_MOUTH_SCALE = 0.5  # part of the difference in mouth width that is taken for shape, not for a smile


def mixed_shape(target: np.ndarray, source: np.ndarray, strength: float) -> np.ndarray:
    """[468, 3] mesh between target (strength 0) and the source's proportions (1), in the target's pose.

    The expression stays the target's: eyes and mouth move and grow as wholes, the chin follows the
    target's open mouth. The hairline stays where it is.
    """
    if strength == 0:
        return target.astype(np.float64)
    fitted = similarity_fit(source, target, _steady_points())
    goal = _with_expression_of(target, fitted)
    return target + strength * _freedom()[:, None] * (goal - target)


def similarity_fit(source: np.ndarray, target: np.ndarray, points: np.ndarray) -> np.ndarray:
    """source [468, 3] turned, scaled and moved in space so that the given points lie nearest to target's."""
    a, b = source[points].astype(np.float64), target[points].astype(np.float64)
    middle_a, middle_b = a.mean(0), b.mean(0)
    a, b = a - middle_a, b - middle_b
    u, stretch, vt = np.linalg.svd(a.T @ b)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = float((stretch * sign).sum() / (a**2).sum())
    return scale * (source - middle_a) @ (u * sign) @ vt + middle_b


def _with_expression_of(target: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    goal = fitted.copy()
    down = target[152] - target[10]
    down = down / np.linalg.norm(down)
    # The jaw opens as far as the target's.
    gap = float((target[_LOWER_LIP] - target[_UPPER_LIP]) @ down - (fitted[_LOWER_LIP] - fitted[_UPPER_LIP]) @ down)
    goal += _jaw()[:, None] * gap * down
    for ring, weight, scale_part in _wholes():
        inner = list(ring)
        before, after = target[inner], goal[inner]
        width_before = np.ptp(before @ _axis(target), axis=0)
        width_after = np.ptp(after @ _axis(target), axis=0)
        scale = (width_after / max(width_before, 1e-6)) ** scale_part
        as_whole = (target - before.mean(0)) * scale + after.mean(0)
        goal += weight[:, None] * (as_whole - goal)
    return goal


def _axis(mesh: np.ndarray) -> np.ndarray:
    across = mesh[263] - mesh[33]
    return across / np.linalg.norm(across)


@lru_cache(maxsize=1)
def _steady_points() -> np.ndarray:
    """Points that hardly move with the expression: forehead, temples, eye corners, nose, cheekbones."""
    y = surface().points[:, 1]
    moving = {*LIPS, *INNER_LIPS, *LEFT_BROW, *RIGHT_BROW}
    return np.array([i for i in range(468) if y[i] < 0.15 and i not in moving])


@lru_cache(maxsize=1)
def _wholes() -> tuple[tuple[tuple[int, ...], np.ndarray, float], ...]:
    """(ring, weight [468], part of the scale taken over) of the parts that move as wholes."""
    eyes = [(ring, _nearness(ring, 0.02, 0.09), 1.0) for ring in (RIGHT_EYE, LEFT_EYE)]
    return (*eyes, (LIPS, _nearness((*LIPS, *INNER_LIPS), 0.015, 0.1), _MOUTH_SCALE))


def _nearness(ring: tuple[int, ...], full: float, none: float) -> np.ndarray:
    """[468] 1 within `full` of the ring's points, falling to 0 at `none` (canonical units)."""
    points = surface().points
    distance = np.linalg.norm(points[:, None, :2] - points[None, list(ring), :2], axis=-1).min(1)
    t = np.clip((none - distance) / (none - full), 0, 1)
    return t * t * (3 - 2 * t)


@lru_cache(maxsize=1)
def _jaw() -> np.ndarray:
    """[468] how far each point follows an opening jaw: 0 above the upper lip, 1 at the chin."""
    points = surface().points
    lip, ear = points[_UPPER_LIP, 1], points[234, 1]
    t = np.clip((points[:, 1] - lip) / 0.06, 0, 1)
    outline = np.clip((points[:, 1] - ear) / (points[152, 1] - ear), 0, 1)
    side = np.clip(np.abs(points[:, 0]) / 0.3, 0, 1)
    return t * (1 - side) + outline**2 * side


@lru_cache(maxsize=1)
def _freedom() -> np.ndarray:
    """[468] 1 where the shape may change, falling to 0 from the brows to the hairline."""
    points = surface().points
    top = points[list(OVAL), 1].min()
    brows = points[list(LEFT_BROW + RIGHT_BROW), 1].min()
    return np.clip((points[:, 1] - top) / (brows - top), 0, 1)
