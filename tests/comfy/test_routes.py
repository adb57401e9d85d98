"""Our routes on the real server: other sites are refused, large and broken requests end in a message."""

from __future__ import annotations

import http.client
import json
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import comfy_host
import pytest
from comfy_client import ComfyClient

pytestmark = pytest.mark.comfy
ASKED = {"style": "armor"}
MOST = 256 * 1024


def answer(server: comfy_host.Server, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    return reply.status, reply.read().decode("utf-8", "replace")


def routes(root: Path) -> set[str]:
    """All that the code names."""
    return {
        route
        for file in (root / "nodes").glob("*.py")
        for route in re.findall(r'"(/facechain/[\w/{}-]+)"', file.read_text("utf-8"))
    }


def test_no_route_answers_another_site(server: comfy_host.Server, root: Path) -> None:
    found = routes(root)
    assert found >= {"/facechain/check", "/facechain/styles", "/facechain/prompts"}
    for path in ("/system_stats", *sorted(found)):  # the first is core's own
        for method in ("GET", "POST"):
            refused = answer(server, method, path, json.dumps(ASKED).encode(), Origin="http://elsewhere.example")
            assert refused[0] == 403, path


def test_a_request_is_as_large_as_needed_and_no_larger(server: comfy_host.Server) -> None:
    fits = json.dumps({**ASKED, "extra_prompt": "long " * 40_000}).encode()
    assert MOST * 0.7 < len(fits) < MOST  # more than a single read of a socket gives
    status, text = answer(server, "POST", "/facechain/prompts", fits)
    assert status == 200 and len(json.loads(text)["positive"]) > 100_000
    status, text = answer(server, "POST", "/facechain/prompts", b" " * (MOST + 1))
    assert status == 413 and "bytes" in json.loads(text)["error"]


BROKEN = [b"", b"\xff\xfe", b"null", b"[]", b"3", b'{"style": 3}', b'{"style": null}', b"{}", b'{"style": "../x"}']
BROKEN += [b"[" * 100_000, b'{"style": "armor", "person": []}', b'{"style": "armor", "person": {"age": "x"}}']
BROKEN += [b'{"style": "armor", "blend": {"a": 1}}', b'{"style": "armor", "person": {"name": "../../x"}}']
BROKEN += [b'{"style": "armor", "frame": "none of them"}', b'{"style": "armor", "person": {"age": 1e999}}']


def test_broken_requests_end_in_a_message(server: comfy_host.Server, client: ComfyClient) -> None:
    for body in BROKEN:
        status, text = answer(server, "POST", "/facechain/prompts", body)
        assert status in (200, 400), (body[:40], status, text[:200])
        assert status == 200 or json.loads(text)["error"], body[:40]
    assert client.get("/system_stats")


def test_a_request_that_never_ends_holds_nobody_up(server: comfy_host.Server, client: ComfyClient) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as open_end:
        open_end.sendall(b"POST /facechain/prompts HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert client.post("/facechain/prompts", ASKED)["positive"]
