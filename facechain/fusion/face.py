"""One face: the person's photo warped onto it, relit and blended in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..faces.angles import head_angles
from ..faces.mesh import five_points
from . import masks
from .blend import blended, levelled
from .eyes import Eye, keeps_target_eyes, look_at_eyes, mirrored_eyes, with_gaze
from .grain import with_grain_of
from .hidden import hidden_part
from .light import Lit, SkinLight, Zones, mean_skin, relit, skin_light
from .maps import Maps, draw_maps
from .masks import smooth_step
from .sampling import blurred, sample
from .shape import mixed_shape
from .topology import surface

MARGIN = 0.4  # how far the work reaches beyond the mesh, in parts of the face's size
_EDGE = (0.015, 0.06)  # distances from the outline, parts of the face's width, between which the new face sets in
_LIDS = 0.025  # margin around the eyes, parts of the face's width, where the picture keeps its own
_TURNED = (0.1, 0.3)  # how much better the other half of the photo's face must be seen to stand in, mirrored
_TURNED_YAW = (12.0, 22.0)  # degrees of the photo's yaw from which that is done
_AROUND, _HAIR_AROUND = 0.06, (0.6, 0.85)  # reach (parts of the face's width) and share of covered skin around a brow
# Canonical places of the bridge of the nose: half its width, where it begins between the brows, ends above the tip; and
# how wide a line is closed there, parts of the face's width.
_BRIDGE, _BRIDGE_TOP, _BRIDGE_END, _BRIDGE_LINE = (0.04, 0.09), (-0.4, -0.34), (0.0, 0.04), 0.08
_FAINTEST = 1 / 128  # below it nothing is changed: a mask saved with 8 bits then shows every changed pixel
_FARTHEST_GAZE = 0.09  # of an eye's width that the new eyes may look past the picture's
# Difference of the gaps between the lips from which the picture keeps its own; a narrow step, as half of both shows two.
_LIPS_DIFFER = (0.098, 0.104)
_SMILES = (0.04, 0.06)  # of `mouth_lift` by which the photo's is above the picture's: it smiles, the picture does not
_SMILING_LIPS_DIFFER = (0.05, 0.08)  # as _LIPS_DIFFER, where that is so
# Distances from the outline, parts of the face's width, up to which a photo's shine is a light from the side.
_RIM = (0.1, 0.25)

# A swap network's part: (picture in the new shape [H, W, 3], how far it moved the five points [5, 2]) to the face that
# the network drew, in place [H, W, 3], and where it drew it [H, W] 0..1.
Swap = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Strength:
    """identity, shape, skin_tone: 0..1 each, as Face Fusion's inputs say."""

    identity: float = 1.0
    shape: float = 0.5
    skin_tone: float = 0.0


@dataclass(frozen=True, eq=False)
class Source:
    """A photo to take a face from.

    picture: [h, w, 3] float32 0..1. mask: [h, w] float32 0..1, 1 = the person. mesh: [468, 3], pixel centres
    at whole numbers.
    """

    picture: np.ndarray
    mask: np.ndarray
    mesh: np.ndarray


@dataclass(frozen=True, eq=False)
class Fused:
    """picture: [H, W, 3] float32 0..1. mask: [H, W] float32 0..1; where it is 0, picture is the input itself.

    alpha: [H, W] float32 0..1, how much of the new face shows; beyond it the mask holds the change of shape alone.
    face: [H, W, 3] float32 0..1, the new face before it was blended in, on the picture.
    """

    picture: np.ndarray
    mask: np.ndarray
    alpha: np.ndarray
    face: np.ndarray


