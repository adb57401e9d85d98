"""The training pictures once more with others' faces, so that a style does not come to mean a face.

Each style has one picture. A model that has seen one face in it draws that face, whatever a person LoRA says; having
seen the style with many faces it draws some face, and a LoRA can say which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from facechain.faces import engine
from facechain.faces.base import Face
from facechain.fusion.face import Source, Strength, fuse_face
from facechain.fusion.sources import HALF_PIXEL
from facechain.photos.align import align
from facechain.photos.headmask import head_mask

from .pictures import Picture, head_on_white

REACH = 1.6  # half a side of the square that is kept around a face, in parts of the face's longer side
SIDE = 448  # pixels of that square at most
NEAREST = 20  # faces that look about the same way, of which some are taken


@dataclass(frozen=True, eq=False)
class _Scene:
    """A picture cut down around its face, and that face as one to be put elsewhere."""

    picture: Picture
    face: Face
    source: Source


def with_other_faces(pictures: Sequence[Picture], count: int, donors: Sequence[str]) -> Iterator[Picture]:
    """Of each drawn picture so many with the face of another of the same gender, where fusion finds a face again.

    donors: names of the pictures whose faces may go elsewhere.
    """
    random = np.random.default_rng(4)
    found = [_scene(picture) for picture in pictures if picture.drawn]
    scenes = [scene for scene in found if scene is not None]
    for scene in scenes:
        others = [
            one
            for one in scenes
            if one is not scene and one.picture.phrase == scene.picture.phrase and one.picture.name in donors
        ]
        near = sorted(others, key=lambda one: _turned(one.face, scene.face))[:NEAREST]
        for index in random.permutation(len(near))[:count]:
            shape, skin_tone = random.uniform(0.4, 1.0), random.uniform(0.0, 1.0)
            made = _fused(scene, near[index].source, Strength(1.0, shape, skin_tone))
            if made is not None:
                yield made


def _turned(one: Face, other: Face) -> float:
    """Degrees between the ways in which two faces look."""
    return abs(one.yaw - other.yaw) + abs(one.pitch - other.pitch)


def _scene(picture: Picture) -> _Scene | None:
    x1, y1, x2, y2 = picture.face
    middle, reach = np.array([x1 + x2, y1 + y2]) / 2, REACH * max(x2 - x1, y2 - y1)
    height, width = picture.pixels.shape[:2]
    left, top = np.maximum(middle - reach, 0).astype(int)
    right, bottom = np.minimum(middle + reach, (width, height)).astype(int)
    part = Image.fromarray(picture.pixels[top:bottom, left:right])
    part.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    pixels = np.asarray(part)
    faces = engine().analyze([pixels], embed=False)[0]
    if not faces:
        return None
    aligned = align(pixels, faces[0], 512)
    mask = head_mask(aligned, pixels, faces[1:])
    source = Source(aligned.image.astype(np.float32) / 255, mask, aligned.mesh.astype(np.float64) - HALF_PIXEL)
    return _Scene(replace(picture, pixels=pixels, face=faces[0].box), faces[0], source)


def _fused(scene: _Scene, source: Source, strength: Strength) -> Picture | None:
    assert scene.face.mesh is not None
    picture = scene.picture.pixels.astype(np.float32) / 255
    done = fuse_face(picture, scene.face.mesh - HALF_PIXEL, source, strength)
    pixels = (done.picture * 255).round().astype(np.uint8)
    faces = engine().analyze([pixels], embed=False)[0]
    if not faces:
        return None
    head, head_face = head_on_white(pixels, faces[0], faces[1:])
    return replace(scene.picture, pixels=pixels, face=faces[0].box, head=head, head_face=head_face)
