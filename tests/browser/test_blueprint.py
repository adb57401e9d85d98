"""The pack's blueprint: one node of the node library that holds style, sampling, fusion and ranking."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import comfy_host
import pytest
import standin
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
# Loaders before the blueprint and Save Portraits after it, connected as a user does.
AROUND = """([checkpoint, photo, side]) => {
    const made = app.graph._nodes.find(node => node.title === 'FaceChain Portraits');
    const add = (type, x, y, values) => {
        const node = LiteGraph.createNode(type);
        node.pos = [x, y];
        app.graph.add(node);
        for (const [name, value] of Object.entries(values)) node.widgets.find(widget => widget.name === name).value = value;
        return node;
    };
    made.pos = [900, 100];
    const model = add('CheckpointLoaderSimple', 0, 100, { ckpt_name: checkpoint });
    const photos = add('FaceChain_LoadPhotos', 0, 300, { files: photo });
    const person = add('FaceChain_Preprocess', 450, 300, { name: 'blueprint', save: false });
    const latent = add('EmptyLatentImage', 450, 100, { width: side, height: side, batch_size: 2 });
    const save = add('FaceChain_SavePortraits', 1400, 100, { filename_prefix: 'blueprint/%date:yyyy%' });
    const join = (from, output, to, input) => from.connect(from.findOutputSlot(output), to, to.findInputSlot(input));
    join(model, 'MODEL', made, 'model');
    join(model, 'CLIP', made, 'clip');
    join(model, 'VAE', made, 'vae');
    join(photos, 'photos', person, 'photos');
    join(person, 'person', made, 'person');
    join(latent, 'LATENT', made, 'latent_image');
    join(made, 'ranked', save, 'images');
    join(person, 'person', save, 'person');
    for (const widget of made.widgets) {
        const value = { steps: 2, style: 'kimono' }[widget.name.split(': ').pop()];
        if (value !== undefined) widget.value = value;
    }
}"""
# What Save Portraits saved, once it is seen on the node; or what a dialog says went wrong.
SAVED = """() => {
    const dialog = document.querySelector('[role=dialog]');
    if (dialog) return { dialog: dialog.innerText };
    const { imgs } = app.graph._nodes.find(node => node.type === 'FaceChain_SavePortraits');
    return imgs?.length && imgs.map(image => [image.naturalWidth, image.naturalHeight, decodeURIComponent(image.src)]);
}"""


@pytest.fixture()
def blueprint(root: Path) -> dict[str, Any]:
    return json.loads((root / "subgraphs" / f"{NAME}.json").read_text(encoding="utf-8"))


def test_the_file_is_one_node_with_a_graph_of_ours(blueprint: dict[str, Any]) -> None:
    (node,), (inner,) = blueprint["nodes"], blueprint["definitions"]["subgraphs"]
    assert node["type"] == inner["id"] and inner["name"] == NAME
    widgets = {str(one["id"]): {slot["name"] for slot in one["inputs"] if "widget" in slot} for one in inner["nodes"]}
    assert all(name in widgets[number] for number, name in node["properties"]["proxyWidgets"])


def test_from_the_node_library_it_opens_whole_draws_ranks_and_saves(
    page: FrontEnd,
    server: comfy_host.Server,
    blueprint: dict[str, Any],
    package_photos: dict[str, Path],
    pictures: Path,
) -> None:
    assert server.base
    page.page.evaluate("() => app.graph.clear()")
    page.page.evaluate(LIBRARY)
    page.page.get_by_placeholder("Search").first.fill(NAME)
    entry = page.page.get_by_text(NAME, exact=True).last
    entry.wait_for()
    entry.click()
    seen = page.page.wait_for_function(SEEN, arg=NAME).json_value()
    page.settle()
    page.page.screenshot(path=pictures / "blueprint.png")
    assert seen["inputs"][:5] == ["model", "clip", "person", "latent_image", "vae"]
    assert seen["inner"] == [True] * 5
    (node,) = blueprint["nodes"]
    # the front end may put the inner node before the widget's name
    shown = {name.rpartition(": ")[2]: value for name, value in seen["widgets"]}
    assert list(shown) == [name for _, name in node["properties"]["proxyWidgets"]]
    assert shown["style"] == "working_suit"

    shutil.copy(package_photos["astronaut"], server.base / "input" / "blueprint.png")
    page.page.evaluate(AROUND, [standin.CHECKPOINT_NAME, "blueprint.png", 128])
    inner = {node["class_type"]: node["inputs"] for node in page.api_prompt().values()}
    assert inner["FaceChain_LoadStyle"]["style"] == "kimono" and inner["KSampler"]["steps"] == 2
    page.page.get_by_test_id("queue-button").first.click()
    saved = page.page.wait_for_function(SAVED, timeout=240_000, polling=200).json_value()
    page.screenshot(pictures / "blueprint_ran.png")
    assert "dialog" not in saved, saved
    assert [size[:2] for size in saved] == [[128, 128]] * 2
    assert all("subfolder=blueprint" in address and "filename=20" in address for *_, address in saved)
    assert page.problems == []
