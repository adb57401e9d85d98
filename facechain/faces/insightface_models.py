"""insightface's own classes around the networks of a model pack; sessions are ours, so their errors are too."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import onnx
from ..errors import ModelFileError
from ..installing import install_command
from .insightface_files import LICENCE, Pack

DETECTION_SIDE = 640  # pixels of the square that the detector reads, as insightface uses it by default
_DETECTION_SCORE = 0.5  # insightface's default
_log = logging.getLogger(__name__)
_lock = threading.Lock()
_loaded: dict[tuple[Any, ...], Models] = {}


@dataclass(frozen=True, eq=False)
class Models:
    """detector: insightface's SCRFD. recogniser: its ArcFaceONNX. attributes: its Attribute, None where the pack has none.

    embedder: names pack and file of the recogniser. provider: what the recogniser runs on.
    """

    detector: Any
    recogniser: Any
    attributes: Any | None
    embedder: str
    provider: str


def load(pack: Pack, gpu: bool) -> Models:
    """The pack's networks, loaded at the first call and kept until another pack or a changed file is asked for.

    gpu: run them with CUDA where onnxruntime can.
    Raises ModelFileError where insightface is not installed, or a network is absent or damaged.
    """
    key = (pack.folder, gpu, *((path, path.stat().st_mtime_ns) for path in pack.files))
    with _lock:
        if key not in _loaded:
            _loaded.clear()
            _loaded[key] = _load(pack, gpu)
        return _loaded[key]


def _load(pack: Pack, gpu: bool) -> Models:
    detector_class, recogniser_class, attribute_class = _classes()
    files: dict[str, Path] = {}
    for path in pack.files:
        files.setdefault(_task(onnx.session(path, gpu=gpu)), path)
    for task in ("detection", "recognition"):
        if task not in files:
            have = ", ".join(path.name for path in pack.files)
            raise ModelFileError(
                f"{pack.folder} holds no network for face {task} (only {have})",
                f"Unpack the whole model pack into it ({LICENCE})",
            )
    detector = detector_class(model_file=str(files["detection"]), session=onnx.session(files["detection"], gpu=gpu))
    detector.prepare(0, input_size=(DETECTION_SIDE, DETECTION_SIDE), det_thresh=_DETECTION_SCORE)
    face = files["recognition"]
    recogniser = recogniser_class(model_file=str(face), session=onnx.session(face, gpu=gpu))
    attributes = None
    if "attributes" in files:
        path = files["attributes"]
        attributes = attribute_class(model_file=str(path), session=onnx.session(path, gpu=gpu))
    provider = onnx.provider(face, gpu=gpu)
    if gpu and provider == onnx.CPU:
        _log.warning(onnx.fallback_warning())
    return Models(detector, recogniser, attributes, f"insightface/{pack.name}/{face.stem}", provider)


def _task(net: Any) -> str:
    """What a network is for, by the shapes that insightface goes by too."""
    inputs, outputs = net.get_inputs(), net.get_outputs()
    shape = inputs[0].shape
    if len(outputs) >= 6:
        return "detection"
    if len(inputs) > 1 or len(outputs) > 1 or len(shape) != 4 or shape[2] != shape[3]:
        return "other"
    if shape[2] == 96 and outputs[0].shape[-1] == 3:
        return "attributes"
    return "recognition" if shape[2] in (112, 128, 224) else "other"


def _classes() -> tuple[Any, Any, Any]:
    try:
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX  # pyright: ignore[reportMissingImports]
        from insightface.model_zoo.attribute import Attribute  # pyright: ignore[reportMissingImports]
        from insightface.model_zoo.scrfd import SCRFD  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        missing = "insightface is not installed"
        if error.name is None or error.name.split(".")[0] != "insightface":
            missing = f"insightface cannot be imported ({error})"
        raise ModelFileError(missing, f"Run: {install_command('--insightface')}") from error
    return SCRFD, ArcFaceONNX, Attribute
