"""Finding a template's faces and cutting one out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..errors import FaceError, PhotoError
from ..faces.base import Face, FaceEngine
from ..images import to_pixels
from .outline import outline_of
from .record import TemplateFace, Window, look

# FaceChain measures crops by a detector's box, from hair line to chin. On 43 faces SCRFD's box
# is 1.13 times as long as the mesh, and its middle lies 0.05 of the mesh's length higher.
_LONGER = 1.13
_HIGHER = 0.05
_LARGEST_SEEN = 4096  # pixels of the longest side that the engine looks at; more shows no further faces
_KEPT = 8  # templates whose faces are remembered
_SAME_SIZE = 1 / 16  # a crop this near to the wanted size is cut at that size, and no pixel is resampled


def checked_template(template: torch.Tensor) -> torch.Tensor:
    """The template as it came, [1, H, W, 3 or 4]. Raises PhotoError for anything else, and for not-a-number in it."""
    if template.ndim != 4 or template.shape[-1] not in (3, 4) or 0 in template.shape:
        raise PhotoError(
            f"the template has the shape {tuple(template.shape)}, which is no picture", "Connect an IMAGE in colour"
        )
    if len(template) != 1:
        raise PhotoError(
            f"the template is a batch of {len(template)} pictures", "Choose one of them with Image From Batch"
        )
    # The sum is not finite where any value is not, and needs no copy of a large picture.
    if not bool(torch.isfinite(template.sum(dtype=torch.float64))):
        raise PhotoError("the template holds values that are not numbers", "Load the picture again from its file")
    return template


def find_faces(template: torch.Tensor, engine: FaceEngine, *, described: bool = False) -> list[Face]:
    """The faces of a template [1, H, W, C], left to right by their centres; described: with embedding, age and gender.

    Raises PhotoError for a template that cannot be used, FaceError where it shows no face.
    """
    height, width = checked_template(template).shape[1:3]
    step = -(-max(height, width) // _LARGEST_SEEN)
    pixels = to_pixels(template[:, ::step, ::step])
    faces = _faces_once(pixels[0], engine, described)
    if not faces:
        raise FaceError(
            f"the template ({width}x{height} pixels) shows no face",
            "Use a picture whose faces are at least 30 pixels wide and turned to the camera",
        )
    return [_enlarged(face, step) for face in faces] if step > 1 else faces


_seen: dict[tuple[str, bytes, bool], list[Face]] = {}


def _faces_once(pixels: np.ndarray, engine: FaceEngine, described: bool) -> list[Face]:
    """The faces of uint8 [H, W, 3], left to right; kept, since each person of a group asks about the same template."""
    key = (engine.name, hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest(), described)
    if key not in _seen:
        faces = sorted(
            engine.analyze([pixels], embed=described, attributes=described)[0], key=lambda face: face.center[0]
        )
        if len(_seen) >= _KEPT:
            _seen.clear()
        _seen[key] = faces
    return list(_seen[key])


def place_face(
    template: torch.Tensor, faces: Sequence[Face], number: int, *, size: int, face_part: float, grow: float
) -> TemplateFace:
    """The record of face `number` (from 1) in template [1, H, W, C]: its crop's place and its mask.

    faces: all faces of the template, as find_faces gives them. size: pixels of a side of the crop.
    face_part: how much of the crop's side the face takes; grow: mask beyond the face, in face sizes.
    The crop is moved inside the template where it would leave it. Raises FaceError where there is no such face.
    """
    if not 1 <= number <= len(faces):
        raise FaceError(
            f"the template shows {faces_in_words(len(faces))}; face {number} does not exist",
            f"Choose a face from 1 to {len(faces)}, counted from the left"
            if len(faces) > 1
            else "Choose face 1, or a template with more people",
        )
    face = faces[number - 1]
    face_size = _LONGER * max(face.width, face.height)
    height, width = template.shape[1:3]
    x1, y1, x2, y2 = (float(v) for v in face.box)
    record = TemplateFace(
        number=number,
        count=len(faces),
        template_size=(height, width),
        box=(x1, y1, x2, y2),
        points=face.points,
        roll=face.roll,
        face_size=face_size,
        window=_window(face, face_size / face_part, size, height, width),
        crop_size=size,
        grow=grow * face_size,
        outline=outline_of(face),
        neighbours=tuple(outline_of(other) for other in faces if other is not face),
    )
    return replace(record, signature=look(template[0], record))


def faces_report(faces: Sequence[Face]) -> list[dict[str, Any]]:
    """The faces of a template, ready for JSON: number, box in pixels, angles, and age and gender where they are known."""
    return [
        {
            "face": number,
            "box": [round(float(v)) for v in face.box],
            "yaw": round(face.yaw, 1),
            "roll": round(face.roll, 1),
            **({} if face.gender is None else {"gender": face.gender, "age": round(face.age or 0)}),
        }
        for number, face in enumerate(faces, 1)
    ]


def crop_of(template: torch.Tensor, face: TemplateFace) -> torch.Tensor:
    """The face with its surroundings, [1, crop_size, crop_size, 3]. What a small template lacks is its edge, repeated."""
    return resized(cut(template, face.window), face.crop_size)


def faces_in_words(count: int) -> str:
    return "1 face" if count == 1 else f"{count} faces"


def cut(template: torch.Tensor, window: Window) -> torch.Tensor:
    """The window's pixels [N, side, side, 3] float32 of template [N, H, W, C]; beyond the template its edge."""
    height, width = template.shape[1:3]
    rows = torch.arange(window.y, window.y + window.side).clamp(0, height - 1)
    columns = torch.arange(window.x, window.x + window.side).clamp(0, width - 1)
    near = template[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, :3]
    return near[:, rows - rows[0]][:, :, columns - columns[0]].float().cpu().clamp(0, 1)


def resized(squares: torch.Tensor, size: int) -> torch.Tensor:
    """Square pictures [N, S, S, 3] as [N, size, size, 3], bicubic with smoothing where they shrink, 0..1."""
    if squares.shape[1] == size:
        return squares
    result = torch.nn.functional.interpolate(
        squares.permute(0, 3, 1, 2), (size, size), mode="bicubic", antialias=True, align_corners=False
    )
    return result.permute(0, 2, 3, 1).clamp(0, 1).contiguous()


def _window(face: Face, side: float, size: int, height: int, width: int) -> Window:
    pixels = size if abs(side - size) <= size * _SAME_SIZE else max(1, round(side))
    x, y = face.center
    y -= _HIGHER * max(face.width, face.height)
    return Window(_start(x, pixels, width), _start(y, pixels, height), pixels)


def _start(middle: float, side: int, length: int) -> int:
    """Where a stretch of this side begins: around middle, but inside 0..length, or holding all of it."""
    spare = length - side
    return min(max(round(middle - side / 2), min(0, spare)), max(0, spare))


def _enlarged(face: Face, factor: int) -> Face:
    mesh = None if face.mesh is None else face.mesh * factor
    return replace(face, box=face.box * factor, points=face.points * factor, mesh=mesh)
