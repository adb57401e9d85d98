"""Train Style LoRA on the real server: from a folder of pictures to a style that Load Style lists and applies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import comfy_host
import numpy as np
import pytest
import standin
from comfy_client import ComfyClient, JobError, Prompt, Result
from PIL import Image

FOLDER = "look_of_rain"
NAME = "rain look"
SETTINGS = {"preset": "fast", "steps": 6, "resolution": 64, "rank": 4, "learning_rate": 0.003, "seed": 42}


@pytest.fixture(scope="module")
def folder(client: ComfyClient, server: comfy_host.Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three blue pictures of different shapes in the input folder, one with its caption beside it."""
    assert server.base
    place = tmp_path_factory.mktemp("look")
    random = np.random.default_rng(2)
    for number, size in enumerate(((96, 96), (120, 90), (90, 120))):
        pixels = random.integers(0, 90, (*size, 3), np.uint8) + np.array([0, 40, 160], np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
        client.upload(place / f"{number}.png", FOLDER)
    (server.base / "input" / FOLDER / "1.txt").write_text("a lamp post\n", encoding="utf-8")
    return FOLDER


def prompt(folder: str, **inputs: Any) -> Prompt:
    values = {
        "model": ["base", 0],
        "clip": ["base", 1],
        "vae": ["base", 2],
        "pictures": ["photos", 0],
        "captions": ["photos", 2],
    }
    values |= {"name": NAME, "trigger": "", "look": "wet street at night", **SETTINGS, **inputs}
    return {
        "base": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": standin.CHECKPOINT_NAME}},
        "photos": {
            "class_type": "FaceChain_LoadPhotos",
            "inputs": {"folder": folder, "files": "", "max_side": 512},
        },
        "train": {"class_type": "FaceChain_TrainStyleLoRA", "inputs": values},
        "samples": {"class_type": "PreviewImage", "inputs": {"images": ["train", 2]}},
    }


@pytest.fixture(scope="module")
def trained(client: ComfyClient, folder: str) -> Result:
    return client.run(prompt(folder))


def told(result: Result) -> dict[str, Any]:
    return json.loads(result.texts("train")[0])


@pytest.mark.comfy
def test_pictures_become_a_lora_and_a_style(client: ComfyClient, server: comfy_host.Server, trained: Result) -> None:
    about = told(trained)
    assert about["captions"] == [f"{NAME} style", f"{NAME} style, a lamp post", f"{NAME} style"]
    style = json.loads(Path(about["file"]).read_text(encoding="utf-8"))
    assert style == about["style"]
    assert (style["prompt"], style["lora_words"], style["base"]) == (
        "wet street at night",
        f"{NAME} style",
        {"family": "SD 1.5"},
    )
    assert server.base and (server.base / "models" / "loras" / style["lora"]).is_file()
    assert len(trained.outputs["samples"]["images"]) >= 4
    steps = [value for node, value, _ in trained.progress if node == "train"]
    assert steps and steps == sorted(steps)


@pytest.mark.comfy
def test_load_style_lists_and_applies_it(client: ComfyClient, trained: Result) -> None:
    listed = client.get("/object_info/FaceChain_LoadStyle")["FaceChain_LoadStyle"]["input"]["required"]["style"]
    assert NAME in (listed[1]["options"] if isinstance(listed[0], str) else listed[0])
    values = {"model": ["base", 0], "clip": ["base", 1], "style": NAME, "style_weight": -1.0, "person_weight": -1.0}
    values |= {"frame": "none", "extra_prompt": "", "extra_negative": ""}
    nodes: Prompt = {"base": prompt(FOLDER)["base"], "style": {"class_type": "FaceChain_LoadStyle", "inputs": values}}
    nodes["show"] = {"class_type": "PreviewAny", "inputs": {"source": ["style", 6]}}
    notes, positive, _ = client.run(nodes).texts("style")
    assert f"Style LoRA: {told(trained)['style']['lora']} at 0.7" in notes
    assert "wet street at night" in positive and f"{NAME} style" in positive


@pytest.mark.comfy
def test_the_same_is_not_trained_twice_and_a_new_caption_is(
    client: ComfyClient, server: comfy_host.Server, trained: Result, folder: str
) -> None:
    assert server.base
    first = told(trained)["style"]["lora"]
    again = client.run(prompt(folder, look="another look"))
    assert told(again)["style"]["lora"] == first
    assert told(again)["style"]["prompt"] == "wet street at night", "what stands in the file is its owner's"
    (server.base / "input" / folder / "2.txt").write_text("an umbrella", encoding="utf-8")
    other = told(client.run(prompt(folder, look="another look")))
    assert other["captions"][2] == f"{NAME} style, an umbrella"
    assert other["style"]["lora"] != first


@pytest.mark.comfy
@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"name": "armor"}, "the pack has a style that is called 'armor'"),
        ({"name": "../rain"}, "the style name '../rain' cannot be used"),
        ({"captions": "one\ntwo"}, "there are 2 captions for 3 pictures"),
    ],
)
def test_what_cannot_be_is_said(client: ComfyClient, folder: str, inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(JobError, match=said):
        client.run(prompt(folder, **inputs))
