"""Installs what the pack needs into the Python that runs this, with exactly one onnxruntime.

    python install.py                 requirements.txt and the onnxruntime for this machine
    python install.py --insightface   the optional engine 'insightface' as well
    python install.py --dry-run       only say what would be done

ComfyUI-Manager runs it by itself after requirements.txt; nothing runs it at ComfyUI's start.

Two onnxruntime distributions in one environment overwrite each other's files, and so do two of OpenCV: what is left
may lack CUDA, or not load at all. pip cannot see a graphics card, so no requirements file can name the right one.
Here the machine is looked at: NVIDIA cards get onnxruntime-gpu built for the CUDA version of the installed torch,
every other machine the plain onnxruntime; one that is there and fits stays. No other installed package is moved.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import multiprocessing
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PLAIN, GPU = "onnxruntime", "onnxruntime-gpu"
# Builds for other accelerators, which users chose by hand: kept.
SPECIAL = ("onnxruntime-directml", "onnxruntime-rocm", "onnxruntime-migraphx", "onnxruntime-openvino")
SPECIAL += ("onnxruntime-silicon", "onnxruntime-training", "onnxruntime-qnn")
RUNTIMES = (GPU, *SPECIAL, PLAIN)
PLAIN_REQUIREMENT = "onnxruntime>=1.17"
# CUDA version that the wheels of onnxruntime-gpu on PyPI are built for, as their metadata names it.
GPU_REQUIREMENTS = {
    11: "onnxruntime-gpu>=1.17,<1.19",
    12: "onnxruntime-gpu>=1.19,<1.27",
    13: "onnxruntime-gpu>=1.27",
}
# The fuller one first: where several are found, it stays.
OPENCV = (
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "opencv-python",
    "opencv-python-headless",
)
INSIGHTFACE = "insightface>=2.1"  # pure Python; older ones are compiled on the user's machine
# What insightface asks for, without its `onnxruntime` and `opencv-python`, which would come as second ones.
INSIGHTFACE_NEEDS = ["onnx>=1.13", "scikit-image", "scipy", "tqdm", "requests"]


@dataclass(frozen=True)
class Plan:
    """remove: distributions. install: a requirement, "" for none. afresh: its files were overwritten. why: for people."""

    remove: tuple[str, ...] = ()
    install: str = ""
    afresh: bool = False
    why: str = ""


def runtime_plan(installed: Mapping[str, str], cuda: int | None) -> Plan:
    """Which onnxruntime goes and which comes. installed: {distribution: version}; cuda: torch's major version, or None."""
    have = [name for name in RUNTIMES if name in installed]
    wanted = PLAIN_REQUIREMENT if cuda is None else GPU_REQUIREMENTS[min(max(cuda, 11), max(GPU_REQUIREMENTS))]
    if not have:
        return Plan(install=wanted, why="no onnxruntime is installed")
    keep = next((name for name in have if name in SPECIAL), GPU if cuda is not None else PLAIN)
    if keep == PLAIN and have == [GPU]:
        keep = GPU  # runs on a CPU as well
    others = tuple(name for name in have if name != keep)
    if have == [GPU] and cuda is not None and not _fits(installed[GPU], wanted):
        return Plan((GPU,), wanted, why=f"{GPU} {installed[GPU]} is built for another CUDA version than torch ({cuda})")
    if not others:
        return Plan(why=f"{keep} {installed[keep]} is installed and stays")
    if keep not in have:
        return Plan(others, wanted, why=f"{', '.join(others)} cannot use this machine's NVIDIA card")
    exact = f"{keep}=={installed[keep]}"
    return Plan(others, exact, True, f"{', '.join(have)} overwrite each other; {keep} stays")


def _fits(version: str, requirement: str) -> bool:
    """Whether "1.26.0" lies within "name>=1.19,<1.27"."""

    def number(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())

    low, _, high = requirement.split(">=")[1].partition(",<")
    return number(low) <= number(version) and (not high or number(version) < number(high))


def opencv_plan(installed: Mapping[str, str], has_cv2: bool, headless: bool) -> Plan:
    """Which OpenCV goes and which comes. has_cv2: it can be imported, whoever installed it."""
    have = [name for name in OPENCV if name in installed]
    if not have:
        if has_cv2:
            return Plan(why="OpenCV is installed, not by pip, and stays")
        return Plan(install="opencv-python-headless" if headless else "opencv-python", why="no OpenCV is installed")
    if len(have) == 1:
        return Plan(why=f"{have[0]} {installed[have[0]]} is installed and stays")
    exact = f"{have[0]}=={installed[have[0]]}"
    return Plan(tuple(have[1:]), exact, True, f"{', '.join(have)} overwrite each other; {have[0]} stays")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--insightface", action="store_true", help="install the optional engine 'insightface' as well")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--cpu", action="store_true", help="the plain onnxruntime, whatever the machine has")
    device.add_argument("--gpu", action="store_true", help="onnxruntime-gpu, whatever the machine has")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("pip") is None and apart(_module, "ensurepip"):  # made by uv
        raise SystemExit("FaceChain: this environment has no pip, and ensurepip failed (see above)")
    pip = Pip(options.dry_run)
    pip.install(["-r", str(Path(__file__).resolve().with_name("requirements.txt"))])
    cuda = None if options.cpu else torch_cuda()
    if options.gpu and cuda is None:
        cuda = max(GPU_REQUIREMENTS)
    carry_out(runtime_plan(installed(), cuda), pip, instead=PLAIN_REQUIREMENT)
    if options.insightface:
        headless = sys.platform.startswith("linux") and not has_opengl()
        carry_out(opencv_plan(installed(), importlib.util.find_spec("cv2") is not None, headless), pip)
        pip.install(INSIGHTFACE_NEEDS)
        if "insightface" not in installed():
            pip.install(["--no-deps", INSIGHTFACE])
    return 0


