"""On the real server: saved pictures say what they are, cached or not; a deleted person leaves nothing behind."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy_host
import pytest
import standin
import torch
from comfy_client import ComfyClient, JobError, Prompt, Result
from PIL import Image

from facechain.faces.embedding import EMBEDDER
from facechain.person import Attributes, Person, save_person
from facechain.provenance import COMPOSITE, DRAWN

pytestmark = pytest.mark.comfy
GONE = "consent gone"  # the person who is deleted


def make_person(name: str, shade: float) -> Person:
    images = torch.full((1, 512, 512, 3), shade)
    images[:, 100:300, 150:350] = torch.tensor([0.8, 0.6, 0.4])
    return Person(
        name=name,
        images=images,
        masks=torch.ones(1, 512, 512),
        embeddings=torch.eye(1, 128),
        embedder=EMBEDDER,
        quality=torch.ones(1),
        poses=torch.zeros(1, 3),
        attributes=Attributes("man", 30.0, "a handsome man"),
        caption="<fcsks>, a handsome man",
    )


@pytest.fixture(scope="module")
def people(server: comfy_host.Server) -> Iterator[dict[str, Person]]:
    assert server.base
    folder = server.base / "models" / "facechain" / "people"
    found = {name: make_person(name, shade) for name, shade in (("consent a", 0.25), ("consent b", 0.5), (GONE, 0.75))}
    for name, person in found.items():
        save_person(person, folder / f"{name}.safetensors")
    yield found
    for name in found:
        (folder / f"{name}.safetensors").unlink(missing_ok=True)


def texts(client: ComfyClient, result: Result, node: str) -> dict[str, str]:
    """The texts in the (only) picture that a node saved."""
    (reference,) = result.outputs[node]["images"]
    with Image.open(io.BytesIO(client.fetch(reference))) as file:
        return {key: value for key, value in file.info.items() if isinstance(value, str)}


def load(name: str) -> dict[str, Any]:
    return {"class_type": "FaceChain_LoadPerson", "inputs": {"name": name, "weight": 1.0}}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def test_a_saved_portrait_says_what_it_is_cached_or_not(client: ComfyClient, people: dict[str, Person]) -> None:
    graph: Prompt = {
        "who": load("consent a"),
        "picture": node("EmptyImage", width=64, height=48, batch_size=1, color=0x4080C0),
        "ours": node("FaceChain_SavePortraits", images=["picture", 0], person=["who", 2], filename_prefix="consent/p", mark=True),
        "cores": node("SaveImage", images=["picture", 0], filename_prefix="consent/core"),
    }  # fmt: skip
    for prefix in ("consent/p", "consent/again"):
        graph["ours"]["inputs"]["filename_prefix"] = graph["cores"]["inputs"]["filename_prefix"] = prefix
        result = client.run(graph)
        assert ("picture" in result.seconds) == (prefix == "consent/p"), "the second time it comes from the cache"
        found = texts(client, result, "ours")
        said = json.loads(found["facechain"])
        assert said["statement"] == "AI-generated" and said["generator"].startswith("FaceChain")
        assert [each["hash"] for each in said["people"]] == [people["consent a"].hash]
        assert DRAWN in found["XML:com.adobe.xmp"] and people["consent a"].hash in found["XML:com.adobe.xmp"]
        workflow = {node_id: each["inputs"] for node_id, each in json.loads(found["prompt"]).items()}
        assert workflow == {node_id: each["inputs"] for node_id, each in graph.items()}
        # core's saver, in a job that brought no metadata of its own
        assert json.loads(texts(client, result, "cores")["facechain"])["statement"] == "AI-generated"
    graph["ours"]["inputs"]["mark"] = False
    found = texts(client, client.run(graph), "ours")
    assert "facechain" not in found and "XML:com.adobe.xmp" not in found and "prompt" in found


def test_graphs_without_our_nodes_are_saved_as_ever(client: ComfyClient) -> None:
    graph = {
        "picture": node("EmptyImage", width=8, height=8, batch_size=1, color=1),
        "save": node("SaveImage", images=["picture", 0], filename_prefix="consent/none"),
    }
    assert set(texts(client, client.run(graph), "save")) == {"prompt"}


def test_file_names_are_built_as_by_save_image(client: ComfyClient) -> None:
    graph = {
        "pictures": node("EmptyImage", width=8, height=6, batch_size=2, color=1),
        "save": node(
            "FaceChain_SavePortraits", images=["pictures", 0], filename_prefix="consent/%width%x%height% %batch_num%", mark=True
        ),
    }  # fmt: skip
    for count in (1, 2):
        graph["pictures"]["inputs"]["color"] = count
        saved = client.run(graph).outputs["save"]["images"]
        assert [each["filename"] for each in saved] == [f"8x6 {n}_{count:05}_.png" for n in (0, 1)]
        assert {(each["subfolder"], each["type"]) for each in saved} == {("consent", "output")}


def test_a_prefix_never_leads_out_of_the_output_folder(client: ComfyClient) -> None:
    for prefix in ("../out", "/tmp/out", "a/../../out", "C:\\out", "a\0b", ""):
        graph = {
            "picture": node("EmptyImage", width=8, height=8, batch_size=1, color=1),
            "save": node("FaceChain_SavePortraits", images=["picture", 0], filename_prefix=prefix, mark=True),
        }
        with pytest.raises(JobError, match="filename_prefix"):
            client.run(graph)


@pytest.mark.parametrize("pattern", ["%date:yyyy-MM-dd%", "%KSampler.seed%"])
def test_what_the_page_fills_in_is_refused_by_api_before_anything_runs(client: ComfyClient, pattern: str) -> None:
    graph = {
        "picture": node("EmptyImage", width=8, height=8, batch_size=1, color=1),
        "save": node("FaceChain_SavePortraits", images=["picture", 0], filename_prefix=f"a/{pattern}", mark=True),
    }
    with pytest.raises(JobError, match=f"nothing stands for {pattern}.*%year%-%month%-%day%") as refused:
        client.run(graph)
    assert "save" in refused.value.details["node_errors"]


def test_a_group_photo_names_everybody_by_hash(
    client: ComfyClient, people: dict[str, Person], package_photos: dict[str, Path]
) -> None:
    template = client.upload(package_photos["group"])
    widgets = {"style": "(none)", "person_weight": 0.95, "denoise": 0.0, "steps": 1, "cfg": 1.0, "seed": 1}
    widgets |= {"sampler_name": "euler", "scheduler": "normal", "size": 256, "identity": 0.0, "faces": "1, 2"}
    base = {"model": ["base", 0], "clip": ["base", 1], "vae": ["base", 2], "template": ["template", 0]}
    graph: Prompt = {
        "base": node("CheckpointLoaderSimple", ckpt_name=standin.CHECKPOINT_NAME),
        "template": node("LoadImage", image=template),
        "a": load("consent a"),
        "b": load("consent b"),
        "group": node(
            "FaceChain_GroupPortrait", **base, **widgets, engine="embedded", person_1=["a", 2], person_2=["b", 2]
        ),
        "save": node(
            "FaceChain_SavePortraits", images=["group", 0], person=["group", 4], filename_prefix="group", mark=True
        ),
    }
    said = json.loads(texts(client, client.run(graph), "save")["facechain"])
    assert [each["hash"] for each in said["people"]] == [people[name].hash for name in ("consent a", "consent b")]
    assert said["digital_source_type"] == COMPOSITE
    assert [engine["name"] for engine in said["engines"]] == ["embedded"]


def delete(name: str, confirm: str) -> Prompt:
    return {"delete": node("FaceChain_DeletePerson", name=name, confirm=confirm)}


def remains(base: Path, person: Person) -> list[str]:
    """Every file that the name or the hash of the person stands in, or that is called so; not the log, nor the user's own."""
    words = [person.name.encode(), person.hash.encode()]
    files = (path for path in base.rglob("*") if path.is_file() and path.relative_to(base).parts[0] not in OWN)
    return [str(p) for p in files if any(word in str(p).encode() or word in p.read_bytes() for word in words)]


