"""Faces with a mesh and an embedding, whichever engine recognises them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..faces import engine as engine_named
from ..faces.base import Face, FaceEngine


def with_meshes(engine: FaceEngine, picture: np.ndarray) -> list[Face]:
    """The faces of uint8 RGB [H, W, 3] that the engine finds, each with its mesh; those without one are left out.

    Only the embedded engine makes meshes; another engine's faces get those of the same place.
    """
    found = engine.analyze([picture], embed=True)[0]
    if all(face.mesh is not None for face in found):
        return found
    meshed = engine_named("embedded").analyze([picture], embed=False)[0]
    pairs = [(face, _same(face, meshed)) for face in found]
    return [replace(face, mesh=twin.mesh) for face, twin in pairs if twin is not None]


def _same(face: Face, others: list[Face]) -> Face | None:
    near = [other for other in others if np.hypot(*np.subtract(face.center, other.center)) < 0.4 * face.width]
    return near[0] if near else None
