"""Which pixels of a head crop are the head: face, hair, hat. Without a parsing network.

Three sources speak: the person mask (all of the body), the mesh (where the face ends and
the neck begins) and the photo's own colours. Above the jaw every person pixel is head.
Below it hair alone is: its colour is learnt from the hair beside the face, the rest's from
what lies below, and a random walk from the sure pixels joins colour, place and edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..faces.base import Face
from ..faces.segment import person_grid
from ..fusion import topology
from ..images import LUMA, apply_affine, invert
from .align import Alignment, cut
from .filters import guided_filter, polygon, resized, steps, to_lab
from .mixture import Mixture
from .walker import random_walk

GRID = 160  # side of the grid on which the head is decided; edges are refined at full size
# MediaPipe's face oval, in order round the face.
OVAL = list(topology.OVAL)
CHIN, BROW_MIDDLE, NOSE_BASE, NOSE_TIP, LOWER_LIP = 152, 9, 2, 1, 17
JAW_ANGLES = (132, 361)  # below the ear lobes
# Cheeks, nose bridge and chin: skin in any photo (between brow and eyes, beside the nose, below the lips).
SKIN_PATCHES = ([117, 118, 101, 36, 205, 187, 123], [346, 347, 330, 266, 425, 411, 352], [168, 6, 197, 195, 5])


@dataclass(frozen=True, eq=False)
class _Head:
    """Measures of the face on the grid, in grid pixels."""

    mesh: np.ndarray
    oval: np.ndarray
    width: float
    height: float
    chin: float
    ears: float
    middle: float


def head_mask(aligned: Alignment, photo: np.ndarray, others: Sequence[Face] = ()) -> np.ndarray:
    """[S, S] float32 0..1, 1 = head, with a soft edge.

    photo: the upright uint8 RGB photo that the crop was cut from; the person mask reads it without white margins.
    others: further faces in that photo, which are never part of this head.
    """
    size = aligned.image.shape[0]
    person = person_in_crop(aligned, photo)
    head = _measure(aligned.mesh, GRID / size)
    lab = np.stack([resized(channel, GRID) for channel in np.moveaxis(to_lab(aligned.image), -1, 0)], -1)
    likely = resized(person, GRID)
    likely = np.where(head.oval, 1.0, likely) * (resized(aligned.inside.astype(np.float32), GRID) > 0.5)
    decided = _decide(head, lab, likely, _nearer_to(others, aligned, head))
    return _refined(decided, person, aligned)


def person_in_crop(aligned: Alignment, photo: np.ndarray) -> np.ndarray:
    """[S, S] float32 0..1: people in the crop, from a coarse look at it and a fine one at the head alone."""
    size = aligned.image.shape[0]
    looks = []
    for share, middle in ((1.0, (0.5, 0.5)), (0.64, (0.5, 0.45))):
        corners = np.array([[x, y] for x in (-0.5, 0.5) for y in (-0.5, 0.5)]) * share + middle
        spots = apply_affine(aligned.matrix, corners * size)
        low = np.maximum(np.floor(spots.min(0)), 0).astype(int)
        high = np.minimum(np.ceil(spots.max(0)), photo.shape[1::-1]).astype(int)
        grid = person_grid(np.ascontiguousarray(photo[low[1] : high[1], low[0] : high[0]])).clip(0, 1)
        scale = np.array(grid.shape[::-1]) / (high - low)
        onto_grid = aligned.matrix * scale[:, None]
        onto_grid[:, 2] = (aligned.matrix[:, 2] - low + 0.5) * scale - 0.5
        crop, inside = cut((grid * 255).round().astype(np.uint8), onto_grid, size)
        looks.append((crop.astype(np.float32) / 255, inside))
    (coarse, inside), (fine, near) = looks
    from scipy.ndimage import distance_transform_edt

    depth = steps(0, size * 0.06, np.asarray(distance_transform_edt(np.pad(near, 1)))[1:-1, 1:-1])
    return (coarse * (1 - depth) + (0.5 * coarse + 0.5 * fine) * depth) * inside


def _nearer_to(others: Sequence[Face], aligned: Alignment, head: _Head) -> np.ndarray:
    """bool [GRID, GRID], True where another person's face is nearer than this one, in widths of the faces."""
    y, x = np.mgrid[:GRID, :GRID]

    def away(outline: np.ndarray) -> np.ndarray:
        middle, width = outline.mean(0), float(np.ptp(outline, axis=0).max())
        return np.hypot(x - middle[0], y - middle[1]) / width

    own = away(head.mesh[OVAL])
    found = np.zeros((GRID, GRID), bool)
    to_crop, scale = invert(aligned.matrix), GRID / aligned.image.shape[0]
    for face in others:
        if face.mesh is not None:
            outline = apply_affine(to_crop, face.mesh[OVAL, :2].astype(np.float64))
            found |= away((outline + 0.5) * scale - 0.5) < own
    return found


