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

GRAPHS = {
    name: export_api_workflows.WORKFLOWS / f"{name}.json"
    for name in ("style_portrait", "trained_portrait", "group_photo")
}
GRAPH = GRAPHS["style_portrait"]
FOLDER = "browser_me"
SIDE = 128
# Small enough for a stand-in model on any machine.
CHOICES: dict[str, dict[str, Any]] = {
    "CheckpointLoaderSimple": {"ckpt_name": standin.CHECKPOINT_NAME},
    "FaceChain_LoadPhotos": {"folder": FOLDER},
    "FaceChain_TrainPersonLoRA": {"steps": 4, "resolution": 128},
    "EmptyLatentImage": {"width": SIDE, "height": SIDE},
    "KSampler": {"steps": 2},
    "LoadImage": {"image": "browser_group.png"},
    "FaceChain_LoadPerson": {"name": "me"},
    "FaceChain_GroupPortrait": {"denoise": 0.0, "faces": "1, 3"},
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


@pytest.fixture(scope="module")
def photos(server: comfy_host.Server, package_photos: dict[str, Path]) -> None:
    """A folder with one photo of a woman, and a picture of six people, in the input folder."""
    assert server.base
    folder = server.base / "input" / FOLDER
    folder.mkdir()
    shutil.copy(package_photos["astronaut"], folder)
    shutil.copy(package_photos["group"], folder.with_name("browser_group.png"))


@pytest.fixture()
def graph(page: FrontEnd) -> FrontEnd:
    """The page with the portrait graph as shipped in it."""
    _open(page, GRAPH)
    return page


def _open(page: FrontEnd, graph: Path) -> None:
    page.load(json.loads(graph.read_text(encoding="utf-8")))
    page.close_dialogs()
    page.fit()


def _run(page: FrontEnd) -> None:
    page.page.get_by_role("button", name="Run").first.click()


def _pictures_of_a_run(page: FrontEnd, graph: Path, screenshot: Path) -> dict[str, list[list[int]]]:
    """The graph as shipped, with CHOICES made in it, is run from the page; the pictures on each kind of node."""
    _open(page, graph)
    assert page.page.evaluate(CHOOSE, CHOICES) == [], "not among the choices of the page"
    _run(page)
    shown = page.page.wait_for_function(SHOWN, timeout=540_000, polling=500).json_value()
    page.screenshot(screenshot)
    assert "dialog" not in shown, shown
    return shown


def test_running_it_as_it_opened_says_what_to_choose(graph: FrontEnd) -> None:
    assert graph.page.evaluate(CHOOSE, {"CheckpointLoaderSimple": CHOICES["CheckpointLoaderSimple"]}) == []
    _run(graph)
    dialog = graph.page.get_by_role("dialog")
    dialog.wait_for()
    told = dialog.inner_text()
    graph.close_dialogs()
    assert "FaceChain_LoadPhotos" in told
    assert "Choose a folder with pictures" in told


def test_portraits_appear_in_the_page_then_more_without_training(page: FrontEnd, photos: None, pictures: Path) -> None:
    shown = _pictures_of_a_run(page, GRAPH, pictures / "style_portrait_ran.png")
    assert shown["FaceChain_SavePortraits"] == [[SIDE, SIDE]] * 4
    assert shown["FaceChain_LoadPhotos"] and shown["FaceChain_Preprocess"]
    assert shown["PreviewImage"] == shown["FaceChain_SimilarityRank"]  # the sheet of all, with their scores
    shown = _pictures_of_a_run(page, GRAPHS["trained_portrait"], pictures / "trained_portrait_ran.png")
    assert shown["FaceChain_SavePortraits"] == [[SIDE, SIDE]] * 4
    assert page.problems == []


def test_a_group_photo_appears_in_the_page(page: FrontEnd, photos: None, pictures: Path) -> None:
    shown = _pictures_of_a_run(page, GRAPHS["group_photo"], pictures / "group_photo_ran.png")
    (saved,), (template,) = shown["FaceChain_SavePortraits"], shown["LoadImage"]
    assert saved == template and max(saved) > 400
    assert page.problems == []


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
