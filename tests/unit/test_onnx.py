"""Sessions are shared, and their errors name the file and the cure."""

from __future__ import annotations

import builtins
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from facechain import onnx
from facechain.errors import ModelFileError

MODEL = onnx.EMBEDDED / "selfie_segmentation.onnx"


def test_a_file_is_loaded_once_by_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.forget_sessions()
    loads: list[Path] = []
    real = onnx._open
    monkeypatch.setattr(onnx, "_open", lambda path, gpu: loads.append(path) or real(path, gpu))
    sessions: list[Any] = []
    threads = [threading.Thread(target=lambda: sessions.append(onnx.session(MODEL))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [MODEL]
    assert len({id(session) for session in sessions}) == 1


def test_small_nets_run_on_the_cpu_and_say_so() -> None:
    assert onnx.provider(MODEL) == "CPUExecutionProvider"


def test_a_gpu_that_is_not_there_falls_back_to_the_cpu_and_says_why() -> None:
    import onnxruntime

    if onnx.CUDA in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime is the one for NVIDIA cards")
    assert onnx.provider(MODEL, gpu=True) == "CPUExecutionProvider"
    assert "built without CUDA" in onnx.fallback_warning() and "install.py" in onnx.fallback_warning()


def test_the_error_for_a_missing_file_has_its_path_and_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "det_10g.onnx"
    with pytest.raises(ModelFileError) as caught:
        onnx.session(path)
    assert str(path) in str(caught.value) and "missing" in str(caught.value)
    assert f"Download it again into {tmp_path}" in caught.value.remedy


def test_a_missing_file_of_the_pack_points_to_the_pack() -> None:
    with pytest.raises(ModelFileError, match=r"part of the FaceChain pack"):
        onnx.session(onnx.EMBEDDED / "absent.onnx")


@pytest.mark.parametrize("keep", [0, 40, 100_000])
def test_a_damaged_file_is_named(tmp_path: Path, keep: int) -> None:
    """Empty, or a download that broke off."""
    path = tmp_path / "broken.onnx"
    path.write_bytes(MODEL.read_bytes()[:keep])
    with pytest.raises(ModelFileError, match=r"broken\.onnx is damaged"):
        onnx.session(path)


def test_a_mended_file_works_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(ModelFileError):
        onnx.session(path)
    shutil.copyfile(MODEL, path)
    assert onnx.session(path).get_inputs()[0].shape == [1, 256, 256, 3]


def test_without_onnxruntime_the_error_has_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.forget_sessions()
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("onnxruntime"):
            raise ImportError("No module named 'onnxruntime'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelFileError, match=r"Run: .*install\.py"):
        onnx.session(MODEL)