def fuse_face(
    picture: np.ndarray, mesh: np.ndarray, source: Source, strength: Strength, swap: Swap | None = None
) -> Fused:
    """Put the source's face over the face with this mesh.

    picture: [H, W, 3] float32 0..1, best the crop that `work_area` names. mesh: [468, 3] in its pixels, centres at
    whole numbers. swap: a network that draws the face; else the source's picture is warped. Time follows the area of
    the face.
    """
    target = mesh.astype(np.float64)
    width = float(np.ptp(target[:, :2], axis=0).max())
    smiles = float(smooth_step(np.array(masks.mouth_lift(source.mesh) - masks.mouth_lift(target)), *_SMILES))
    target_eyes, source_eyes = look_at_eyes(picture, target), look_at_eyes(source.picture, source.mesh)
    goal = mixed_shape(target, source.mesh, strength.shape * strength.identity)
    cut = with_gaze(source.mesh, source_eyes, target_eyes)
    opposite = with_gaze(source.mesh[surface().mirror], mirrored_eyes(source_eyes), target_eyes)
    bend, maps = draw_maps(goal, target, (cut, opposite), picture.shape[:2], width)
    hidden = hidden_part(picture, target, width)
    if hidden is not None:
        bend *= 1 - hidden[..., None]
    bent = sample(picture, _pixels(picture.shape[:2]) + bend) if strength.shape > 0 else picture
    box, part = bent[maps.box], np.ones(maps.inside.shape, np.float32)
    if swap is None:
        lit, alpha = _new_face(box, source, maps, goal, width, strength.skin_tone, smiles)
        new = blended(box, lit, alpha, width)
        keep_eyes = keeps_target_eyes(source_eyes, target_eyes)
        lips = _lips_differ(source.mesh, target, smiles)
        part = _unlike(lips, goal, maps, width, keep_eyes)
        if not keep_eyes and _looks_away(new, _in_box(goal, maps), target_eyes):
            part = _unlike(lips, goal, maps, width, True)
    else:
        drawn, seen = swap(bent, five_points(goal) - five_points(target))
        drawn = np.concatenate([drawn, seen[..., None]], -1)[maps.box]
        lit, alpha = _drawn_face(box, drawn, source, maps, goal, width, strength.skin_tone)
        new = blended(box, lit, alpha, width)
    if hidden is not None:
        alpha = alpha * (1 - hidden[maps.box])
        new = blended(box, lit, alpha, width)
    part = part * strength.identity
    new, alpha = box + part[..., None] * (new - box), alpha * part
    fused, changed = bent.copy(), smooth_step(np.linalg.norm(bend, axis=-1), 0.02, 0.2)
    fused[maps.box] = new
    changed[maps.box] = np.maximum(changed[maps.box], alpha)
    changed[changed < _FAINTEST] = 0
    whole, face = np.zeros(picture.shape[:2], np.float32), bent.copy()
    whole[maps.box] = alpha
    face[maps.box] += maps.inside[..., None] * (np.clip(lit, 0, 1) - face[maps.box])
    fused = np.where(changed[..., None] > 0, fused, picture).clip(0, 1)
    return Fused(fused, changed.astype(np.float32), whole, face.clip(0, 1))


