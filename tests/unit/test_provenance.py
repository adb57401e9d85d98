"""What a saved picture says of itself, and what it never says."""

from __future__ import annotations

import io
import json
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from tiny_training import make_person

from facechain.provenance import COMPOSITE, DRAWN, png_of, statement, uses_facechain

NAME = "Anna Example"


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


GRAPH = {
    "base": node("CheckpointLoaderSimple", ckpt_name="sd15\\v1-5-pruned-emaonly-fp16.safetensors"),
    "lora": node("LoraLoader", lora_name="facechain/Anna Example-0123456789ab.safetensors", model=["base", 0]),
    "style": node("FaceChain_LoadStyle", style="armor", model=["lora", 0]),
    "draw": node("KSampler", model=["style", 0], sampler_name="euler"),
    "fuse": node("FaceChain_FaceFusion", images=["draw", 0], fusion="inswapper", engine="insightface"),
    "save": node("FaceChain_SavePortraits", images=["fuse", 0]),
    "other": node("FaceChain_Preprocess", name=NAME, engine="embedded", sam_model="sam_vit_b.safetensors"),
}


def test_it_tells_what_was_used_under_which_licence_and_nothing_that_was_not() -> None:
    said = statement(GRAPH, "save", [make_person(NAME)], lambda style: f"{style}-made.safetensors")
    assert said["statement"] == "AI-generated" and said["digital_source_type"] == DRAWN
    engines = {engine["name"]: engine["licence"] for engine in said["engines"]}
    assert "non-commercial" in engines["insightface"] and "non-commercial" in engines["inswapper"]
    assert "embedded" not in engines  # it stands in a node on which the saved picture does not depend
    models = {model["file"]: model["licence"] for model in said["models"]}
    assert models["v1-5-pruned-emaonly-fp16.safetensors"] == "CreativeML Open RAIL-M"
    assert models["armor-made.safetensors"] == "see its author's page"
    assert "sam_vit_b.safetensors" not in models
    whole = statement(GRAPH, None)
    assert {engine["name"] for engine in whole["engines"]} >= {"embedded", "insightface"}
    assert "sam_vit_b.safetensors" in {model["file"] for model in whole["models"]}


def test_people_are_hashes_and_their_names_stand_nowhere() -> None:
    person = make_person(NAME)
    said = statement(GRAPH, "save", [person])
    assert [each["hash"] for each in said["people"]] == [person.hash]
    file = png_of(np.zeros((4, 4, 3), np.uint8), {}, said)
    assert b"Anna" not in file and person.hash.encode() in file


def test_a_face_put_into_a_template_is_a_composite() -> None:
    graph = {
        "group": node("FaceChain_GroupPortrait", engine="embedded"),
        "save": node("SaveImage", images=["group", 0]),
    }
    assert statement(graph, "save")["digital_source_type"] == COMPOSITE
    apart = {**graph, "save": node("SaveImage", images=["other", 0]), "other": node("EmptyImage")}
    assert statement(apart, "save")["digital_source_type"] == DRAWN


def test_the_file_is_the_picture_with_json_and_xmp() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    said = statement(GRAPH, "save", [make_person()])
    with Image.open(io.BytesIO(png_of(pixels, {"workflow": '{"a": "小明"}'}, said))) as file:
        assert np.array_equal(np.asarray(file), pixels)
        assert file.info["workflow"] == '{"a": "小明"}'
        assert json.loads(file.info["facechain"]) == said
        packet = file.info["XML:com.adobe.xmp"]
    tree = ElementTree.fromstring(packet.partition("?>")[2].rpartition("<?xpacket")[0])
    (source,) = tree.iter("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert source.text == DRAWN
    with Image.open(io.BytesIO(png_of(pixels, {}, None))) as bare:
        assert not bare.info


@pytest.mark.parametrize(
    "graph",
    [
        {},
        {"1": None},
        {"1": {"class_type": 5}},
        {"1": {"class_type": "FaceChain_LoadStyle", "inputs": []}},
        {"1": {"class_type": "FaceChain_LoadStyle", "inputs": {"style": ["1", 0], "x": ["1", 0]}}},
    ],
)
def test_graphs_of_any_shape_are_read(graph: dict[str, Any]) -> None:
    assert isinstance(uses_facechain(graph), bool)
    for node_id in (None, "1", "2"):
        assert statement(graph, node_id)["format"] == "facechain-provenance-1"
