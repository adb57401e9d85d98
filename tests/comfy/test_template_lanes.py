"""Group Portrait on the real server: who sits where, refinement, edges and poses, what can be inspected."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import standin
from comfy_client import ComfyClient, JobError, Prompt
from group_portraits import Watched, group_portrait, masks, picture, saved
from PIL import Image
from sample_photos import ten_people

from facechain.faces import engine
from facechain.person import Person
from facechain.template import find_faces


@pytest.fixture(scope="module")
def template(client: ComfyClient, couple: Path) -> str:
    return client.upload(couple, "lanes_tests")


def with_report(prompt: Prompt) -> Prompt:
    return prompt | {
        "report": {"class_type": "PreviewAny", "inputs": {"source": ["group", 3]}},
        "inspect": {"class_type": "PreviewImage", "inputs": {"images": ["group", 2]}},
    }


def controlled(prompt: Prompt, socket: str) -> Prompt:
    prompt["group"]["inputs"][socket] = ["net", 0]
    return prompt | {"net": {"class_type": "ControlNetLoader", "inputs": {"control_net_name": standin.CONTROLNET_NAME}}}


def untouched(after: np.ndarray, couple: Path) -> bool:
    before = np.asarray(Image.open(couple).convert("RGB"))
    outside = ~np.logical_or.reduce(masks(couple))
    return np.array_equal(after[outside], before[outside])


def test_refinement_draws_the_fused_face_once_more(
    watched: Watched, template: str, couple: Path, seated: dict[str, Person]
) -> None:
    fused = {"denoise": 0.0, "identity": 1.0, "size": 256, "steps": 2}
    plain = saved(watched.client, watched(group_portrait(template, "Adam", "Eve", **fused)))
    assert not any("refine" in name for nodes in watched.lanes().values() for name in nodes)
    result = watched(group_portrait(template, "Adam", "Eve", refine=0.3, **fused))
    ran = watched.lanes()["person1"]
    drawn = {f"refine_{name}" for name in ("face", "encode", "mask", "sample", "decode")}
    assert drawn | {"positive"} <= ran and "sample" not in ran
    assert "fuse" not in ran  # found in the cache
    refined = saved(watched.client, result)
    assert untouched(refined, couple)
    for mask in masks(couple):
        assert np.abs(refined.astype(int) - plain)[mask].mean() > 2


def test_refinement_has_its_own_mask_and_strength_of_the_controlnets(
    watched: Watched, template: str, couple: Path, seated: dict[str, Person]
) -> None:
    """As FaceChain's second stage: close around the face, whatever the strength of the first drawing is."""
    settings = {"denoise": 0.0, "refine": 1.0, "size": 256, "steps": 2, "cfg": 3.0}
    free = saved(watched.client, watched(group_portrait(template, "Adam", **settings)))
    held = []
    for strength in (0.0, 1.0):
        prompt = group_portrait(template, "Adam", **settings, edge_strength=strength)
        held.append(saved(watched.client, watched(controlled(prompt, "edge_control_net"))))
    assert np.array_equal(*held) and not np.array_equal(held[0], free)
    changed = np.abs(free.astype(int) - np.asarray(Image.open(couple).convert("RGB"))).max(-1) > 40
    near, wide = (masks(couple, grow)[0] for grow in (0.02, 0.1))
    assert changed[near].mean() > 0.5 and changed[wide & ~near].mean() < 0.3


@pytest.mark.parametrize(
    ("socket", "strength", "nodes"),
    [
        ("edge_control_net", "edge_strength", {"edges", "cut", "edged"}),
        ("pose_control_net", "pose_strength", {"pose"}),
    ],
)
def test_a_controlnet_steers_every_lane(
    watched: Watched,
    template: str,
    couple: Path,
    seated: dict[str, Person],
    socket: str,
    strength: str,
    nodes: set[str],
) -> None:
    drawn = {"denoise": 1.0, "steps": 1, "seed": 11}
    plain = saved(watched.client, watched(group_portrait(template, "Adam", "Eve", **drawn)))
    steered = watched(controlled(group_portrait(template, "Adam", "Eve", **drawn, **{strength: 1.0}), socket))
    lanes = watched.lanes()
    assert nodes <= lanes["person1"] and nodes <= lanes["person2"]
    after = saved(watched.client, steered)
    assert untouched(after, couple)
    for mask in masks(couple):
        assert np.abs(after.astype(int) - plain)[mask].mean() > 0.5


def test_the_face_is_cut_out_of_the_edges(client: ComfyClient, template: str) -> None:
    """The core nodes as the lanes join them: lines around the face, none in it."""
    crop: Prompt = {
        "load": {"class_type": "LoadImage", "inputs": {"image": template}},
        "face": {
            "class_type": "FaceChain_TemplateFace",
            "inputs": {
                "template": ["load", 0],
                "face": 1,
                "size": 256,
                "face_part": 0.45,
                "grow": 0.1,
                "engine": "embedded",
            },
        },
        "edges": {
            "class_type": "Canny",
            "inputs": {"image": ["face", 0], "low_threshold": 0.4, "high_threshold": 0.8},
        },
        "black": {
            "class_type": "EmptyImage",
            "inputs": {"width": 256, "height": 256, "batch_size": 1, "color": 0},
        },
        "cut": {
            "class_type": "ImageCompositeMasked",
            "inputs": {
                "destination": ["edges", 0],
                "source": ["black", 0],
                "x": 0,
                "y": 0,
                "resize_source": False,
                "mask": ["face", 1],
            },
        },
        "mask": {"class_type": "MaskToImage", "inputs": {"mask": ["face", 1]}},
        **{
            f"save_{name}": {"class_type": "SaveImage", "inputs": {"images": [name, 0], "filename_prefix": name}}
            for name in ("edges", "cut", "mask")
        },
    }
    result = client.run(crop)
    edges, cut, mask = (saved(client, result, f"save_{name}")[..., 0] for name in ("edges", "cut", "mask"))
    inside = mask == 255
    assert edges[inside].max() == 255 and cut[inside].max() == 0
    assert np.array_equal(edges[mask == 0], cut[mask == 0]) and cut.max() == 255


