"""Which file is made of what: the packages, their licences, and the networks taken from them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """A published package; sha256 of the archive that pip or npm brings."""

    name: str
    version: str
    manager: str
    archive: str
    sha256: str
    licence: str
    notice: str

    @property
    def title(self) -> str:
        return f"{self.name} {self.version} ({'PyPI' if self.manager == 'pip' else 'npm'})"


@dataclass(frozen=True)
class Recipe:
    """One ONNX file. source: path in the package; outputs: its name -> name in the ONNX file (TensorFlow Lite only)."""

    file: str
    package: Package
    source: str
    what: str
    needed_by: tuple[str, ...]
    outputs: tuple[tuple[str, str], ...] = ()


MEDIAPIPE = Package(
    name="mediapipe",
    version="0.10.21",
    manager="pip",
    archive="mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl",
    sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    licence="Apache-2.0",
    notice="Copyright The MediaPipe Authors. Licensed under the Apache License, Version 2.0 (see LICENSE).",
)
FACE_API = Package(
    name="@vladmandic/face-api",
    version="1.7.15",
    manager="npm",
    archive="vladmandic-face-api-1.7.15.tgz",
    sha256="0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    licence="MIT",
    notice="",  # the package's own LICENSE is copied
)
HUMAN = Package(
    name="@vladmandic/human",
    version="3.3.6",
    manager="npm",
    archive="vladmandic-human-3.3.6.tgz",
    sha256="425e9c51dbbca0c8934362b170cb0d54c2529c11c654b3c03092b16e9d6ad3f7",
    licence="MIT, weights Apache-2.0",
    notice="",  # the package's own LICENSE is copied
)

_IDENTITY = (
    "FaceChain_Preprocess",
    "FaceChain_FaceFusion",
    "FaceChain_SimilarityRank",
    "FaceChain_TemplateFace",
    "FaceChain_GroupPortrait",
)
_FACES = (*_IDENTITY, "FaceChain_PoseControl")

RECIPES = (
    Recipe(
        "face_detection_full_range_sparse.onnx",
        MEDIAPIPE,
        "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
        "faces: boxes and six points (BlazeFace, full range)",
        _FACES,
        (("Identity", "boxes"), ("Identity_1", "scores")),
    ),
    Recipe(
        "face_landmark.onnx",
        MEDIAPIPE,
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        "face mesh: 468 points and a score",
        _FACES,
        (("conv2d_21", "points"), ("conv2d_31", "score")),
    ),
    Recipe(
        "selfie_segmentation.onnx",
        MEDIAPIPE,
        "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        "person mask",
        ("FaceChain_Preprocess",),
        (("activation_10", "mask"),),
    ),
    Recipe(
        "pose_detection.onnx",
        MEDIAPIPE,
        "mediapipe/modules/pose_detection/pose_detection.tflite",
        "people: where their bodies are (BlazePose detector)",
        ("FaceChain_PoseControl",),
        (("Identity", "boxes"), ("Identity_1", "scores")),
    ),
    Recipe(
        "pose_landmark_full.onnx",
        MEDIAPIPE,
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        "body: 39 points and a score (BlazePose, full)",
        ("FaceChain_PoseControl",),
        (("Identity", "points"), ("Identity_1", "score")),
    ),
    Recipe(
        "faceapi_rec.onnx",
        FACE_API,
        "package/model/face_recognition_model-weights_manifest.json",
        "identity: 128 numbers (dlib's face recognition network by Davis King, public domain)",
        _IDENTITY,
    ),
    Recipe(
        "age_gender.onnx",
        FACE_API,
        "package/model/age_gender_model-weights_manifest.json",
        "age and gender",
        ("FaceChain_Preprocess",),
    ),
)

# Not shipped: tests and benchmarks judge likeness with it (scripts/face_judge.py).
JUDGE = Recipe(
    "hse_mobilenet_vggface2.onnx",
    HUMAN,
    "package/models/faceres.json",
    "identity: 1024 numbers (MobileNet by Andrey Savchenko, HSE_FaceRec_tf, Apache-2.0; trained on VGGFace2, softmax)",
    (),
)