def carry_out(plan: Plan, pip: Pip, instead: str = "") -> None:
    """instead: what to install where the planned distribution does not exist for this platform."""
    print(f"FaceChain: {plan.why}", flush=True)
    if not plan.install:
        return
    wanted = plan.install
    if instead and wanted != instead and not pip.exists(wanted):
        print(f"FaceChain: there is no {wanted} for this machine; {instead} is used", flush=True)
        if PLAIN in plan.remove:
            return
        wanted = instead
    if plan.remove:
        pip.uninstall(plan.remove)
    pip.install(["--force-reinstall", "--no-deps", wanted] if plan.afresh else [wanted], without=plan.remove)


class Pip:
    """pip of the running Python, which may add packages but not move those that are installed."""

    def __init__(self, dry_run: bool) -> None:
        self._dry_run = dry_run

    def install(self, words: Sequence[str], without: Sequence[str] = ()) -> None:
        """without: distributions that are being removed, and so bind nothing."""
        have = {name: version for name, version in installed().items() if name not in without}
        with tempfile.TemporaryDirectory() as folder:
            bounds = Path(folder) / "installed.txt"
            bounds.write_text("".join(f"{name}=={version}\n" for name, version in sorted(have.items())))
            self._run(["install", "-c", str(bounds), *words])

    def uninstall(self, names: Sequence[str]) -> None:
        self._run(["uninstall", "--yes", *names])

    def exists(self, requirement: str) -> bool:
        """Whether there is such a distribution for this platform and Python; asks the index, downloads nothing large."""
        words = ["install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet", requirement]
        return apart(_module, "pip", *_PIP, *words, quiet=True) == 0

    def _run(self, words: list[str]) -> None:
        shown = " ".join(word for place, word in enumerate(words) if "-c" not in words[max(0, place - 1) : place + 1])
        print(f"FaceChain: pip {shown}", flush=True)
        if not self._dry_run and apart(_module, "pip", *_PIP, *words):
            raise SystemExit(f"FaceChain: pip failed (see above). Run this again: {sys.executable} {__file__}")


_PIP = ["--disable-pip-version-check"]


def apart(act: Callable[..., None], *words: str, quiet: bool = False) -> int:
    """The exit code of a process of this Python that does nothing but act(*words). quiet: what it prints is not seen.

    pip must not be run twice in one process, and torch stays out of this one.
    """
    target, given = (_quietly, (act, *words)) if quiet else (act, words)
    process = multiprocessing.get_context("spawn").Process(target=target, args=given)
    process.start()
    process.join()
    return process.exitcode or 0


def _quietly(act: Callable[..., None], *words: str) -> None:
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        act(*words)


def _module(name: str, *words: str) -> None:
    """What `python -m name words` does."""
    sys.argv = [name, *words]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def installed() -> dict[str, str]:
    """{distribution: version} of the running Python, names as pip writes them."""
    importlib.invalidate_caches()
    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name and distribution.version:
            found.setdefault(name.lower().replace("_", "-").replace(".", "-"), distribution.version)
    return found


def torch_cuda() -> int | None:
    """Major CUDA version of the installed torch on a machine with an NVIDIA card; None on any other.

    Without a torch that can be imported, the tool that comes with NVIDIA's driver counts, as the newest version.
    """
    if sys.platform == "darwin":
        return None
    if importlib.util.find_spec("torch") is not None:
        code = apart(_end_with_cuda_version, quiet=True)
        if code == 0 or code > 2:  # 1 and 2 are Python's own for a failure, a crash is below 0
            return code or None
    return max(GPU_REQUIREMENTS) if shutil.which("nvidia-smi") else None


def _end_with_cuda_version() -> None:
    """The exit code is torch's major CUDA version, 0 where it cannot use a card of NVIDIA's."""
    import torch

    usable = torch.cuda.is_available() and not torch.version.hip
    raise SystemExit(int(torch.version.cuda.split(".")[0]) if usable and torch.version.cuda else 0)


def has_opengl() -> bool:
    """Whether Linux lists the library that the OpenCV with windows loads."""
    libraries = Path("/etc/ld.so.cache")
    return libraries.is_file() and b"libGL.so.1" in libraries.read_bytes()


if __name__ == "__main__":
    os.environ.setdefault("PIP_NO_INPUT", "1")
    raise SystemExit(main())
