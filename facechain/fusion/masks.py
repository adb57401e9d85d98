"""Where the new face shows: its soft outline, less what lies over the skin."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .sampling import blurred, resized
from .topology import INNER_LIPS, LEFT_EYE, RIGHT_EYE

_OPEN_MOUTH = 0.035  # gap of the inner lips, in widths of the mouth, from which teeth or tongue show
_RIM, _RIM_DARKER = 0.05, (0.5, 0.9)  # width of a rim, parts of the face's width; log brightness below its sides
_LABELS = 160  # pixels of the longer side on which connected parts are told apart


def smooth_step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below low, 1 above high, without corners between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def ring_mask(points: np.ndarray, size: tuple[int, int], softness: float) -> np.ndarray:
    """The filled ring of points [K, 2] (pixels) as [H, W] float32 0..1 with a soft edge."""
    height, width = size
    scale = 4 if max(size) < 1000 else 1  # drawn larger and shrunk: smooth edges on small faces
    image = Image.new("L", (width * scale, height * scale))
    corners = (points + 0.5) * scale - 0.5
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in corners], fill=255)
    mask = np.asarray(image.resize((width, height), Image.Resampling.BOX), np.float32) / 255
    return blurred(mask, softness)


def mouth_gap(mesh: np.ndarray) -> float:
    """How far the lips are apart, in widths of the mouth."""
    return float(np.linalg.norm(mesh[14, :2] - mesh[13, :2]) / max(np.linalg.norm(mesh[61, :2] - mesh[291, :2]), 1e-6))


def mouth_lift(mesh: np.ndarray) -> float:
    """How high the corners of the mouth lie above the middle of the lips, in widths of the mouth: a smile lifts them."""
    up = (mesh[10] - mesh[152]) / max(np.linalg.norm(mesh[10] - mesh[152]), 1e-6)
    return float(
        (mesh[[61, 291]].mean(0) - mesh[[13, 14]].mean(0)) @ up / max(np.linalg.norm(mesh[61] - mesh[291]), 1e-6)
    )


def open_mouth(mesh: np.ndarray, size: tuple[int, int], face_width: float) -> np.ndarray | None:
    """[H, W] 0..1 between the lips, or None where they are closed."""
    if mouth_gap(mesh) < _OPEN_MOUTH:
        return None
    return ring_mask(mesh[list(INNER_LIPS), :2], size, 0.006 * face_width)


def eye_openings(mesh: np.ndarray, size: tuple[int, int], face_width: float, margin: float = 0.02) -> np.ndarray:
    """[H, W] 0..1: both openings and a margin around them (in parts of the face's width)."""
    rings = [_grown(mesh[list(ring), :2], margin * face_width) for ring in (RIGHT_EYE, LEFT_EYE)]
    return np.maximum(*(ring_mask(ring, size, margin / 2 * face_width) for ring in rings))


def _grown(ring: np.ndarray, by: float) -> np.ndarray:
    middle = ring.mean(0)
    away = ring - middle
    return ring + away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6) * by


def from_outside(covered: np.ndarray, face: np.ndarray, features: np.ndarray) -> np.ndarray:
    """covered [H, W] 0..1 without its islands: what lies over a face (hair, a hand, a microphone) comes from beyond
    its outline, while shadows beside the nose and under the lips are the face's own.

    face, features: [H, W] 0..1, as the atlas has them.
    """
    from scipy.ndimage import label

    step = max(1, round(max(covered.shape) / _LABELS))
    solid = (covered > 0.25) & (features < 0.5)
    labels, _ = label(solid[::step, ::step])  # type: ignore[misc]
    outer = np.unique(labels[(face < 0.25)[::step, ::step]])
    kept = np.isin(labels, outer[outer > 0]).astype(np.float32)
    return covered * resized(blurred(kept, 1.0)[..., None], covered.shape)[..., 0].clip(0, 0.5) * 2


def thin_lines(picture: np.ndarray, face_width: float) -> np.ndarray:
    """[H, W] 0..1: lines far darker than both their sides in picture [H, W, 3], as rims of glasses are, and no fold."""
    from scipy.ndimage import grey_closing

    logs = np.log(np.maximum(picture.mean(-1), 0) + 0.02)
    reach = max(3, round(_RIM * face_width))
    return smooth_step(grey_closing(logs, (reach, reach)) - logs, *_RIM_DARKER)


def wears_glasses(covered: np.ndarray, places: np.ndarray, inside: np.ndarray) -> bool:
    """Whether something dark crosses the nose bridge and runs under both eyes.

    covered: [H, W] 0..1, from skin_light.
    places: [H, W, 2], where each pixel is on the canonical face.
    inside: [H, W] bool, the face.
    """
    x, y = places[..., 0], places[..., 1]
    bridge = inside & (np.abs(x) < 0.06) & (y > -0.30) & (y < -0.12)
    if not bridge.any() or not _crossed(covered, bridge, x, 0.06):
        return False
    under = [inside & (s * x > 0.1) & (s * x < 0.36) & (y > -0.19) & (y < -0.02) for s in (-1, 1)]
    return all(_crossed(covered, zone, x, 0.13) for zone in under)


def _crossed(covered: np.ndarray, zone: np.ndarray, x: np.ndarray, half: float) -> bool:
    """Whether most columns of the zone hold covered pixels."""
    columns = np.floor((x[zone] - x[zone].min()) / (2 * half) * 12).astype(int)
    highest = np.zeros(columns.max() + 1)
    np.maximum.at(highest, columns, covered[zone])
    return float((highest > 0.5).mean()) > 0.7
