"""The examples of docs/api.md, run as they stand there against the real server, with the clients that they name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import comfy_host
import demo_jobs
import pytest
import standin
from comfy_client import ComfyClient
from PIL import Image
from tools_of_others import COMFY_CLI, npm_tool, python_tool

pytestmark = pytest.mark.comfy
SIZE = 128
SMALL = {
    "FaceChain_TrainPersonLoRA": {"steps": 10, "resolution": 64, "choose_snapshot": "last", "snapshots": 1},
    "EmptyLatentImage": {"width": SIZE, "height": SIZE, "batch_size": 2},
    "KSampler": {"steps": 2},
}


@dataclass(frozen=True)
class Example:
    """A block of docs/api.md and how its user runs it. file: what it is saved as. progress: it shows the events."""

    name: str
    file: str
    command: tuple[str, ...]
    progress: bool = False
    place: Path | None = None  # where the file must lie for its imports to be found


def blocks(root: Path, page: str = "api.md") -> dict[str, str]:
    text = (root / "docs" / page).read_text(encoding="utf-8")
    return dict(re.findall(r"^```\w+ ([\w-]+)\n(.*?)^```", text, re.S | re.M))


def node_command() -> tuple[str, ...]:
    """Node.js with WebSocket: by itself from version 22, with a flag from 20.10."""
    node = shutil.which("node")
    if not node:
        pytest.skip("Node.js is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    number = tuple(int(part) for part in version.lstrip("v").split(".")[:2])
    if number < (20, 10):
        pytest.skip(f"Node.js {version} has no WebSocket")
    return (node,) if number >= (22, 0) else (node, "--experimental-websocket")


def python() -> str:
    return str(comfy_host.prepare().python)


# the first one trains, and shows it step by step; the others find its LoRA again
EXAMPLES: dict[str, Callable[[], Example]] = {
    "aiohttp": lambda: Example("aiohttp", "example.py", (python(),), progress=True),
    "curl": lambda: Example("curl", "example.sh", ("bash", "-eu")),
    "fetch": lambda: Example("fetch", "example.mjs", node_command(), progress=True),
    "comfy-api-simplified": lambda: Example(
        "comfy-api-simplified", "example.py", (str(python_tool("comfy-api-simplified==1.6.0") / "python"),)
    ),
    "comfyui-client": lambda: Example(
        *("comfyui-client", "example.mjs", node_command()),
        progress=True,
        place=npm_tool("@stable-canvas/comfyui-client", "1.5.9"),
    ),
    "comfy-cli": lambda: Example("comfy-cli", "example.sh", ("bash", "-eu")),
}
# each draws another style, so that none finds the pictures of the one before in ComfyUI's cache
STYLES = dict(zip(EXAMPLES, ["cheongsam", "armor", "hanfu", "gown", "t_shirt", "working_suit"], strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, package_photos: dict[str, Path]) -> Path:
    """What the examples expect to find where they are run: photos in anna/, and the workflow, small."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "anna").mkdir()
    shutil.copy(package_photos["astronaut"], folder / "anna" / "anna 1.png")
    choices = demo_jobs.Choices(standin.CHECKPOINT_NAME, SMALL)
    prompt = demo_jobs.workflow("style_portrait", choices, {"person1": [], "person2": [], "template": []})
    (folder / "workflows" / "api").mkdir(parents=True)
    (folder / "workflows" / "api" / "style_portrait.json").write_text(json.dumps(prompt), encoding="utf-8")
    return folder


def run(example: Example, code: str, folder: Path, url: str, style: str) -> subprocess.CompletedProcess[str]:
    file = (example.place or folder) / example.file
    file.write_text(code, encoding="utf-8")
    environment = {**os.environ, "SERVER": url, "STYLE": style, "HOME": str(folder), "NO_COLOR": "1", "COLUMNS": "400"}
    if example.name == "comfy-cli":
        environment["PATH"] = f"{python_tool(COMFY_CLI)}{os.pathsep}{environment['PATH']}"
    command = [*example.command, str(file)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)


