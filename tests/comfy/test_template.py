"""Template Face, Template Paste and Group Portrait on the real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import comfy_host
import numpy as np
import pytest
from comfy_client import ComfyClient, JobError, Prompt
from group_portraits import Watched, group_portrait, masks, picture, save_people, saved
from PIL import Image

from facechain.faces import engine
from facechain.faces.base import distance
from facechain.person import Person
from facechain.template import find_faces, place_face

# --- Template Face and Template Paste ---


def test_a_changed_crop_changes_its_face_and_nothing_else(watched: Watched, couple: Path) -> None:
    name = watched.client.upload(couple, "template_tests")
    prompt: Prompt = {
        "load": {"class_type": "LoadImage", "inputs": {"image": name}},
        "face": {
            "class_type": "FaceChain_TemplateFace",
            "inputs": {
                "template": ["load", 0],
                "face": 2,
                "size": 256,
                "face_part": 0.45,
                "grow": 0.1,
                "engine": "embedded",
            },
        },
        "other": {"class_type": "ImageInvert", "inputs": {"image": ["face", 0]}},
        "paste": {
            "class_type": "FaceChain_TemplatePaste",
            "inputs": {
                "template": ["load", 0],
                "crop": ["other", 0],
                "template_face": ["face", 2],
                "feather": 0.05,
                "match_colour": False,
            },
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["paste", 0], "filename_prefix": "paste"}},
        "mask": {"class_type": "MaskToImage", "inputs": {"mask": ["paste", 1]}},
        "changed": {"class_type": "SaveImage", "inputs": {"images": ["mask", 0], "filename_prefix": "changed"}},
        "look": {"class_type": "PreviewImage", "inputs": {"images": ["face", 3]}},
    }
    result = watched(prompt)
    before, after = np.asarray(Image.open(couple).convert("RGB")), saved(watched.client, result)
    changed = saved(watched.client, result, "changed")[..., 0] > 0
    assert np.array_equal(changed, masks(couple)[1])
    assert np.array_equal(after[~changed], before[~changed])
    depths = np.abs(after.astype(int) - before).max(-1)[changed]
    assert np.median(depths) > 30
    assert saved(watched.client, result, "look").shape == before.shape


# --- Group Portrait ---

JOINED = {"look"}  # puts what `inspect` shows of a lane behind what it shows of the lanes before


@pytest.fixture(scope="module")
def template(client: ComfyClient, couple: Path) -> str:
    return client.upload(couple, "template_tests")


def test_both_faces_are_drawn_anew_and_the_rest_stays(
    watched: Watched, template: str, couple: Path, seated: dict[str, Person]
) -> None:
    result = watched(group_portrait(template, "Adam", "Eve"))
    before, after = np.asarray(Image.open(couple).convert("RGB")), saved(watched.client, result)
    both = masks(couple)
    outside = ~(both[0] | both[1])
    assert np.array_equal(after[outside], before[outside])
    for mask in both:
        assert np.abs(after.astype(int) - before)[mask].mean() > 8
    steps = {"face", "positive", "negative", "encode", "mask", "sample", "decode", "paste"}
    assert watched.lanes() == {"person1": steps, "person2": steps | JOINED}


def test_a_new_person_2_leaves_lane_1_alone(watched: Watched, template: str, seated: dict[str, Person]) -> None:
    watched(group_portrait(template, "Adam", "Eve", seed=2))
    watched(group_portrait(template, "Adam", "Eve", seed=2))
    assert watched.ran == []
    watched(group_portrait(template, "Adam", "Adam", seed=2))
    lanes = watched.lanes()
    assert "person1" not in lanes
    assert {"sample", "decode", "paste"} <= lanes["person2"]
    assert "face" not in lanes["person2"]  # the same face of the same template


def test_a_new_person_1_repeats_only_the_pastes_after_it(
    watched: Watched, template: str, seated: dict[str, Person]
) -> None:
    watched(group_portrait(template, "Adam", "Eve", seed=3))
    watched(group_portrait(template, "Eve", "Eve", seed=3))
    lanes = watched.lanes()
    assert "sample" in lanes["person1"]
    assert lanes["person2"] == {"paste"} | JOINED


def test_one_person_in_a_couple_leaves_the_other_face(
    watched: Watched, template: str, couple: Path, seated: dict[str, Person]
) -> None:
    result = watched(group_portrait(template, "Eve"))
    before, after = np.asarray(Image.open(couple).convert("RGB")), saved(watched.client, result)
    first = masks(couple)[0]
    assert np.array_equal(after[~first], before[~first]) and not np.array_equal(after[first], before[first])


def test_faces_chooses_who_goes_where(watched: Watched, template: str, couple: Path, seated: dict[str, Person]) -> None:
    only = saved(watched.client, watched(group_portrait(template, "Eve", faces="2")))
    before = np.asarray(Image.open(couple).convert("RGB"))
    first, second = masks(couple)
    assert np.array_equal(only[~second], before[~second]) and not np.array_equal(only[second], before[second])
    swapped = watched(group_portrait(template, "Eve", "Adam", faces="2, 1", seed=5))
    straight = watched(group_portrait(template, "Adam", "Eve", seed=5))
    a, b = saved(watched.client, swapped), saved(watched.client, straight)
    assert np.array_equal(a[~(first | second)], b[~(first | second)])
    # seeds follow the person's number, so the same face is drawn otherwise
    assert not np.array_equal(a[first], b[first])


def test_denoise_0_draws_nothing(watched: Watched, template: str, couple: Path, seated: dict[str, Person]) -> None:
    result = watched(group_portrait(template, "Adam", "Eve", denoise=0.0))
    before, after = np.asarray(Image.open(couple).convert("RGB")), saved(watched.client, result)
    assert np.array_equal(after, before)
    assert all(nodes <= {"face", "paste"} | JOINED for nodes in watched.lanes().values())


def test_the_persons_lora_acts_in_their_lane_only(
    watched: Watched, template: str, couple: Path, seated: dict[str, Person]
) -> None:
    pictures = {}
    for weight in (0.0, 0.95):
        result = watched(group_portrait(template, "Noah", "Eve", person_weight=weight, seed=4, denoise=1.0, steps=2))
        assert ("lora" in watched.lanes()["person1"]) == (weight > 0)
        assert "lora" not in watched.lanes()["person2"]
        pictures[weight] = saved(watched.client, result).astype(int)
    first, second = masks(couple)
    difference = np.abs(pictures[0.0] - pictures[0.95]).max(-1)
    assert difference[first].mean() > 1
    assert difference[second].max() == 0


def refused(client: ComfyClient, prompt: Prompt) -> str:
    with pytest.raises(JobError) as error:
        client.run(prompt)
    assert error.value.details["node_type"] == "FaceChain_GroupPortrait"
    return str(error.value)


def test_wrong_input_is_named_before_anything_is_drawn(
    watched: Watched, template: str, tmp_path: Path, seated: dict[str, Person]
) -> None:
    client = watched.client
    message = refused(client, group_portrait(template, "Adam", "Eve", "Adam"))
    assert "shows 2 faces, but there are 3 people" in message and "more faces" in message
    message = refused(client, group_portrait(template, "Adam", faces="3"))
    assert "face 3, but the template shows 2 faces" in message
    message = refused(client, group_portrait(template, "Adam", "Lost"))
    assert "LoRA of Lost" in message and "Train the person again" in message
    for size in ((1, 1), (300, 200)):
        Image.new("RGB", size, "gray").save(tmp_path / "empty.png")
        message = refused(client, group_portrait(client.upload(tmp_path / "empty.png", f"t{size[0]}"), "Adam"))
        assert f"({size[0]}x{size[1]} pixels) shows no face" in message
    client.run(group_portrait(template, "Adam"))  # and the server goes on


@pytest.fixture(scope="module")
def fused_group(
    client: ComfyClient, seated: dict[str, Person], package_photos: dict[str, Path]
) -> Iterator[tuple[np.ndarray, list[str]]]:
    names = ["Eve", "Eve", "Adam", "Adam", "Adam", "Eve"]
    name = client.upload(package_photos["group"], "template_tests")
    result = client.run(group_portrait(name, *names, denoise=0.0, identity=1.0, size=512))
    yield saved(client, result), names


def test_six_people_each_become_more_like_themselves(
    fused_group: tuple[np.ndarray, list[str]], seated: dict[str, Person], package_photos: dict[str, Path]
) -> None:
    after, names = fused_group
    before = np.asarray(Image.open(package_photos["group"]).convert("RGB"))
    faces = {
        key: sorted(engine().analyze([image])[0], key=lambda face: face.center[0])
        for key, image in (("before", before), ("after", after))
    }
    assert len(faces["after"]) == 6
    for old, new, name in zip(faces["before"], faces["after"], names, strict=True):
        reference = seated[name].embeddings.mean(0).numpy()
        reference /= np.linalg.norm(reference)
        assert old.embedding is not None and new.embedding is not None
        assert distance(new.embedding, reference) < distance(old.embedding, reference) - 0.05, name


def test_six_people_leave_the_rest_of_the_picture(
    fused_group: tuple[np.ndarray, list[str]], package_photos: dict[str, Path]
) -> None:
    after, _ = fused_group
    before = np.asarray(Image.open(package_photos["group"]).convert("RGB"))
    image = picture(package_photos["group"])
    outside = np.ones(before.shape[:2], bool)
    faces = find_faces(image, engine())
    for number in range(1, 7):
        record = place_face(image, faces, number, size=512, face_part=0.45, grow=0.1)
        outside[record.region] &= (record.depth <= 0).numpy()
    assert outside.mean() > 0.85
    assert np.array_equal(after[outside], before[outside])


# --- people as a list ---

LIST_NODE = """
class PeopleList:
    CATEGORY = "test"
    FUNCTION = "join"
    RETURN_TYPES = ("FACECHAIN_PERSON",)
    OUTPUT_IS_LIST = (True,)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"a": ("FACECHAIN_PERSON",), "b": ("FACECHAIN_PERSON",)}}

    def join(self, a, b):
        return ([a, b],)