def test_people_are_seated_by_gender_and_by_likeness(
    watched: Watched, template: str, couple: Path, seated: dict[str, Person]
) -> None:
    faces = find_faces(picture(couple), engine(), described=True)
    seat_of_woman, seat_of_man = (next(n for n, f in enumerate(faces, 1) if f.gender == g) for g in ("woman", "man"))
    order = ("Eve", "Adam") if seat_of_man == 1 else ("Adam", "Eve")  # the wrong way round for left to right
    settings = {"denoise": 0.0, "identity": 1.0, "size": 256}
    for way in ("by gender and age", "by likeness"):
        result = watched(with_report(group_portrait(template, *order, assign=way, **settings)))
        report = json.loads(result.texts("report")[0])
        assert report["assigned"] == way and len(report["template_faces"]) == 2
        seats = {row["person"]: row["face"] for row in report["people"]}
        assert set(seats.values()) == {1, 2}
        if way == "by gender and age":
            assert seats == {"Eve": seat_of_woman, "Adam": seat_of_man}
        assert len(result.outputs["inspect"]["images"]) == 2
    by_hand = watched(with_report(group_portrait(template, *order, assign="by likeness", faces="1, 2", **settings)))
    assert json.loads(by_hand.texts("report")[0])["assigned"] == "by hand"
    sheet = Image.open(io.BytesIO(watched.client.fetch(by_hand.outputs["inspect"]["images"][0])))
    assert sheet.width > 5 * 224


def test_template_face_finds_the_face_of_a_person(
    client: ComfyClient, template: str, couple: Path, seated: dict[str, Person]
) -> None:
    faces = find_faces(picture(couple), engine(), described=True)
    places = {face.gender: number for number, face in enumerate(faces, 1)}
    for name, gender in (("Adam", "man"), ("Eve", "woman")):
        cut = {"template": ["load", 0], "face": 1, "size": 256, "face_part": 0.45, "grow": 0.1, "engine": "embedded"}
        prompt: Prompt = {
            "load": {"class_type": "LoadImage", "inputs": {"image": template}},
            "person": {"class_type": "FaceChain_LoadPerson", "inputs": {"name": name, "weight": 1.0}},
            "face": {
                "class_type": "FaceChain_TemplateFace",
                "inputs": cut | {"choose": "by gender and age", "person": ["person", 2]},
            },
            "number": {"class_type": "PreviewAny", "inputs": {"source": ["face", 4]}},
        }
        assert client.run(prompt).texts("number") == [str(places[gender])]


def test_ten_people_have_a_lane_each(
    watched: Watched, seated: dict[str, Person], shared_data: Path, tmp_path: Path
) -> None:
    """Ten lanes, drawn anew and then fused: everybody is there and liker, and between them lies the template."""
    row = ten_people(shared_data, tmp_path / "ten.png")
    before, places = picture(row), masks(row)
    assert len(places) == 10
    names = ["Eve", "Adam"] * 5  # each in the place of the other sex
    uploaded = watched.client.upload(row, "lanes_tests")
    drawn = saved(watched.client, watched(group_portrait(uploaded, *names, denoise=0.5)))
    assert {f"person{n}" for n in range(1, 11)} == {
        lane for lane, nodes in watched.lanes().items() if "sample" in nodes
    }
    fused = saved(watched.client, watched(group_portrait(uploaded, *names, denoise=0.0, identity=1.0)))
    pixels = (before[0] * 255).round().byte().numpy()
    outside = ~np.logical_or.reduce(places)
    assert outside.mean() > 0.5
    for after in (drawn, fused):
        assert np.array_equal(after[outside], pixels[outside])
        assert all(np.abs(after.astype(int) - pixels)[mask].mean() > 3 for mask in places)
    faces = [sorted(engine().analyze([image])[0], key=lambda face: face.center[0]) for image in (pixels, fused)]
    assert [len(found) for found in faces] == [10, 10]
    for old, new, name in zip(*faces, names, strict=True):
        own = seated[name].embeddings.numpy()
        assert float((own @ new.embedding).mean()) > float((own @ old.embedding).mean()) + 0.02, name


def test_what_cannot_be_is_said_before_anything_is_drawn(
    watched: Watched, template: str, seated: dict[str, Person]
) -> None:
    with pytest.raises(JobError, match="no way 'by beauty'"):
        watched.client.run(group_portrait(template, "Adam", assign="by beauty"))
    with pytest.raises(JobError, match=r"swap network is missing: .*models/insightface/inswapper_128\.onnx"):
        watched.client.run(group_portrait(template, "Adam", fusion="inswapper", identity=1.0, denoise=0.0))
