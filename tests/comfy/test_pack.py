"""The pack as ComfyUI sees it: nodes, templates, help, and a log without a word of complaint about us."""

from __future__ import annotations

import comfy_host
from comfy_client import ComfyClient


def test_object_info_lists_the_sixteen_nodes_with_tooltips(client: ComfyClient) -> None:
    ours = {name: info for name, info in client.get("/object_info").items() if name.startswith("FaceChain_")}
    assert len(ours) == 16
    for name, info in ours.items():
        for kind in ("required", "optional"):
            for socket, (_, options) in info["input"].get(kind, {}).items():
                assert options.get("tooltip"), f"{name}.{socket} has no tooltip"
        assert all(info["output_tooltips"]), f"{name} has an output without a tooltip"
        assert info["description"], name


def test_the_workflows_are_listed_and_served(client: ComfyClient) -> None:
    listed = client.get("/workflow_templates")[comfy_host.PACK_NAME]
    assert {"style_portrait", "group_photo"} <= set(listed)
    for name in listed:
        graph = client.get(f"/api/workflow_templates/{comfy_host.PACK_NAME}/{name}.json")
        assert graph["nodes"] and graph["links"]


def test_the_log_of_the_start_has_no_warning_about_us(client: ComfyClient, server: comfy_host.Server) -> None:
    client.get("/object_info")
    # up to the first job: what other tests queue on purpose is logged as refused
    start = server.log.read_text(errors="replace").split("got prompt")[0]
    lines = start.splitlines()
    failed = [line for line in lines if "IMPORT FAILED" in line]
    assert all("nodes_audio" in line for line in failed), failed  # these miss torchaudio, see comfy_host.py
    ours = [line for line in lines if "facechain" in line.lower() and "seconds:" not in line]
    assert ours == []
