"""Body poses as OpenPose draws them, and pictures letterboxed to a canvas.

A skeleton is [18, 3] float32: x, y in pixels and 1 where the point is seen, else 0; OpenPose's
order (nose, neck, right arm, left arm, right leg, left leg, eyes, ears), right is the person's.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .images import apply_affine, invert, warp

POINTS = (
    *("nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist"),
    *("right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle"),
    *("right eye", "left eye", "right ear", "left ear"),
)
# Limbs and colours (RGB) of OpenPose as the ControlNets were trained on; limb i has colour i, point i too.
LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
COLOURS = (
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0)),
    *((0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255)),
    *((0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85)),
)
_LIMB_SHADE = 0.6  # limbs are darker than points
_STICK = 4 / 512  # half a limb's thickness, and a point's radius, as a part of the canvas' shorter side


# Fingers of a hand (wrist 0, then four points each from the thumb on), coloured round the colour wheel; joints are blue.
FINGERS = tuple(
    (0 if step == 0 else 4 * finger + step, 4 * finger + step + 1) for finger in range(5) for step in range(4)
)
_JOINT, _FACE = (0, 0, 255), (255, 255, 255)
# Parts of the canvas' shorter side, from OpenPose's pixels at 512: half a finger's line, radius of a joint and of a face point.
_FINGER, _JOINT_DOT, _FACE_DOT = 1 / 512, 4 / 512, 3 / 512


@dataclass(frozen=True, eq=False)
class Figure:
    """One person, points [K, 3] as the skeleton's. body: K = 18. face: 68 or 70, or 0 where it was not found.

    hands: 21 points each, the left one first; none without a detector for them.
    """

    body: np.ndarray
    face: np.ndarray
    hands: tuple[np.ndarray, ...] = ()


def letterbox_matrix(size: tuple[int, int], canvas: tuple[int, int]) -> np.ndarray:
    """Affine [2, 3] from picture pixels to canvas pixels: scaled to fit whole, centred, never stretched.

    size, canvas: (height, width). Pixel centres at whole numbers.
    """
    (height, width), (canvas_h, canvas_w) = size, canvas
    scale = min(canvas_w / width, canvas_h / height)
    # the edges of pixels lie at -0.5 and n - 0.5; the middles of both fall together
    shift_x = (canvas_w - 1) / 2 - scale * (width - 1) / 2
    shift_y = (canvas_h - 1) / 2 - scale * (height - 1) / 2
    return np.array([[scale, 0, shift_x], [0, scale, shift_y]])


def letterbox(picture: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """A uint8 RGB [H, W, 3] map on a black canvas of (height, width); the same size comes back as it is."""
    if picture.shape[:2] == canvas:
        return picture
    back = invert(letterbox_matrix(picture.shape[:2], canvas))
    values = warp(torch.from_numpy(picture).float(), back, canvas, fill=0.0)
    return values.clamp(0, 255).round().to(torch.uint8).numpy()


def draw(
    skeletons: Sequence[np.ndarray],
    canvas: tuple[int, int],
    hands: Sequence[np.ndarray] = (),
    faces: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """uint8 RGB [height, width, 3]: skeletons, hands and faces, in canvas pixels, on black."""
    from PIL import Image, ImageDraw

    height, width = canvas
    picture = Image.new("RGB", (width, height))
    pen, side = ImageDraw.Draw(picture), min(height, width)
    radius = max(1.0, _STICK * side)
    for points in skeletons:
        for limb, colour in zip(LIMBS, COLOURS, strict=False):  # the last point's colour has no limb
            if points[list(limb), 2].all():
                shade = tuple(int(value * _LIMB_SHADE) for value in colour)
                pen.polygon(_limb(points[limb[0]], points[limb[1]], radius), fill=shade)
        _dots(pen, points, COLOURS, radius)
    for points in hands:
        for number, finger in enumerate(FINGERS):
            if points[list(finger), 2].all():
                colour = tuple(round(255 * v) for v in colorsys.hsv_to_rgb(number / len(FINGERS), 1, 1))
                ends = [tuple(points[end, :2].tolist()) for end in finger]
                pen.line(ends, fill=colour, width=max(1, round(2 * _FINGER * side)))
        _dots(pen, points, [_JOINT] * len(points), max(0.5, _JOINT_DOT * side))
    for points in faces:
        _dots(pen, points, [_FACE] * len(points), max(0.5, _FACE_DOT * side))
    return np.asarray(picture)


def _dots(pen: Any, points: np.ndarray, colours: Sequence[tuple[int, int, int]], radius: float) -> None:
    for (x, y, seen), colour in zip(points.tolist(), colours, strict=True):
        if seen:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def pose_map(
    skeletons: Sequence[np.ndarray],
    size: tuple[int, int],
    canvas: tuple[int, int],
    hands: Sequence[np.ndarray] = (),
    faces: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """uint8 RGB: points in a picture of size (height, width), letterboxed to the canvas (height, width)."""
    matrix = letterbox_matrix(size, canvas)

    def moved(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.column_stack([apply_affine(matrix, points[:, :2]), points[:, 2]]) for points in parts]

    return draw(moved(skeletons), canvas, moved(hands), moved(faces))


def figure_map(
    figures: Sequence[Figure], size: tuple[int, int], canvas: tuple[int, int], with_hands: bool, with_face: bool
) -> np.ndarray:
    """pose_map of people, with those of their details that are wanted and were found."""
    hands = [hand for figure in figures for hand in figure.hands] if with_hands else []
    faces = [figure.face for figure in figures] if with_face else []
    return pose_map([figure.body for figure in figures], size, canvas, hands, faces)


def _limb(a: np.ndarray, b: np.ndarray, radius: float) -> list[tuple[float, float]]:
    """The outline of an ellipse from a to b, 2 radius thick in its middle, as OpenPose draws limbs."""
    middle_x, middle_y = (float(v) for v in (a[:2] + b[:2]) / 2)
    along = (float(b[0] - a[0]) / 2, float(b[1] - a[1]) / 2)
    half = math.hypot(*along)
    if half == 0:
        return [(middle_x, middle_y)] * 3
    across = (-along[1] / half * radius, along[0] / half * radius)
    turns = [math.tau * step / 48 for step in range(48)]
    return [
        (
            middle_x + math.cos(t) * along[0] + math.sin(t) * across[0],
            middle_y + math.cos(t) * along[1] + math.sin(t) * across[1],
        )
        for t in turns
    ]
