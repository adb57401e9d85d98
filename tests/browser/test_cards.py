"""Pictures with their verdicts on the nodes, and what is seen while a person is learnt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import comfy_host
import export_api_workflows
import pytest
import standin
from front_end import FrontEnd
from PIL import Image

# Photos of a person to Preprocess, portraits to Similarity Rank.
PROMPT: dict[str, dict[str, Any]] = {
    "1": {"class_type": "FaceChain_LoadPhotos", "inputs": {"folder": "(none)", "files": "", "max_side": 1536}},
    "2": {
        "class_type": "FaceChain_Preprocess",
        "inputs": {
            **{"photos": ["1", 0], "names": ["1", 1], "name": "cards", "size": "512", "background": "white"},
            **{"retouch": 0.2, "engine": "embedded", "gender": "auto", "age": 0, "caption": "", "save": False},
            **{"sam_model": "(none)", "tags": ""},
        },
    },
    "3": {"class_type": "FaceChain_LoadPhotos", "inputs": {"folder": "(none)", "files": "", "max_side": 1536}},
    "4": {
        "class_type": "FaceChain_SimilarityRank",
        "inputs": {
            **{"images": ["3", 0], "person": ["2", 0], "keep": 1, "min_face": 0.1, "max_face": 0.8},
            **{"when_none": "give all unranked", "engine": "embedded"},
        },
    },
}
# What stands on a node's cards: the line above them, then each card's words, hover text and colour.
CARDS = """type => {
    const element = app.graph._nodes.find(node => node.type === type)?.widgets.find(w => w.name === 'cards')?.element;
    const line = element?.querySelector('p')?.textContent;
    const cards = [...element?.querySelectorAll('figure') ?? []].map(card => ({
        caption: card.querySelector('figcaption').textContent, title: card.title,
        colour: card.querySelector('.bar').style.background, sign: card.querySelector('.facechain-badge')?.textContent ?? '',
        picture: card.querySelector('.picture').style.backgroundImage.slice(5, -2),
    }));
    return { line, cards };
}"""
# The photos on the Load Photos before Preprocess: hover text and sign of each.
PHOTOS = """() => [...app.graph.getNodeById(1).widgets.find(widget => widget.name === 'chosen_photos').element.children]
    .map(figure => [figure.title, figure.querySelector('.facechain-badge')?.textContent ?? ''])"""
GREEN, GREY = "rgb(0, 158, 115)", "rgb(120, 120, 120)"
TRAINING = "app.graph._nodes.find(node => node.type === 'FaceChain_TrainPersonLoRA')"
# of a picture, once it is there
WIDTH = "async url => { const image = new Image(); image.src = url; await image.decode(); return image.width; }"


@pytest.fixture(scope="module")
def files(server: comfy_host.Server, package_photos: dict[str, Path]) -> dict[str, str]:
    """Names in the input folder: one woman, the same mirrored and darker, another person, a picture of nobody."""
    assert server.base
    folder = server.base / "input" / "cards"
    folder.mkdir(exist_ok=True)
    woman = Image.open(package_photos["astronaut"]).convert("RGB")
    darker = woman.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point([round(v * 0.8) for v in range(256)] * 3)
    made = {
        "woman.png": woman,
        "mirrored.png": darker,
        "man.png": Image.open(package_photos["group"]).convert("RGB").crop((385, 200, 700, 560)),
        "nobody.png": Image.linear_gradient("L").convert("RGB"),
    }
    for name, picture in made.items():
        picture.save(folder / name)
    return {Path(name).stem: f"cards/{name}" for name in made}


def _run(page: FrontEnd, files: dict[str, str], picture: Path) -> dict[str, Any]:
    prompt = json.loads(json.dumps(PROMPT))
    prompt["1"]["inputs"]["files"] = "\n".join([files["woman"], files["nobody"]])
    prompt["3"]["inputs"]["files"] = "\n".join([files["man"], files["nobody"], files["mirrored"]])
    page.page.evaluate("prompt => app.loadApiJson(prompt, 'cards')", prompt)
    page.wait_for(len(prompt))
    hints = {
        kind: page.page.evaluate(CARDS, kind)["line"] for kind in ("FaceChain_Preprocess", "FaceChain_SimilarityRank")
    }
    page.page.get_by_test_id("queue-button").first.click()
    ready = f"() => ({CARDS})('FaceChain_SimilarityRank').cards.length"
    page.page.wait_for_function(ready, timeout=240_000, polling=200)
    shown = {"hints": hints} | {kind: page.page.evaluate(CARDS, kind) for kind in hints}
    for kind in hints:
        page.page.evaluate(WIDTH, shown[kind]["cards"][0]["picture"])  # all of a node's are parts of one
    page.screenshot(picture)
    return shown | {"photos": page.page.evaluate(PHOTOS)}


def test_each_photo_and_portrait_stands_on_its_node_with_its_verdict(
    page: FrontEnd, files: dict[str, str], pictures: Path
) -> None:
    shown = _run(page, files, pictures / "cards_en.png")
    assert shown["hints"]["FaceChain_Preprocess"] == "Each photo will stand here with its verdict; the reason on hover."
    woman, nobody = shown["FaceChain_Preprocess"]["cards"]
    assert woman["caption"] == "woman.png" and "best photo" in woman["title"] and woman["sign"] in ("✓", "!")
    assert nobody["sign"] == "×" and "rejected" in nobody["title"] and "face" in nobody["title"].lower()
    assert "1 rejected" in shown["FaceChain_Preprocess"]["line"]
    assert shown["photos"] == [[woman["title"], woman["sign"]], [nobody["title"], "×"]]
    mirrored, man, none = shown["FaceChain_SimilarityRank"]["cards"]
    assert mirrored["colour"] == GREEN and mirrored["title"].startswith("1. picture 3: ")
    assert int(mirrored["caption"].removesuffix(" %")) > int(man["caption"].removesuffix(" %"))
    assert (none["colour"], none["caption"]) == (GREY, "no face")
    assert shown["FaceChain_SimilarityRank"]["line"] == "1 kept · 1 not kept · 1 cannot be judged"
    twice = "() => app.graph._nodes.filter(node => node.type !== 'FaceChain_Preprocess' && node.imgs?.length).length"
    assert page.page.evaluate(twice) == 0  # ComfyUI's own previews
    for command, nodes in (("Comfy.NewBlankWorkflow", 0), ("Workspace.PreviousOpenedWorkflow", len(PROMPT))):
        page.page.evaluate("id => app.extensionManager.command.execute(id)", command)
        page.wait_for(nodes)
    assert page.page.evaluate(CARDS, "FaceChain_SimilarityRank") == shown["FaceChain_SimilarityRank"]
    assert page.page.evaluate(PHOTOS) == shown["photos"]
    assert page.page.evaluate(WIDTH, man["picture"]) == 3 * 128
    assert page.problems == []


def test_cards_speak_chinese(chinese_page: FrontEnd, files: dict[str, str], pictures: Path) -> None:
    page = chinese_page
    shown = _run(page, files, pictures / "cards_zh.png")
    assert shown["hints"]["FaceChain_SimilarityRank"] == "运行后，写真按相似度从高到低显示在这里。"
    assert "1 不合格" in shown["FaceChain_Preprocess"]["line"]
    assert shown["FaceChain_SimilarityRank"]["line"] == "1 保留 · 1 未保留 · 1 无法评判"
    assert shown["FaceChain_SimilarityRank"]["cards"][-1]["caption"] == "没有人脸"
    (_, nobody) = shown["FaceChain_Preprocess"]["cards"]
    reason = "没有找到人脸。请用清晰、露出整张脸的照片，最好是正面。"
    assert nobody["title"] == f"{files['nobody']}: 不合格\n{reason}" == shown["photos"][1][0]
    assert page.problems == []


def test_curve_and_portraits_are_seen_while_the_person_is_learnt(
    page: FrontEnd, files: dict[str, str], pictures: Path
) -> None:
    graph = json.loads((export_api_workflows.WORKFLOWS / "train_person.json").read_text(encoding="utf-8"))
    values = {
        node["type"]: node["widgets_values"]
        for node in graph["nodes"]
        if node["type"].startswith(("FaceChain", "Check"))
    }
    values["CheckpointLoaderSimple"][0] = standin.CHECKPOINT_NAME
    values["FaceChain_LoadPhotos"][1] = files["woman"]
    values["FaceChain_Preprocess"][0] = "live"
    values["FaceChain_TrainPersonLoRA"][:3] = ["fast", 6, 64]
    values["FaceChain_TrainPersonLoRA"][7:] = ["best", 2]
    page.load(graph)
    page.close_dialogs()
    page.fit()
    page.page.get_by_test_id("queue-button").first.click()
    # a preview is a picture in the page's own memory: portraits above the curve
    live = f"() => {TRAINING}.imgs?.[0]?.src.startsWith('blob:') && {TRAINING}.imgs[0].naturalHeight > 300"
    page.page.wait_for_function(live, timeout=300_000, polling=100)
    page.screenshot(pictures / "training_live.png")
    done = "() => app.graph._nodes.every(node => node.type !== 'PreviewImage' || node.imgs?.length)"
    page.page.wait_for_function(done, timeout=300_000, polling=200)
    page.screenshot(pictures / "training_done.png")
    assert page.problems == []