NODE_CLASS_MAPPINGS = {"TestPeopleList": PeopleList}
"""


@pytest.fixture()
def server_with_lists(comfy_base_factory: Callable[[], Path], shared_data: Path) -> Iterator[comfy_host.Server]:
    """A server with one more node, which joins people to a list, as other packs' list nodes do."""
    base = comfy_base_factory()
    (base / "custom_nodes" / "people_list.py").write_text(LIST_NODE)
    save_people(base, shared_data)
    with comfy_host.Server(comfy_host.prepare(), log=base / "server.log", base=base) as running:
        yield running


def test_a_socket_may_carry_a_list_and_its_lanes_are_cached_too(
    server_with_lists: comfy_host.Server, couple: Path
) -> None:
    watched = Watched(ComfyClient(server_with_lists.url))
    template = watched.client.upload(couple, "template_tests")

    def listed(*names: str) -> Prompt:
        prompt = group_portrait(template, *names)
        prompt["list"] = {"class_type": "TestPeopleList", "inputs": {"a": ["p1", 2], "b": ["p2", 2]}}
        prompt["group"]["inputs"]["person_1"] = ["list", 0]
        del prompt["group"]["inputs"]["person_2"]
        return prompt

    result = watched(listed("Eve", "Adam"))
    assert {"sample", "paste"} <= watched.lanes()["person1"] and {"sample", "paste"} <= watched.lanes()["person2"]
    before, after = np.asarray(Image.open(couple).convert("RGB")), saved(watched.client, result)
    for mask in masks(couple):
        assert not np.array_equal(after[mask], before[mask])
    watched(listed("Eve", "Noah"))
    assert "list" in watched.ran and "person1" not in watched.lanes()
    assert "sample" in watched.lanes()["person2"]
