"""What the shipped code never does: run programs from data, open pickles, start a shell, or use the network."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# Modules that open connections or unpickle, and calls that run text or files as programs.
MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "joblib", "cloudpickle"}
MODULES |= {
    "socket",
    "ssl",
    "http",
    "urllib.request",
    "urllib3",
    "requests",
    "httpx",
    "aiohttp",
    "ftplib",
    "smtplib",
    "websockets",
}
MODULES |= {"subprocess", "pty", "ctypes", "cffi", "code", "runpy", "huggingface_hub", "torch.hub", "webbrowser"}
CALLS = {"eval", "exec", "compile", "__import__", "execfile", "breakpoint"}
METHODS = {"os.system", "os.popen", "os.execv", "os.spawnl", "torch.load", "torch.jit.load"}
METHODS |= {"yaml.load", "pickle.load", "pickle.loads", "hub.load", "torch.hub.load"}
# Where something of it is meant, and why.
ALLOWED = {
    ("facechain/models/download.py", "aiohttp"): "scripts/download_models.py, which the user starts",
}


def test_the_nodes_and_the_core_run_no_programs_open_no_pickles_and_no_connections(root: Path) -> None:
    files = [root / "__init__.py", *sorted((root / "nodes").rglob("*.py")), *sorted((root / "facechain").rglob("*.py"))]
    assert len(files) > 80
    found = {(file.relative_to(root).as_posix(), what) for file in files for what in dangers(file.read_text("utf-8"))}
    assert sorted(found - set(ALLOWED)) == []
    assert sorted(set(ALLOWED) - found) == [], "no longer needed"
    loaders = [file.name for file in files if "download import" in file.read_text("utf-8")]
    assert loaders == [], "no node downloads: scripts/download_models.py does, when somebody starts it"


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from urllib.request import urlopen",
        "import http.client",
        "import torch\ntorch.load('x')",
        "eval('1')",
        "def f():\n    import subprocess",
        "import os\nos.system('x')",
        "np.load('x', allow_pickle=True)",
        "from aiohttp import ClientSession",
        "from importlib import import_module\nimport_module('socket')",
        "from transformers import AutoModel\nAutoModel.from_pretrained('a/b')",
    ],
)
def test_each_danger_is_seen(code: str) -> None:
    assert list(dangers(code))


def test_what_looks_alike_is_none() -> None:
    harmless = "import urllib.parse\nmodel.eval()\nre.compile('x')\nload(x)\nfrom safetensors.torch import load"
    assert list(dangers(harmless)) == []
    local = "AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)"
    assert list(dangers(local)) == []


def dangers(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from filter(None, (_module(name.name) for name in node.names))
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
            if ast.unparse(node) == "from aiohttp import web":
                continue  # answers of ComfyUI's own server
            yield from filter(None, map(_module, names))
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in CALLS or called in METHODS:
                yield called
            if called.endswith("import_module") and node.args and isinstance(node.args[0], ast.Constant):
                yield from filter(None, [_module(str(node.args[0].value))])
            if called.endswith("from_pretrained") and "local_files_only=True" not in ast.unparse(node):
                yield called
            words = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if any(words.get(word, "False") != "False" for word in ("shell", "allow_pickle")):
                yield ast.unparse(node)


def _module(name: str) -> str | None:
    """The forbidden module that a name is or lies in."""
    return next((each for each in sorted(MODULES) if name == each or name.startswith(f"{each}.")), None)
