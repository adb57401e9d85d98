"""A newcomer opens each graph: nothing is missing, nothing is red, everything is where it was drawn."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import comfy_host
import export_api_workflows
import noodles
import pytest
from front_end import FrontEnd

GRAPHS = sorted(export_api_workflows.WORKFLOWS.glob("*.json"))
NAMES = [path.stem for path in GRAPHS]

OFFER = "Comfy.Workflow.ShowMissingModelsWarning"
# What stands on the canvas, node by node, as the front end understood it.
SEEN = """() => JSON.stringify({
    nodes: app.graph._nodes.map(node => ({
        id: node.id, type: node.type, title: node.getTitle(), box: [...node.boundingRect],
        known: node.type in LiteGraph.registered_node_types,
        red: !!node.has_errors || [...node.inputs ?? []].some(slot => slot.hasErrors),
        widgets: (node.widgets ?? []).filter(widget => widget.serialize !== false).map(widget => widget.value),
    })),
    links: [...app.graph.links.values()].map(link =>
        [link.id, link.origin_id, link.origin_slot, link.target_id, link.target_slot, link.type]),
})"""

# Boxes of several lines, of our nodes, that call themselves by an English name.
ENGLISH_BOXES = """() => app.graph._nodes.filter(node => node.type.startsWith('FaceChain_'))
    .flatMap(node => node.widgets.filter(widget => widget.element?.placeholder === widget.name))
    .map(widget => widget.name)"""

# Where the background's widget of the only Preprocess is in the page, in pixels.
BACKGROUND = """() => {
    const node = app.graph._nodes.find(node => node.type === 'FaceChain_Preprocess');
    const widget = node.widgets.find(widget => widget.name === 'background');
    const canvas = app.canvas.canvas.getBoundingClientRect(), view = app.canvas.ds;
    const place = [node.pos[0] + node.size[0] / 2, node.pos[1] + widget.y + 10];
    return [0, 1].map(axis => [canvas.left, canvas.top][axis] + (place[axis] + view.offset[axis]) * view.scale);
}"""
# Every curve that is drawn from here on: x and y of its four points.
SPY = """() => {
    const { moveTo, bezierCurveTo } = Path2D.prototype;
    window.curves = [];
    Path2D.prototype.moveTo = function (...point) { this.from = point; return moveTo.apply(this, point); };
    Path2D.prototype.bezierCurveTo = function (...points) {
        window.curves.push([...this.from, ...points]);
        return bezierCurveTo.apply(this, points);
    };
    window.stopSpying = () => Object.assign(Path2D.prototype, { moveTo, bezierCurveTo });
}"""


def _read(name: str) -> dict[str, Any]:
    return json.loads((export_api_workflows.WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))


def _seen(page: FrontEnd) -> dict[str, Any]:
    return json.loads(page.page.evaluate(SEEN))


def _dialog(page: FrontEnd) -> str:
    dialogs = page.page.get_by_role("dialog")
    return "\n".join(dialogs.all_inner_texts())


@pytest.mark.parametrize("name", NAMES)
def test_a_dropped_graph_opens_whole(page: FrontEnd, name: str, pictures: Path) -> None:
    graph = _read(name)
    page.drop(export_api_workflows.WORKFLOWS / f"{name}.json")
    assert "Missing Node Types" not in _dialog(page)
    page.close_dialogs()
    seen = _seen(page)
    assert all(node["known"] and not node["red"] for node in seen["nodes"])
    assert sorted(seen["links"]) == sorted(graph["links"])
    saved = {node["id"]: node.get("widgets_values", []) for node in graph["nodes"]}
    assert {node["id"]: node["widgets"] for node in seen["nodes"]} == saved
    assert page.problems == []
    page.screenshot(pictures / f"{name}_en.png")


@pytest.mark.parametrize("name", NAMES)
def test_no_node_grows_over_its_neighbour(page: FrontEnd, name: str) -> None:
    """The front end enlarges a node whose saved size cannot hold its widgets."""
    page.load(_read(name))
    boxes = {f"{node['type']} {node['id']}": node["box"] for node in _seen(page)["nodes"]}
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        apart = a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]
        assert apart, f"{one} covers {other}"


@pytest.mark.parametrize("name", ["style_portrait_hires", "group_photo"])
def test_noodles_are_drawn_where_their_crossings_are_counted(page: FrontEnd, name: str) -> None:
    """So that contract/test_workflows.py, which counts them without a browser, counts what users see."""
    graph = _read(name)
    page.load(graph)
    page.close_dialogs()
    page.page.evaluate(SPY)
    try:
        page.fit()
        drawn = page.page.evaluate("() => window.curves")
    finally:
        page.page.evaluate("() => window.stopSpying()")
    expected = [[value for point in curve.points for value in point] for curve in noodles.curves(graph)]
    for some, others in ((drawn, expected), (expected, drawn)):
        assert [curve for curve in some if not any(curve == pytest.approx(other, abs=0.01) for other in others)] == []


@pytest.mark.parametrize("name", NAMES)
def test_absent_models_are_offered_for_download(page: FrontEnd, name: str) -> None:
    page.set(OFFER, True)
    try:
        page.load(_read(name))
        page.page.get_by_role("dialog").get_by_text("Missing Models").wait_for()
    finally:
        page.set(OFFER, False)
    offered = _dialog(page)
    page.close_dialogs()
    assert "checkpoints / v1-5-pruned-emaonly-fp16.safetensors" in offered


def test_graphs_open_from_the_template_browser(page: FrontEnd) -> None:
    page.close_dialogs()
    page.page.get_by_role("button", name="Templates").first.click()
    dialog = page.page.get_by_role("dialog")
    dialog.get_by_text(comfy_host.PACK_NAME).click()
    cards = [dialog.get_by_test_id(f"template-workflow-{name}") for name in NAMES]
    for card in cards:
        card.wait_for()
        picture = card.locator("img").first
        width = picture.evaluate("async image => { await image.decode(); return image.naturalWidth; }")
        assert width >= 600  # ours; the placeholder of the front end is smaller
    cards[NAMES.index("style_portrait")].click()
    page.wait_for(len(_read("style_portrait")["nodes"]))
    page.close_dialogs()
    assert sorted(_seen(page)["links"]) == sorted(_read("style_portrait")["links"])


def test_the_api_files_are_what_the_front_end_exports(page: FrontEnd) -> None:
    for name in NAMES:
        page.load(_read(name))
        file = export_api_workflows.API / f"{name}.json"
        fresh = export_api_workflows.as_text(page.api_prompt())
        assert fresh == file.read_text(encoding="utf-8"), "run python3 scripts/export_api_workflows.py"
        page.close_dialogs()


def test_a_chinese_front_end_shows_chinese_nodes(chinese_page: FrontEnd, pictures: Path) -> None:
    page = chinese_page
    for name in NAMES:
        page.load(_read(name))
        page.close_dialogs()
        titles = {node["type"]: node["title"] for node in _seen(page)["nodes"]}
        own_titles = {node["type"] for node in _read(name)["nodes"] if "title" in node}
        ours = {kind for kind in titles if kind.startswith("FaceChain_")} - own_titles
        assert ours
        assert {kind: titles[kind] for kind in ours} == {kind: _chinese_name(kind) for kind in ours}
        assert page.page.evaluate(ENGLISH_BOXES) == []
        page.screenshot(pictures / f"{name}_zh.png")
    assert page.problems == []


def test_choices_of_a_list_are_chinese_and_their_values_are_not(chinese_page: FrontEnd, pictures: Path) -> None:
    page = chinese_page
    page.load(_read("train_person"))
    page.close_dialogs()
    page.fit()
    page.page.mouse.click(*page.page.evaluate(BACKGROUND))
    lines = page.page.locator(".litemenu-entry:visible")
    lines.first.wait_for()
    page.page.screenshot(path=pictures / "choices_zh.png")
    assert lines.all_inner_texts() == ["白色 · white", "灰色 · grey", "虚化 · blurred", "保留原背景 · keep"]
    lines.nth(1).click()
    (preprocess,) = (n for n in page.api_prompt().values() if n["class_type"] == "FaceChain_Preprocess")
    assert preprocess["inputs"]["background"] == "grey"
    assert page.problems == []


def test_the_language_is_switched_in_the_settings(chinese_page: FrontEnd) -> None:
    titles = {}
    for language in ("en", "zh"):
        chinese_page.set("Comfy.Locale", language)
        chinese_page.reload()
        chinese_page.load(_read("train_person"))
        titles[language] = {node["type"]: node["title"] for node in _seen(chinese_page)["nodes"]}
    assert titles["en"]["FaceChain_LoadPhotos"] == "Load Photos"
    assert titles["zh"]["FaceChain_LoadPhotos"] == _chinese_name("FaceChain_LoadPhotos")
    assert chinese_page.problems == []


def _chinese_name(node_id: str) -> str:
    texts = json.loads((comfy_host.ROOT / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
    return texts[node_id]["display_name"]
