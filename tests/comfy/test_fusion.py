"""Face Fusion and Similarity Rank on the real server."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy_host
import numpy as np
import pytest
import torch
from comfy_client import ComfyClient, JobError, Prompt
from PIL import Image

from facechain.faces import engine
from facechain.faces.base import distance
from facechain.faces.segment import person_mask
from facechain.images import crop_matrix, from_pixels, to_pixels, warp
from facechain.person import Attributes, Person, quantise, save_person

Run = Callable[[Prompt], Any]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def embedding(picture: np.ndarray) -> np.ndarray:
    return np.asarray(engine().analyze([picture])[0][0].embedding)


@pytest.fixture(scope="module")
def hugo(server: comfy_host.Server, shared_data: Path) -> Person:
    """A saved PERSON of one photo, as Preprocess makes it."""
    photo = pixels(shared_data / "people/man/portrait.png")
    face = engine().analyze([photo])[0][0]
    side = max(face.width, face.height) * 3.29
    crop = warp(from_pixels(photo)[0], crop_matrix(face.center, side, 512, face.roll, (0.5, 0.435)), (512, 512))
    mask = torch.from_numpy(person_mask(to_pixels(crop)[0]))
    person = Person(
        name="Hugo",
        images=quantise(crop.clamp(0, 1) * mask[..., None] + 1 - mask[..., None])[None],
        masks=quantise(mask)[None],
        embeddings=torch.from_numpy(np.asarray(face.embedding))[None],
        embedder=engine().embedder,
        quality=torch.ones(1),
        poses=torch.tensor([[face.yaw, face.pitch, face.roll]]),
        attributes=Attributes("man", 30.0, "a handsome man"),
        caption="<fcsks>, a handsome man",
        photo_names=("portrait.png",),
    )
    assert server.base
    save_person(person, server.base / "models" / "facechain" / "people" / "Hugo.safetensors")
    return person


def graph(picture: str, **settings: Any) -> Prompt:
    return {
        "person": {"class_type": "FaceChain_LoadPerson", "inputs": {"name": "Hugo", "weight": 1.0}},
        "load": {"class_type": "LoadImage", "inputs": {"image": picture}},
        "fuse": {
            "class_type": "FaceChain_FaceFusion",
            "inputs": {
                "images": ["load", 0],
                "person": ["person", 2],
                "fusion": "embedded",
                "faces": "largest",
                "face_index": 1,
                "identity": 1.0,
                "shape": 0.5,
                "skin_tone": 0.0,
                "engine": "embedded",
                **settings,
            },
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["fuse", 0], "filename_prefix": "fused"}},
        "masks": {"class_type": "MaskToImage", "inputs": {"mask": ["fuse", 1]}},
        "mask": {"class_type": "SaveImage", "inputs": {"images": ["masks", 0], "filename_prefix": "mask"}},
    }


def ranking(sources: list[list[Any]], **settings: Any) -> Prompt:
    """Pictures of several nodes, ranked as one list."""
    joined: Prompt = {}
    last = sources[0]
    for number, source in enumerate(sources[1:]):
        joined[f"batch{number}"] = {"class_type": "ImageBatch", "inputs": {"image1": last, "image2": source}}
        last = [f"batch{number}", 0]
    rank = {
        "images": last,
        "person": ["person", 2],
        "keep": 2,
        "min_face": 0.1,
        "max_face": 0.8,
        "when_none": "give all unranked",
        "engine": "embedded",
        **settings,
    }
    return joined | {
        "person": {"class_type": "FaceChain_LoadPerson", "inputs": {"name": "Hugo", "weight": 1.0}},
        "rank": {"class_type": "FaceChain_SimilarityRank", "inputs": rank},
        "ranked": {"class_type": "SaveImage", "inputs": {"images": ["rank", 0], "filename_prefix": "ranked"}},
        "rejected": {"class_type": "SaveImage", "inputs": {"images": ["rank", 4], "filename_prefix": "rejected"}},
    }


def picture_of(client: ComfyClient, reference: dict[str, str]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(client.fetch(reference))).convert("RGB"))


@pytest.fixture(scope="module")
def gentleman(client: ComfyClient, shared_data: Path) -> str:
    return client.upload(shared_data / "styles_preview/Gentleman.jpg", "fusion")


def test_the_fused_face_is_the_persons(
    run: Run, client: ComfyClient, hugo: Person, gentleman: str, shared_data: Path
) -> None:
    result = run(graph(gentleman))
    before = pixels(shared_data / "styles_preview/Gentleman.jpg")
    after = picture_of(client, result.outputs["save"]["images"][0])
    mask = picture_of(client, result.outputs["mask"]["images"][0])[..., 0]
    reference = hugo.embeddings[0].numpy()
    assert distance(reference, embedding(after)) < 0.65 * distance(reference, embedding(before))
    assert np.array_equal(before[mask == 0], after[mask == 0])
    assert 0.05 < (mask > 0).mean() < 0.6
    report = json.loads(result.texts("fuse")[0])
    assert report[0]["changed"][0]["likeness_after"] > report[0]["changed"][0]["likeness_before"] + 20


def test_identity_zero_is_the_input(
    run: Run, client: ComfyClient, hugo: Person, gentleman: str, shared_data: Path
) -> None:
    result = run(graph(gentleman, identity=0.0))
    after = picture_of(client, result.outputs["save"]["images"][0])
    assert np.array_equal(after, pixels(shared_data / "styles_preview/Gentleman.jpg"))


def test_rank_orders_and_rejects(
    run: Run, client: ComfyClient, hugo: Person, gentleman: str, shared_data: Path
) -> None:
    prompt = graph(gentleman)
    prompt["other"] = {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 512, "batch_size": 1, "color": 0}}
    prompt |= ranking([["load", 0], ["other", 0], ["fuse", 0]])
    result = run(prompt)
    report = json.loads(result.texts("rank")[0])
    assert [row["picture"] for row in report["ranked"]] == [3, 1]
    assert [(row["picture"], row["reason"]) for row in report["rejected"]] == [(2, "no face")]
    fused = picture_of(client, result.outputs["save"]["images"][0])
    ranked = [picture_of(client, reference) for reference in result.outputs["ranked"]["images"]]
    assert len(ranked) == 2 and np.array_equal(ranked[0], fused)
    assert picture_of(client, result.outputs["rejected"]["images"][0]).max() == 0
    assert picture_of(client, result.outputs["rank"]["images"][0]).shape[1] > 3 * 192  # the sheet
    assert [(value, of) for node, value, of in result.progress if node == "rank"][-1] == (3, 3)


def test_nothing_rejected_skips_the_nodes_behind(run: Run, hugo: Person, gentleman: str) -> None:
    result = run(graph(gentleman) | ranking([["load", 0]]))
    assert "ranked" in result.outputs and "rejected" not in result.outputs


def test_nothing_to_rank(run: Run, client: ComfyClient, hugo: Person) -> None:
    empty: Prompt = {
        "empty": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 2, "color": 0}}
    }
    result = run(empty | ranking([["empty", 0]], keep=1))
    assert len(result.outputs["ranked"]["images"]) == 2 and len(result.outputs["rejected"]["images"]) == 2
    with pytest.raises(JobError, match="2 x no face"):
        run(empty | ranking([["empty", 0]], when_none="error"))
    assert client.get("/system_stats")  # the server is alive


def test_a_broken_choice_is_named(run: Run, hugo: Person, gentleman: str) -> None:
    with pytest.raises(JobError):
        run(graph(gentleman, faces="best"))


def test_same_queue_again_runs_nothing(client: ComfyClient, hugo: Person, gentleman: str) -> None:
    prompt = graph(gentleman) | ranking([["fuse", 0]])
    client.run(prompt)
    ran: list[str] = []
    again = client.run(
        prompt, lambda kind, data: ran.append(data["node"]) if kind == "executing" and data.get("node") else None
    )
    assert not ran
    assert json.loads(again.texts("rank")[0])["ranked"]
