"""One face: the person's photo warped onto it, relit and blended in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..faces.angles import head_angles
from . import masks
from .eyes import keeps_target_eyes, look_at_eyes, mirrored_eyes, with_gaze
from .grain import with_grain_of
from .light import SkinLight, mean_skin, relit, skin_light
from .masks import smooth_step
from .raster import extended, normals, rasterise
from .sampling import blurred, resized, sample
from .shape import mixed_shape
from .topology import atlas, surface, to_atlas

MARGIN = 0.4  # how far the work reaches beyond the mesh, in parts of the face's size
_GRID = 192  # pixels of the face's size at which maps are drawn; they are smooth
_FADE = 0.3  # width of the zone around the face in which the change of shape dies away, parts of its size

_LIDS = 0.045  # margin around the eyes, parts of the face's width, where the picture keeps its own
_TURNED = (0.2, 0.5)  # how much better the other half of the photo's face must be seen to stand in, mirrored
_TURNED_YAW = (12.0, 22.0)  # degrees of the photo's yaw from which that is done
_FAINTEST = 1 / 128  # below it nothing is changed: a mask saved with 8 bits then shows every changed pixel
_LIPS_DIFFER = (0.06, 0.16)  # difference of the gaps between the lips from which the picture keeps its own lips


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
    """picture: [H, W, 3] float32 0..1. mask: [H, W] float32 0..1; where it is 0, picture is the input itself."""

    picture: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class _Maps:
    """What each pixel of the new face shows; all [H, W, ...] at the picture's size.

    bend: [2] from the pixel to where the target's picture is read. source, mirrored: [2] places in the source
    and in its mirror image's opposite half. canonical: [2] place on the canonical face.
    facing: [3] how far source, its opposite half, and the new face turn to the camera. inside: 0..1.
    """

    bend: np.ndarray
    source: np.ndarray
    mirrored: np.ndarray
    canonical: np.ndarray
    facing: np.ndarray
    inside: np.ndarray


def fuse_face(picture: np.ndarray, mesh: np.ndarray, source: Source, strength: Strength) -> Fused:
    """Put the source's face over the face with this mesh.

    picture: [H, W, 3] float32 0..1, best a crop that `work_area` gave. mesh: [468, 3] in its pixels, centres at
    whole numbers. Time follows the area of picture.
    """
    target = mesh.astype(np.float64)
    width = float(np.ptp(target[:, :2], axis=0).max())
    target_eyes, source_eyes = look_at_eyes(picture, target), look_at_eyes(source.picture, source.mesh)
    goal = mixed_shape(target, source.mesh, strength.shape * strength.identity)
    keep_eyes = keeps_target_eyes(source_eyes, target_eyes)
    cut = with_gaze(source.mesh, source_eyes, target_eyes)
    opposite = with_gaze(source.mesh[surface().mirror], mirrored_eyes(source_eyes), target_eyes)
    maps = _maps(goal, target, (cut, opposite), picture.shape[:2], width)
    bent = sample(picture, _pixels(picture.shape[:2]) + maps.bend) if strength.shape > 0 else picture
    yaw = head_angles(source.mesh)[0]
    texture, shown = _texture(source, maps, width, float(smooth_step(np.array(abs(yaw)), *_TURNED_YAW)))
    skin = _on_face(atlas().skin, maps) * smooth_step(maps.facing[..., 2], 0.1, 0.4)
    target_light = skin_light(bent, skin, width)
    source_light = skin_light(texture, skin * shown, width)
    calm = (1 - _on_face(atlas().drawn, maps)) * maps.inside
    lit = _recoloured(texture, bent, skin * shown, calm, source_light, target_light, strength.skin_tone)
    lit = with_grain_of(bent, lit, skin * shown, maps.inside)
    alpha = _visible(maps, shown, source_light, target_light, goal, width)
    if keep_eyes:
        alpha = alpha * (1 - masks.eye_openings(goal, alpha.shape, width, _LIDS))
    gaps = abs(masks.mouth_gap(target) - masks.mouth_gap(source.mesh))
    alpha = alpha * (1 - float(smooth_step(np.array(gaps), *_LIPS_DIFFER)) * _on_face(atlas().lips, maps))
    alpha = alpha * strength.identity
    fused = bent + alpha[..., None] * (np.clip(lit, 0, 1) - bent)
    changed = np.maximum(alpha, smooth_step(np.linalg.norm(maps.bend, axis=-1), 0.02, 0.2))
    changed[changed < _FAINTEST] = 0
    return Fused(np.where(changed[..., None] > 0, fused, picture).clip(0, 1).astype(np.float32), changed)


def work_area(mesh: np.ndarray, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a picture of (height, width) that fusing the face with this mesh can touch."""
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    reach = MARGIN * float((high - low).max())
    x0, y0 = np.maximum(np.floor(low - reach), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(high + reach) + 1, [size[1], size[0]]).astype(int)
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def _maps(
    goal: np.ndarray, target: np.ndarray, cuts: tuple[np.ndarray, np.ndarray], size: tuple[int, int], width: float
) -> _Maps:
    """cuts: the source's mesh, and its opposite half's; both in the source's pixels."""
    scale = min(1.0, _GRID / width)
    small = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    factor = np.array([small[1] / size[1], small[0] / size[0]])
    on_grid = goal.copy()
    on_grid[:, :2] = (goal[:, :2] + 0.5) * factor - 0.5
    coverage = rasterise(on_grid, small)
    face, source_facing = surface(), normals(cuts[0])
    facing = np.stack([source_facing, source_facing[face.mirror], normals(goal)], 1)
    bend = target[:, :2] - goal[:, :2]
    parts = [bend, cuts[0][:, :2], cuts[1][:, :2], face.points[:, :2], facing]
    values, distance = extended(coverage.values(np.concatenate(parts, 1)), coverage.inside)
    values[..., :2] *= 1 - smooth_step(distance / (width * factor[0]), 0, _FADE)[..., None]
    values[..., :2] = blurred(values[..., :2], 0.008 * width * factor[0])
    full = resized(np.concatenate([values, coverage.inside[..., None]], -1).astype(np.float32), size)
    return _Maps(full[..., :2], full[..., 2:4], full[..., 4:6], full[..., 6:8], full[..., 8:11], full[..., 11])


