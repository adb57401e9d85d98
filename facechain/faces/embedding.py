"""Who this is: the face recognition network of dlib, which gives 128 numbers."""

from __future__ import annotations

import numpy as np

from .. import onnx
from .crops import similarity_crop

MODEL = onnx.EMBEDDED / "faceapi_rec.onnx"
EMBEDDER = "dlib-resnet-128"
SIDE = 150
# Where the mesh's points for dlib's five (left eye: outer, inner corner; right eye: outer, inner; below
# the nose) lie in dlib's chip: its mean face, with a quarter of the face as padding on each side.
_MESH_POINTS = [263, 362, 33, 133, 2]
_MEAN_FACE = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)
_PADDING = 0.25
_TARGET = (_MEAN_FACE + _PADDING) / (1 + 2 * _PADDING) * SIDE


def embed(image: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """[128] float32 of unit length for the face with this mesh in uint8 RGB [H, W, 3]."""
    chip = similarity_crop(image, mesh[_MESH_POINTS, :2].astype(np.float64), _TARGET, SIDE)
    vector = _run(chip) + _run(chip[:, ::-1])
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _run(chip: np.ndarray) -> np.ndarray:
    return onnx.run(MODEL, np.ascontiguousarray(chip).astype(np.float32))[0].reshape(-1)
