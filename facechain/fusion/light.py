"""Light and colour: which pixels of a face are bare skin, and the person's skin under the picture's light."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .sampling import blurred, resized

_FLOOR = 0.02  # keeps ratios of dark pixels sane
_SIDE = 96  # pixels of the face's width at which light is judged
# Widths of the light's blur, parts of the face's width: from the whole face to its shading.
_REACHES = (0.35, 0.2, 0.1)
# Differences of log brightness and log colour from the light around that bare skin hardly exceeds.
_DARKER, _BRIGHTER, _COLOUR = 0.30, 0.30, 0.12
# How far, in logs, a photo's own shine, shading and blushes may stand out of what the picture shows at the same place;
# wider than _PATCH (parts of the face's width) it is shading, finer it is lines and pores. On broad skin a flash photo's
# shine is no feature of the person.
_SHINE, _SHADE, _BLUSH, _PATCH = 0.3, 0.4, 0.06, 0.02
_BROAD_SHINE, _BROAD_SHADE = 0.08, 0.2
_ALIKE = 0.2  # and how far the picture's own shading of that place counts
_FINE = 0.08  # reach of the picture's own shading of broad skin, parts of the face's width
_STEEPEST, _TINTED = 0.6, (-0.6, 0.3)  # of the tint, and brightness (log) between which it grows
_ROUGHNESS = (0.6, 1.1)
_FOLDED = 0.65  # part of them that folds of a smile lose on a face that does not smile


@dataclass(frozen=True, eq=False)
class SkinLight:
    """Light on a face, at the size of the face.

    light: [H, W, 3] > 0, the skin's blurred brightness and colour, continued over everything else.
    fine: the same, following the shading more closely, where no feature is near.
    covered: [H, W] 0..1, 1 where something that is not bare skin lies on the skin (hair, glasses, a hand).
    """

    light: np.ndarray
    fine: np.ndarray
    covered: np.ndarray

    @property
    def skin(self) -> np.ndarray:
        """[H, W, 3] plain skin under this light, without any of its features."""
        return self.light - _FLOOR


def skin_light(picture: np.ndarray, skin: np.ndarray, face_width: float) -> SkinLight:
    """Light on the face in picture [H, W, 3]; skin: [H, W] 0..1, where the mesh expects plain skin.

    The blur starts with the whole face and narrows down; pixels that differ from the light around
    them count less each time, so that hair or glasses over the skin do not tint it.
    """
    height, width = skin.shape
    scale = min(1.0, _SIDE / face_width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    logs = np.log(np.maximum(resized(picture, size), 0) + _FLOOR)
    prior = resized(skin[..., None], size)[..., 0]
    weight, light, off = prior, logs, np.zeros(size, np.float32)
    for reach in _REACHES:
        light = _blurred_over(logs, weight, reach * face_width * scale)
        difference = _difference(logs - light)
        if reach == _REACHES[1]:
            off = difference
        weight = prior / (1 + difference**4)
    covered = _step(blurred(off, 0.01 * face_width * scale), 1.3, 2.3)
    fine = _blurred_over(logs - light, weight * (1 - covered), _FINE * face_width * scale) + light
    full = [resized(values, (height, width)) for values in (light, fine, covered[..., None])]
    return SkinLight(np.exp(full[0]), np.exp(full[1]), full[2][..., 0])


@dataclass(frozen=True, eq=False)
class Lit:
    """A face as a picture shows it: picture [H, W, 3], the light on it, and bare [H, W] 0..1, where its skin is seen."""

    picture: np.ndarray
    light: SkinLight
    bare: np.ndarray

    @cached_property
    def detail(self) -> np.ndarray:
        """[H, W, 3] log brightness and colour relative to the light."""
        return _logs(self.picture, self.light.light)


@dataclass(frozen=True, eq=False)
class Zones:
    """Parts of a face, each [H, W] 0..1. plain: skin. broad: cheeks, forehead and along the outline.
    folds: where the source shows folds of a smile that the target does not smile.
    """

    plain: np.ndarray
    broad: np.ndarray
    folds: np.ndarray


def relit(source: Lit, target: Lit, zones: Zones, face_width: float, skin_tone: float = 0.0) -> np.ndarray:
    """The source's face [H, W, 3] in the target's light.

    Light multiplies: the ratio of the two carries exposure, colour and shading at once, and leaves brows and pupils dark.
    On plain skin the source's patches may differ only so far from what the same place of the target shows: beyond that
    they are shadows and shine of the photo's own light. Lines and folds stay, but for those of another expression. Skin
    that is darker or lighter takes the tint that the target's has there; blushes are what is left of the source's colours
    without its own tint. skin_tone: 0..1, part of the source's own skin colour.
    """
    plain, broad, folds = (zone[..., None] for zone in (zones.plain, zones.broad, zones.folds))
    detail = source.detail
    brightness = detail.mean(-1, keepdims=True)
    colourful = _colourfulness(source.light, target.light, zones.plain)
    own, wanted = shade_tint(source), shade_tint(target)
    colour = (detail - brightness - own * brightness.clip(*_TINTED)) * colourful
    light = target.light.light * (target.light.fine / target.light.light) ** broad
    patches = _patches(brightness, plain + 1e-3, face_width)
    alike = _patches(_logs(target.picture, light).mean(-1, keepdims=True), target.bare[..., None], face_width)
    alike = _soft(alike, _ALIKE)
    lines = np.minimum(brightness - patches, _SHINE) * _roughness(source, target)
    shine, shade = _SHINE + broad * (_BROAD_SHINE - _SHINE), _SHADE + broad * (_BROAD_SHADE - _SHADE)
    apart, left = patches - alike, 1 - _FOLDED * folds
    shine, shade = shine * left, shade * left
    calm = alike + _soft(np.maximum(apart, 0), shine) + _soft(np.minimum(apart, 0), shade) + lines * left
    brightness = brightness + plain * (calm - brightness)
    colour = colour + plain * (_soft(colour, _BLUSH) * left - colour)
    tint = wanted + skin_tone * (own - wanted)
    detail = brightness + colour + tint * brightness.clip(*_TINTED)
    own_colour = (mean_skin(source.picture, source.bare) / mean_skin(target.picture, target.bare)) ** skin_tone
    return (_shouldered(light * own_colour, np.exp(detail)) - _FLOOR).astype(np.float32)


def _logs(picture: np.ndarray, light: np.ndarray) -> np.ndarray:
    """[H, W, 3] of a picture, relative to a light."""
    return np.log((np.maximum(picture, 0) + _FLOOR) / light)


def _patches(brightness: np.ndarray, weight: np.ndarray, face_width: float) -> np.ndarray:
    """[H, W, 1] the brightness without lines and pores, over what the weight [H, W, 1] names; 0 far from it."""
    reach = _PATCH * face_width
    return blurred(brightness * weight, reach) / (blurred(weight, reach) + 1e-4)


def _shouldered(light: np.ndarray, detail: np.ndarray) -> np.ndarray:
    """light times detail, but what would leave the picture's range nears its end as film does, without an edge."""
    room = np.maximum(1 + _FLOOR - light, 0.02)
    return np.where(detail > 1, light + room * (1 - np.exp(-light * (detail - 1) / room)), light * detail)


