"""What each pixel of the new face shows: drawn once on a coarse grid, read wherever it is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .masks import smooth_step
from .raster import extended, normals, rasterise
from .sampling import blurred, resized, sample
from .topology import ATLAS_MASKS, atlas, surface, to_atlas

_GRID = 192  # pixels of the face's size at which maps are drawn; they are smooth
_FADE = 0.3  # width of the zone around the face in which the change of shape dies away, parts of its size


@dataclass(frozen=True, eq=False)
class Maps:
    """All [H, W, ...] over the box of the face, rows and columns of the picture.

    source, mirrored: [2] places in the photo, and in the opposite half of the face there. canonical: [2] place on
    the canonical face. facing: [3] how far the photo's surface, its opposite half's, and the new face turn to the
    camera. inside: 0..1 the face. depth: distance from its outline in the picture, parts of its width. masks: the atlas's masks as the new face shows them, by name.
    """

    box: tuple[slice, slice]
    source: np.ndarray
    mirrored: np.ndarray
    canonical: np.ndarray
    facing: np.ndarray
    inside: np.ndarray
    depth: np.ndarray
    masks: dict[str, np.ndarray]


def draw_maps(
    goal: np.ndarray, target: np.ndarray, cuts: tuple[np.ndarray, np.ndarray], size: tuple[int, int], width: float
) -> tuple[np.ndarray, Maps]:
    """From the new face's mesh, the picture's, and the photo's with its opposite half's (in the photo's pixels).

    size: (height, width) of the picture; width: pixels of the face. Returns bend, [H, W, 2] over the whole picture:
    from each pixel to where the picture is read for the new shape; and the maps.
    """
    from scipy.ndimage import distance_transform_edt

    scale = min(1.0, _GRID / width)
    small = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    factor = np.array([small[1] / size[1], small[0] / size[0]])
    on_grid = goal.copy()
    on_grid[:, :2] = (goal[:, :2] + 0.5) * factor - 0.5
    coverage = rasterise(on_grid, small)
    face, source_facing = surface(), normals(cuts[0])
    facing = np.stack([source_facing, source_facing[face.mirror], normals(goal)], 1)
    parts = [target[:, :2] - goal[:, :2], cuts[0][:, :2], cuts[1][:, :2], face.points[:, :2], facing]
    values, distance = extended(coverage.values(np.concatenate(parts, 1)), coverage.inside)
    bend = values[..., :2] * (1 - smooth_step(distance / (width * factor[0]), 0, _FADE))[..., None]
    bend = resized(blurred(bend.astype(np.float32), 0.008 * width * factor[0]), size)
    depth = distance_transform_edt(coverage.inside) / (width * factor[0])
    return bend, _read(values, coverage.inside, np.asarray(depth), _box(goal, size), factor)


def _box(mesh: np.ndarray, size: tuple[int, int]) -> tuple[slice, slice]:
    low = np.clip(np.floor(mesh[:, :2].min(0)) - 1, 0, [size[1] - 1, size[0] - 1]).astype(int)
    high = np.clip(np.ceil(mesh[:, :2].max(0)) + 2, low + 1, [size[1], size[0]]).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _read(
    values: np.ndarray, inside: np.ndarray, depth: np.ndarray, box: tuple[slice, slice], factor: np.ndarray
) -> Maps:
    rows, columns = np.mgrid[box].astype(np.float32)
    places = ((np.stack([columns, rows], -1) + 0.5) * factor - 0.5).astype(np.float32)
    on_face = sample(
        np.stack([vars(atlas())[name] for name in ATLAS_MASKS], -1), to_atlas(values[..., 6:8]), "bilinear"
    )
    grid = np.concatenate([values[..., 2:], inside[..., None], depth[..., None], on_face * inside[..., None]], -1)
    full = sample(grid, places, "bilinear")
    masks = {name: full[..., 11 + i] for i, name in enumerate(ATLAS_MASKS)}
    return Maps(box, full[..., :2], full[..., 2:4], full[..., 4:6], full[..., 6:9], full[..., 9], full[..., 10], masks)
