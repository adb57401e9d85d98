"""A newcomer works in the page: chooses in the nodes, presses Run, sees pictures; reads help; reads errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import comfy_host
import export_api_workflows
import pytest
import standin
from front_end import FrontEnd
from small_models import write_users_models

GRAPHS = {path.stem: path for path in export_api_workflows.WORKFLOWS.glob("*.json")}
GRAPH = GRAPHS["style_portrait"]
FOLDER = "browser_me"
SIDE = 64
# Small enough for a stand-in model on any machine.
CHOICES: dict[str, dict[str, Any]] = {
    "CheckpointLoaderSimple": {"ckpt_name": standin.CHECKPOINT_NAME},
    "FaceChain_LoadPhotos": {"folder": FOLDER},
    "FaceChain_TrainPersonLoRA": {"steps": 4, "resolution": 64, "snapshots": 1},
    "EmptyLatentImage": {"width": SIDE, "height": SIDE},
    "KSampler": {"steps": 2},
    "ControlNetLoader": {"control_net_name": standin.CONTROLNET_NAME},
    "FaceChain_TrainStyleLoRA": {"steps": 2, "resolution": 64, "rank": 4},
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
    const cards = node => node.widgets?.find(widget => widget.name === 'cards')?.element.querySelectorAll('figure').length;
    return {
        ...Object.fromEntries(app.graph._nodes.filter(node => node.imgs?.length).map(node => [node.type, sizes(node)])),
        cards: Object.fromEntries(app.graph._nodes.filter(cards).map(node => [node.type, cards(node)])),
    };
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


def _pictures_of_a_run(page: FrontEnd, name: str, pictures: Path, **choices: dict[str, Any]) -> dict[str, Any]:
    """The graph as shipped, with CHOICES made in it, is run from the page; the pictures on each kind of node."""
    _open(page, GRAPHS[name])
    assert page.page.evaluate(CHOOSE, CHOICES | choices) == [], "not among the choices of the page"
    _run(page)
    shown = page.page.wait_for_function(SHOWN, timeout=540_000, polling=200).json_value()
    page.screenshot(pictures / f"{name}_ran.png")
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
    assert "choose a folder with pictures" in told


def test_the_page_says_when_only_a_part_of_the_graph_runs(graph: FrontEnd, photos: None) -> None:
    """ComfyUI draws a thin red line around Load Checkpoint, and looks at the photos in vain."""
    assert graph.page.evaluate(CHOOSE, {"FaceChain_LoadPhotos": CHOICES["FaceChain_LoadPhotos"]}) == []
    _run(graph)
    toast = graph.page.locator(".p-toast-message").filter(has_text="Only a part of the graph runs")
    toast.wait_for()
    assert "Load Checkpoint: there is no v1-5-pruned-emaonly-fp16.safetensors (ckpt_name)" in toast.inner_text()


def test_in_chinese_the_page_says_what_to_do_about_it(chinese_page: FrontEnd, pictures: Path) -> None:
    page = chinese_page
    _open(page, GRAPH)
    page.page.get_by_test_id("queue-button").first.click()
    toast = page.page.locator(".p-toast-message").filter(
        has_text=_cure("FaceChain_LoadPhotos", "there is no photo to load")
    )
    toast.wait_for()
    page.page.screenshot(path=pictures / "cure_zh.png")
    assert "加载照片" in toast.inner_text()


def _cure(node: str, message: str) -> str:
    """What the Chinese help page says of a message, as plain text."""
    text = (comfy_host.ROOT / "web" / "docs" / node / "zh.md").read_text(encoding="utf-8")
    (cure,) = (line.partition("：")[2] for line in text.splitlines() if line.startswith(f"- `{message}`："))
    return cure.replace("*", "").replace("`", "")


def test_portraits_appear_in_the_page_then_more_without_training(page: FrontEnd, photos: None, pictures: Path) -> None:
    shown = _pictures_of_a_run(page, "style_portrait", pictures)
    assert shown["FaceChain_SavePortraits"] == [[SIDE, SIDE]] * 4
    assert shown["cards"] == {"FaceChain_Preprocess": 1, "FaceChain_SimilarityRank": 4}
    assert shown["FaceChain_Preprocess"] and shown["PreviewImage"]  # the report, the sheet of all with their scores
    assert not shown.keys() & {"FaceChain_LoadPhotos", "FaceChain_SimilarityRank"}  # nothing is shown twice
    shown = _pictures_of_a_run(page, "trained_portrait", pictures)
    assert shown["FaceChain_SavePortraits"] == [[SIDE, SIDE]] * 4
    assert page.problems == []


def test_a_group_photo_appears_in_the_page(page: FrontEnd, photos: None, pictures: Path) -> None:
    shown = _pictures_of_a_run(page, "group_photo", pictures)
    (saved,), (template,) = shown["FaceChain_SavePortraits"], shown["LoadImage"]
    assert saved == template and max(saved) > 400
    assert page.problems == []


@pytest.mark.parametrize("name", ["pose_portrait", "train_style", "style_portrait_fast", "style_portrait_hires"])
def test_the_other_graphs_run_in_the_page(
    page: FrontEnd, server: comfy_host.Server, photos: None, name: str, pictures: Path
) -> None:
    """With small models of the layout of those that users have; nobody is trained again."""
    assert server.base
    write_users_models(server.base / "models")
    one = {"width": SIDE, "height": SIDE, "batch_size": 1}
    shown = _pictures_of_a_run(page, name, pictures, EmptyLatentImage=one)
    if name != "train_style":
        side = 2 * SIDE if name == "style_portrait_hires" else SIDE
        assert shown["FaceChain_SavePortraits"] == [[side, side]]
    assert page.problems == []


@pytest.mark.parametrize(("language", "word"), [("en", "Inputs"), ("zh", "输入")])
def test_the_help_page_of_a_node_opens(
    page: FrontEnd, chinese_page: FrontEnd, language: str, word: str, pictures: Path
) -> None:
    page = page if language == "en" else chinese_page
    page.load(json.loads(GRAPH.read_text(encoding="utf-8")))
    page.close_dialogs()
    page.fit()
    select = "() => app.canvas.selectNode(app.graph._nodes.find(node => node.type === 'FaceChain_Preprocess'))"
    page.page.evaluate(select)
    page.page.get_by_test_id("info-button").click()
    content = page.page.locator(".node-help-content")
    content.get_by_role("heading", name=word).first.wait_for()
    decoded = "async image => { await image.decode(); return image.naturalWidth; }"
    assert content.locator("img").first.evaluate(decoded) >= 200  # the example
    page.page.screenshot(path=pictures / f"help_{language}.png")