def _texture(source: Source, maps: _Maps, width: float, by_mirror: float) -> tuple[np.ndarray, np.ndarray]:
    """The source's face in the new shape [H, W, 3], and how well the source shows each pixel [H, W] 0..1.

    Where the source's head is turned away, the other half of the face, mirrored, stands in: by_mirror 0..1.
    """
    layers = np.concatenate([source.picture, source.mask[..., None]], -1)
    direct, mirrored = (sample(layers, places) for places in (maps.source, maps.mirrored))
    turned = maps.facing[..., 1] - maps.facing[..., 0]
    weight = blurred(smooth_step(turned, *_TURNED), 0.025 * width)[..., None] * by_mirror
    both = direct + weight * (mirrored - direct)
    facing = np.maximum(maps.facing[..., 0], maps.facing[..., 1])
    shown = smooth_step(facing, 0.1, 0.35) * smooth_step(both[..., 3], 0.5, 0.95)
    return both[..., :3].clip(0, 1), shown


def _recoloured(
    texture: np.ndarray,
    bent: np.ndarray,
    skin: np.ndarray,
    calm: np.ndarray,
    source_light: SkinLight,
    target_light: SkinLight,
    skin_tone: float,
) -> np.ndarray:
    bare_source, bare_target = skin * (1 - source_light.covered), skin * (1 - target_light.covered)
    own = (mean_skin(texture, bare_source) / mean_skin(bent, bare_target)) ** skin_tone
    return relit(texture, source_light, target_light, calm, own)


def _visible(
    maps: _Maps, shown: np.ndarray, source_light: SkinLight, target_light: SkinLight, goal: np.ndarray, width: float
) -> np.ndarray:
    """[H, W] 0..1: the soft outline, less what covers the skin in either picture and what the photo does not show."""
    alpha = _on_face(atlas().face, maps) * shown * smooth_step(maps.facing[..., 2], 0.0, 0.3)
    bare = 1 - _on_face(atlas().features, maps)
    hair = _widened(source_light.covered * bare * _on_face(atlas().rim, maps), 0.03 * width)
    alpha = alpha * (1 - hair * (1 - _on_face(atlas().drawn, maps)))
    alpha = alpha * (1 - _fringe(source_light.covered, maps) * _on_face(atlas().forehead, maps))
    if masks.wears_glasses(target_light.covered, maps.canonical, maps.inside > 0.5):
        upper = 1 - smooth_step(maps.canonical[..., 1], -0.02, 0.04)
        bare = np.maximum(bare, upper * (1 - masks.eye_openings(goal, alpha.shape, width)))
    alpha = alpha * (1 - target_light.covered * bare)
    mouth = masks.open_mouth(goal, alpha.shape, width)
    if mouth is not None:
        alpha = alpha * (1 - mouth)
    return blurred(alpha, 0.006 * width) * maps.inside


def _fringe(covered: np.ndarray, maps: _Maps) -> float:
    """0..1: whether hair hangs over the forehead of the photo, so that only what is below the brows can be taken."""
    strip = (maps.inside > 0.5) & (_on_face(atlas().forehead, maps) > 0.5) & (_on_face(atlas().features, maps) < 0.5)
    strip &= _on_face(atlas().face, maps) > 0.1
    return float(smooth_step(covered[strip].mean(), 0.1, 0.3)) if strip.any() else 0.0


def _widened(mask: np.ndarray, by: float) -> np.ndarray:
    """The mask [H, W] with every part grown by that many pixels, edges soft."""
    return np.clip(blurred(mask, by) * 2.5, 0, 1)


def _on_face(mask: np.ndarray, maps: _Maps) -> np.ndarray:
    """A mask of the atlas as the new face shows it, [H, W] 0..1."""
    return sample(mask[..., None], to_atlas(maps.canonical), "bilinear")[..., 0] * maps.inside


def _pixels(size: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    return np.stack([columns, rows], -1)
