"""The nodes' declarations, read in a fresh Python as ComfyUI reads them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import comfy_host
import pytest

PROBE = """
import sys, json, asyncio, importlib.util
sys.path.insert(0, {comfy!r})
sys.argv = ["main.py", "--cpu"]
import comfy.options; comfy.options.enable_args_parsing()
from comfy_api.latest import io
spec = importlib.util.spec_from_file_location("pack", {pack!r} + "/__init__.py", submodule_search_locations=[{pack!r}])
pack = importlib.util.module_from_spec(spec); sys.modules["pack"] = pack; spec.loader.exec_module(pack)
nodes = asyncio.run(asyncio.run(pack.comfy_entrypoint()).get_node_list())

def widgets(entry):
    if not isinstance(entry, io.WidgetInput) or entry.force_input:
        return []
    # the front end adds this widget by itself to a seed that does not decline it
    asked = entry.as_dict().get("control_after_generate")
    follows = asked if asked is not None else entry.id in ("seed", "noise_seed")
    return [entry.id, "control_after_generate"] if follows else [entry.id]

found = {{}}
for node in nodes:
    schema = node.GET_SCHEMA()
    found[schema.node_id] = {{
        "inputs": [[i.id, i.get_io_type(), "optional" if i.optional else "required"] for i in schema.inputs],
        "outputs": [[o.id, o.get_io_type(), "list" if o.is_output_list else "one"] for o in schema.outputs],
        "widgets": [name for entry in schema.inputs for name in widgets(entry)],
    }}
print(json.dumps(found))
"""


@pytest.fixture(scope="session")
def declared(root: Path) -> dict[str, dict[str, Any]]:
    """By node id: "inputs" [id, type, optional or required], "outputs" [id, type, list or one],
    "widgets" (names in the order in which a saved graph stores their values)."""
    host = comfy_host.prepare()
    code = PROBE.format(comfy=str(host.comfy), pack=str(root))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=host.comfy)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
