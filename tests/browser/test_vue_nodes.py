"""The graphs and what our scripts add to nodes in the front end's other renderer ("Nodes 2.0"), which is off by default."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import comfy_host
import export_api_workflows
import pytest
from front_end import FrontEnd
from PIL import Image

NAMES = [path.stem for path in sorted(export_api_workflows.WORKFLOWS.glob("*.json"))]
# Every node as it stands on the page, in the graph's units, and every group.
BOXES = """() => {
    const { scale, offset: [x, y] } = app.canvas.ds, page = app.canvas.canvas.getBoundingClientRect();
    const nodes = [...document.querySelectorAll('.lg-node')].map(element => {
        const box = element.getBoundingClientRect(), node = app.graph.getNodeById(element.dataset.nodeId);
        const [left, top] = [(box.left - page.left) / scale - x, (box.top - page.top) / scale - y];
        return [`${node.type} ${node.id}`, [left, top, left + box.width / scale, top + box.height / scale]];
    });
    const groups = app.graph._groups.map(({ title, boundingRect: [left, top, width, height] }) =>
        [title, [left, top, left + width, top + height]]);
    return JSON.stringify({ nodes: Object.fromEntries(nodes), groups: Object.fromEntries(groups) });
}"""
SLACK = 1.0  # units by which rounding may move an edge


@pytest.fixture()
def page(nodes_2_page: FrontEnd) -> FrontEnd:
    return nodes_2_page


def _read(name: str) -> dict[str, Any]:
    return json.loads((export_api_workflows.WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_groups_hold_their_nodes_and_no_node_covers_another(page: FrontEnd, name: str, pictures: Path) -> None:
    graph = _read(name)
    page.load(graph)
    page.close_dialogs()
    page.screenshot(pictures / f"vue_{name}.png")
    seen = json.loads(page.page.evaluate(BOXES))
    nodes, groups = seen["nodes"], seen["groups"]
    assert len(nodes) == len(graph["nodes"])
    for (one, a), (other, b) in itertools.combinations(nodes.items(), 2):
        apart = a[2] <= b[0] + SLACK or b[2] <= a[0] + SLACK or a[3] <= b[1] + SLACK or b[3] <= a[1] + SLACK
        assert apart, f"{one} covers {other}"
    homes = {f"{node['type']} {node['id']}": _group_of(node, graph) for node in graph["nodes"]}
    for node, home in homes.items():
        if home:
            box, around = nodes[node], groups[home]
            inside = all(box[i] >= around[i] - SLACK and box[i + 2] <= around[i + 2] + SLACK for i in (0, 1))
            assert inside, f"{node} {box} sticks out of {home} {around}"
    assert page.problems == []


def test_what_our_scripts_add_works_there_too(page: FrontEnd, pictures: Path) -> None:
    page.load(_read("trained_portrait"))
    page.close_dialogs()
    prompts = page.page.locator(".lg-node textarea[data-facechain=prompts]")
    prompts.wait_for()
    page.page.wait_for_function("() => document.querySelector('[data-facechain=prompts]').value.includes('blazer')")
    box = prompts.bounding_box()
    scale = page.page.evaluate("() => app.canvas.ds.scale")
    assert box and box["height"] >= 140 * scale and box["width"] >= 300 * scale
    page.page.locator(".lg-node").get_by_role("button", name="choose by picture").click()
    page.page.locator(".facechain-gallery [data-style=kimono]").click()
    page.page.wait_for_function("() => document.querySelector('[data-facechain=prompts]').value.includes('obi')")
    page.page.screenshot(path=pictures / "vue_gallery_chosen.png")
    page.load(_read("train_person"))
    page.close_dialogs()
    page.page.locator(".lg-node").get_by_role("button", name="upload photos").wait_for()
    page.page.locator(".lg-node .facechain-cards p.hint").wait_for()
    assert page.problems == []


def test_loaded_photos_are_shown_once(page: FrontEnd, server: comfy_host.Server, pictures: Path) -> None:
    assert server.base
    for name in ("vue 1.png", "vue 2.png"):
        Image.new("RGB", (90, 60), "teal").save(server.base / "input" / name)
    loader = {"folder": "(none)", "files": "vue 1.png\nvue 2.png", "max_side": 512}
    prompt = {
        "1": {"class_type": "FaceChain_LoadPhotos", "inputs": loader},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    page.page.evaluate("prompt => app.loadApiJson(prompt, 'photos')", prompt)
    page.wait_for(len(prompt))
    page.fit()
    page.page.get_by_test_id("queue-button").first.click()
    page.page.locator(".lg-node[data-node-id='2'] img").first.wait_for(timeout=60_000)
    page.screenshot(pictures / "vue_photos.png")
    assert page.page.locator(".lg-node[data-node-id='1'] img").count() == 2
    assert page.page.locator(".lg-node[data-node-id='1'] .facechain-photos img").count() == 2
    assert page.problems == []


def _group_of(node: dict[str, Any], graph: dict[str, Any]) -> str:
    """The group that the node's upper left corner lies in, as the graph was drawn; "" for none."""
    for group in graph["groups"]:
        left, top, width, height = group["bounding"]
        if left <= node["pos"][0] < left + width and top <= node["pos"][1] < top + height:
            return group["title"]
    return ""
