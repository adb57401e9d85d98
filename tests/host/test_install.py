"""install.py: exactly one onnxruntime and one OpenCV, on every kind of machine, and nothing else moved."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

EVERYTHING = "FACECHAIN_INSTALL_TEST"  # set to 1: installs insightface too, about 200 MB


@pytest.fixture(scope="module")
def install(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("facechain_install", root / "install.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


# --- what is decided ---


@pytest.mark.parametrize(
    ("have", "cuda", "remove", "wanted"),
    [
        ({}, None, (), "onnxruntime>=1.17"),
        ({}, 11, (), "onnxruntime-gpu>=1.17,<1.19"),
        ({}, 12, (), "onnxruntime-gpu>=1.19,<1.27"),
        ({}, 13, (), "onnxruntime-gpu>=1.27"),
        ({}, 14, (), "onnxruntime-gpu>=1.27"),
        ({"onnxruntime": "1.20.0"}, None, (), ""),
        ({"onnxruntime-gpu": "1.20.0"}, None, (), ""),
        ({"onnxruntime-gpu": "1.20.0"}, 12, (), ""),
        ({"onnxruntime-gpu": "1.20.0"}, 13, ("onnxruntime-gpu",), "onnxruntime-gpu>=1.27"),
        ({"onnxruntime": "1.20.0"}, 12, ("onnxruntime",), "onnxruntime-gpu>=1.19,<1.27"),
        ({"onnxruntime-directml": "1.20.0"}, None, (), ""),
        ({"onnxruntime": "1.2", "onnxruntime-gpu": "1.20.0"}, 12, ("onnxruntime",), "onnxruntime-gpu==1.20.0"),
        ({"onnxruntime": "1.21.0", "onnxruntime-gpu": "1.2"}, None, ("onnxruntime-gpu",), "onnxruntime==1.21.0"),
        (
            {"onnxruntime": "1.21.0", "onnxruntime-directml": "1.2"},
            None,
            ("onnxruntime",),
            "onnxruntime-directml==1.2",
        ),
    ],
)
def test_one_onnxruntime_for_each_machine(
    install: ModuleType, have: dict[str, str], cuda: int | None, remove: tuple[str, ...], wanted: str
) -> None:
    plan = install.runtime_plan(have, cuda)
    assert (plan.remove, plan.install) == (remove, wanted)
    assert plan.afresh == (len(have) == 2)  # shared files were overwritten, and go with what is removed
    assert plan.why


@pytest.mark.parametrize(
    ("have", "has_cv2", "headless", "remove", "wanted"),
    [
        ({}, False, True, (), "opencv-python-headless"),
        ({}, False, False, (), "opencv-python"),
        ({}, True, True, (), ""),
        ({"opencv-contrib-python": "4.12"}, True, True, (), ""),
        (
            {"opencv-python": "4.11", "opencv-contrib-python": "4.12"},
            True,
            True,
            ("opencv-python",),
            "opencv-contrib-python==4.12",
        ),
    ],
)
def test_one_opencv(
    install: ModuleType, have: dict[str, str], has_cv2: bool, headless: bool, remove: tuple[str, ...], wanted: str
) -> None:
    plan = install.opencv_plan(have, has_cv2, headless)
    assert (plan.remove, plan.install) == (remove, wanted)


def test_a_mac_has_no_cuda(install: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install.sys, "platform", "darwin")
    assert install.torch_cuda() is None


def test_requirements_name_neither_onnxruntime_nor_opencv(root: Path, install: ModuleType) -> None:
    """Nor does any package they name, as far as the tests' environment tells."""
    import importlib.metadata as metadata

    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = {line.split(">=")[0] for line in lines if line and not line.startswith("#")}
    assert names == {"peft"}
    seen: set[str] = set()
    while names - seen:
        name = (names - seen).pop()
        seen.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        names |= {need.split(";")[0].split()[0].rstrip("<>=!~0123456789.,") for need in needs if "extra ==" not in need}
    assert not seen & {*install.RUNTIMES, *install.OPENCV}
    assert len(seen) > 10


# --- what is done, in new environments ---

PROBE = """
import importlib.metadata as m, json, onnxruntime
names = sorted((d.metadata["Name"].lower(), d.version) for d in m.distributions())
session = onnxruntime.get_available_providers()
print(json.dumps({"names": dict(names), "providers": session}))
"""


@pytest.fixture()
def environment(tmp_path: Path) -> Callable[..., Path]:
    """Makes a new virtual environment in which the named packages seem to be installed; returns its Python."""

    def make(**packages: str) -> Path:
        folder = tmp_path / "venv"
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        done = subprocess.run([python, "-c", "import site; print(site.getsitepackages()[-1])"], capture_output=True)
        site = Path(done.stdout.decode().strip())
        for name, version in packages.items():
            about = site / f"{name}-{version}.dist-info"
            about.mkdir()
            words = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
            (about / "METADATA").write_text(words)
            (about / "RECORD").write_text(f"{about.name}/METADATA,,\n{about.name}/RECORD,,\n")
        (site / "torch.py").write_text(
            "import os\nclass version: cuda, hip = os.environ.get('TORCH_CUDA'), None\n"
            "class cuda: is_available = staticmethod(lambda: bool(version.cuda))\n"
        )
        return python

    return make


