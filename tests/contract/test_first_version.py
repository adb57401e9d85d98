"""Files and graphs of the first version, kept as they were: they load, and mean the same, for ever.

tests/data/first holds a person file and a person LoRA as 0.1.0 writes them, and the first two graphs that were drawn,
with the eleven nodes of that day. Never write them anew: where this fails, the code is wrong, or needs to know both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facechain.person import load_person
from facechain.training import lora_file
from facechain.training.config import config_from

HASH = "eea3405ac6b38f76442b9748ccb8d52980fd1393ce3778c8b51aa93067d4922f"
KEY = "67f038d8d80f1c55f8df746d0658951f5b5b48c292b28d466a8c952627457e79"
GRAPHS = ("style_portrait", "group_photo")


@pytest.fixture(scope="module")
def first(root: Path) -> Path:
    return root / "tests" / "data" / "first"


def test_the_person_is_the_same_to_the_last_bit(first: Path) -> None:
    person = load_person(first / "person.safetensors")
    assert person.hash == HASH  # over pictures, masks, embeddings, poses, qualities, caption, attributes
    assert (person.name, person.best, person.attributes.tags) == ("Anna 小明", 1, ("glasses",))
    assert person.lora == "facechain/Anna 小明-0123456789ab.safetensors"
    assert person.photo_names == ("1.jpg", "写真.jpg")


def test_the_lora_is_found_again_for_the_same_person_base_and_settings(first: Path) -> None:
    path, person = first / "lora.safetensors", load_person(first / "person.safetensors")
    base = lora_file.read_base(path)
    assert base and base == lora_file.Base("m", "c", "v", "SD15")
    assert lora_file.training_hash(person, base, config_from("fast", steps=3, resolution=64)) == KEY
    assert lora_file.read_report(path, KEY) == {"losses": [0.5, 0.4, 0.3]}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_job_queued_by_an_old_program_is_still_valid(first: Path, declared: dict[str, Any], name: str) -> None:
    job = json.loads((first / f"{name}.api.json").read_text(encoding="utf-8"))
    ours = {key: node for key, node in job.items() if node["class_type"].startswith("FaceChain_")}
    assert len(ours) >= 4
    for node in ours.values():
        inputs = {row[0]: row for row in declared[node["class_type"]]["inputs"]}
        assert set(node["inputs"]) <= set(inputs), node["class_type"]
        required = {name for name, row in inputs.items() if row[2] == "required"}
        assert required <= set(node["inputs"]), "a later input must be optional"
    for node in job.values():
        for entry, value in node["inputs"].items():
            if isinstance(value, list) and value[0] in ours:
                output = declared[ours[value[0]]["class_type"]]["outputs"][value[1]]
                wanted = {row[0]: row[1] for row in declared.get(node["class_type"], {"inputs": []})["inputs"]}
                assert output[1] == wanted.get(entry, output[1]), (node["class_type"], entry)


@pytest.mark.parametrize("name", GRAPHS)
def test_an_old_graph_finds_its_widgets_and_sockets_in_their_places(
    first: Path, declared: dict[str, Any], name: str
) -> None:
    graph = json.loads((first / f"{name}.json").read_text(encoding="utf-8"))
    ours = [node for node in graph["nodes"] if node["type"].startswith("FaceChain_")]
    assert ours
    for node in ours:
        now = declared[node["type"]]
        widgets = [entry["name"] for entry in node["inputs"] if "widget" in entry]
        assert [each for each in now["widgets"] if each != "control_after_generate"][: len(widgets)] == widgets
        assert len(node["widgets_values"]) <= len(now["widgets"])
        outputs = [[slot["name"], slot["type"]] for slot in node["outputs"]]
        assert [row[:2] for row in now["outputs"]][: len(outputs)] == outputs, node["type"]
        kinds = {row[0]: row[1] for row in now["inputs"]}
        assert all(kinds[slot["name"]] == slot["type"] for slot in node["inputs"]), node["type"]
