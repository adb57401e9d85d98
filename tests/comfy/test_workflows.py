"""Every shipped workflow on the real server, and what is in its pictures."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import comfy_host
import demo_jobs
import numpy as np
import pytest
import standin
from comfy_client import ComfyClient, Result
from PIL import Image
from small_models import write_users_models

from facechain.faces import engine
from facechain.faces.base import Face, distance
from facechain.person import load_person

CHOICES = demo_jobs.Choices(standin.CHECKPOINT_NAME, demo_jobs.STANDIN.settings, faces=demo_jobs.TEMPLATE_FACES)


# Graphs that draw with models of the user's: small, on models of the right layout that the tests make.
TINY: dict[str, dict[str, Any]] = {
    "EmptyLatentImage": {"width": 128, "height": 128},
    "KSampler": {"steps": 3, "seed": 7},
    "ControlNetLoader": {"control_net_name": standin.CONTROLNET_NAME},
    "FaceChain_TrainStyleLoRA": {"steps": 6, "resolution": 64, "rank": 4},
}


@dataclass
class Ran:
    """A workflow that ran: its prompt, its result, its inputs as files, and the nodes that a second queue ran."""

    prompt: demo_jobs.Prompt
    result: Result
    inputs: dict[str, list[Path]]
    ran_again: list[str]

    def ids(self, kind: str) -> list[str]:
        return [node_id for node_id, node in self.prompt.items() if node["class_type"] == kind]


def _run(
    client: ComfyClient,
    name: str,
    folder: Path,
    settings: dict[str, dict[str, Any]] | None = None,
    **group_portrait: float,
) -> Ran:
    inputs = demo_jobs.inputs(folder)
    uploads = {key: [client.upload(file, f"workflows_{key}") for file in files] for key, files in inputs.items()}
    group = CHOICES.settings["FaceChain_GroupPortrait"] | group_portrait
    choices = replace(CHOICES, settings={**CHOICES.settings, "FaceChain_GroupPortrait": group})
    prompt = demo_jobs.workflow(name, choices, uploads)
    for node in prompt.values():
        node["inputs"] |= (settings or {}).get(node["class_type"], {})
    # at once: ComfyUI keeps what the last job left, not what those before it did
    return Ran(prompt, client.run(prompt), inputs, _ran_again(client, prompt))


@pytest.fixture(scope="module")
def portrait(client: ComfyClient, tmp_path_factory: pytest.TempPathFactory, package_photos: dict[str, Path]) -> Ran:
    return _run(client, "style_portrait", tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def group(client: ComfyClient, tmp_path_factory: pytest.TempPathFactory, package_photos: dict[str, Path]) -> Ran:
    return _run(client, "group_photo", tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def drawn(client: ComfyClient, tmp_path_factory: pytest.TempPathFactory, package_photos: dict[str, Path]) -> Ran:
    """The group photo with each face drawn anew by the base model, but not fused."""
    settings = {"denoise": 0.65, "steps": 2, "size": 256, "identity": 0.0}
    return _run(client, "group_photo", tmp_path_factory.mktemp("inputs"), **settings)


@pytest.fixture(scope="module")
def lost(client: ComfyClient, tmp_path_factory: pytest.TempPathFactory, package_photos: dict[str, Path]) -> Ran:
    """The same and fused: the stand-in draws noise where the faces were, so that there is none to fuse."""
    settings = {"denoise": 0.65, "steps": 2, "size": 256}
    return _run(client, "group_photo", tmp_path_factory.mktemp("inputs"), **settings)


@pytest.fixture(scope="module")
def users_models(server: comfy_host.Server) -> None:
    assert server.base
    write_users_models(server.base / "models")


@pytest.fixture(scope="module")
def fast(
    client: ComfyClient, users_models: None, package_photos: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    return _run(client, "style_portrait_fast", tmp_path_factory.mktemp("inputs"), TINY)


@pytest.fixture(scope="module")
def hires(
    client: ComfyClient, users_models: None, package_photos: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    one = {**TINY, "EmptyLatentImage": {"width": 128, "height": 128, "batch_size": 1}}
    return _run(client, "style_portrait_hires", tmp_path_factory.mktemp("inputs"), one)


@pytest.fixture(scope="module")
def posed(
    client: ComfyClient, users_models: None, package_photos: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    return _run(client, "pose_portrait", tmp_path_factory.mktemp("inputs"), TINY)


@pytest.fixture(scope="module")
def own_style(client: ComfyClient, tmp_path_factory: pytest.TempPathFactory, package_photos: dict[str, Path]) -> Ran:
    return _run(client, "train_style", tmp_path_factory.mktemp("inputs"), TINY)


@pytest.fixture(scope="module")
def learnt(client: ComfyClient, tmp_path_factory: pytest.TempPathFactory, portrait: Ran) -> Ran:
    """The person of style_portrait, with the same settings."""
    return _run(client, "train_person", tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def trained(client: ComfyClient, tmp_path_factory: pytest.TempPathFactory, learnt: Ran) -> Ran:
    """Portraits of that person, by name."""
    settings = {**TINY, "FaceChain_LoadPerson": {"name": "person 1"}}
    return _run(client, "trained_portrait", tmp_path_factory.mktemp("inputs"), settings)


def _saved(client: ComfyClient, ran: Ran) -> list[np.ndarray]:
    outputs = [ran.result.outputs[node_id] for node_id in ran.ids("FaceChain_SavePortraits")]
    pictures = [Image.open(io.BytesIO(client.fetch(image))) for out in outputs for image in out["images"]]
    return [np.asarray(picture.convert("RGB")) for picture in pictures]


def _faces(picture: np.ndarray) -> list[Face]:
    """Left to right."""
    return sorted(engine("embedded").analyze([picture])[0], key=lambda face: face.center[0])


def _embedding(file: Path) -> np.ndarray:
    found = engine("embedded").analyze([np.asarray(Image.open(file).convert("RGB"))])[0]
    assert found[0].embedding is not None
    return found[0].embedding


def _to(face: Face, reference: np.ndarray) -> float:
    assert face.embedding is not None
    return distance(face.embedding, reference)


def _ran_again(client: ComfyClient, prompt: demo_jobs.Prompt) -> list[str]:
    executed: list[str] = []

    def on_event(kind: str, data: dict[str, Any]) -> None:
        if kind == "executing" and data["node"]:
            executed.append(data["node"])

    client.run(prompt, on_event)
    return executed


def test_style_portrait_gives_ranked_pictures(client: ComfyClient, portrait: Ran) -> None:
    pictures = _saved(client, portrait)
    assert len(pictures) == 4
    for picture in pictures:
        assert picture.shape == (256, 256, 3)
        assert picture.std() > 5  # not a flat colour, as NaN becomes
    differences = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(pictures)]
    assert min(differences) > 1


@pytest.mark.parametrize(("name", "people"), [("portrait", 1), ("group", 2)])
def test_every_saved_picture_says_that_it_is_generated_and_of_whom(
    name: str, people: int, client: ComfyClient, server: comfy_host.Server, request: pytest.FixtureRequest
) -> None:
    ran: Ran = request.getfixturevalue(name)
    assert server.base
    folder = server.base / "models" / "facechain" / "people"
    hashes = {load_person(folder / f"person {number}.safetensors").hash for number in range(1, people + 1)}
    for shown in ran.result.outputs[ran.ids("FaceChain_SavePortraits")[0]]["images"]:
        with Image.open(io.BytesIO(client.fetch(shown))) as file:
            said = json.loads(file.info["facechain"])
        assert said["statement"] == "AI-generated" and said["engines"] and said["models"]
        assert {person["hash"] for person in said["people"]} == hashes


def test_style_portrait_tells_what_it_did(portrait: Ran) -> None:
    verdicts = json.loads(portrait.result.texts(portrait.ids("FaceChain_Preprocess")[0])[0])
    assert [photo["accepted"] for photo in verdicts["photos"]] == [True]
    trained = json.loads(portrait.result.texts(portrait.ids("FaceChain_TrainPersonLoRA")[0])[0])
    assert len(trained["losses"]) >= 1 and np.isfinite(trained["losses"]).all()
    # The stand-in draws noise, so no portrait shows a face; each must come with that reason.
    ranked = json.loads(portrait.result.texts(portrait.ids("FaceChain_SimilarityRank")[0])[0])
    assert len(ranked["ranked"]) + len(ranked["rejected"]) == 4
    assert all(picture["reason"] for picture in ranked["rejected"])


def test_training_reports_progress_on_the_websocket(portrait: Ran) -> None:
    node = portrait.ids("FaceChain_TrainPersonLoRA")[0]
    steps = [value for where, value, _ in portrait.result.progress if where == node]
    assert steps == sorted(steps) and len(steps) >= 10
    assert portrait.result.previews > 0


def test_nobody_is_trained_for_a_group_photo_that_draws_nothing_anew(group: Ran, drawn: Ran) -> None:
    assert not group.ids("FaceChain_TrainPersonLoRA") and len(drawn.ids("FaceChain_TrainPersonLoRA")) == 2


@pytest.mark.parametrize("name", ["group", "lost"])
def test_group_photo_shows_the_two_people(name: str, client: ComfyClient, request: pytest.FixtureRequest) -> None:
    ran: Ran = request.getfixturevalue(name)
    (after,) = _saved(client, ran)
    before = np.asarray(Image.open(ran.inputs["template"][0]).convert("RGB"))
    assert after.shape == before.shape
    faces_before, faces_after = _faces(before), _faces(after)
    assert len(faces_before) == len(faces_after) == 3
    for index, person in ((2, "person1"), (0, "person2")):
        reference = _embedding(ran.inputs[person][0])
        assert _to(faces_after[index], reference) < _to(faces_before[index], reference) - 0.05, person
    unchanged = faces_before[1].embedding
    assert unchanged is not None and _to(faces_after[1], unchanged) < 0.05, "the face between them"


@pytest.mark.parametrize("name", ["group", "drawn"])
def test_group_photo_changes_nothing_but_the_two_faces(
    name: str, client: ComfyClient, request: pytest.FixtureRequest
) -> None:
    ran: Ran = request.getfixturevalue(name)
    (after,) = _saved(client, ran)
    before = np.asarray(Image.open(ran.inputs["template"][0]).convert("RGB"))
    changed = (before != after).any(-1)
    assert changed.mean() > 0.01
    allowed = np.zeros_like(changed)
    faces = _faces(before)
    for face in (faces[0], faces[2]):
        x1, y1, x2, y2 = face.box
        grow = 0.35 * max(face.width, face.height)
        allowed[int(y1 - grow) : int(y2 + grow), max(0, int(x1 - grow)) : int(x2 + grow)] = True
        assert changed[allowed].mean() > 0.3
    assert not (changed & ~allowed).any()


def test_group_photo_faces_are_drawn_anew(client: ComfyClient, group: Ran, drawn: Ran) -> None:
    (fused,), (anew,) = _saved(client, group), _saved(client, drawn)
    differs = np.abs(fused.astype(int) - anew).max(-1) > 16
    for face in (_faces(fused)[0], _faces(fused)[2]):
        x, y = map(int, face.center)
        assert differs[y - 20 : y + 20, x - 20 : x + 20].mean() > 0.5


def test_style_portrait_fast_draws_with_the_few_step_lora(client: ComfyClient, fast: Ran) -> None:
    pictures = _saved(client, fast)
    assert len(pictures) == 4 and all(picture.shape == (128, 128, 3) and picture.std() > 5 for picture in pictures)
    (sampler,) = (fast.prompt[node]["inputs"] for node in fast.ids("KSampler"))
    assert sampler["sampler_name"] == "lcm" and sampler["cfg"] <= 2
    (lora,) = fast.ids("LoraLoaderModelOnly")
    inputs = {**fast.prompt[lora]["inputs"], "strength_model": 0.0}
    without = {**fast.prompt, lora: {**fast.prompt[lora], "inputs": inputs}}
    plain = _saved(client, Ran(without, client.run(without), fast.inputs, []))
    assert np.abs(plain[0].astype(int) - pictures[0]).mean() > 0.5


def test_style_portrait_hires_doubles_the_size_and_draws_over(client: ComfyClient, hires: Ran) -> None:
    (picture,) = _saved(client, hires)
    assert picture.shape == (256, 256, 3) and picture.std() > 5
    steps = {node: maximum for node, _, maximum in hires.result.progress if node in hires.ids("KSampler")}
    assert len(steps) == 2, "two passes"


def test_pose_portrait_gives_a_portrait_of_each_pose(client: ComfyClient, posed: Ran) -> None:
    assert len(_saved(client, posed)) == 1
    (control,) = posed.ids("FaceChain_PoseControl")
    assert "People found: 1" in "\n".join(posed.result.texts(control))
    assert "ControlNet: strength 1, from 0 to 1 of the sampling" in "\n".join(posed.result.texts(control))
    previews = [posed.result.outputs[node]["images"] for node in posed.ids("PreviewImage") if node in ("25", "26")]
    skeleton, depth = (np.asarray(Image.open(io.BytesIO(client.fetch(images[0])))) for images in previews)
    assert skeleton.any() and not depth.any()
    _, photos = posed.ids("FaceChain_LoadPhotos")
    files = "\n".join([posed.prompt[photos]["inputs"]["files"], posed.prompt["2"]["inputs"]["files"]])
    two = {
        **posed.prompt,
        photos: {**posed.prompt[photos], "inputs": {**posed.prompt[photos]["inputs"], "files": files}},
    }
    pictures = _saved(client, Ran(two, client.run(two), posed.inputs, []))
    assert len(pictures) == 2 and np.abs(pictures[0].astype(int) - pictures[1]).mean() > 0.5


def test_train_style_leaves_a_lora_and_a_style(own_style: Ran) -> None:
    (node,) = own_style.ids("FaceChain_TrainStyleLoRA")
    told = json.loads(own_style.result.texts(node)[0])
    style = json.loads(Path(told["file"]).read_text(encoding="utf-8"))
    assert style["lora"].startswith("facechain/my style-") and style["lora_words"] == "my style"
    assert told["captions"] == ["my style, a woman"]
    assert all(own_style.result.outputs[preview]["images"] for preview in own_style.ids("PreviewImage"))


def test_a_person_is_learnt_once_for_all_graphs(portrait: Ran, learnt: Ran) -> None:
    before, now = (
        json.loads(ran.result.texts(ran.ids("FaceChain_TrainPersonLoRA")[0])[0]) for ran in (portrait, learnt)
    )
    assert now["lora"] == before["lora"] and now["found"]
    assert all(learnt.result.outputs[preview]["images"] for preview in learnt.ids("PreviewImage"))


def test_trained_portrait_draws_that_person_without_training(client: ComfyClient, portrait: Ran, trained: Ran) -> None:
    learnt = json.loads(portrait.result.texts(portrait.ids("FaceChain_TrainPersonLoRA")[0])[0])
    (style,) = trained.ids("FaceChain_LoadStyle")
    assert f"Person LoRA: {learnt['lora']} at" in "\n".join(trained.result.texts(style))
    pictures = _saved(client, trained)
    assert len(pictures) == 4 and all(picture.std() > 5 for picture in pictures)


@pytest.mark.parametrize(
    "name", ["portrait", "learnt", "trained", "group", "drawn", "fast", "hires", "posed", "own_style"]
)
def test_a_second_identical_queue_runs_no_node(name: str, request: pytest.FixtureRequest) -> None:
    ran: Ran = request.getfixturevalue(name)
    assert ran.ran_again == []