def work_area(mesh: np.ndarray, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a picture of (height, width) that fusing the face with this mesh can touch."""
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    reach = MARGIN * float((high - low).max())
    x0, y0 = np.clip(np.floor(low - reach), 0, [size[1] - 1, size[0] - 1]).astype(int)
    x1, y1 = np.clip(np.ceil(high + reach) + 1, [x0 + 1, y0 + 1], [size[1], size[0]]).astype(int)
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def _new_face(
    bent: np.ndarray, source: Source, maps: Maps, goal: np.ndarray, width: float, skin_tone: float, smiles: float
) -> tuple[np.ndarray, np.ndarray]:
    """The relit face [H, W, 3] over the maps' box, and where it shows [H, W] 0..1; bent: the picture there.

    smiles: 0..1, whether the photo smiles and the picture does not.
    """
    texture, shown = _texture(source, maps, width)
    skin = maps.masks["skin"] * smooth_step(maps.facing[..., 2], 0.1, 0.4)
    target_light, source_light = skin_light(bent, skin, width), skin_light(texture, skin * shown, width)
    bare_source, bare_target = (skin * shown * (1 - light.covered) for light in (source_light, target_light))
    zones = Zones(
        plain=np.maximum(1 - maps.masks["drawn"], maps.masks["forehead"]) * maps.inside,
        broad=np.maximum(maps.masks["broad"], 1 - smooth_step(maps.depth, *_RIM)),
        folds=smiles * maps.masks["folds"],
    )
    hair = _hair_over(source_light, maps, width)
    texture = _without_hair(texture, source_light, hair, maps, width)
    ours, theirs = Lit(texture, source_light, bare_source), Lit(bent, target_light, bare_target)
    lit = relit(ours, theirs, zones, width, skin_tone)
    visible = _visible(bent, maps, shown, hair, target_light, goal, width)
    bare = (1 - maps.masks["features"]) * (1 - source_light.covered) * (1 - target_light.covered)
    lit = levelled(bent, lit, visible, bare, width)
    return with_grain_of(bent, lit, skin * shown, maps.inside), visible


def _drawn_face(
    bent: np.ndarray, drawn: np.ndarray, source: Source, maps: Maps, goal: np.ndarray, width: float, skin_tone: float
) -> tuple[np.ndarray, np.ndarray]:
    """As _new_face, of what a swap network drew: [H, W, 4], the last channel where it did.

    The network keeps light and expression itself; its colours are brought to the picture's.
    """
    face, seen = drawn[..., :3], drawn[..., 3]
    skin = maps.masks["skin"] * smooth_step(maps.facing[..., 2], 0.1, 0.4) * seen
    light = skin_light(bent, skin, width)
    bare = skin * (1 - light.covered)
    gain = mean_skin(bent, bare) / mean_skin(face, bare)
    if skin_tone > 0:
        texture, shown = _texture(source, maps, width)
        gain = gain * (mean_skin(texture, bare * shown) / mean_skin(bent, bare)) ** skin_tone
    lit = with_grain_of(bent, (face * gain).astype(np.float32), skin, maps.inside)
    return lit, _visible(bent, maps, seen, None, light, goal, width)  # a network's face has no hair over it


def _texture(source: Source, maps: Maps, width: float) -> tuple[np.ndarray, np.ndarray]:
    """The source's face in the new shape [H, W, 3], and how well the source shows each pixel [H, W] 0..1.

    Where the source's head is turned away, the other half of the face, mirrored, stands in.
    """
    by_mirror = float(smooth_step(np.array(abs(head_angles(source.mesh)[0])), *_TURNED_YAW))
    layers = np.concatenate([source.picture, source.mask[..., None]], -1)
    both = sample(layers, maps.source)
    facing = maps.facing[..., 0]
    if by_mirror > 0:
        turned = maps.facing[..., 1] - facing
        weight = blurred(smooth_step(turned, *_TURNED), 0.025 * width)[..., None] * by_mirror
        both = both + weight * (sample(layers, maps.mirrored) - both)
        facing = np.maximum(facing, maps.facing[..., 1])
    shown = smooth_step(facing, 0.1, 0.35) * smooth_step(both[..., 3], 0.5, 0.95)
    texture = both[..., :3].clip(0, 1)
    return (_without_nose_line(texture, maps, by_mirror, width) if by_mirror > 0 else texture), shown


def _without_nose_line(texture: np.ndarray, maps: Maps, part: float, width: float) -> np.ndarray:
    """texture [H, W, 3] without the dark line where the turned head's nose ends before its far cheek, on the bridge alone.

    part: 0..1, how far it is taken away.
    """
    from scipy.ndimage import grey_closing

    x, y = maps.canonical[..., 0], maps.canonical[..., 1]
    bridge = (1 - smooth_step(np.abs(x), *_BRIDGE)) * smooth_step(y, *_BRIDGE_TOP) * (1 - smooth_step(y, *_BRIDGE_END))
    reach = max(3, round(_BRIDGE_LINE * width))
    closed = blurred(grey_closing(texture, (reach, reach, 1)).astype(np.float32), 0.01 * width)
    return texture + part * bridge[..., None] * (closed - texture)


def _visible(
    bent: np.ndarray,
    maps: Maps,
    shown: np.ndarray,
    hair: _Hair | None,
    target_light: SkinLight,
    goal: np.ndarray,
    width: float,
) -> np.ndarray:
    """[H, W] 0..1: the soft outline, less what covers the skin in either picture and what the photo does not show."""
    alpha = maps.masks["face"] * shown * smooth_step(maps.facing[..., 2], 0.0, 0.3)
    alpha = np.minimum(alpha, smooth_step(maps.depth, *_EDGE))  # seen from the side, the outline's zone is narrow
    bare = 1 - maps.masks["features"]
    if hair is not None:
        alpha = alpha * (1 - hair.over * (1 - np.maximum(maps.masks["drawn"], _over_brows(maps))))
        alpha = alpha * (1 - hair.fringe * maps.masks["crown"])
    y = maps.canonical[..., 1]
    around_eyes = smooth_step(y, -0.36, -0.3) * (1 - smooth_step(y, -0.02, 0.04))
    covered, rims = target_light.covered, masks.thin_lines(bent, width) * (1 - maps.masks["drawn"]) * around_eyes
    if masks.wears_glasses(np.maximum(covered, rims), maps.canonical, maps.inside > 0.5):
        alpha = alpha * (1 - np.clip(blurred(rims, 0.005 * width) * 1.5, 0, 1))
        covered = smooth_step(covered, 0.15, 0.5)  # a thin rim is found, but faintly
        upper = 1 - smooth_step(y, -0.02, 0.04)
        bare = np.maximum(bare, upper * (1 - masks.eye_openings(_in_box(goal, maps), alpha.shape, width)))
    else:
        covered = masks.from_outside(covered, maps.masks["face"], maps.masks["features"])
        alpha = alpha * (1 - _under_hair(covered, bare, width))
    alpha = alpha * (1 - covered * bare)
    return blurred(alpha, 0.006 * width) * maps.inside


def _under_hair(covered: np.ndarray, bare: np.ndarray, width: float) -> np.ndarray:
    """[H, W] 0..1 of brows and lids, dark themselves: the skin around them tells whether hair lies over them in the picture.

    covered: [H, W] 0..1. bare: [H, W] 0..1, skin without features.
    """
    reach = _AROUND * width
    around = blurred(covered * bare, reach) / (blurred(bare, reach) + 0.02)
    return smooth_step(around, *_HAIR_AROUND) * (1 - bare)


def _lips_differ(source: np.ndarray, target: np.ndarray, smiles: float) -> float:
    """0..1: how far the picture keeps its own lips, the photo's being opened or drawn otherwise."""
    gaps = np.array(abs(masks.mouth_gap(target) - masks.mouth_gap(source)))
    return float(max(smooth_step(gaps, *_LIPS_DIFFER), smiles * smooth_step(gaps, *_SMILING_LIPS_DIFFER)))


def _unlike(lips: float, goal: np.ndarray, maps: Maps, width: float, keep_eyes: bool) -> np.ndarray:
    """[H, W] 1, falling to 0 where the picture keeps its own: its teeth, and (lips 0..1, keep_eyes) lips and eyes."""
    goal, size = _in_box(goal, maps), maps.inside.shape
    mouth = masks.open_mouth(goal, size, width)
    part = 1.0 - mouth if mouth is not None else np.ones(size, np.float32)
    if keep_eyes:
        part = part * (1 - masks.eye_openings(goal, size, width, _LIDS))
    return part * (1 - lips * maps.masks["lips"])


def _looks_away(picture: np.ndarray, mesh: np.ndarray, wanted: dict[str, Eye]) -> bool:
    """Whether the new face's eyes look elsewhere than the picture's did although they were moved."""
    seen = look_at_eyes(picture, mesh)
    gazes = [(seen[side].gaze, wanted[side].gaze) for side in wanted]
    return any(a is not None and b is not None and abs(a - b) > _FARTHEST_GAZE for a, b in gazes)


@dataclass(frozen=True, eq=False)
class _Hair:
    """over: [H, W] 0..1, what lies over the photo's forehead and along its outline. fringe: 0..1, whether it hangs over
    the whole forehead, so that only what is below the brows can be taken."""

    over: np.ndarray
    fringe: float


def _hair_over(light: SkinLight, maps: Maps, width: float) -> _Hair:
    """The photo's hair; shadows and stubble, which do not come from beyond its outline, are its own skin."""
    strip = (maps.inside > 0.5) & (maps.masks["forehead"] > 0.5) & (maps.masks["features"] < 0.5)
    strip &= maps.masks["face"] > 0.1
    fringe = float(smooth_step(light.covered[strip].mean(), 0.1, 0.3)) if strip.any() else 0.0
    covered = masks.from_outside(light.covered, maps.masks["face"], maps.masks["features"])
    over = _widened(covered * (1 - maps.masks["features"]) * maps.masks["rim"], 0.03 * width)
    return _Hair(over, fringe)


def _without_hair(texture: np.ndarray, light: SkinLight, hair: _Hair, maps: Maps, width: float) -> np.ndarray:
    """The photo's face with plain skin where hair hangs over the brows: the picture's own brows must not be left there,
    and neither strands nor the edge of a fringe must come along."""
    beside = _widened(hair.over, 0.04 * width) * maps.masks["forehead"] * (1 - maps.masks["features"])
    plain = np.maximum(hair.over * _over_brows(maps), hair.fringe * beside)
    return texture + plain[..., None] * (light.skin - texture)


def _over_brows(maps: Maps) -> np.ndarray:
    """[H, W] 0..1: the features and a strip over the brows, where the new face shows even if hair hangs over it."""
    return np.maximum(maps.masks["features"], maps.masks["forehead"] * (1 - maps.masks["crown"]))


def _widened(mask: np.ndarray, by: float) -> np.ndarray:
    """The mask [H, W] with every part grown by that many pixels, edges soft."""
    return np.clip(blurred(mask, by) * 2.5, 0, 1)


def _in_box(mesh: np.ndarray, maps: Maps) -> np.ndarray:
    return mesh - [maps.box[1].start, maps.box[0].start, 0]


def _pixels(size: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    return np.stack([columns, rows], -1)
