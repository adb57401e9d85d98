"""What the system check asks of ComfyUI (device, memory, folders), and its route on the server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ..facechain.errors import FaceChainError
from . import _host

ROUTE = "/facechain/check"


def check(read_files: bool = False) -> dict[str, Any]:
    """The core's system check, of this ComfyUI."""
    from ..facechain.check import system_check

    # the route has no job that could be cancelled, and reads no files
    return system_check(
        machine(), folders_of, _host.insightface_folders(), read_files, lambda _done: _host.check_cancel()
    )


def machine() -> Any:
    """The device that ComfyUI runs on, and its memory, as ComfyUI sees them."""
    import comfy.model_management as management
    import torch

    from ..facechain.check import Machine

    def memory(device: torch.device) -> tuple[int, int]:
        total: Any = management.get_total_memory(device)
        free: Any = management.get_free_memory(device)
        return int(total), int(free)

    device = management.get_torch_device()
    vram = (0, 0) if device.type == "cpu" else memory(device)
    name = management.get_torch_device_name(device)
    return Machine(device.type, name, _host.on_nvidia(), memory(torch.device("cpu")), vram, torch.__version__)


def folders_of(kind: str) -> list[Path]:
    """Folders of a kind of models, those that the user registered too; of "insightface/models/x" the x in each."""
    first, _, rest = kind.partition("/")
    return [root / rest for root in _host.model_roots(first)]


def add_route() -> None:
    """GET /facechain/check, where a server runs: ComfyUI's own checks of a request's origin apply to it as to any route.

    Without a server (tests that read the schema) there is nothing to do.
    """
    server = _host.running_server()
    if server is None:
        return
    from aiohttp import web

    @server.routes.get(ROUTE)
    async def answer(request: web.Request) -> web.Response:
        try:
            report = await asyncio.to_thread(check)  # reads folders; the server goes on
        except FaceChainError as error:
            return web.json_response({"error": str(error)}, status=500)
        if request.query.get("format") != "text":
            return web.json_response(report)
        from ..facechain.check import as_text

        return web.Response(text=as_text(report))
