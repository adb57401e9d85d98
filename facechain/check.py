"""What is there to work with: device, memory, face engines, model files; and what to do where something is missing."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import onnx
from .errors import FaceChainError
from .faces.insightface_files import find_pack
from .installing import PACK, download_command, install_command
from .models import presence
from .models.catalog import EMBEDDED, ModelFile, catalog

_PROBE = onnx.EMBEDDED / "selfie_segmentation.onnx"  # the smallest network: shows what onnxruntime really runs on
_WEIGHTS = {".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".sft"}
_MARKS = {True: "ok", False: "--"}


@dataclass(frozen=True)
class Machine:
    """What ComfyUI runs on.

    device: "cuda", "cpu", "mps" and so on, with the name of the card.
    nvidia: whether it is an NVIDIA card that is used with CUDA.
    ram, vram: bytes in all and free bytes; where there is no card, vram is zero for both.
    torch: its version.
    """

    device: str
    name: str
    nvidia: bool
    ram: tuple[int, int]
    vram: tuple[int, int]
    torch: str


def system_check(
    machine: Machine,
    folders: Callable[[str], Sequence[Path]],
    insightface_roots: Sequence[Path],
    read_files: bool = False,
    tell: Callable[[int], None] = lambda read: None,
) -> dict[str, Any]:
    """The report, as plain values that JSON can hold.

    folders: of a kind of models ("controlnet", "insightface/models/buffalo_l"), first one first. insightface_roots: as
    faces.engine() takes them. read_files: compare the sha256 of model files, which takes seconds a gigabyte; tell is
    called with the bytes of each block read, and may raise to cancel.
    """
    engines = [_embedded(machine), _insightface(machine, insightface_roots)]
    found = [presence.look(file, _places(file, folders), read_files, tell) for file in catalog()]
    counts = {kind: _count(folders(kind)) for kind in ("checkpoints", "controlnet", "loras")}
    ready = {
        "faces": engines[0]["ready"] and all(f.state == presence.THERE for f in found if f.file.group == EMBEDDED),
        "portraits": counts["checkpoints"] > 0,
        "pose": counts["controlnet"] > 0,
        "insightface": engines[1]["ready"],
    }
    return {
        "version": version(),
        "ready": ready,
        "machine": {
            "device": machine.device,
            "name": machine.name,
            "vram_total": machine.vram[0],
            "vram_free": machine.vram[1],
            "ram_total": machine.ram[0],
            "ram_free": machine.ram[1],
            "torch": machine.torch,
            "python": sys.version.split()[0],
        },
        "engines": engines,
        "counts": counts,
        "models": [_as_entry(one) for one in found],
        "todo": [*_todo(ready, engines, found)],
    }


def version() -> str:
    """Of the pack, as its pyproject.toml has it; "" where that file is absent."""
    project = PACK / "pyproject.toml"
    found = re.search(r'^version = "(.+)"', project.read_text(encoding="utf-8"), re.M) if project.is_file() else None
    return found[1] if found else ""


def as_text(report: dict[str, Any]) -> str:
    """The report for people: what works, on what, which files are there, what to do next."""
    ready, machine = report["ready"], report["machine"]
    lines = [f"FaceChain {report['version']}", ""]
    jobs = {
        "faces": "finding and recognising faces, fusion, ranking",
        "portraits": "training and portraits (needs a checkpoint)",
        "pose": "poses (needs a ControlNet)",
        "insightface": "the engine 'insightface' (optional)",
    }
    lines += [f"{_MARKS[ready[key]]}  {what}" for key, what in jobs.items()]
    lines += ["", f"device: {machine['name']} ({machine['device']}), torch {machine['torch']}"]
    if machine["vram_total"]:
        lines.append(f"graphics memory: {_gigabytes(machine['vram_free'])} of {_gigabytes(machine['vram_total'])} free")
    lines.append(f"memory: {_gigabytes(machine['ram_free'])} of {_gigabytes(machine['ram_total'])} free")
    lines += [f"engine {e['name']}: {e['provider'] or e['problem']}" for e in report["engines"]]
    lines += ["", *_groups(report["models"]), f"to download a group: {download_command()} GROUP"]
    differing = [m for m in report["models"] if m["state"] == presence.DIFFERENT]
    lines += [f"differs from the published file: {m['folder']}/{m['file']} ({m['why']})" for m in differing]
    lines += ["", "What to do next:" if report["todo"] else "Nothing to do."]
    return "\n".join([*lines, *(f"- {step}" for step in report["todo"])])


def _embedded(machine: Machine) -> dict[str, Any]:
    """The engine that comes with the pack, tried for real."""
    entry = {"name": "embedded", "ready": False, "provider": "", "problem": "", "todo": ""}
    try:
        entry |= {"ready": True, "provider": onnx.provider(_PROBE)}
    except FaceChainError as error:
        entry |= {"ready": False, "problem": error.message, "todo": error.remedy}
    return entry


def _insightface(machine: Machine, roots: Sequence[Path]) -> dict[str, Any]:
    """The optional engine: its package, its models, and what onnxruntime would run it on."""
    entry = {"name": "insightface", "ready": False, "provider": "", "problem": "", "todo": ""}
    try:
        pack = find_pack(roots)
    except FaceChainError as error:
        return entry | {"problem": error.message, "todo": error.remedy}
    if importlib.util.find_spec("insightface") is None:
        return entry | {"problem": "insightface is not installed", "todo": f"Run: {install_command('--insightface')}"}
    try:
        provider = onnx.provider(_PROBE, gpu=machine.nvidia)
    except FaceChainError as error:
        return entry | {"problem": error.message, "todo": error.remedy}
    slow = onnx.fallback_warning() if machine.nvidia and provider == onnx.CPU else ""
    return entry | {"ready": True, "provider": f"{provider}, pack {pack.name}", "problem": slow, "todo": slow}


def _places(file: ModelFile, folders: Callable[[str], Sequence[Path]]) -> Sequence[Path]:
    return [onnx.EMBEDDED] if file.group == EMBEDDED else folders(file.folder)


def _count(folders: Sequence[Path]) -> int:
    return sum(path.suffix.lower() in _WEIGHTS for folder in folders for path in folder.rglob("*") if path.is_file())


def _as_entry(one: presence.Found) -> dict[str, Any]:
    file = one.file
    entry = {"file": file.file, "folder": file.folder, "group": file.group, "state": one.state, "why": one.why}
    return entry | {"what": file.what, "licence": file.licence, "verifiable": bool(file.sha256)}


def _todo(ready: dict[str, bool], engines: list[dict[str, Any]], found: list[presence.Found]) -> list[str]:
    steps = [engines[0]["todo"]] if engines[0]["todo"] else []
    for one in found:
        if one.file.group == EMBEDDED and one.state != presence.THERE:
            steps.append(f"{one.file.file} of the pack is {one.state}: install the pack again")
    if not ready["portraits"]:
        steps.append(
            f"Put a Stable Diffusion 1.5 checkpoint into models/checkpoints, or run: {download_command('base')}"
        )
    if not ready["pose"]:
        steps.append(f"For Pose Control, run: {download_command('pose')}")
    if engines[1]["ready"] and engines[1]["todo"]:
        steps.append(engines[1]["todo"])
    steps += [
        f"{one.file.folder}/{one.file.file} is another file than the published one ({one.why}): if it does not work, "
        "move it away and download it again"
        for one in found
        if one.state == presence.DIFFERENT and one.file.group != EMBEDDED
    ]
    return steps


def _groups(models: list[dict[str, Any]]) -> list[str]:
    """One line a group of the catalogue: how many of its files are there."""
    lines = []
    for group in dict.fromkeys(model["group"] for model in models):
        states = [model["state"] for model in models if model["group"] == group]
        there = sum(state != presence.MISSING for state in states)
        lines.append(f"models '{group}': {there} of {len(states)} there")
    return lines


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
