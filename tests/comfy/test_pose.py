"""Pose Control on the real server: the drawn map, and what the ControlNet makes of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import standin
from comfy_client import ComfyClient, JobError, Prompt, Result
from PIL import Image

from facechain.faces.embedded import EmbeddedEngine
from facechain.pose import pose_map
from facechain.skeletons import find_skeletons

WIDTH, HEIGHT = 64, 96


@pytest.fixture(scope="module")
def names(client: ComfyClient, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Uploaded pictures by a short name."""
    folder = tmp_path_factory.mktemp("pose")
    empty = folder / "empty.png"
    Image.new("RGB", (320, 200), (90, 120, 160)).save(empty)
    files = {name: shared_data / "people" / name / "pose1.png" for name in ("man", "woman")}
    return {name: client.upload(path, f"pose_{name}") for name, path in {**files, "empty": empty}.items()}


def prompt(pictures: list[str], batch: int = 1, control: bool = True, **inputs: Any) -> Prompt:
    """Pose Control between prompts and sampler; the map and the portraits are previewed."""
    nodes: Prompt = {
        "base": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": standin.CHECKPOINT_NAME}},
        "words": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["base", 1], "text": "portrait"}},
        "empty": {"class_type": "EmptyLatentImage", "inputs": {"width": WIDTH, "height": HEIGHT, "batch_size": batch}},
        "pose": {
            "class_type": "FaceChain_PoseControl",
            "inputs": {
                **{
                    "positive": ["words", 0],
                    "negative": ["words", 0],
                    "source": "picture",
                    "width": 512,
                    "height": 512,
                },
                **{"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0, "latent": ["empty", 0], **inputs},
            },
        },
        "map": {"class_type": "PreviewImage", "inputs": {"images": ["pose", 2]}},
        "draw": {
            "class_type": "KSampler",
            "inputs": {
                **{
                    "model": ["base", 0],
                    "positive": ["pose", 0],
                    "negative": ["pose", 1],
                    "latent_image": ["empty", 0],
                },
                **{"seed": 7, "steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0},
            },
        },
        "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["draw", 0], "vae": ["base", 2]}},
        "out": {"class_type": "PreviewImage", "inputs": {"images": ["decode", 0]}},
    }
    values = nodes["pose"]["inputs"]
    for number, picture in enumerate(pictures):
        nodes[f"photo{number}"] = {"class_type": "LoadImage", "inputs": {"image": picture}}
        values["pose_image"] = [f"photo{number}", 0]
    if len(pictures) == 2:
        batched = {"image1": ["photo0", 0], "image2": ["photo1", 0]}
        nodes["both"] = {"class_type": "ImageBatch", "inputs": batched}
        values["pose_image"] = ["both", 0]
    if control:
        nodes["net"] = {"class_type": "ControlNetLoader", "inputs": {"control_net_name": standin.CONTROLNET_NAME}}
        values["control_net"] = ["net", 0]
    return nodes


@pytest.fixture(scope="module")
def pictures_of(client: ComfyClient) -> Callable[[Result, str], np.ndarray]:
    """uint8 [N, H, W, 3] that a preview node showed."""

    def fetch(result: Result, node: str) -> np.ndarray:
        found = [client.fetch(reference) for reference in result.outputs[node]["images"]]
        return np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in found])

    return fetch


def notes(result: Result) -> str:
    return "\n".join(result.texts("pose"))


def expected_map(path: Path) -> np.ndarray:
    picture = np.asarray(Image.open(path).convert("RGB"))
    return pose_map(find_skeletons(picture, EmbeddedEngine()), picture.shape[:2], (HEIGHT, WIDTH))


