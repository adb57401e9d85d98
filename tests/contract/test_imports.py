"""Loading the pack must cost ComfyUI next to nothing and touch nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import comfy_host
import pytest

HEAVY = ("onnxruntime", "cv2", "scipy", "peft", "diffusers", "insightface", "skimage", "accelerate")

PROBE = """
import sys, json, asyncio, importlib.util
sys.path.insert(0, {comfy!r})
sys.argv = ["main.py", "--cpu"]
import comfy.options; comfy.options.enable_args_parsing()
import comfy_api.latest, folder_paths, comfy.samplers
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("pack", {pack!r} + "/__init__.py", submodule_search_locations=[{pack!r}])
pack = importlib.util.module_from_spec(spec); sys.modules["pack"] = pack; spec.loader.exec_module(pack)
extension = asyncio.run(pack.comfy_entrypoint())
nodes = asyncio.run(extension.get_node_list())
ids = [node.GET_SCHEMA().node_id for node in nodes]
print(json.dumps({{"ids": ids, "loaded": sorted(set(sys.modules) - before), "mappings": hasattr(pack, "NODE_CLASS_MAPPINGS")}}))
"""


@pytest.fixture(scope="module")
def loaded(root: Path) -> dict:
    """What loading the pack and listing its nodes brought into a fresh Python."""
    host = comfy_host.prepare()
    code = PROBE.format(comfy=str(host.comfy), pack=str(root))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=host.comfy)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_sixteen_nodes_are_listed(loaded: dict) -> None:
    assert set(loaded["ids"]) == {
        f"FaceChain_{name}"
        for name in (
            "LoadPhotos",
            "Preprocess",
            "TrainPersonLoRA",
            "LoadPerson",
            "LoadStyle",
            "PoseControl",
            "FaceFusion",
            "SimilarityRank",
            "TemplateFace",
            "TemplatePaste",
            "GroupPortrait",
            "TrainingOptions",
            "SystemCheck",
            "TrainStyleLoRA",
            "SavePortraits",
            "DeletePerson",
        )
    }


def test_nothing_heavy_is_imported(loaded: dict) -> None:
    heavy = [name for name in loaded["loaded"] if name.split(".")[0] in HEAVY]
    assert not heavy


def test_the_core_waits_until_a_node_runs(loaded: dict) -> None:
    core = {name for name in loaded["loaded"] if name.startswith("pack.facechain.")}
    assert core <= {
        f"pack.facechain.{name}" for name in ("errors", "names", "lack_of_memory")
    }  # a few lines each, and nothing behind them


def test_no_mappings_that_would_hide_the_entrypoint(loaded: dict) -> None:
    assert not loaded["mappings"]


def test_other_packs_modules_of_the_same_names_are_never_touched(root: Path, tmp_path: Path) -> None:
    """Packs that put their own folders on sys.path may have modules called as ours; importing one of these fails here."""
    ours = [
        path.stem for folder in ("nodes", "facechain") for path in (root / folder).iterdir() if path.suffix != ".pyc"
    ]
    for name in {"facechain", *ours} - {"nodes", "__init__", "__pycache__"}:
        (tmp_path / f"{name}.py").write_text("raise ImportError('another pack was asked')")
    host = comfy_host.prepare()
    load = PROBE.format(comfy=str(host.comfy), pack=str(root))
    run = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{load}\nfrom pack.facechain import check, person, rank\n"
    run += "from pack.facechain.models import download\n"
    run += "print([name for name in sys.modules if name in ('facechain', 'models', 'fusion')])"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, cwd=host.comfy)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
