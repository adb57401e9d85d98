"""The system check on the real server: node and route say the same, and other sites cannot ask for it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import comfy_host
import pytest
from comfy_client import ComfyClient

pytestmark = pytest.mark.comfy
GRAPH = {"1": {"class_type": "FaceChain_SystemCheck", "inputs": {"read_files": False}}}


def test_the_route_says_what_is_there(client: ComfyClient, server: comfy_host.Server) -> None:
    report = client.get("/facechain/check")
    assert report["ready"] == {"faces": True, "portraits": True, "pose": True, "insightface": False}
    assert report["counts"]["checkpoints"] == 1
    stats = client.get("/system_stats")
    assert report["machine"]["device"] == stats["devices"][0]["type"]
    assert report["machine"]["ram_total"] == stats["system"]["ram_total"]
    assert client.get("/api/facechain/check")["version"] == report["version"]  # as the front end asks
    with urllib.request.urlopen(f"{server.url}/facechain/check?format=text", timeout=30) as reply:
        assert reply.headers.get_content_type() == "text/plain"
        assert b"ok  training and portraits" in reply.read()


def test_the_node_says_the_same_each_time_anew(client: ComfyClient, server: comfy_host.Server) -> None:
    assert server.base
    text = client.run(GRAPH).texts("1")[0]
    assert "models 'styles': 0 of 61 there" in text
    lora = server.base / "models" / "loras" / "qipao2.safetensors"
    lora.write_bytes(b"")
    try:
        assert "models 'styles': 1 of 61 there" in client.run(GRAPH).texts("1")[0]
    finally:
        lora.unlink()


def test_the_report_travels_as_json(client: ComfyClient) -> None:
    graph = GRAPH | {"2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}}}
    shown = json.loads(client.run(graph).texts("2")[0])
    route = client.get("/facechain/check")
    assert shown["models"] == route["models"] and shown["engines"] == route["engines"]


def test_another_site_in_the_users_browser_is_refused_as_by_cores_routes(server: comfy_host.Server) -> None:
    for path in ("/system_stats", "/facechain/check"):
        asked = urllib.request.Request(server.url + path, headers={"Origin": "http://elsewhere.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=30)
        assert refused.value.code == 403, path
