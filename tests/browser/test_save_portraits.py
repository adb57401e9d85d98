"""Save Portraits in the page: the pictures that it saved stand on the node."""

from __future__ import annotations

from front_end import FrontEnd

ADD = """() => {
    app.graph.clear();
    const picture = LiteGraph.createNode('EmptyImage');
    const save = LiteGraph.createNode('FaceChain_SavePortraits');
    app.graph.add(picture);
    save.pos = [400, 100];
    app.graph.add(save);
    picture.connect(0, save, 0);
    for (const [name, value] of [['width', 64], ['height', 48], ['batch_size', 2]])
        picture.widgets.find(widget => widget.name === name).value = value;
}"""
SHOWN = """() => {
    const node = app.graph._nodes.find(each => each.type === 'FaceChain_SavePortraits');
    return node.imgs?.length ? node.imgs.map(each => [each.naturalWidth, each.naturalHeight]) : null;
}"""


def test_what_was_saved_is_shown_on_the_node(page: FrontEnd) -> None:
    page.page.evaluate(ADD)
    page.wait_for(2)
    page.page.get_by_role("button", name="Run").first.click()
    assert page.page.wait_for_function(SHOWN, timeout=60_000).json_value() == [[64, 48]] * 2
    assert page.problems == []
