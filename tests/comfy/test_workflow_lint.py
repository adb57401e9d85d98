"""comfy-lint on the graphs in API format, with the node declarations of the real server."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import comfy_host
import pytest
from comfy_client import ComfyClient
from tools_of_others import SCANNERS, python_tool

pytestmark = pytest.mark.comfy
# Widgets that name a file of the user's: (node, widget): folder
FILES = {
    ("CheckpointLoaderSimple", "ckpt_name"): "models/checkpoints",
    ("ControlNetLoader", "control_net_name"): "models/controlnet",
    ("LoraLoader", "lora_name"): "models/loras",
    ("LoraLoaderModelOnly", "lora_name"): "models/loras",
    ("VAELoader", "vae_name"): "models/vae",
    ("UpscaleModelLoader", "model_name"): "models/upscale_models",
    ("LoadImage", "image"): "input",
    ("FaceChain_LoadPerson", "name"): "models/facechain/people",
}


@pytest.fixture()
def with_the_users_files(
    server: comfy_host.Server, root: Path, standin_models: dict[str, Path], package_photos: dict[str, Path]
) -> Iterator[None]:
    """The files that the graphs name, as a user has them who followed the README."""
    assert server.base
    made = []
    for path in (root / "workflows" / "api").glob("*.json"):
        for node in json.loads(path.read_text(encoding="utf-8")).values():
            for (kind, widget), folder in FILES.items():
                name = node["inputs"].get(widget)
                target = server.base / folder / (f"{name}.safetensors" if "people" in folder else str(name))
                if node["class_type"] == kind and isinstance(name, str) and not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source = package_photos["astronaut"] if folder == "input" else standin_models["checkpoints"]
                    target.symlink_to(source)
                    made.append(target)
    yield
    for target in made:
        target.unlink()


def test_comfy_lint_finds_nothing(
    server: comfy_host.Server, client: ComfyClient, root: Path, with_the_users_files: None, tmp_path: Path
) -> None:
    lint = [str(python_tool(*SCANNERS) / "comfy-lint"), "--server", server.url, "--strict", "--json"]
    graphs = sorted((root / "workflows" / "api").glob("*.json"))
    done = subprocess.run([*lint, *map(str, graphs)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    # and it would have found something
    bad = tmp_path / "bad.json"
    shutil.copy(graphs[0], bad)
    nodes = json.loads(bad.read_text(encoding="utf-8"))
    next(node for node in nodes.values() if node["class_type"] == "FaceChain_SavePortraits")["inputs"].pop("images")
    bad.write_text(json.dumps(nodes), encoding="utf-8")
    assert "missing-required" in subprocess.run([*lint, str(bad)], capture_output=True, text=True).stdout
