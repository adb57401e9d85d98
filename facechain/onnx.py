"""Running ONNX files: sessions that are made once and shared, with errors a user can act on."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import ModelFileError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

EMBEDDED = Path(__file__).resolve().parent.parent / "models" / "embedded"
_MAX_THREADS = 4  # the nets are small: more threads wait for each other longer than they work
_lock = threading.Lock()
_sessions: dict[tuple[Path, bool], InferenceSession] = {}


def session(path: Path, *, gpu: bool = False) -> InferenceSession:
    """The session of an ONNX file, made at the first call and shared by all threads from then on.

    gpu: use CUDA where onnxruntime offers it. Worth it for large nets alone; the embedded
    ones take milliseconds on the CPU, less than the way to the card and back.
    Raises ModelFileError when the file is absent or damaged, or onnxruntime is not installed.
    """
    key = (path.resolve(), gpu)
    with _lock:
        if key not in _sessions:
            _sessions[key] = _open(path, gpu)
        return _sessions[key]


def run(path: Path, image: np.ndarray) -> list[np.ndarray]:
    """All outputs of a net with one input, on the CPU. image: [H, W, 3] float32, without the batch axis."""
    net = session(path)
    return [np.asarray(out) for out in net.run(None, {net.get_inputs()[0].name: image[None]})]


def provider(path: Path, *, gpu: bool = False) -> str:
    """What the file really runs on: "CPUExecutionProvider" or "CUDAExecutionProvider"."""
    return session(path, gpu=gpu).get_providers()[0]


def forget_sessions() -> None:
    """Free all networks; the next use loads them again."""
    with _lock:
        _sessions.clear()


def _open(path: Path, gpu: bool) -> InferenceSession:
    if not path.is_file():
        raise ModelFileError(f"the model file {path} is missing", _remedy(path))
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin while idle would take the cores from torch between two faces.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = ["CUDAExecutionProvider"] if gpu else []
    offered = ort.get_available_providers()
    providers = [name for name in [*wanted, "CPUExecutionProvider"] if name in offered]
    try:
        return ort.InferenceSession(str(path), sess_options=options, providers=providers)
    except _load_errors() as error:
        raise ModelFileError(f"the model file {path} is damaged ({str(error)[:200]})", _remedy(path)) from error


def _onnxruntime():
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelFileError(
            f"onnxruntime cannot be imported ({error})",
            "Install it into ComfyUI's Python: python -m pip install onnxruntime",
        ) from error
    return onnxruntime


def _load_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises for a file that it cannot read; plain children of Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # pyright: ignore[reportAttributeAccessIssue]

    return (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)


def _threads() -> int:
    """Up to _MAX_THREADS, fewer where the machine or OMP_NUM_THREADS says so."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    limit = int(wanted) if wanted.isdigit() and int(wanted) > 0 else _MAX_THREADS
    return max(1, min(limit, _MAX_THREADS, os.cpu_count() or 1))


def _remedy(path: Path) -> str:
    if EMBEDDED in path.parents or EMBEDDED in path.resolve().parents:
        return "It is part of the FaceChain pack: install the pack again, or run 'git checkout -- models' in its folder"
    return f"Download it again into {path.parent}"
