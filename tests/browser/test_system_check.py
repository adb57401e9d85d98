"""System Check in the page: alone on the canvas, the report on the node, nothing of it in the saved graph."""

from __future__ import annotations

from pathlib import Path

from front_end import FrontEnd

ADD = """() => {
    app.graph.clear();
    const node = LiteGraph.createNode('FaceChain_SystemCheck');
    node.pos = [100, 100];
    app.graph.add(node);
}"""
TEXT = """() => app.graph._nodes[0].widgets.find(widget => widget.name === 'shown_report').element.value"""


def test_the_report_stands_on_the_node(page: FrontEnd, pictures: Path) -> None:
    page.page.evaluate(ADD)
    page.wait_for(1)
    page.page.get_by_role("button", name="Run").first.click()
    page.page.wait_for_function(f"({TEXT})().length > 0", timeout=60_000)
    page.screenshot(pictures / "system_check.png")
    text = page.page.evaluate(TEXT)
    assert "ok  training and portraits" in text
    assert "What to do next:" in text or "Nothing to do." in text
    node = page.page.evaluate("() => app.graph.serialize().nodes[0]")
    assert node["widgets_values"] == [False]
    (asked,) = page.api_prompt().values()
    assert asked["inputs"] == {"read_files": False}
    assert page.problems == []
