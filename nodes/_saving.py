"""Saving pictures with what they say of themselves; the same statement for core's savers, through ComfyUI's own metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..facechain.errors import FaceChainError, UnusableNameError
from ..facechain.names import checked_name
from . import _host, _styles

if TYPE_CHECKING:
    import numpy as np

    from ..facechain.person import Person


def save_pictures(
    pictures: Sequence[np.ndarray], prefix: str, texts: dict[str, str], said: dict[str, Any] | None
) -> list[tuple[str, str]]:
    """Write uint8 RGB pictures as PNG files into the output folder; the file name and subfolder of each.

    prefix: as the core's own saver has it, with the year and the like filled in.
    said: a statement of facechain.provenance.
    Raises UnusableNameError for a prefix that leads out of the folder, RecordError for a full disk.
    """
    from ..facechain.files import keep
    from ..facechain.provenance import png_of

    prefix = checked_prefix(prefix)
    saved = []
    for number, picture in enumerate(pictures):
        _host.check_cancel()
        own = prefix.replace("%batch_num%", str(number))
        folder, name, subfolder = _host.place_to_save(own, picture.shape[1], picture.shape[0])
        keep(folder / f"{name}.png", png_of(picture, texts, said), "picture")
        saved.append((f"{name}.png", subfolder))
    return saved


def checked_prefix(prefix: str) -> str:
    """A prefix whose parts are names, with / between them. Raises UnusableNameError."""
    left = re.search(r"%(date:[^%]*|[^%/]+\.[^%/.]+)%", prefix)
    if left:
        raise UnusableNameError(
            f"nothing stands for {left[0]} in filename_prefix: ComfyUI's page fills in the date, and widgets of nodes "
            "that are in the graph; the server does not",
            "By API write the text itself, or %year%-%month%-%day%; on the page name a node's title and widget",
        )
    parts = prefix.replace("\\", "/").split("/")
    if parts == [""]:
        raise UnusableNameError("filename_prefix is empty", "Write a name such as facechain/portrait")
    return "/".join(checked_name(part, "filename_prefix") for part in parts)


def texts_of(prompt: Any, pnginfo: Any) -> dict[str, str]:
    """The workflow as core's savers write it; nothing under --disable-metadata.

    Without the statement that core's savers find there: a saver that calls this has its own, or wants none.
    """
    from ..facechain.provenance import CHUNK

    if not _host.keeps_workflows():
        return {}
    texts = {} if prompt is None else {"prompt": json.dumps(prompt)}
    more = pnginfo if isinstance(pnginfo, dict) else {}
    return texts | {str(name): json.dumps(value) for name, value in more.items() if name != CHUNK}


def statement_of(graph: Any, node: str | None, people: Sequence[Person] = ()) -> dict[str, Any]:
    """facechain.provenance's statement, with the styles and LoRAs of this ComfyUI."""
    from ..facechain.provenance import statement

    return statement(graph, node, people, _style_lora)


def _style_lora(style: str) -> str:
    try:
        lora = _styles.load_named(style).lora
    except FaceChainError:  # the node that uses it says so
        return ""
    return lora if lora and _host.find_lora(lora) else ""


def mark_every_prompt() -> None:
    """From now on, what core's savers write from a graph with our nodes carries the statement, too.

    They copy extra_pnginfo into each file. Set when a job is queued, it is there whichever nodes are found in the
    cache; the hashes of people are known to Save Portraits alone. Without a server there is nothing to do.
    """
    server = _host.running_server()
    if server is not None:
        server.add_on_prompt_handler(marked)


def marked(request: dict[str, Any]) -> dict[str, Any]:
    """A request to queue a job, with the statement among its extra_pnginfo where its graph has nodes of ours."""
    from ..facechain.provenance import CHUNK, uses_facechain

    graph = request.get("prompt")
    if not isinstance(graph, dict) or not uses_facechain(graph):
        return request
    extra = request.get("extra_data") or {}
    pnginfo = extra.get("extra_pnginfo") or {}
    pnginfo = {**pnginfo, CHUNK: statement_of(graph, None)}
    return {**request, "extra_data": {**extra, "extra_pnginfo": pnginfo}}