def test_every_example_of_the_page_is_run(root: Path) -> None:
    assert set(blocks(root)) == set(EXAMPLES)
    text = (root / "docs" / "api.md").read_text(encoding="utf-8")
    assert text.count("\n```\n") == len(EXAMPLES)
    assert blocks(root, "api_zh.md") == blocks(root)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_makes_portraits(
    root: Path, folder: Path, server: comfy_host.Server, client: ComfyClient, name: str
) -> None:
    for tool in {"curl": ("curl", "jq"), "comfy-cli": ("jq",)}.get(name, ()):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    example = EXAMPLES[name]()
    for picture in folder.glob("*.png"):
        picture.unlink()
    done = run(example, blocks(root)[name], folder, server.url, STYLES[name])
    assert done.returncode == 0, done.stdout + done.stderr
    if name == "comfy-cli":  # it prints where the pictures are
        assert "facechain" in done.stdout and "portrait" in done.stdout, done.stdout
    else:
        saved = sorted(folder.glob("portrait*.png"))
        assert len(saved) == 2, done.stdout + done.stderr
        assert all(Image.open(file).size == (SIZE, SIZE) for file in saved)
    history = client.get("/history?max_items=1")
    (job,) = history.values()
    used = [node["inputs"].get("style") for node in job["prompt"][2].values()]
    assert STYLES[name] in used and job["status"]["status_str"] == "success"
    if name == next(iter(EXAMPLES)):
        steps = [int(step) for step in re.findall(r"FaceChain_TrainPersonLoRA (\d+) of 10\b", done.stdout)]
        assert steps == sorted(steps) and steps[-1] == 10 and len(set(steps)) >= 5, done.stdout
    if example.progress:  # ranking and drawing are done anew by each
        assert re.search(r"FaceChain_SimilarityRank 2 of 2", done.stdout), done.stdout
        assert re.search(r"KSampler 2 of 2", done.stdout)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_shows_our_message_when_the_job_fails(
    root: Path, folder: Path, server: comfy_host.Server, name: str
) -> None:
    if name in ("curl", "comfy-cli") and not shutil.which("jq"):
        pytest.skip("jq is not installed")
    done = run(EXAMPLES[name](), blocks(root)[name], folder, server.url, "cheongsan")
    shown = " ".join((done.stdout + done.stderr).split())
    if name == "comfy-cli":  # asks the server for the list first
        assert "'cheongsan' not in" in shown and "closest: cheongsam" in shown, shown
    else:
        assert "there is no style 'cheongsan'" in shown and "Did you mean 'cheongsam'" in shown, shown
    if name != "curl":  # which goes on to list what there is
        assert done.returncode != 0


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "comfy-cli"])
def test_an_example_ends_where_a_part_of_the_graph_is_refused(
    root: Path, folder: Path, server: comfy_host.Server, tmp_path: Path, name: str
) -> None:
    """ComfyUI answers 200 all the same, and runs the rest."""
    if name == "curl" and not shutil.which("jq"):
        pytest.skip("jq is not installed")
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    graph = tmp_path / "workflows" / "api" / "style_portrait.json"
    graph.write_text(graph.read_text(encoding="utf-8").replace(standin.CHECKPOINT_NAME, "absent.safetensors"))
    done = run(EXAMPLES[name](), blocks(root)[name], tmp_path, server.url, "cheongsam")
    assert done.returncode != 0
    assert "absent.safetensors" in done.stdout + done.stderr


def test_comfy_cli_shows_what_a_node_says(root: Path, folder: Path, server: comfy_host.Server, tmp_path: Path) -> None:
    if not shutil.which("jq"):
        pytest.skip("jq is not installed")
    shutil.copytree(folder / "workflows", tmp_path / "workflows")
    (tmp_path / "anna").mkdir()
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "anna" / "grey.png")
    done = run(EXAMPLES["comfy-cli"](), blocks(root)["comfy-cli"], tmp_path, server.url, "cheongsam")
    assert done.returncode != 0
    assert "photo 1 of 1 (grey.png): No face found" in done.stdout, done.stdout + done.stderr
