"""Photos from the user's computer: chosen by the button, dropped on the node, shown, loaded."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import comfy_host
import pytest
from front_end import FrontEnd
from PIL import Image
from playwright.sync_api import FilePayload

COLOURS = {"IMG 1.png": (220, 30, 30), "IMG 2.jpg": (30, 200, 30), "小明.webp": (30, 30, 220)}
WIDGETS = {"folder": "(none)", "files": "", "max_side": 512}
GRAPH: dict[str, Any] = {
    "last_node_id": 2,
    "last_link_id": 1,
    "nodes": [
        {
            "id": 1,
            "type": "FaceChain_LoadPhotos",
            "pos": [300, 200],
            "size": [400, 260],
            **{"flags": {}, "order": 0, "mode": 0, "properties": {}, "inputs": []},
            "outputs": [
                {"name": "photos", "type": "IMAGE", "links": [1]},
                {"name": "names", "type": "STRING", "links": []},
            ],
            "widgets_values": list(WIDGETS.values()),
        },
        {
            "id": 2,
            "type": "PreviewImage",
            "pos": [800, 200],
            "size": [300, 300],
            **{"flags": {}, "order": 1, "mode": 0, "properties": {}, "outputs": []},
            "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
        },
    ],
    "links": [[1, 1, 0, 2, 0, "IMAGE"]],
    "version": 0.4,
}
# Where a place of the node is in the page: its button, its middle.
PLACE = """where => {
    const node = app.graph.getNodeById(1), view = app.canvas.ds, page = app.canvas.canvas.getBoundingClientRect();
    const button = node.widgets.find(widget => widget.type === 'button');
    const y = where === 'button' ? button.last_y + 10 : -10;
    return [(node.pos[0] + node.size[0] / 2 + view.offset[0]) * view.scale + page.left,
            (node.pos[1] + y + view.offset[1]) * view.scale + page.top];
}"""
DROP = """([files, x, y]) => {
    const transfer = new DataTransfer();
    for (const [name, type, data] of files) {
        const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type }));
    }
    const target = document.elementFromPoint(x, y);
    for (const kind of ['dragover', 'drop'])
        target.dispatchEvent(new DragEvent(kind,
            { dataTransfer: transfer, bubbles: true, cancelable: true, clientX: x, clientY: y }));
    return target.tagName;
}"""
FILES = (
    "() => app.graph.getNodeById(1).widgets.find(widget => widget.name === 'files').value.split('\\n').filter(Boolean)"
)
SHOWN = """() => [...document.querySelectorAll('.facechain-photos figure')].map(figure => {
    const image = figure.querySelector('img');
    return [figure.title, image ? image.complete && image.naturalWidth > 0 : figure.querySelector('figcaption').innerText];
})"""
# How many pictures of a run ComfyUI itself shows on Load Photos and on Preview Image.
LOADED = """() => app.graph.getNodeById(2).imgs?.length
    && [1, 2].map(id => app.graph.getNodeById(id).imgs?.length ?? 0)"""


def picture(name: str, colour: tuple[int, int, int]) -> bytes:
    data = io.BytesIO()
    kind = {"jpg": "JPEG"}.get(name.rsplit(".")[-1], name.rsplit(".")[-1].upper())
    Image.new("RGB", (300, 200), colour).save(data, kind)
    return data.getvalue()


@pytest.fixture()
def node(page: FrontEnd) -> Iterator[FrontEnd]:
    page.load(GRAPH)
    page.close_dialogs()
    yield page
    assert page.problems == []


@pytest.fixture()
def drop(node: FrontEnd) -> Callable[..., str]:
    def put(files: dict[str, bytes], at: tuple[float, float]) -> str:
        as_text = [(name, "", base64.b64encode(data).decode()) for name, data in files.items()]
        return node.page.evaluate(DROP, [as_text, *at])

    return put


def place(node: FrontEnd, where: str) -> tuple[float, float]:
    node.page.wait_for_timeout(300)
    x, y = node.page.evaluate(PLACE, where)
    return x, y


def files_of(node: FrontEnd, count: int) -> list[str]:
    node.page.wait_for_function(f"count => ({FILES})().length === count", arg=count, timeout=15_000)
    return node.page.evaluate(FILES)


def test_several_photos_are_chosen_shown_and_loaded(node: FrontEnd, server: comfy_host.Server, pictures: Path) -> None:
    chosen: list[FilePayload] = [
        {"name": name, "mimeType": "", "buffer": picture(name, colour)} for name, colour in COLOURS.items()
    ]
    chosen.append({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    with node.page.expect_file_chooser() as chooser:
        node.page.mouse.click(*place(node, "button"))
    assert chooser.value.is_multiple()
    chooser.value.set_files(chosen)
    files = files_of(node, 3)
    folder = files[0].rsplit("/", 1)[0]
    assert folder.startswith("facechain/20") and files == [f"{folder}/{name}" for name in COLOURS]
    assert server.base
    for name, data in zip(files, chosen, strict=False):
        assert (server.base / "input" / name).read_bytes() == data["buffer"]
    toast = node.page.locator(".p-toast-message").filter(has_text="notes.txt")
    toast.wait_for()
    assert "Not a picture" in toast.inner_text()
    node.page.wait_for_function(f"() => ({SHOWN})().every(([, seen]) => seen === true)")
    assert [name for name, _ in node.page.evaluate(SHOWN)] == files
    node.screenshot(pictures / "upload_chosen.png")

    node.page.get_by_role("button", name="Run").first.click()
    assert node.page.wait_for_function(LOADED, timeout=60_000).json_value() == [0, 3]  # each photo once on the node
    node.page.wait_for_function(f"() => ({SHOWN})().every(([, seen]) => seen === true)")
    assert [name for name, _ in node.page.evaluate(SHOWN)] == files
    node.screenshot(pictures / "upload_loaded.png")


def test_without_our_scripts_comfyui_shows_the_photos(
    opened: Callable[..., FrontEnd], server: comfy_host.Server, pictures: Path
) -> None:
    assert server.base
    (server.base / "input" / "plain.png").write_bytes(picture("plain.png", (90, 90, 200)))
    page = opened(without=f"/extensions/{comfy_host.PACK_NAME}/")
    page.load(GRAPH)
    page.close_dialogs()
    page.page.evaluate("() => { app.graph.getNodeById(1).widgets[1].value = 'plain.png'; }")
    assert not page.page.locator(".facechain-photos").count()
    page.page.get_by_role("button", name="Run").first.click()
    assert page.page.wait_for_function(LOADED, timeout=60_000).json_value() == [1, 1]
    page.screenshot(pictures / "upload_without_scripts.png")


def test_photos_dropped_on_the_node_are_added_and_overwrite_nothing(
    node: FrontEnd, drop: Callable[..., str], server: comfy_host.Server
) -> None:
    red, green = (picture("a.png", colour) for colour in ((250, 0, 0), (0, 250, 0)))
    assert drop({"a.png": red}, place(node, "title")) == "CANVAS"
    (first,) = files_of(node, 1)
    box = node.page.locator("textarea.comfy-multiline-input").bounding_box()
    assert box
    assert drop({"a.png": green, "b.png": red}, (box["x"] + 20, box["y"] + 20)) == "TEXTAREA"
    files = files_of(node, 3)
    folder = first.rsplit("/", 1)[0]
    assert files == [first, f"{folder}/a (1).png", f"{folder}/b.png"]
    assert server.base and (server.base / "input" / first).read_bytes() == red
    assert (server.base / "input" / files[1]).read_bytes() == green
    drop({"a.png": red}, place(node, "title"))  # the same picture again: nothing new
    node.page.wait_for_timeout(500)
    assert node.page.evaluate(FILES) == files

    figures = node.page.locator(".facechain-photos figure")
    figures.nth(1).hover()
    figures.nth(1).get_by_role("button").click()
    assert node.page.evaluate(FILES) == [files[0], files[2]]


def test_a_saved_graph_shows_its_photos_again_and_keeps_its_widgets(node: FrontEnd, drop: Callable[..., str]) -> None:
    drop({"a.png": picture("a.png", (9, 99, 9)), "b.heic": b"\0\0\0\x18ftypheic"}, place(node, "title"))
    files = files_of(node, 2)
    saved = node.page.evaluate("() => app.graph.serialize()")
    values = next(n["widgets_values"] for n in saved["nodes"] if n["id"] == 1)
    assert values == ["(none)", "\n".join(files), 512]
    node.load(saved)
    node.page.wait_for_function(f"() => ({SHOWN})().length === 2 && ({SHOWN})()[0][1] === true")
    assert node.page.evaluate(SHOWN)[1] == [files[1], "b.heic"]  # browsers show no HEIC: its name
    assert node.api_prompt()["1"]["inputs"] == {**WIDGETS, "files": "\n".join(files)}


def test_a_chinese_front_end_speaks_chinese(chinese_page: FrontEnd, pictures: Path) -> None:
    page = chinese_page
    page.load(GRAPH)
    page.close_dialogs()
    label = "() => app.graph.getNodeById(1).widgets.find(widget => widget.type === 'button').name"
    assert page.page.evaluate(label) == "上传照片"
    files = [["notes.txt", "", ""]]
    page.page.evaluate(DROP, [files, *place(page, "title")])
    toast = page.page.locator(".p-toast-message").filter(has_text="notes.txt")
    toast.wait_for()
    assert "不是图片" in toast.inner_text()
    page.screenshot(pictures / "upload_zh.png")
    assert page.problems == []
