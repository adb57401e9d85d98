"""What the pack adds to ComfyUI's start: milliseconds to import it and list its nodes.

    python benchmarks/import_time.py        (in the environment that comfy_host.py prepares)

Each run is a fresh Python in which ComfyUI's own API is loaded already. The peer in the same run is
core's ``comfy_extras/nodes_train.py``, one file with a handful of nodes, loaded the same way.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "scripts"))
import comfy_host  # noqa: E402

RUNS = 7
GOAL_MS = 50

CODE = """
import sys, time, asyncio, importlib.util
sys.path.insert(0, {comfy!r}); sys.argv = ["main.py", "--cpu"]
import comfy.options; comfy.options.enable_args_parsing()
import comfy_api.latest, folder_paths, comfy.samplers, nodes
path, folder = {path!r}, {folder!r}
start = time.perf_counter()
spec = importlib.util.spec_from_file_location("probe", path, submodule_search_locations=[folder] if folder else None)
module = importlib.util.module_from_spec(spec); sys.modules["probe"] = module; spec.loader.exec_module(module)
async def load():
    extension = module.comfy_entrypoint()
    extension = await extension
    return await extension.get_node_list()
for node in asyncio.run(load()):
    node.GET_SCHEMA()
print(1000 * (time.perf_counter() - start))
"""


def milliseconds(path: Path, folder: Path | None = None) -> float:
    comfy = comfy_host.prepare().comfy
    code = CODE.format(comfy=str(comfy), path=str(path), folder=str(folder) if folder else None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=comfy, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    comfy = comfy_host.prepare().comfy
    pairs = [(milliseconds(ROOT / "__init__.py", ROOT), milliseconds(comfy / "comfy_extras/nodes_train.py"))]
    pairs += [
        (milliseconds(ROOT / "__init__.py", ROOT), milliseconds(comfy / "comfy_extras/nodes_train.py"))
        for _ in range(RUNS)
    ]
    ours, core = (statistics.median(values) for values in zip(*pairs[1:], strict=True))  # the first run warms the disk
    print(f"machine: {platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print(f"pack, 11 nodes:              {ours:6.1f} ms (goal: under {GOAL_MS})")
    print(f"core's nodes_train.py alone: {core:6.1f} ms")
    print(f"ratio pack / peer:           {ours / core:6.2f}")


if __name__ == "__main__":
    main()