@pytest.mark.comfy
def test_the_skeleton_is_drawn_at_the_latents_size_and_steers_the_picture(
    client: ComfyClient, names: dict[str, str], pictures_of: Callable, shared_data: Path
) -> None:
    posed = client.run(prompt([names["woman"]]))
    (drawn,) = pictures_of(posed, "map")
    assert drawn.shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(drawn, expected_map(shared_data / "people" / "woman" / "pose1.png"))
    assert not drawn[:16].any() and not drawn[-16:].any()  # a square picture stays square
    assert "People found: 1, drawn on 64x96" in notes(posed)
    assert "ControlNet: strength 1" in notes(posed)

    plain = pictures_of(client.run(prompt([], control=False)), "out")
    woman = pictures_of(posed, "out")
    man = pictures_of(client.run(prompt([names["man"]])), "out")
    off = pictures_of(client.run(prompt([names["woman"]], strength=0.0)), "out")
    never = pictures_of(client.run(prompt([names["woman"]], start_percent=1.0)), "out")
    assert np.abs(woman.astype(int) - plain).mean() > 2
    assert np.abs(man.astype(int) - woman).mean() > 0.5
    assert np.array_equal(off, plain) and np.array_equal(never, plain)


@pytest.mark.comfy
def test_every_portrait_of_a_batch_follows_its_own_picture(
    client: ComfyClient, names: dict[str, str], pictures_of: Callable
) -> None:
    both = client.run(prompt([names["man"], names["woman"]], batch=2))
    assert "People found: 1, 1" in notes(both)
    men = pictures_of(client.run(prompt([names["man"]], batch=2)), "out")
    women = pictures_of(client.run(prompt([names["woman"]], batch=2)), "out")
    first, second = pictures_of(both, "out").astype(int)
    # the same noise and the same pose give the same portrait, but for rounding
    assert np.abs(first - men[0]).max() <= 2 and np.abs(second - women[1]).max() <= 2
    assert np.abs(first - women[0]).max() > 10 and np.abs(second - men[1]).max() > 10
    few = client.run(prompt([names["man"], names["woman"]], batch=3))
    assert "2 maps: each portrait of a batch of 3 follows one" in notes(few)


@pytest.mark.comfy
def test_a_ready_made_map_is_only_letterboxed(
    client: ComfyClient, names: dict[str, str], pictures_of: Callable
) -> None:
    result = client.run(prompt([names["empty"]], source="ready-made map"))
    (drawn,) = pictures_of(result, "map")
    inside = drawn[28:68]  # 320x200 on 64 columns is 40 rows high
    assert np.abs(inside.astype(int) - (90, 120, 160)).max() <= 1
    assert not drawn[:28].any() and not drawn[68:].any()


@pytest.mark.comfy
def test_what_is_missing_is_said_and_the_prompts_pass(
    client: ComfyClient, names: dict[str, str], pictures_of: Callable
) -> None:
    nothing = client.run(prompt([], control=False))
    assert "connect pose_image and control_net" in notes(nothing)
    assert not pictures_of(nothing, "map").any()
    only_picture = client.run(prompt([names["woman"]], control=False))
    assert "connect control_net" in notes(only_picture)
    assert pictures_of(only_picture, "map").any()
    assert np.array_equal(pictures_of(only_picture, "out"), pictures_of(nothing, "out"))
    only_net = client.run(prompt([]))
    assert "connect pose_image" in notes(only_net)
    assert np.array_equal(pictures_of(only_net, "out"), pictures_of(nothing, "out"))


@pytest.mark.comfy
def test_a_picture_of_nobody_says_so_and_the_server_lives(client: ComfyClient, names: dict[str, str]) -> None:
    with pytest.raises(JobError) as raised:
        client.run(prompt([names["empty"]]))
    assert "pose picture 1 of 1: nobody found. Use a picture that shows head and shoulders" in str(raised.value)
    with pytest.raises(JobError, match="there is no source 'photo'"):
        client.run(prompt([names["woman"]], source="photo"))
    assert client.run(prompt([names["woman"]])).outputs["map"]["images"]


@pytest.mark.comfy
def test_a_second_identical_run_repeats_nothing(client: ComfyClient, names: dict[str, str]) -> None:
    client.run(prompt([names["man"]], strength=0.8))
    assert client.run(prompt([names["man"]], strength=0.8)).seconds == {}
