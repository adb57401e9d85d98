"""The pack's blueprint: one node of the node library that holds style, sampling, fusion and ranking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from front_end import FrontEnd

NAME = "FaceChain Portraits"
LIBRARY = "() => app.extensionManager.command.execute('Workspace.ToggleSidebarTab.node-library')"
SEEN = """name => {
    const node = app.graph._nodes.find(node => node.title === name);
    return node && {
        inputs: node.inputs.map(slot => slot.name), widgets: node.widgets.map(widget => [widget.name, widget.value]),
        inner: node.subgraph._nodes.map(one => one.type in LiteGraph.registered_node_types),
    };
}"""


@pytest.fixture()
def blueprint(root: Path) -> dict[str, Any]:
    return json.loads((root / "subgraphs" / f"{NAME}.json").read_text(encoding="utf-8"))


def test_the_file_is_one_node_with_a_graph_of_ours(blueprint: dict[str, Any]) -> None:
    (node,), (inner,) = blueprint["nodes"], blueprint["definitions"]["subgraphs"]
    assert node["type"] == inner["id"] and inner["name"] == NAME
    widgets = {str(one["id"]): {slot["name"] for slot in one["inputs"] if "widget" in slot} for one in inner["nodes"]}
    assert all(name in widgets[number] for number, name in node["properties"]["proxyWidgets"])


def test_the_node_library_has_it_and_it_opens_whole(page: FrontEnd, blueprint: dict[str, Any], pictures: Path) -> None:
    page.page.evaluate(LIBRARY)
    page.page.get_by_placeholder("Search").first.fill(NAME)
    entry = page.page.get_by_text(NAME, exact=True).last
    entry.wait_for()
    entry.click()
    seen = page.page.wait_for_function(SEEN, arg=NAME).json_value()
    page.page.wait_for_timeout(700)
    page.page.screenshot(path=pictures / "blueprint.png")
    assert seen["inputs"][:5] == ["model", "clip", "person", "latent_image", "vae"]
    assert seen["inner"] == [True] * 5
    (node,) = blueprint["nodes"]
    # the front end may put the inner node before the widget's name
    shown = {name.rpartition(": ")[2]: value for name, value in seen["widgets"]}
    assert list(shown) == [name for _, name in node["properties"]["proxyWidgets"]]
    assert shown["style"] == "working_suit"
    assert page.problems == []
