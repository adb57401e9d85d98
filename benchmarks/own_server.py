"""A server of a benchmark's own, with nothing but the stand-in models in its folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import comfy_host
import standin


@contextmanager
def own_server(name: str) -> Iterator[tuple[comfy_host.Server, Path]]:
    """(the running server, its folder), both gone afterwards. name: of the benchmark, for the folder.

    To be called in the host's Python (comfy_host.reenter). Raises HostError where ComfyUI does not start.
    """
    with tempfile.TemporaryDirectory(prefix=f"facechain-{name}-") as folder:
        base = Path(folder)
        comfy_host.lay_out(base)
        standin.make_checkpoint(base / "models" / "checkpoints" / standin.CHECKPOINT_NAME)
        standin.make_controlnet(base / "models" / "controlnet" / standin.CONTROLNET_NAME)
        with comfy_host.Server(comfy_host.prepare(), log=base / "server.log", base=base) as server:
            yield server, base