def _measure(mesh: np.ndarray, scale: float) -> _Head:
    points = (mesh[:, :2] + 0.5) * scale - 0.5
    outline = points[OVAL]
    low, high = outline.min(0), outline.max(0)
    return _Head(
        mesh=points,
        oval=polygon(outline, GRID),
        width=float(high[0] - low[0]),
        height=float(high[1] - low[1]),
        chin=float(points[CHIN, 1]),
        ears=float(points[list(JAW_ANGLES), 1].mean()),
        middle=float((low[0] + high[0]) / 2),
    )


def _decide(head: _Head, lab: np.ndarray, person: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Probability [GRID, GRID] of the head. apart: bool, what is nearer to other people's faces."""
    y, x = np.mgrid[:GRID, :GRID].astype(np.float64)
    away = _distance(head.oval) / head.width
    side = np.abs(x - head.middle) / head.width  # 0.5 at the edge of a frontal face
    brow, nose = float(head.mesh[BROW_MIDDLE, 1]), float(head.mesh[NOSE_BASE, 1])
    above = y < nose
    face = head.oval
    throat = _throat(head, x, y)
    group = bool(apart.any())
    odds, skin_log = _hair_likelihood(head, lab, person, away, throat, x, y, group)
    # Round the face, down to the nose, every person pixel is head. Further off and further down colour has a say,
    # and the further from the head the more. Beside the neck, above the shoulders, there is little else but hair.
    below = np.clip((y - nose) / head.height, 0, None)
    beside = steps(0.4, 0.6, side) * (1 - steps(0.5, 0.75, below))
    reach = 0.4 + 1.5 * beside - 1.2 * np.clip(below - 0.4, 0, None) - 2.0 * np.clip(side - 0.9, 0, None)
    reach = np.where(above, np.where(y < brow, 4.5, 2.0) - 3.0 * np.clip(away - 0.45, 0, None), reach)
    if group:  # what is behind a head may be another person: colour decides nearer to the face
        reach = np.where(above & (away > 0.15), np.minimum(reach, 1.0 - 2.0 * np.clip(away - 0.3, 0, None)), reach)
    prior = person / (1 + np.exp(-np.clip(odds + reach, -12, 12)))
    round_the_face = np.where(y < brow, (away < 0.6) | (side < 0.6), above & (away < 0.3))
    if group:
        round_the_face &= (away < np.where(y < brow, 0.35, 0.15)) | ((odds > -1) & (away < 0.45))
        # Skin farther off than an ear is somebody's arm or neck.
        prior = np.where((away > 0.35) & (skin_log > -7), np.minimum(prior, 0.1), prior)
    prior = np.where(round_the_face, person, prior)
    seeds = np.full(person.shape, -1)
    seeds[(person < 0.08) & ~face] = 0
    seeds[round_the_face & (person > 0.9) & ((away < 0.3) | (odds > 0))] = 1
    seeds[(throat | apart) & ~face] = 0
    seeds[face] = 1
    features = np.concatenate([lab / 10, 2.0 * person[..., None]], -1)
    walked = random_walk(features, prior, seeds, contrast=1.0, trust=0.15)
    kept = _reachable(walked > 0.5, head, y)
    return np.where(kept, np.where(walked > 0.5, walked, 1.0), np.minimum(walked, 0.15))


def _throat(head: _Head, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A wedge straight below the chin: throat, collar and chest."""
    depth = (y - head.chin) / head.height
    return (depth > 0.06) & (np.abs(x - head.mesh[CHIN, 0]) < head.width * 0.14)


def _hair_likelihood(
    head: _Head,
    lab: np.ndarray,
    person: np.ndarray,
    away: np.ndarray,
    throat: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    group: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Log odds [GRID, GRID] that a person pixel's colour is hair and not skin or clothes, and the log density of skin.

    group: other people are near, whose clothes must not be learnt as this one's hair.
    """
    colours = lab.reshape(-1, 3)
    grown = away <= 0.05
    eyes = float(head.mesh[BROW_MIDDLE, 1])
    skin = Mixture(np.concatenate([lab[polygon(head.mesh[p], GRID)] for p in SKIN_PATCHES]), parts=2)
    skin_log = skin.log(colours).reshape(GRID, GRID)
    outside = (person > 0.8) & ~grown & (skin_log < -14)
    side = np.abs(x - head.middle) / head.width
    crown = outside & (y < eyes) & (side < 0.8) & (away < (0.3 if group else np.inf))
    beside = outside & (y >= eyes) & (y < float(head.mesh[NOSE_BASE, 1])) & (away < (0.2 if group else 0.28))
    # Beside the face it is hair even under a hat: both places weigh the same.
    weights = np.r_[np.full(crown.sum(), 1 / max(crown.sum(), 50)), np.full(beside.sum(), 1 / max(beside.sum(), 50))]
    weights *= 500
    samples = np.concatenate([lab[crown], lab[beside]])
    if len(samples) < 30:
        return np.full(person.shape, -5.0), skin_log
    hair = Mixture(samples, weights, parts=4)
    hair_log = hair.log(colours).reshape(GRID, GRID)
    rest = (person > 0.7) & (y > head.chin) & ~grown
    odds = _against_the_rest(hair_log, skin_log, lab, rest, throat)
    # Clothes of the hair's colour: the colour says nothing, place and connection decide; the lower, the rarer is hair.
    typical = hair_log > np.quantile(hair.log(samples), 0.15)
    depth = np.clip((y - head.chin) / head.height, 0, None)
    odds = np.where(typical, np.maximum(odds, 0.5 - depth), odds)
    # Where no hair hangs beside the neck, what lies below it must look very much like hair.
    hairy = (odds > 0) & (person > 0.5) & ~grown
    return np.clip(odds - 5 * _below_a_bare_neck(head, person > 0.5, hairy), -5, 5), skin_log


def _below_a_bare_neck(head: _Head, person: np.ndarray, hairy: np.ndarray) -> np.ndarray:
    """[GRID, GRID] 0..1: neck and body on the sides where no hair hangs beside the neck.

    person, hairy: bool [GRID, GRID]; hairy: person pixels off the face of the hair's colour.

    Hair that hangs below passes beside the mouth: on 26 sides of 13 heads its colour is found there in at least 0.89 of
    the rows on the 21 with long hair (and under one hat), in none on the others. And with hair the outline has no waist.
    Measured on 100 heads, in face widths from the face's middle: the waist lies within 0.45 on sides of short hair,
    beyond 0.5 on those of long hair; the side that the face turns from shows the nape of the neck as well. Hair that
    hangs behind, apart from the neck, is none of the neck's business.
    """
    from scipy.ndimage import binary_fill_holes

    outline = np.asarray(binary_fill_holes(person | head.oval))
    turned = float(head.mesh[NOSE_TIP, 0] - head.middle)
    beside = range(max(0, round(head.ears)), min(GRID, round(head.chin + 0.35 * head.height)))
    bare = np.zeros(person.shape)
    for way in (-1, 1):
        waist = float(GRID)
        body = np.zeros(person.shape, bool)
        for row in range(beside.start, GRID):
            start = int(np.clip(head.middle if row < head.chin else head.mesh[CHIN, 0], 0, GRID - 1))
            if not outline[row, start]:  # the photo ends here
                continue
            joined = np.logical_and.accumulate(outline[row, start::way])
            body[row, start::way] = joined & (row > head.chin)
            if row in beside:
                waist = min(waist, joined.sum() + way * (start - head.middle) + min(0.0, way * turned))
        bare = np.maximum(bare, body * (1 - float(steps(0.42, 0.52, waist / head.width))))
        bare = np.maximum(bare, body * (1 - float(steps(0.3, 0.8, _passage(head, hairy, way)))))
    return bare


def _passage(head: _Head, hairy: np.ndarray, way: int) -> float:
    """Share of the rows beside the mouth, on the side way (-1 left, 1 right), that show hair next to the face."""
    rows = slice(round(float(head.mesh[NOSE_BASE, 1])), round(float(head.mesh[LOWER_LIP, 1])) + 1)
    start = int(np.clip(head.middle, 0, GRID - 1))
    here = hairy[rows, start::way]
    edge = np.argmin(head.oval[rows, start::way], axis=1)[:, None]
    column = np.arange(here.shape[1])
    seen = (here & (column >= edge) & (column < edge + 0.45 * head.width)).sum(1)
    return float((seen > 0.08 * head.width).mean()) if len(seen) else 1.0


def _against_the_rest(
    hair_log: np.ndarray, skin_log: np.ndarray, lab: np.ndarray, rest: np.ndarray, sure: np.ndarray
) -> np.ndarray:
    """Log odds of hair; the model of clothes and neck is refitted to what is not hair."""
    other_log = np.maximum(skin_log, -16.0)
    if rest.sum() < 50:
        return hair_log - other_log
    colours = lab.reshape(-1, 3)
    for _ in range(3):
        odds = np.clip(hair_log - other_log, -30, 30)
        weights = np.where(sure[rest], 1.0, 1 / (1 + np.exp(odds[rest])))
        if weights.sum() < 20:
            break
        clothes = Mixture(lab[rest], weights + 1e-3, parts=4).log(colours).reshape(hair_log.shape)
        other_log = np.logaddexp(clothes, skin_log)
    return hair_log - other_log


def _reachable(marked: np.ndarray, head: _Head, y: np.ndarray) -> np.ndarray:
    """The parts of marked that hair could be: joined to the head above the nose, round the face and not through it.

    A dark collar touches the chin alone; straps are thin; a neighbour's head is apart.
    """
    from scipy.ndimage import binary_opening, binary_propagation

    thick = marked & ~head.oval
    # On its way past the jaw hair is a lock; a shadow or the edge of a neck is not.
    disk = np.hypot(*np.mgrid[-2:3, -2:3]) <= 2
    thick = np.where(y > head.chin - 0.25 * head.height, binary_opening(thick, disk), thick)
    rim = (_distance(head.oval) <= 0.12 * head.width) & (y < head.mesh[NOSE_BASE, 1])
    kept = np.asarray(binary_propagation(thick & rim, mask=thick)) | head.oval
    return kept | _small_holes(kept, head)


def _small_holes(kept: np.ndarray, head: _Head) -> np.ndarray:
    """Gaps closed all round and smaller than an ear: lights and shadows in the hair."""
    from scipy.ndimage import binary_fill_holes, label

    holes = np.zeros((GRID, GRID), np.int32)
    label(np.asarray(binary_fill_holes(kept)) & ~kept, output=holes)
    areas = np.bincount(holes.ravel())
    areas[0] = 0
    return ((areas > 0) & (areas < 0.04 * head.oval.sum()))[holes]


def _distance(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the mask, in pixels."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~mask))


def _refined(decided: np.ndarray, person: np.ndarray, aligned: Alignment) -> np.ndarray:
    """The decision at full size: its border follows the edges of the picture."""
    size = aligned.image.shape[0]
    grey = aligned.image.astype(np.float32) @ LUMA / 255
    rough = resized(decided, size)
    soft = guided_filter(grey, rough, max(2, size // 80), 2e-3)
    body = guided_filter(grey, person, max(2, size // 128), 1e-3)
    alpha = np.minimum(steps(0.25, 0.75, soft), steps(0.15, 0.75, body))
    # The jaw runs through skin, where no edge guides the filter: the mesh draws it.
    from scipy.ndimage import gaussian_filter

    oval = gaussian_filter(polygon(aligned.mesh[OVAL, :2], size).astype(np.float32), size / 300)
    return np.clip(np.maximum(alpha, oval), 0, 1).astype(np.float32) * aligned.inside
