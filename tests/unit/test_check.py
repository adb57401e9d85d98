"""The system check: what it finds, and that each gap comes with a step that can be taken."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from facechain import check, onnx
from facechain.models import presence

CPU = check.Machine("cpu", "cpu", False, (16_000_000_000, 8_000_000_000), (0, 0), "2.9.0")
CARD = check.Machine("cuda", "NVIDIA A", True, CPU.ram, (24_000_000_000, 20_000_000_000), "2.9.0")


def report_of(models: Path, machine: check.Machine = CPU, **how: Any) -> dict[str, Any]:
    return check.system_check(machine, lambda kind: [models / kind], [models / "insightface"], **how)


def put(models: Path, file: str, size: int = 10) -> None:
    (models / file).parent.mkdir(parents=True, exist_ok=True)
    (models / file).write_bytes(b"\0" * size)


def test_an_empty_comfyui_gets_the_steps_to_take(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    assert report["ready"] == {"faces": True, "portraits": False, "pose": False, "insightface": False}
    assert report["engines"][0] == {
        "name": "embedded",
        "ready": True,
        "provider": "CPUExecutionProvider",
        "problem": "",
        "todo": "",
    }
    assert [step.split("run: ")[1].split()[-1] for step in report["todo"]] == ["base", "pose"]
    assert all(sys.executable in step and "download_models.py" in step for step in report["todo"])
    text = check.as_text(report)
    assert "ok  finding and recognising faces" in text and "--  training and portraits" in text
    assert "models 'embedded': 7 of 7 there" in text
    assert "memory: 8.0 GB of 16.0 GB free" in text and "graphics memory" not in text
    assert all(f"- {step}" in text for step in report["todo"])
    assert json.loads(json.dumps(report)) == report


def test_any_checkpoint_and_any_controlnet_do(tmp_path: Path) -> None:
    put(tmp_path, "checkpoints/more/my_own.ckpt")
    put(tmp_path, "controlnet/pose.safetensors")
    put(tmp_path, "loras/readme.txt")
    report = report_of(tmp_path, CARD)
    assert report["ready"]["portraits"] and report["ready"]["pose"]
    assert report["counts"] == {"checkpoints": 1, "controlnet": 1, "loras": 0}
    assert report["todo"] == []
    assert "graphics memory: 20.0 GB of 24.0 GB free" in check.as_text(report)
    assert check.as_text(report).endswith("Nothing to do.")


def test_reading_large_files_can_be_cancelled(tmp_path: Path) -> None:
    put(tmp_path, "controlnet/control_v11p_sd15_inpaint_fp16.safetensors", 9_000_000)
    read: list[int] = []

    def cancel_in_the_midst(count: int) -> None:
        read.append(count)
        if len(read) == 2:
            raise KeyError("cancelled")

    with pytest.raises(KeyError, match="cancelled"):
        report_of(tmp_path, read_files=True, tell=cancel_in_the_midst)
    assert sum(read) < 9_000_000
    report_of(tmp_path, tell=lambda _: pytest.fail("nothing is read unless asked for"))


def test_a_file_that_differs_from_the_published_one_is_told(tmp_path: Path) -> None:
    put(tmp_path, "checkpoints/v1-5-pruned-emaonly-fp16.safetensors")
    put(tmp_path, "controlnet/control_v11p_sd15_inpaint_fp16.safetensors")  # its length is not published, its hash is
    quick, thorough = report_of(tmp_path), report_of(tmp_path, read_files=True)
    states = [{m["file"]: m["state"] for m in report["models"]} for report in (quick, thorough)]
    assert [s["v1-5-pruned-emaonly-fp16.safetensors"] for s in states] == [presence.DIFFERENT] * 2
    inpaint = [s["control_v11p_sd15_inpaint_fp16.safetensors"] for s in states]
    assert inpaint == [presence.UNVERIFIED, presence.DIFFERENT]
    assert len(thorough["todo"]) == len(quick["todo"]) + 1
    assert "it has 10 bytes" in check.as_text(quick)


def test_insightface_names_what_is_missing_first_models_then_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there are no insightface models" in report_of(tmp_path)["engines"][1]["problem"]
    put(tmp_path, "insightface/models/buffalo_l/det_10g.onnx")
    find_spec = check.importlib.util.find_spec
    monkeypatch.setattr(check.importlib.util, "find_spec", lambda name: None)
    engine = report_of(tmp_path)["engines"][1]
    assert engine["problem"] == "insightface is not installed" and "install.py --insightface" in engine["todo"]
    monkeypatch.setattr(check.importlib.util, "find_spec", lambda name: find_spec("json"))
    report = report_of(tmp_path)
    assert report["engines"][1]["provider"] == "CPUExecutionProvider, pack buffalo_l"
    assert report["ready"]["insightface"]


def test_an_nvidia_machine_on_the_cpu_is_warned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "insightface/models/buffalo_l/det_10g.onnx")
    find_spec = check.importlib.util.find_spec
    monkeypatch.setattr(check.importlib.util, "find_spec", lambda name: find_spec("json"))
    report = report_of(tmp_path, CARD)
    if report["engines"][1]["provider"].startswith("CUDA"):
        pytest.skip("this machine has CUDA, so there is nothing to warn of")
    assert any("although this machine has an NVIDIA card" in step for step in report["todo"])


def test_a_missing_network_of_the_pack_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "EMBEDDED", tmp_path / "none")
    monkeypatch.setattr(check, "_PROBE", tmp_path / "none" / "a.onnx")
    report = report_of(tmp_path)
    assert not report["ready"]["faces"]
    assert "is missing" in report["engines"][0]["problem"]
    assert any("of the pack is missing: install the pack again" in step for step in report["todo"])


def test_the_version_is_that_of_the_project(root: Path) -> None:
    assert f'version = "{check.version()}"' in (root / "pyproject.toml").read_text(encoding="utf-8")
