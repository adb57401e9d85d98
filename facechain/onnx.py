"""Running ONNX files: sessions that are made once and shared, with errors a user can act on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import ModelFileError
from .installing import install_command
from .lack_of_memory import pass_on
from .threads import cores

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

EMBEDDED = Path(__file__).resolve().parent.parent / "models" / "embedded"
_LARGE = 30_000_000  # bytes of a file
_MAX_THREADS = 4  # of smaller nets: more threads wait for each other longer than they work
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
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


def fallback_warning() -> str:
    """For people: networks that were to use the NVIDIA card run on the CPU, why, and what to do."""
    offers = CUDA in _onnxruntime().get_available_providers()
    why = (
        "its CUDA libraries do not load (see the log)" if offers else "the installed onnxruntime is built without CUDA"
    )
    return (
        f"onnxruntime runs on the CPU although this machine has an NVIDIA card: {why}. "
        f"It works, but slowly. Run: {install_command()}"
    )


def forget_sessions() -> None:
    """Free all networks; the next use loads them again."""
    with _lock:
        _sessions.clear()


def _open(path: Path, gpu: bool) -> InferenceSession:
    if not path.is_file():
        raise ModelFileError(f"the model file {path} is missing", _remedy(path))
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = _threads(path)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin while idle would take the cores from torch between two faces.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    offered = ort.get_available_providers()
    providers = [name for name in ([CUDA, CPU] if gpu else [CPU]) if name in offered]
    if CUDA in providers and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # finds the CUDA libraries that torch brought
    try:
        return ort.InferenceSession(str(path), sess_options=options, providers=providers)
    except _load_errors() as error:
        pass_on(error)
        raise ModelFileError(f"the model file {path} is damaged ({str(error)[:200]})", _remedy(path)) from error


def _onnxruntime():
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelFileError(
            f"onnxruntime cannot be imported ({error})",
            f"Run: {install_command()}",
        ) from error
    return onnxruntime


def _load_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises for a file that it cannot read; plain children of Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # pyright: ignore[reportAttributeAccessIssue]

    return (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)


def _threads(path: Path) -> int:
    """Threads for one run of a network."""
    return cores() if path.stat().st_size >= _LARGE else min(_MAX_THREADS, cores())


def _remedy(path: Path) -> str:
    if EMBEDDED in path.parents or EMBEDDED in path.resolve().parents:
        return "It is part of the FaceChain pack: install the pack again, or run 'git checkout -- models' in its folder"
    return f"Download it again into {path.parent}"
