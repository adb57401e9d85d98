"""Writes the English words of every node from its schema into ``locales/en``.

The front end looks a node's words up by key and falls back on the schema only where the
key is absent, so the English file must say what the schema says. The Chinese file is
written by hand; this names the keys that it lacks or has left over.

    python3 scripts/update_locales.py            write locales/en/nodeDefs.json
    python3 scripts/update_locales.py --check    change nothing; code 1 if something differs
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import comfy_host

LOCALES = comfy_host.ROOT / "locales"
FILE = "nodeDefs.json"

# The front end hands every text to vue-i18n, which would read these as its own syntax.
_MESSAGE_SYNTAX = "{}@|"

_READ_SCHEMAS = """
import asyncio, importlib.util, json, sys
comfy, pack = sys.argv[1:]
sys.path.insert(0, comfy)
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
spec = importlib.util.spec_from_file_location("pack", pack + "/__init__.py", submodule_search_locations=[pack])
module = importlib.util.module_from_spec(spec)
sys.modules["pack"] = module
spec.loader.exec_module(module)
extension = asyncio.run(module.comfy_entrypoint())
infos = {}
for node in asyncio.run(extension.get_node_list()):
    info = node.GET_NODE_INFO_V1()
    infos[info["name"]] = info
print(json.dumps(infos))
"""


def node_infos(host: comfy_host.ComfyHost) -> dict[str, dict[str, Any]]:
    """Every node of the pack as the server's /object_info tells it, read without a server.

    Raises HostError when ComfyUI cannot load the pack.
    """
    command = [str(host.python), "-c", _READ_SCHEMAS, str(host.comfy), str(comfy_host.ROOT)]
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, cwd=host.comfy, encoding="utf-8", env=environment)
    if done.returncode:
        raise comfy_host.HostError(f"ComfyUI could not load the pack:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def words_of(info: dict[str, Any]) -> dict[str, Any]:
    """The texts of one node under the front end's keys: inputs by id, outputs by index."""
    inputs = {}
    for kind in ("required", "optional"):
        for name, (_, options) in info["input"].get(kind, {}).items():
            inputs[name] = _named(options.get("display_name") or name, options.get("tooltip"))
    outputs = {
        str(index): _named(name, tooltip)
        for index, (name, tooltip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
    }
    return {
        "display_name": as_message(info["display_name"]),
        "description": as_message(info["description"]),
        "inputs": inputs,
        "outputs": outputs,
    }


def as_message(text: str) -> str:
    """The text with vue-i18n's special characters quoted, as in {'@'}."""
    return "".join(f"{{'{letter}'}}" if letter in _MESSAGE_SYNTAX else letter for letter in text)


def english(host: comfy_host.ComfyHost) -> dict[str, Any]:
    """The content that locales/en/nodeDefs.json must have."""
    return {name: words_of(info) for name, info in sorted(node_infos(host).items())}


def read(language: str) -> dict[str, Any]:
    path = LOCALES / language / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def leaves(words: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """("FaceChain_LoadPhotos.inputs.folder.tooltip", text) for every text."""
    for key, value in words.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _named(name: str, tooltip: str | None) -> dict[str, str]:
    return {"name": as_message(name), **({"tooltip": as_message(tooltip)} if tooltip else {})}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    host = comfy_host.prepare()
    wanted, found = dict(leaves(english(host))), dict(leaves(read("en")))
    chinese = {key for key, _ in leaves(read("zh"))}
    changed = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    for key in changed:
        print(f"en: {key}")
    for key in sorted(wanted.keys() - chinese):
        print(f"zh lacks {key}")
    for key in sorted(chinese - wanted.keys()):
        print(f"zh has left over {key}")
    if changed and not check:
        path = LOCALES / "en" / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(english(host), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(bool(wanted.keys() ^ chinese) or (check and bool(changed)))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except comfy_host.HostError as error:
        raise SystemExit(f"error: {error}") from None
