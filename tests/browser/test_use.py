"""A newcomer works in the page: chooses in the nodes, presses Run, sees pictures; reads help; reads errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import comfy_host
import export_api_workflows
import front_end
import pytest
import standin
from front_end import FrontEnd
from playwright.sync_api import Browser

GRAPH = export_api_workflows.WORKFLOWS / "style_portrait.json"
FOLDER = "browser_me"
SIDE = 128
# Small enough for a stand-in model on any machine.
CHOICES: dict[str, dict[str, Any]] = {
    "CheckpointLoaderSimple": {"ckpt_name": standin.CHECKPOINT_NAME},
    "FaceChain_LoadPhotos": {"folder": FOLDER},
    "FaceChain_TrainPersonLoRA": {"steps": 4, "resolution": 128},
    "EmptyLatentImage": {"width": SIDE, "height": SIDE},
    "KSampler": {"steps": 2},
}
CHOOSE = """async choices => {
    await app.refreshComboInNodes();  // the key R: folders that came after the page was opened
    const absent = [];
    for (const node of app.graph._nodes) {
        for (const [name, value] of Object.entries(choices[node.type] ?? {})) {
            const widget = node.widgets.find(widget => widget.name === name);
            if (widget.type === 'combo' && !widget.options.values.includes(value)) absent.push([name, value]);
            widget.value = value;
            widget.callback?.(value);
        }
    }
    return absent;
}"""
# The pictures on each node, once those of the last nodes are there; or what a dialog says went wrong.
SHOWN = """() => {
    const dialog = document.querySelector('[role=dialog]');
    if (dialog) return { dialog: dialog.innerText };
    const ends = app.graph._nodes.filter(node => ['FaceChain_SavePortraits', 'PreviewImage'].includes(node.type));
    if (!ends.every(node => node.imgs?.length)) return null;
    const sizes = node => node.imgs.map(image => [image.naturalWidth, image.naturalHeight]);
    return Object.fromEntries(app.graph._nodes.filter(node => node.imgs?.length).map(node => [node.type, sizes(node)]));
}"""


@pytest.fixture()
def graph(page: FrontEnd) -> FrontEnd:
    """The page with the portrait graph as shipped in it."""
    page.load(json.loads(GRAPH.read_text(encoding="utf-8")))
    page.close_dialogs()
    return page


def _run(page: FrontEnd) -> None:
    page.page.get_by_role("button", name="Run").first.click()


def test_running_it_as_it_opened_says_what_to_choose(graph: FrontEnd) -> None:
    assert graph.page.evaluate(CHOOSE, {"CheckpointLoaderSimple": CHOICES["CheckpointLoaderSimple"]}) == []
    _run(graph)
    dialog = graph.page.get_by_role("dialog")
    dialog.wait_for()
    told = dialog.inner_text()
    graph.close_dialogs()
    assert "FaceChain_LoadPhotos" in told
    assert "Choose a folder with pictures" in told


def test_portraits_appear_in_the_page(
    graph: FrontEnd, server: comfy_host.Server, package_photos: dict[str, Path], pictures: Path
) -> None:
    assert server.base
    folder = server.base / "input" / FOLDER
    folder.mkdir()
    shutil.copy(package_photos["astronaut"], folder)
    assert graph.page.evaluate(CHOOSE, CHOICES) == [], "not among the choices of the page"
    _run(graph)
    shown = graph.page.wait_for_function(SHOWN, timeout=540_000, polling=500).json_value()
    graph.screenshot(pictures / "style_portrait_ran.png")
    assert "dialog" not in shown, shown
    assert shown["FaceChain_SavePortraits"] == [[SIDE, SIDE]] * 4
    assert shown["FaceChain_LoadPhotos"] and shown["FaceChain_Preprocess"]
    assert shown["PreviewImage"] == shown["FaceChain_SimilarityRank"]  # the sheet of all, with their scores
    assert graph.problems == []


@pytest.mark.parametrize(("language", "word"), [("en", "Inputs"), ("zh", "输入")])
def test_the_help_page_of_a_node_opens(
    browser: Browser, server: comfy_host.Server, language: str, word: str, pictures: Path
) -> None:
    with front_end.open_page(browser, server.url, locale=language) as page:
        page.load(json.loads(GRAPH.read_text(encoding="utf-8")))
        page.close_dialogs()
        page.screenshot(pictures / f"help_{language}.png")
        select = "() => app.canvas.selectNode(app.graph._nodes.find(node => node.type === 'FaceChain_Preprocess'))"
        page.page.evaluate(select)
        page.page.get_by_test_id("info-button").click()
        content = page.page.locator(".node-help-content")
        content.get_by_role("heading", name=word).first.wait_for()
        decoded = "async image => { await image.decode(); return image.naturalWidth; }"
        assert content.locator("img").first.evaluate(decoded) >= 200  # the example
        page.page.screenshot(path=pictures / f"help_{language}.png")
