"""How long the three jobs take on a whole-size model, and how much memory of the card: a training, portraits, a group photo.

    python3 benchmarks/whole_jobs.py [--family "SD 1.5"|SDXL] [--photos FOLDER] [--photos2 FOLDER] [--template PICTURE]
                                     [--jobs train_person trained_portrait ...] [--server-args --lowvram ...]

The shipped workflows, as they are, through the API of a server of its own. The checkpoint has random weights in
float16: loading, training and drawing take what they take with real ones, but no face is drawn, so that fusing and
ranking the portraits is hardly any work (benchmarks/fusion.py measures that); the group photo's faces are the
template's where what was drawn anew shows none. Told: seconds by node, the sum, and the most memory in use on the card
above what was in use before (nvidia-smi, five times a second).

One NVIDIA H200 with 16 CPU cores, SD 1.5, three photos a person, preset `balanced`: the first training after the server's start
37 and 42 s (two runs; 6.9 GB), the second person's 26.5 s (17.9 of them 600 steps); four portraits of 512 px in 30 steps,
the first after the start, 7.1 and 9.3 s (6.0 GB); the group photo of two people without their trainings 7.5 s (3.3 GB).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benchmarks")]

import comfy_host  # noqa: E402

CHECKPOINT = "whole_size.safetensors"
JOBS = ["train_person", "trained_portrait", "group_photo"]
SIDES = {"SD 1.5": 512, "SDXL": 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=list(SIDES), default="SD 1.5")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--photos2", type=Path)
    parser.add_argument("--template", type=Path)
    parser.add_argument("--jobs", nargs="+", default=JOBS)
    parser.add_argument("--server-args", nargs=argparse.REMAINDER, default=[])
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    host = comfy_host.prepare()
    comfy_host.reenter(host)
    if arguments.make:
        return make_checkpoint(host, arguments.family, arguments.make)
    with tempfile.TemporaryDirectory(prefix="facechain-jobs-") as folder:
        base = Path(folder)
        comfy_host.lay_out(base)
        target = base / "models" / "checkpoints" / CHECKPOINT
        own = [sys.executable, __file__, "--family", arguments.family, "--make", str(target)]
        subprocess.run(own, check=True, stdout=subprocess.DEVNULL)
        log = base / "server.log"
        more = tuple(arguments.server_args)
        with _card() as used, comfy_host.Server(host, log=log, base=base, extra_args=more) as server:
            _measure(server, base, arguments, used)


def make_checkpoint(host: comfy_host.ComfyHost, family: str, path: Path) -> None:
    """A checkpoint file with random weights in float16, in the layout of the family's own."""
    from train import prepare_comfy

    prepare_comfy(host.comfy, ["--cpu"])
    import comfy.utils
    import torch
    import whole_size

    with torch.inference_mode():
        model, clip, vae = (
            whole_size.make_model(family, torch.float16),
            whole_size.make_clip(family),
            whole_size.make_vae(),
        )
        tensors = model.model.state_dict_for_saving(clip.get_sd(), vae.get_sd(), None)
        comfy.utils.save_torch_file({key: value.half().contiguous() for key, value in tensors.items()}, str(path))


def _measure(server: comfy_host.Server, base: Path, arguments: argparse.Namespace, used: list[float]) -> None:
    from comfy_client import ComfyClient
    from demo_jobs import Choices, inputs, workflow

    client, side = ComfyClient(server.url), SIDES[arguments.family]
    pictures = inputs(base, arguments.photos, arguments.photos2, arguments.template)
    uploads = {name: [client.upload(picture, name) for picture in found] for name, found in pictures.items()}
    settings = {"EmptyLatentImage": {"width": side, "height": side}, "FaceChain_Preprocess": {"size": str(side)}}
    settings["FaceChain_LoadPerson"] = {"name": "person 1"}
    known: set[Path] = set()
    for name in arguments.jobs:
        prompt = workflow(name, Choices(CHECKPOINT, settings, faces="1, 2"), uploads)
        idle, begun = min(used, default=0.0), time.monotonic()
        used.clear()
        result = client.run(prompt)
        whole = time.monotonic() - begun
        seconds: dict[str, float] = {}
        for node, took in result.seconds.items():
            kind = prompt[node.split(".")[0]]["class_type"]  # a node may work by others, whose names begin with its own
            seconds[kind] = round(seconds.get(kind, 0.0) + took, 2)
        peak = round(max(used, default=0.0) - idle, 2)
        print(
            json.dumps({"job": name, "seconds": round(whole, 1), "peak_gb_above_idle": peak, "nodes": seconds}),
            flush=True,
        )
        for report in _reports(base, known):
            print(json.dumps(report), flush=True)


def _reports(base: Path, known: set[Path]) -> Iterator[dict[str, Any]]:
    """Phases of the trainings that are not told yet, from the LoRA files."""
    from safetensors import safe_open

    for path in sorted(set((base / "models" / "loras").rglob("*.safetensors")) - known):
        known.add(path)
        with safe_open(path, framework="numpy") as file:
            told = json.loads((file.metadata() or {})["facechain"])["report"]
        yield {"lora": path.name, "steps": told.get("steps"), "seconds": told.get("seconds")}


@contextmanager
def _card() -> Iterator[list[float]]:
    """GB in use on the first card, measured over and over until the end; stays empty without one."""
    used: list[float] = []
    ended = threading.Event()
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"]

    def look() -> None:
        while not ended.wait(0.2):
            found = subprocess.run(command, capture_output=True, text=True)
            used.append(float(found.stdout) / 1024)

    watcher = threading.Thread(target=look, daemon=True)
    if shutil.which("nvidia-smi"):
        watcher.start()
    try:
        yield used
    finally:
        ended.set()


if __name__ == "__main__":
    main()
