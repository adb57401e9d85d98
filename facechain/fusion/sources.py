"""Which of the person's photos gives its face to a picture."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import FaceError
from ..faces import engine
from ..faces.base import Face
from ..images import to_pixels
from ..person import Person
from .eyes import Eye, keeps_target_eyes, look_at_eyes
from .face import Source
from .masks import mouth_gap

# Meshes mark pixel edges by whole numbers, the fusion pixel centres.
HALF_PIXEL = np.array([0.5, 0.5, 0.0])
# What each unlikeness costs: degrees of yaw and pitch that count as 1, and weights of the rest.
_YAW, _PITCH = 20.0, 30.0
_QUALITY, _LIPS, _EYES, _LIGHT, _ODD = 1.0, 3.0, 0.4, 1.0, 1.5
_EDGE = 5  # pixels across which a photo's mask is eroded: at its edge the background that was cut away shines through
_KEPT = 4  # people whose prepared photos stay in memory
_lock = threading.Lock()
_prepared: OrderedDict[str, list[Photo]] = OrderedDict()


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo of the person, ready to be used, and what speaks for it.

    number: its place in the person's photos, from 0. name: its file name, "" if unknown.
    yaw, pitch: degrees. quality: 0..1. odd: how far its face lies from the person's other photos, by what they lie apart
    on average, 1 for a lone photo. gap: of the lips. eyes: see `look_at_eyes`. side_light: see `side_light`.
    """

    source: Source
    number: int
    name: str
    yaw: float
    pitch: float
    quality: float
    odd: float
    gap: float
    eyes: dict[str, Eye]
    side_light: float


def photos_of(person: Person, check: Callable[[], None] = lambda: None) -> list[Photo]:
    """The person's photos that show a face; found once a person, then remembered. Raises FaceError if there is none.

    check: called before each photo is prepared; may raise to cancel.
    """
    with _lock:
        known = _prepared.pop(person.hash, None)
        if known is None:
            known = _prepare(person, check)
        _prepared[person.hash] = known
        while len(_prepared) > _KEPT:
            _prepared.popitem(last=False)
    return known


def best_photo(photos: list[Photo], picture: np.ndarray, face: Face) -> Photo:
    """The photo whose pose, expression and light are nearest to those of the face in picture [H, W, 3], 0..1."""
    assert face.mesh is not None
    mesh = face.mesh - HALF_PIXEL
    gap, light = mouth_gap(mesh), side_light(picture, mesh)
    eyes = look_at_eyes(picture, mesh)

    def cost(photo: Photo) -> float:
        return (
            abs(photo.yaw - face.yaw) / _YAW
            + abs(photo.pitch - face.pitch) / _PITCH
            + _QUALITY * (1 - photo.quality)
            + _ODD * photo.odd
            + _LIPS * abs(photo.gap - gap)
            + _EYES * keeps_target_eyes(photo.eyes, eyes)
            + _LIGHT * abs(photo.side_light - light)
        )

    return min(photos, key=cost)


def side_light(picture: np.ndarray, mesh: np.ndarray) -> float:
    """Log ratio of the brightness of the two cheeks: > 0 where image right is brighter."""
    low = np.maximum(np.floor(mesh[:, :2].min(0)), 0).astype(int)
    cheeks = []
    for points in ((50, 101, 205), (280, 330, 425)):
        spots = np.round(mesh[list(points), :2]).astype(int)
        x = np.clip(spots[:, 0], low[0], picture.shape[1] - 1)
        y = np.clip(spots[:, 1], low[1], picture.shape[0] - 1)
        cheeks.append(float(picture[y, x].mean()) + 0.02)
    return float(np.log(cheeks[1] / cheeks[0]))


def _prepare(person: Person, check: Callable[[], None]) -> list[Photo]:
    pixels = to_pixels(person.images)
    found = engine("embedded").analyze(pixels, embed=False)
    odd = _oddness(person.embeddings.float().cpu().numpy())
    photos = []
    for number, faces in enumerate(found):
        check()
        if faces:
            photos.append(_photo(person, number, faces[0], odd[number]))
    if not photos:
        raise FaceError(
            f"no photo of {person.name!r} shows a face that can be fused", "Preprocess sharper, frontal photos"
        )
    return photos


def _oddness(embeddings: np.ndarray) -> np.ndarray:
    """[N] mean distance of each of [N, D] to the others, 1 on average."""
    apart = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=-1).sum(1)
    return apart / apart.mean() if apart.any() else np.ones(len(apart))


def _photo(person: Person, number: int, face: Face, odd: float) -> Photo:
    from scipy.ndimage import grey_erosion

    assert face.mesh is not None
    picture = person.images[number].float().cpu().numpy()
    mask = grey_erosion(person.masks[number].float().cpu().numpy(), size=_EDGE)
    mesh = face.mesh.astype(np.float64) - HALF_PIXEL
    name = person.photo_names[number] if number < len(person.photo_names) else ""
    return Photo(
        source=Source(picture, mask, mesh),
        number=number,
        name=name,
        yaw=face.yaw,
        pitch=face.pitch,
        quality=float(person.quality[number]),
        odd=float(odd),
        gap=mouth_gap(mesh),
        eyes=look_at_eyes(picture, mesh),
        side_light=side_light(picture, mesh),
    )
