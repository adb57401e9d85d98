"""A second opinion on likeness, for tests and benchmarks alone: the pack never sees this network.

A MobileNet trained on VGGFace2 by softmax (HSE_FaceRec_tf, see tests/models/NOTICE); the embedded engine's is dlib's
ResNet, with other training pictures and another loss. What pleases both is likeness, not a quirk of one of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facechain import onnx
from facechain.faces.base import distance
from facechain.faces.crops import similarity_crop

if TYPE_CHECKING:
    from facechain.faces.base import Face

__all__ = ["MODEL", "SAME", "distance", "judge_embedding"]

MODEL = Path(__file__).resolve().parents[1] / "tests" / "models" / "hse_mobilenet_vggface2.onnx"
# Distance below which two pictures show one person: the equal-error point of the test pictures (faces of 30 pixels,
# enlarged, included), where pictures of one person lie 0.43 apart on average (0.33 to 0.67), of two 1.03 (0.64 to 1.25).
SAME = 0.66
_SIDE = 224
# Eyes, nose tip and corners of the mouth as parts of the side (insightface's template of 112 pixels), drawn together
# to 0.85 so that the chip reaches from the hair to below the chin, like the boxes that the network was trained on.
_POINTS = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
_TARGET = ((_POINTS / 112 - 0.5) * 0.85 + 0.5) * _SIDE


def judge_embedding(image: np.ndarray, face: Face) -> np.ndarray:
    """[1024] float32 of unit length for a face in uint8 RGB [H, W, 3]; face: any engine's, its five points are used.

    Raises ModelFileError where the network's file is absent.
    """
    chip = similarity_crop(image, face.points.astype(np.float64), _TARGET, _SIDE)
    vector = _run(chip) + _run(chip[:, ::-1])
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _run(chip: np.ndarray) -> np.ndarray:
    vector = onnx.run(MODEL, np.ascontiguousarray(chip, np.float32))[0].reshape(-1)
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