def run(python: Path, root: Path, *options: str, cuda: str = "") -> str:
    surroundings = {**os.environ, "TORCH_CUDA": cuda, "PIP_NO_INPUT": "1"}
    command = [str(python), str(root / "install.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def found(python: Path) -> dict:
    done = subprocess.run([python, "-c", PROBE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_new_environment_gets_one_runtime_and_a_broken_one_is_mended(
    environment: Callable[..., Path], root: Path, install: ModuleType
) -> None:
    python = environment(torch="2.5.0", peft="0.17.0")
    nvidia = run(python, root, "--dry-run", cuda="12.8")
    assert "pip install onnxruntime-gpu>=1.19,<1.27" in nvidia and "uninstall" not in nvidia
    run(python, root)
    state = found(python)
    assert [name for name in install.RUNTIMES if name in state["names"]] == ["onnxruntime"]
    assert state["names"]["torch"] == "2.5.0" and state["names"]["peft"] == "0.17.0"
    assert "is installed and stays" in run(python, root)
    swapped = run(python, root, "--dry-run", cuda="12.8")
    assert swapped.index("uninstall --yes onnxruntime") < swapped.index("install onnxruntime-gpu>=1.19,<1.27")
    # another pack brings the second one, which shares the first one's files; pip takes them away with it
    site = next((python.parents[1]).glob("**/onnxruntime/__init__.py")).parents[1]
    second = site / "onnxruntime_gpu-1.20.0.dist-info"
    second.mkdir()
    (second / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.20.0\n")
    own = "".join(f"{second.name}/{name},,\n" for name in ("METADATA", "RECORD", "INSTALLER"))
    (second / "RECORD").write_text(f"onnxruntime/__init__.py,,\n{own}")
    (second / "INSTALLER").write_text("pip\n")
    run(python, root)
    mended = found(python)
    assert mended["names"] == state["names"] and "CPUExecutionProvider" in mended["providers"]


# --- what the commands for each kind of machine would bring, resolved for that machine without installing it ---

LINUX, MAC = "x86_64-manylinux_2_28", "aarch64-apple-darwin"


def resolved(platform: str, requirements: list[str], *options: str) -> set[str]:
    """Names of the distributions that these requirements bring on that platform, by uv, which knows their markers."""
    import uv

    command = [uv.find_uv_bin(), "pip", "compile", "-", "--python-platform", platform, "--python-version", "3.12"]
    command += ["--no-header", "--no-annotate", "--only-binary", ":all:", *options]
    if index := os.environ.get("PIP_INDEX_URL"):
        command += ["--default-index", index]
    done = subprocess.run(command, input="\n".join(requirements), capture_output=True, text=True)
    if done.returncode and re.search("failed to fetch|connect|dns|network", done.stderr, re.IGNORECASE):
        pytest.skip(f"the package index cannot be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return {line.split("==")[0] for line in done.stdout.splitlines() if "==" in line}


@pytest.mark.parametrize(
    ("platform", "cuda", "runtime", "opencv"),
    [
        (LINUX, None, "onnxruntime", "opencv-python-headless"),
        (LINUX, 12, "onnxruntime-gpu", "opencv-python-headless"),
        (MAC, None, "onnxruntime", "opencv-python"),
    ],
    ids=["cpu", "nvidia", "macos"],
)
def test_insightface_brings_no_second_runtime_or_opencv(
    install: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    platform: str,
    cuda: int | None,
    runtime: str,
    opencv: str,
) -> None:
    """What `install.py --insightface` says it would do in an environment that has torch alone is resolved for the
    machine it is for. The asking of that machine (system, card, cv2) is replaced, since this one is another."""
    monkeypatch.setattr(install, "installed", lambda: {"torch": "2.5.0"})
    monkeypatch.setattr(install, "torch_cuda", lambda: cuda)
    monkeypatch.setattr(install.Pip, "exists", lambda self, requirement: True)  # resolving shows it below
    monkeypatch.setattr(install.sys, "platform", {LINUX: "linux", MAC: "darwin"}[platform])
    monkeypatch.setattr(install, "has_opengl", lambda: False)
    real = importlib.util.find_spec
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: None if name == "cv2" else real(name))
    install.main(["--insightface", "--dry-run"])
    monkeypatch.undo()
    said = capsys.readouterr().out
    commands = [line.split(" pip install ")[1] for line in said.splitlines() if " pip install " in line]
    assert commands and "uninstall" not in said
    wanted: list[str] = []
    names: set[str] = set()
    for command in commands:
        if command.startswith("-r "):  # the pack's own, with all that they bring: tested above
            continue
        if command.startswith("--no-deps "):
            names |= resolved(platform, [command.removeprefix("--no-deps ")], "--no-deps")
        else:
            wanted += command.split()
    names |= resolved(platform, wanted)
    assert {"insightface", "onnx", "scikit-image"} <= names
    assert [name for name in (*install.RUNTIMES, *install.OPENCV) if name in names] == [runtime, opencv]


def test_pip_alone_would_bring_second_ones(install: ModuleType) -> None:
    """Why the commands are as they are: what insightface asks for, beside what an NVIDIA user with OpenCV has."""
    names = resolved(LINUX, ["insightface>=2.1", "onnxruntime-gpu>=1.19,<1.27", "opencv-python-headless"])
    assert {"onnxruntime", "onnxruntime-gpu", "opencv-python", "opencv-python-headless"} <= names


@pytest.mark.skipif(os.environ.get(EVERYTHING) != "1", reason=f"installs 200 MB; set {EVERYTHING}=1 to run it")
def test_insightface_is_imported_in_a_new_environment(
    environment: Callable[..., Path], root: Path, install: ModuleType
) -> None:
    python = environment(torch="2.5.0", peft="0.17.0")
    run(python, root, "--insightface")
    names = found(python)["names"]
    assert [name for name in install.RUNTIMES if name in names] == ["onnxruntime"]
    assert len([name for name in install.OPENCV if name in names]) == 1
    code = "import cv2, insightface; from insightface.model_zoo.scrfd import SCRFD; print(insightface.__version__)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
