"""A small client of ComfyUI's HTTP API and websocket: upload, queue, follow, fetch.

Needs only aiohttp, which every ComfyUI has.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

Prompt = dict[str, dict[str, Any]]


class JobError(RuntimeError):
    """A queued workflow was refused or failed; `details` is what the server said."""

    def __init__(self, message: str, details: dict[str, Any]) -> None:
        super().__init__(message)
        self.details = details


@dataclass
class Result:
    """What a finished workflow left behind.

    outputs: by node id, the node's ui data. seconds: by node id, wall time of the nodes that ran, in order.
    progress: (node id, value, maximum) of each progress event. previews: number of preview pictures received.
    """

    prompt_id: str
    outputs: dict[str, dict[str, Any]]
    seconds: dict[str, float] = field(default_factory=dict)
    progress: list[tuple[str, int, int]] = field(default_factory=list)
    previews: int = 0

    def texts(self, node: str) -> list[str]:
        return list(self.outputs.get(node, {}).get("text", []))


@dataclass(frozen=True)
class ComfyClient:
    """url: of the server, such as http://127.0.0.1:8188."""

    url: str

    def get(self, path: str) -> Any:
        """JSON of a GET."""
        return asyncio.run(self._request("GET", path))

    def post(self, path: str, data: Any) -> Any:
        """JSON of a POST of JSON; None where the reply is empty."""
        return asyncio.run(self._request("POST", path, json=data))

    def interrupt(self) -> None:
        self.post("/interrupt", {})

    def upload(self, picture: Path, folder: str = "") -> str:
        """Put a picture into the server's input folder; returns its name there ("anna/1.jpg")."""
        return asyncio.run(self._upload(picture, folder))

    def fetch(self, reference: dict[str, str]) -> bytes:
        """The bytes of an output picture, as /history names it (filename, subfolder, type)."""
        return asyncio.run(self._fetch(reference))

    def run(self, prompt: Prompt, on_event: Callable[[str, dict[str, Any]], None] | None = None) -> Result:
        """Queue a workflow in API format and wait for its end.

        on_event(type, data) sees every websocket event of the job as it comes.
        Raises JobError when the server refuses it (validation) or a node fails (execution_error).
        """
        return asyncio.run(self._run(prompt, on_event or (lambda kind, data: None)))

    # --- the same, asynchronously ---

    async def _request(self, method: str, path: str, **arguments: Any) -> Any:
        async with aiohttp.ClientSession() as session, session.request(method, self.url + path, **arguments) as reply:
            body = await reply.read()
            if reply.status >= 400:
                raise JobError(f"{method} {path}: HTTP {reply.status}", _as_json(body))
            return json.loads(body) if body else None

    async def _upload(self, picture: Path, folder: str) -> str:
        form = aiohttp.FormData()
        form.add_field("image", picture.read_bytes(), filename=picture.name, content_type="application/octet-stream")
        form.add_field("subfolder", folder)
        form.add_field("overwrite", "true")
        answer = await self._request("POST", "/upload/image", data=form)
        return "/".join(part for part in (answer["subfolder"], answer["name"]) if part)

    async def _fetch(self, reference: dict[str, str]) -> bytes:
        wanted = {key: reference[key] for key in ("filename", "subfolder", "type")}
        async with aiohttp.ClientSession() as session, session.get(self.url + "/view", params=wanted) as reply:
            reply.raise_for_status()
            return await reply.read()

    async def _run(self, prompt: Prompt, on_event: Callable[[str, dict[str, Any]], None]) -> Result:
        client_id = uuid.uuid4().hex
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            # the websocket first, so that no event is missed
            socket = await session.ws_connect(f"{self.url}/ws?clientId={client_id}", max_msg_size=0)
            async with session.post(f"{self.url}/prompt", json={"prompt": prompt, "client_id": client_id}) as reply:
                answer = _as_json(await reply.read())
            if reply.status >= 400 or "prompt_id" not in answer:
                raise JobError(_refusal(answer), answer)
            result = Result(answer["prompt_id"], {})
            await _follow(socket, result, on_event)
            async with session.get(f"{self.url}/history/{result.prompt_id}") as reply:
                history = await reply.json()
        result.outputs = history[result.prompt_id]["outputs"]
        return result


async def _follow(
    socket: aiohttp.ClientWebSocketResponse[Any], result: Result, on_event: Callable[[str, dict[str, Any]], None]
) -> None:
    """Read events until the job ends; time each node from its start to the next one's."""
    running, since = "", time.monotonic()
    async for message in socket:
        if message.type == aiohttp.WSMsgType.BINARY:
            result.previews += 1
            continue
        if message.type != aiohttp.WSMsgType.TEXT:
            break
        event = json.loads(message.data)
        kind, data = event["type"], event["data"]
        if data.get("prompt_id") != result.prompt_id:
            continue
        on_event(kind, data)
        if kind == "progress":
            result.progress.append((data["node"], data["value"], data["max"]))
        elif kind == "executing":
            now = time.monotonic()
            if running:
                result.seconds[running] = result.seconds.get(running, 0.0) + now - since
            running, since = data["node"], now
            if not running:  # sent last, when the history is written; execution_success comes before that
                return
        elif kind in ("execution_error", "execution_interrupted"):
            where = data.get("node_type", "a node")
            raise JobError(f"{where}: {data.get('exception_message', 'interrupted').strip()}", {"type": kind, **data})
    raise JobError("the server closed the connection", {"type": "closed"})


def _refusal(answer: dict[str, Any]) -> str:
    """What the server found wrong with a workflow, one line a problem."""
    lines = (
        [answer.get("error", {}).get("message", "refused")] if isinstance(answer.get("error"), dict) else ["refused"]
    )
    for node, problems in answer.get("node_errors", {}).items():
        lines += [f"node {node} ({problems['class_type']}): {e['message']}: {e['details']}" for e in problems["errors"]]
    return "\n".join(lines)


def _as_json(body: bytes) -> dict[str, Any]:
    try:
        return json.loads(body)
    except json.JSONDecodeError:
        return {"text": body.decode(errors="replace")}
