"""A batch of pictures: which faces are fused, with which photo, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..errors import FaceChainError, PhotoError
from ..faces.base import Face, FaceEngine, distance
from ..images import to_pixels
from ..likeness import Reference, reference
from ..person import Person
from .face import Strength, Swap, fuse_face, work_area
from .inswapper import LICENCE, Swapper, check_embedder
from .looks import Look, face_look, untouched_look
from .meshes import with_meshes
from .sources import HALF_PIXEL, Photo, best_photo, photos_of

FACE_CHOICES = ("most alike", "largest", "all", "by index")
_IN_REGION = 0.3  # part of a face's box that must lie in the region mask

Report = dict[str, Any]


@dataclass(frozen=True, eq=False)
class FusedPictures:
    """images: as they came in, with new faces.

    masks: [N, H, W] float32 0..1; where they are 0, the input bit by bit.
    reports: one a picture, ready to be written as text.
    looks: what was done to each face, for the inspection.
    """

    images: torch.Tensor
    masks: torch.Tensor
    reports: list[Report]
    looks: list[Look]


def fuse_pictures(
    images: torch.Tensor,
    person: Person,
    engine: FaceEngine,
    strength: Strength,
    *,
    faces: str = "largest",
    face_index: int = 1,
    region: torch.Tensor | None = None,
    fallback: torch.Tensor | None = None,
    swapper: Swapper | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> FusedPictures:
    """Fuse the person's face into IMAGE [N, H, W, 3 or 4], any range of values, on the CPU.

    faces: one of FACE_CHOICES; face_index counts from 1, left to right. region: MASK [1 or N, h, w]; only faces
    and pixels inside are changed. fallback: IMAGE [1 or N, H, W, 3 or 4] of the same size, taken instead of a picture
    in which there is nothing to fuse (a face that was drawn anew and lost); that picture's mask is then relative to it.
    swapper: the network that draws the faces; without one the person's photo is warped.
    progress: called with the number of pictures done, also while the photos are prepared; may raise to cancel.
    A picture without a face is not changed, and its report says so.
    Raises RecordError where the engine cannot read a person that another embedder made, FaceError where no photo of the person
    can be used, FaceChainError for a choice that does not exist, or an engine whose embeddings the swapper cannot use.
    """
    if faces not in FACE_CHOICES:
        raise FaceChainError(f"there is no choice of faces {faces!r}", f"Choose one of: {', '.join(FACE_CHOICES)}")
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or 0 in images.shape:
        raise PhotoError(
            f"pictures of shape {tuple(images.shape)} cannot be fused", "Connect an IMAGE of [batch, height, width, 3]"
        )
    _check_fallback(fallback, images)
    known = reference(person, engine)
    masks = torch.zeros(images.shape[:3])
    if strength.identity == 0:
        note = "identity is 0: picture unchanged"
        looks = [
            untouched_look(f"picture {n + 1}", to_pixels(image)[0], "identity is 0") for n, image in enumerate(images)
        ]
        return FusedPictures(images, masks, [_report(n, None, note) for n in range(len(images))], looks)
    photos = photos_of(person, lambda: progress(0))
    regions = _regions(region, images)
    fused = images.clone()
    network = _Network(swapper, engine, known) if swapper else None
    reports: list[Report] = []
    looks: list[Look] = []
    for number in range(len(images)):
        work = _Work(fused[number], masks[number], photos, known, engine, strength, regions(number), network, looks)
        report = work.run(number, faces, face_index)
        if fallback is not None and not report["changed"]:
            fused[number] = fallback[number % len(fallback)]
            why = report["note"].removesuffix(": picture unchanged")
            report = {**work.run(number, faces, face_index), "note": f"{why}: the fallback picture was taken"}
        if not report["changed"]:
            why = report["note"].removesuffix(": picture unchanged")
            looks.append(untouched_look(f"picture {number + 1}", to_pixels(fused[number])[0], why))
        reports.append(report if swapper is None else {**report, "fusion": "inswapper", "licence": LICENCE})
        progress(number + 1)
    return FusedPictures(fused, masks, reports, looks)


class _Network:
    """A swap network that knows whose face it draws. Raises FaceChainError where the engine's embeddings do not fit it."""

    def __init__(self, swapper: Swapper, engine: FaceEngine, known: Reference) -> None:
        check_embedder(engine.embedder, known.embeddings.shape[1], swapper)
        self._swapper, self._latent = swapper, swapper.latent(known.embeddings.mean(0))

    def draw(self, picture: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._swapper.swap(picture, points, self._latent)


@dataclass(frozen=True, eq=False)
class _Work:
    """One picture being fused; picture and mask are written to, looks are added."""

    picture: torch.Tensor
    mask: torch.Tensor
    photos: list[Photo]
    known: Reference
    engine: FaceEngine
    strength: Strength
    region: np.ndarray | None
    network: _Network | None
    looks: list[Look]

    def run(self, number: int, choice: str, index: int) -> Report:
        pixels = to_pixels(self.picture)[0]
        found = sorted(with_meshes(self.engine, pixels), key=lambda face: face.center[0])
        if not found:
            return _report(number, 0, "no face found: picture unchanged")
        inside = [face for face in found if self._in_region(face)]
        if not inside:
            return _report(number, len(found), "no face inside the region: picture unchanged")
        if choice == "by index" and index > len(inside):
            return _report(number, len(found), f"there is no face {index}: picture unchanged")
        chosen = self._chosen(inside, choice, index)
        changed = [self._fuse(number, found.index(face) + 1, face) for face in chosen]
        return {**_report(number, len(found), ""), "changed": changed}

    def _chosen(self, faces: list[Face], choice: str, index: int) -> list[Face]:
        if choice == "all":
            return faces
        if choice == "by index":
            return [faces[index - 1]]
        if choice == "largest":
            return [max(faces, key=lambda face: face.area)]
        return [max(faces, key=lambda face: self.known.cosine(_embedding(face)))]

    def _in_region(self, face: Face) -> bool:
        if self.region is None:
            return True
        left, top, right, bottom = (max(0, int(v)) for v in face.box)
        box = self.region[top : bottom + 1, left : right + 1]
        return box.size > 0 and float(box.mean()) >= _IN_REGION

    def _fuse(self, picture: int, number: int, face: Face) -> Report:
        assert face.mesh is not None
        rows, columns = work_area(face.mesh, (self.picture.shape[0], self.picture.shape[1]))
        before = torch.nan_to_num(self.picture[rows, columns, :3].float().cpu(), nan=0.0, posinf=1.0, neginf=0.0)
        crop = before.clamp(0, 1).numpy()
        at_crop = _moved(face, columns.start, rows.start)
        assert at_crop.mesh is not None
        photo = best_photo(self.photos, crop, at_crop)
        done = fuse_face(crop, at_crop.mesh - HALF_PIXEL, photo.source, self.strength, self._swap(at_crop))
        if self.region is not None:
            part = self.region[rows, columns]
            done = replace(done, picture=crop + part[..., None] * (done.picture - crop), mask=done.mask * part)
        self._write(done.picture, done.mask, rows, columns)
        likeness = self._likeness(face, self._again(face, rows, columns))
        about = {"face": number, "photo": photo.name or photo.number + 1, "photo_yaw": round(photo.yaw, 1), **likeness}
        self.looks.append(face_look(f"picture {picture + 1}, face {number}", crop, photo, done, about))
        return about

    def _swap(self, face: Face) -> Swap | None:
        if self.network is None:
            return None
        draw, points = self.network.draw, face.points - HALF_PIXEL[:2]
        return lambda picture, moved: draw(picture, points + moved)

    def _write(self, picture: np.ndarray, mask: np.ndarray, rows: slice, columns: slice) -> None:
        new = torch.from_numpy(picture).to(self.picture)
        changed = torch.from_numpy(mask > 0).to(self.picture.device)
        old = self.picture[rows, columns, :3]
        self.picture[rows, columns, :3] = torch.where(changed[..., None], new, old)
        self.mask[rows, columns] = torch.maximum(self.mask[rows, columns], torch.from_numpy(mask))

    def _again(self, face: Face, rows: slice, columns: slice) -> Face | None:
        """The face as the engine sees it now; only its surroundings are looked at, set upright."""
        pixels = to_pixels(self.picture[rows, columns])[0]
        x, y = face.center[0] - columns.start, face.center[1] - rows.start
        for _ in range(round(face.roll / 90) % 4):
            x, y = y, pixels.shape[1] - x
            pixels = np.rot90(pixels)
        found = self.engine.analyze([np.ascontiguousarray(pixels)])[0]
        size = max(face.width, face.height)
        near = [f for f in found if np.hypot(f.center[0] - x, f.center[1] - y) < 0.3 * size]
        return near[0] if near else None

    def _likeness(self, before: Face, after: Face | None) -> Report:
        report: Report = {"face_yaw": round(before.yaw, 1)}
        for when, face in (("before", before), ("after", after)):
            embedding = face.embedding if face is not None else None
            known = embedding is not None
            report[f"similarity_{when}"] = round(self.known.cosine(embedding), 4) if known else None
            report[f"distance_{when}"] = round(_mean_distance(self.known, embedding), 4) if known else None
            report[f"likeness_{when}"] = round(self.known.percent(embedding), 1) if known else None
        return report


def _check_fallback(fallback: torch.Tensor | None, images: torch.Tensor) -> None:
    if fallback is None:
        return
    if fallback.shape[1:] != images.shape[1:] or len(fallback) not in (1, len(images)):
        raise PhotoError(
            f"{len(images)} pictures of shape {tuple(images.shape[1:])} do not go with a fallback of shape {tuple(fallback.shape)}",
            "Connect a fallback picture of the same size, one for all or one for each",
        )


def _mean_distance(known: Reference, embedding: np.ndarray) -> float:
    return float(np.mean([distance(row, embedding) for row in known.embeddings]))


def _embedding(face: Face) -> np.ndarray:
    assert face.embedding is not None
    return face.embedding


def _moved(face: Face, x: int, y: int) -> Face:
    assert face.mesh is not None
    return replace(face, mesh=face.mesh - [x, y, 0], points=face.points - [x, y])


def _report(number: int, faces: int | None, note: str) -> Report:
    return {"picture": number + 1, "faces": faces, "changed": [], "note": note}


def _regions(region: torch.Tensor | None, images: torch.Tensor) -> Callable[[int], np.ndarray | None]:
    """A function that gives the region mask of a picture, [H, W] float32 0..1, at the picture's size."""
    if region is None:
        return lambda number: None
    masks = region if region.ndim == 3 else region[None]
    if masks.ndim != 3 or len(masks) not in (1, len(images)) or 0 in masks.shape:
        raise PhotoError(
            f"{len(images)} pictures do not go with a region mask of shape {tuple(region.shape)}",
            "Connect one mask for all pictures, or one for each",
        )

    def of(number: int) -> np.ndarray:
        mask = torch.nan_to_num(masks[number % len(masks)].float().cpu()).clamp(0, 1)[None, None]
        if tuple(mask.shape[-2:]) != tuple(images.shape[1:3]):
            mask = torch.nn.functional.interpolate(mask, tuple(images.shape[1:3]), mode="bilinear")
        return mask[0, 0].numpy()

    return of
