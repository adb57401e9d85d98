"""Styles chosen by picture: the gallery opens, is searched in both languages, and takes up the user's own portraits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import export_api_workflows
import pytest
import standin
from front_end import FrontEnd
from playwright.sync_api import Locator

GRAPH = export_api_workflows.WORKFLOWS / "trained_portrait.json"
BUTTON = """() => app.graph._nodes.find(node => node.type === 'FaceChain_LoadStyle')
    .widgets.find(widget => widget.type === 'button')"""
VALUE = """() => app.graph._nodes.find(node => node.type === 'FaceChain_LoadStyle')
    .widgets.find(widget => widget.name === 'style').value"""
# A portrait saved with a style that has no drawing.
PORTRAIT: dict[str, dict[str, Any]] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": standin.CHECKPOINT_NAME}},
    "2": {
        "class_type": "FaceChain_LoadStyle",
        "inputs": {
            **{"model": ["1", 0], "clip": ["1", 1], "style": "kimono", "style_weight": -1, "person_weight": -1},
            **{"frame": "upper body", "extra_prompt": "", "extra_negative": ""},
        },
    },
    "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "4": {
        "class_type": "KSampler",
        "inputs": {
            **{"model": ["2", 0], "positive": ["2", 2], "negative": ["2", 3], "latent_image": ["3", 0], "seed": 1},
            **{"steps": 1, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0},
        },
    },
    "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
    "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "gallery"}},
}


@pytest.fixture()
def graph(page: FrontEnd) -> FrontEnd:
    page.load(json.loads(GRAPH.read_text(encoding="utf-8")))
    page.close_dialogs()
    return page


def _open(page: FrontEnd) -> Locator:
    page.page.evaluate(f"() => ({BUTTON})().callback()")
    dialog = page.page.locator(".facechain-gallery")
    dialog.wait_for()
    return dialog


def test_a_style_is_chosen_by_its_picture(graph: FrontEnd, pictures: Path) -> None:
    assert graph.page.evaluate(f"() => ({BUTTON})().name") == "choose by picture"
    dialog = _open(graph)
    graph.settle()
    graph.page.screenshot(path=pictures / "gallery_en.png")
    listed = set(
        graph.page.evaluate("async () => (await (await fetch('/facechain/styles')).json()).map(style => style.id)")
    )
    assert {card.get_attribute("data-style") for card in dialog.locator("main button").all()} == listed
    drawn = dialog.locator("[data-style=snow_white] svg").inner_html()
    assert "#3c68b4" in drawn and "#c0302f" in drawn, "the blue dress and the red bow"
    assert drawn != dialog.locator("[data-style=armor] svg").inner_html()
    dialog.get_by_role("searchbox").fill("冬季汉服")
    assert dialog.locator("main button").count() == 1
    dialog.locator("main button").click()
    assert not dialog.count()
    assert graph.page.evaluate(VALUE) == "chinese_winter_hanfu"
    assert graph.problems == []


def test_the_users_own_portrait_becomes_the_styles_picture(graph: FrontEnd, pictures: Path) -> None:
    graph.page.evaluate("() => localStorage.removeItem('FaceChain.StylePictures')")  # of other tests
    assert not _open(graph).locator("[data-style=kimono] .own").count()
    graph.page.keyboard.press("Escape")
    graph.page.evaluate("prompt => app.loadApiJson(prompt, 'gallery')", PORTRAIT)
    graph.wait_for(len(PORTRAIT))
    graph.page.get_by_test_id("queue-button").first.click()
    graph.page.wait_for_function(
        "() => localStorage.getItem('FaceChain.StylePictures')?.includes('kimono')", timeout=120_000
    )
    dialog = _open(graph)
    dialog.get_by_role("searchbox").fill("kimono")
    dialog.locator("[data-style=kimono] .own").wait_for()
    graph.page.screenshot(path=pictures / "gallery_own.png")
    graph.page.keyboard.press("Escape")
    assert graph.problems == []


def test_the_gallery_speaks_chinese(chinese_page: FrontEnd, pictures: Path) -> None:
    page = chinese_page
    page.load(json.loads(GRAPH.read_text(encoding="utf-8")))
    page.close_dialogs()
    dialog = _open(page)
    assert page.page.evaluate(f"() => ({BUTTON})().name") == "看图选风格"
    assert dialog.locator("[data-style=kimono] small").inner_text().startswith("日系和服风")
    page.settle()
    page.page.screenshot(path=pictures / "gallery_zh.png")
    assert page.problems == []
