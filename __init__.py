"""FaceChain for ComfyUI. Importing this registers nodes and does nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> ComfyExtension:
    from .nodes import FaceChainExtension

    return FaceChainExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
