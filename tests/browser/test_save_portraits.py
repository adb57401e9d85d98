"""Save Portraits in the page: the pictures that it saved stand on the node."""

from __future__ import annotations

import time

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


def test_dates_and_other_nodes_values_are_filled_into_the_file_names(page: FrontEnd) -> None:
    page.page.evaluate(ADD)
    page.wait_for(2)
    prefix = "() => app.graph._nodes[1].widgets.find(widget => widget.name === 'filename_prefix')"
    pattern = "%date:yyyy/MM%/%EmptyImage.width% %date:hh:mm% %height%"
    page.page.evaluate(f"pattern => {{ ({prefix})().value = pattern; }}", pattern)
    asked = page.api_prompt()
    (sent,) = [node["inputs"]["filename_prefix"] for node in asked.values() if "filename_prefix" in node["inputs"]]
    folder, name = sent.rsplit("/", 1)
    now = time.localtime()
    assert folder == f"{now.tm_year}/{now.tm_mon:02}"
    assert name[:3] == "64 " and name.endswith(" %height%")  # the last is filled in by the server
    hours, minutes = name.split()[1].split("_")
    assert 0 <= (now.tm_hour * 60 + now.tm_min - int(hours) * 60 - int(minutes)) % 1440 <= 1
    assert page.page.evaluate(f"() => ({prefix})().value") == pattern  # a saved graph keeps it
