"""Delete Person in the page: it says what would go, deletes after the name was repeated, and keeps no confirmation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import comfy_host
import torch
from front_end import FrontEnd

from facechain.person import Attributes, Person, save_person

NAME = "page gone"
ADD = """(confirm) => {
    app.graph.clear();
    const node = LiteGraph.createNode('FaceChain_DeletePerson');
    node.pos = [100, 100];
    app.graph.add(node);
    const widget = (name) => node.widgets.find(each => each.name === name);
    widget('name').value = 'page gone';
    widget('confirm').value = confirm;
}"""
TEXT = """() => app.graph._nodes[0].widgets.find(widget => widget.name === 'shown_report').element.value"""
CONFIRM = "() => app.graph._nodes[0].widgets.find(widget => widget.name === 'confirm').value"


def somebody() -> Person:
    return Person(
        name=NAME,
        images=torch.ones(1, 64, 64, 3),
        masks=torch.ones(1, 64, 64),
        embeddings=torch.eye(1, 128),
        embedder="dlib-resnet-128",
        quality=torch.ones(1),
        poses=torch.zeros(1, 3),
        attributes=Attributes("man", 30.0, "a handsome man"),
        caption="<fcsks>, a handsome man",
    )


def run(page: FrontEnd, confirm: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """What the node says, the saved graph's node, and what the server was asked for."""
    page.page.evaluate(ADD, confirm)
    page.wait_for(1)
    (asked,) = page.api_prompt().values()
    node = page.page.evaluate("() => app.graph.serialize().nodes[0]")
    page.page.get_by_role("button", name="Run").first.click()
    page.page.wait_for_function(f"({TEXT})().length > 0", timeout=60_000)
    return page.page.evaluate(TEXT), node, asked


def test_a_person_is_deleted_after_their_name_was_repeated(
    page: FrontEnd, server: comfy_host.Server, pictures: Path
) -> None:
    assert server.base
    file = server.base / "models" / "facechain" / "people" / f"{NAME}.safetensors"
    save_person(somebody(), file)
    text, _, asked = run(page, "")
    # previews of other tests that do not say whose they are may be listed as well
    assert "would be deleted" in text and str(file) in text and file.is_file()
    assert asked["inputs"] == {"name": NAME, "confirm": ""}
    text, node, asked = run(page, NAME)
    page.screenshot(pictures / "delete_person.png")
    assert asked["inputs"] == {"name": NAME, "confirm": NAME}
    assert NAME not in node["widgets_values"][1:], "a saved graph must not delete anybody"
    assert re.search(r"\d+ files? deleted", text) and str(file) in text and not file.exists()
    assert page.page.evaluate(CONFIRM) == ""
    assert page.problems == []