def _colourfulness(source_light: SkinLight, target_light: SkinLight, skin: np.ndarray) -> float:
    """1, falling to 0 for a target without colour: lips and eyes in a black-and-white picture are grey too."""
    tints = []
    for light in (target_light, source_light):
        logs = np.log(light.light)
        tints.append(float((np.ptp(logs, axis=-1) * skin).sum()) + 1e-3)
    return float(np.clip(3 * tints[0] / tints[1], 0, 1))


def _roughness(source: Lit, target: Lit) -> float:
    """How rough the target's skin is beside the source's, within bounds: freckles do not go onto porcelain whole."""
    chosen = np.minimum(source.bare, target.bare) > 0.6
    if chosen.sum() < 100:
        return 1.0
    spread = []
    for face in (target, source):
        logs = face.detail.mean(-1)[chosen]
        spread.append(float(np.percentile(logs, 84) - np.percentile(logs, 16)) + 1e-3)
    return float(np.clip(spread[0] / spread[1], *_ROUGHNESS))


def shade_tint(face: Lit) -> np.ndarray:
    """[3] how the colour of bare skin changes with its brightness, in logs: shadows are redder than what is lit, and
    far redder in a picture with warm, hard tones. Least squares over the bare skin.
    """
    logs = face.detail
    brightness = logs.mean(-1)
    weight = face.bare * (np.abs(brightness) < _DARKER)
    spread = float((weight * brightness**2).sum()) + 1e-3 * float(weight.sum()) + 1e-6
    slope = ((logs - brightness[..., None]) * (weight * brightness)[..., None]).sum((0, 1)) / spread
    return np.clip(slope, -_STEEPEST, _STEEPEST)


def _soft(values: np.ndarray, limit: float | np.ndarray) -> np.ndarray:
    """Unchanged near 0, never beyond the limit."""
    return limit * np.tanh(values / limit)


def mean_skin(picture: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """[3] mean colour over the skin [H, W]."""
    return (picture * skin[..., None]).sum((0, 1)) / max(float(skin.sum()), 1e-6) + _FLOOR


def _blurred_over(logs: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    weights = weight[..., None] + 1e-4
    return blurred(logs * weights, sigma) / blurred(weights, sigma)


def _difference(logs: np.ndarray) -> np.ndarray:
    """How unlike bare skin, 1 = at the limit, from log differences [H, W, 3]."""
    brightness = logs.mean(-1)
    colour = np.sqrt(((logs - brightness[..., None]) ** 2).mean(-1))
    dark = np.maximum(-brightness, 0) / _DARKER
    bright = np.maximum(brightness, 0) / _BRIGHTER
    return np.sqrt(dark**2 + bright**2 + (colour / _COLOUR) ** 2)


def _step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
