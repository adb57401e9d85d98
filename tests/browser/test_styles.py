"""Load Style in the page: the list is searched by either name, and both prompts are there before anything runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import export_api_workflows
import pytest
from front_end import FrontEnd

GRAPH = export_api_workflows.WORKFLOWS / "style_portrait.json"
STYLE = "app.graph._nodes.find(node => node.type === 'FaceChain_LoadStyle')"
# Where the style's widget is in the page, in pixels.
PLACE = f"""() => {{
    const node = {STYLE}, widget = node.widgets.find(widget => widget.name === 'style');
    const canvas = app.canvas.canvas.getBoundingClientRect(), view = app.canvas.ds;
    const place = [node.pos[0] + node.size[0] / 2, node.pos[1] + widget.y + 10];
    return [0, 1].map(axis => [canvas.left, canvas.top][axis] + (place[axis] + view.offset[axis]) * view.scale);
}}"""
SET = """([type, name, value]) => {
    const widget = app.graph._nodes.find(node => node.type === type).widgets.find(widget => widget.name === name);
    widget.value = value;
    widget.callback?.(value);
}"""
PREVIEW = f"() => {STYLE}.widgets.find(widget => widget.name === 'prompt_preview').element.value"


@pytest.fixture()
def graph(page: FrontEnd) -> FrontEnd:
    """The portrait graph, seen as a whole."""
    page.load(json.loads(GRAPH.read_text(encoding="utf-8")))
    page.close_dialogs()
    return page


def _choose(page: FrontEnd, node: str, name: str, value: Any) -> None:
    page.page.evaluate(SET, [node, name, value])


def _preview(page: FrontEnd, *wanted: str) -> str:
    """The text of the preview once it holds these words."""
    found = f"words => {{ const text = ({PREVIEW})(); return words.every(word => text.includes(word)) && text; }}"
    return page.page.wait_for_function(found, arg=list(wanted)).json_value()


def test_the_list_is_searched_by_the_chinese_name(graph: FrontEnd, pictures: Path) -> None:
    graph.screenshot(pictures / "style_list.png")
    graph.page.mouse.click(*graph.page.evaluate(PLACE))
    search = graph.page.locator(".comfy-context-menu-filter")
    search.wait_for()
    search.fill("冬季汉服")
    lines = graph.page.locator(".litemenu-entry:visible").all_inner_texts()
    graph.page.screenshot(path=pictures / "style_list.png")
    assert lines == ["Chinese winter hanfu · 冬季汉服 · chinese_winter_hanfu · SD 1.5 · prompt only"]
    search.press("Enter")
    assert graph.page.evaluate(f"() => {STYLE}.widgets[0].value") == "chinese_winter_hanfu"
    assert "red hanfu cloak" in _preview(graph, "Chinese winter hanfu 冬季汉服", "prompt only, put Winter_Hanfu")
    assert graph.problems == []


def test_the_list_shows_family_by_family(graph: FrontEnd) -> None:
    labels = graph.page.evaluate(
        f"() => {STYLE}.widgets[0].options.values.map({STYLE}.widgets[0].options.getOptionLabel)"
    )
    # other tests of this server leave styles of their own, some of them broken, which show their id alone
    found = [re.search(r" · (SD 1\.5|SDXL|SD3|Flux|other)\b", label) for label in labels]
    families = [match[1] for match in found if match]
    assert len(families) >= 76 and families == sorted(families, key=lambda family: (family != "SD 1.5", family))
    assert {"SD 1.5", "SDXL"} <= set(families)


def test_both_prompts_follow_what_is_chosen(graph: FrontEnd) -> None:
    first = _preview(graph, "Prompt: <fcsks>", "tokens in 1 window of 75")
    assert "me has not been seen yet, gender and age assumed" in first
    _choose(graph, "FaceChain_Preprocess", "gender", "man")
    _choose(graph, "FaceChain_Preprocess", "age", 50)
    _choose(graph, "FaceChain_LoadStyle", "style", "armor")
    man = _preview(graph, "a mature man", "steel plate armor")
    negative = man.split("Negative prompt: ")[1]
    assert "female" in negative and "beard" not in negative
    _choose(graph, "FaceChain_LoadStyle", "leave_out", "pauldrons, high gorget = red scarf")
    edited = _preview(graph, "red scarf")
    assert "pauldrons" not in edited and "gorget" not in edited
    _choose(graph, "FaceChain_LoadStyle", "blend", "armour 0.5")
    assert "Did you mean 'armor'" in _preview(graph, "there is no style")
    _choose(graph, "FaceChain_LoadStyle", "blend", "kimono 0.3")
    assert ":0.3)" in _preview(graph, "Blended: Kimono at 0.3")


def test_the_preview_is_no_part_of_saved_graphs(graph: FrontEnd) -> None:
    _preview(graph, "<fcsks>")
    saved = graph.page.evaluate(f"() => {STYLE}.serialize().widgets_values")
    (shipped,) = (
        n for n in json.loads(GRAPH.read_text(encoding="utf-8"))["nodes"] if n["type"] == "FaceChain_LoadStyle"
    )
    assert saved == shipped["widgets_values"]
    exported = graph.api_prompt()["5"]["inputs"]
    assert set(exported) == {slot["name"] for slot in shipped["inputs"]}