OWN = ("input", "output", "server.log", "custom_nodes")


def test_a_deleted_person_leaves_nothing_behind(
    client: ComfyClient, server: comfy_host.Server, people: dict[str, Person]
) -> None:
    base, person = server.base, people[GONE]
    assert base
    settings = {"preset": "fast", "steps": 30, "resolution": 64, "batch_size": 1, "rank": 4, "learning_rate": 0.001}
    train: Prompt = {
        "base": node("CheckpointLoaderSimple", ckpt_name=standin.CHECKPOINT_NAME),
        "who": load(GONE),
        "train": node(
            "FaceChain_TrainPersonLoRA", model=["base", 0], clip=["base", 1], vae=["base", 2], person=["who", 2],
            **settings, snapshots=2, seed=1,
        ),
        "look": node("PreviewImage", images=["train", 4]),
    }  # fmt: skip

    cancelled: list[int] = []

    def cut_off(kind: str, data: dict[str, Any]) -> None:
        if kind == "progress" and data["node"] == "train" and data["value"] >= 20 and not cancelled:
            cancelled.append(data["value"])
            threading.Thread(target=client.interrupt).start()

    with pytest.raises(JobError):
        client.run(train, cut_off)
    train["train"]["inputs"] |= {"seed": 2, "steps": 2, "snapshots": 1}
    client.run(train)
    places = " ".join(remains(base, person))
    assert all(f"/{place}/" in places for place in ("people", "unfinished", "loras", "temp")), places

    with pytest.raises(JobError, match="confirm says"):
        client.run(delete(GONE, GONE.upper()))
    before = remains(base, person)
    listed = client.run(delete(GONE, "")).texts("delete")[0]
    assert "would be deleted" in listed and remains(base, person) == before, "looking deletes nothing"
    assert "delete" in client.run(delete(GONE, "")).seconds, "it looks each time anew"

    assert "files deleted" in client.run(delete(GONE, GONE)).texts("delete")[0]
    assert remains(base, person) == []
    records = client.get("/history").values()
    kinds = {
        each["class_type"] for record in records if GONE in json.dumps(record) for each in record["prompt"][2].values()
    }
    assert kinds == {"FaceChain_DeletePerson"}, "but for the orders to delete"
    with pytest.raises(JobError, match="no saved person is called"):
        client.run({"who": load(GONE), "show": node("PreviewAny", source=["who", 3])})
    asked = {"style": "armor", "person": {"name": GONE}}
    assert "has not been seen yet" in json.dumps(client.post("/facechain/prompts", asked))
    assert (base / "models" / "facechain" / "people" / "consent a.safetensors").is_file()


def test_deleting_empties_the_cache_of_results(client: ComfyClient, people: dict[str, Person]) -> None:
    base = {
        "picture": node("EmptyImage", width=8, height=8, batch_size=1, color=7),
        "look": node("PreviewImage", images=["picture", 0]),
    }
    client.run(base)
    assert client.run(base).seconds == {}
    client.run(delete("consent b", "consent b"))
    assert "picture" in client.run(base).seconds
