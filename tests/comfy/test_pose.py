"""Pose Control on the real server: the drawn map, and what the ControlNet makes of it."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import comfy_host
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
    assert "ControlNet: not applied, connect pose_image and control_net" in notes(nothing)
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


# --- hands, depth, lists ---


@pytest.fixture(scope="module")
def nets(root: Path) -> Any:
    """tests/unit/tiny_nets.py, which makes networks of the right layout."""
    spec = importlib.util.spec_from_file_location("tiny_nets", root / "tests" / "unit" / "tiny_nets.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture()
def dwpose(server: comfy_host.Server, nets: Any) -> Iterator[Path]:
    """A small DWPose where the pack comfyui_controlnet_aux keeps the real one; gone after the test."""
    assert server.base
    path = (
        server.base / "custom_nodes" / "comfyui_controlnet_aux" / "ckpts" / "yzd-v" / "DWPose" / "dw-ll_ucoco_384.onnx"
    )
    yield nets.make_dwpose(path)
    path.unlink()


def with_depth(nodes: Prompt, image: str = "", **inputs: Any) -> Prompt:
    """The same with a second ControlNet for depth. image: a ready-made depth map."""
    net = {"class_type": "ControlNetLoader", "inputs": {"control_net_name": standin.CONTROLNET_NAME}}
    nodes = {**nodes, "depth_net": net, "pose": {**nodes["pose"], "inputs": {**nodes["pose"]["inputs"], **inputs}}}
    nodes["pose"]["inputs"]["depth_net"] = ["depth_net", 0]
    nodes["depth"] = {"class_type": "PreviewImage", "inputs": {"images": ["pose", 4]}}
    if image:
        nodes["deep"] = {"class_type": "LoadImage", "inputs": {"image": image}}
        nodes["pose"]["inputs"]["depth_image"] = ["deep", 0]
    return nodes


@pytest.mark.comfy
def test_depth_is_a_second_controlnet_of_its_own_strength_and_span(
    client: ComfyClient, names: dict[str, str], pictures_of: Callable, shared_data: Path, tmp_path: Path
) -> None:
    size = Image.open(shared_data / "people" / "woman" / "pose1.png").size
    Image.new("RGB", size, (180, 180, 180)).save(tmp_path / "grey.png")
    grey = client.upload(tmp_path / "grey.png", "pose_depth")
    alone = pictures_of(client.run(prompt([names["woman"]])), "out").astype(int)
    both = client.run(with_depth(prompt([names["woman"]]), grey))
    assert "Depth: bodies alone, heads and hair cut out" in notes(both)
    assert "Depth ControlNet: strength 0.5, from 0 to 1 of the sampling" in notes(both)
    (drawn,) = pictures_of(both, "depth")
    (skeleton,) = pictures_of(both, "map")
    assert drawn.shape == (HEIGHT, WIDTH, 3)
    assert not drawn[:16].any() and not drawn[-16:].any(), "letterboxed, not stretched"
    nose, neck = (np.argwhere((skeleton == colour).all(-1)).mean(0) for colour in ((255, 0, 0), (255, 85, 0)))
    assert not drawn[int(nose[0]), int(nose[1])].any(), "the head is cut out"
    assert drawn[int(neck[0]) + 6, int(neck[1])].min() > 120, "the body stays"
    whole = client.run(with_depth(prompt([names["woman"]]), grey, cut_head=False))
    assert (pictures_of(whole, "depth")[0][20:-20] == 180).all()

    drawn_both = pictures_of(both, "out").astype(int)
    assert np.abs(drawn_both - alone).mean() > 0.5
    stronger = pictures_of(client.run(with_depth(prompt([names["woman"]]), grey, depth_strength=1.5)), "out")
    assert np.abs(stronger.astype(int) - alone).mean() > np.abs(drawn_both - alone).mean()
    for off in ({"depth_strength": 0.0}, {"depth_start": 1.0}, {"depth_end": 0.0}):
        result = client.run(with_depth(prompt([names["woman"]]), grey, **off))
        assert np.array_equal(pictures_of(result, "out"), alone), off
        assert "Depth ControlNet: not applied" in notes(result)
    late = pictures_of(client.run(with_depth(prompt([names["woman"]]), grey, depth_start=0.5)), "out").astype(int)
    assert 0 < np.abs(late - alone).mean() < np.abs(drawn_both - alone).mean()
    only = client.run(with_depth(prompt([names["woman"]], control=False), grey))
    assert "ControlNet: not applied, connect control_net" in notes(only)
    assert np.abs(pictures_of(only, "out").astype(int) - drawn_both).mean() > 0.5


@pytest.mark.comfy
def test_depth_of_a_model_that_the_user_has(
    client: ComfyClient, server: comfy_host.Server, names: dict[str, str], pictures_of: Callable, nets: Any
) -> None:
    assert server.base
    folder = server.base / "models" / "facechain" / "depth" / "tiny-dpt"
    nets.make_depth_model(folder)
    result = client.run(with_depth(prompt([names["man"], names["woman"]], batch=2), depth_model="tiny-dpt"))
    men, women = pictures_of(result, "depth")
    assert men.any() and women.any() and not np.array_equal(men, women)
    assert "Depth ControlNet: strength 0.5" in notes(result)
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(JobError, match="holds no depth model that can be read"):
        client.run(with_depth(prompt([names["man"]]), depth_model="tiny-dpt"))
    for name in ("../people", "absent"):
        with pytest.raises(JobError, match="there is no depth model"):
            client.run(with_depth(prompt([names["man"]]), depth_model=name))
    with pytest.raises(JobError, match="depth_model needs a picture in pose_image"):
        client.run(with_depth(prompt([names["man"]], source="ready-made map"), depth_model="tiny-dpt"))
    with pytest.raises(JobError, match="there are 1 depth maps and 2 pictures"):
        client.run(with_depth(prompt([names["man"], names["woman"]], batch=2), names["empty"]))


@pytest.mark.comfy
def test_hands_are_drawn_where_a_file_for_them_is_at_hand(
    client: ComfyClient,
    names: dict[str, str],
    pictures_of: Callable,
    shared_data: Path,
    dwpose: Path,
    nets: Any,
    tmp_path: Path,
) -> None:
    photo = np.asarray(Image.open(shared_data / "people" / "woman" / "pose1.png").convert("RGB"))
    places = {n: (140 + 14 * (k % 5), 330 + 14 * (k // 5)) for k, n in enumerate(range(91, 112))}
    Image.fromarray(nets.paint(photo, places, 6)).save(tmp_path / "hand.png")
    hand = client.upload(tmp_path / "hand.png", "pose_hands")
    size = {"latent": None, "width": 512, "height": 512}

    def drawn(**inputs: Any) -> tuple[np.ndarray, str]:
        nodes = prompt([hand], control=False, **inputs)
        nodes["pose"]["inputs"] = {k: v for k, v in (nodes["pose"]["inputs"] | size).items() if v is not None}
        result = client.run(nodes)
        return pictures_of(result, "map")[0], notes(result)

    hands, told = drawn()
    assert "Detector: DWPose" in told
    scale = 512 / photo.shape[0]
    for x, y in places.values():
        spot = hands[round(y * scale) - 6 : round(y * scale) + 7, round(x * scale) - 6 : round(x * scale) + 7]
        assert (spot == (0, 0, 255)).all(-1).any(), (x, y)
    body, _ = drawn(details="body")
    assert not (body == (0, 0, 255)).all(-1)[300:400, 120:230].any()
    face, _ = drawn(details="body, hands and face")
    assert (face == 255).all(-1).sum() > 70 and not (hands == 255).all(-1).any()
    _, told = drawn(detector="embedded")
    assert "Detector: embedded" in told and "Hands: not drawn, for them put dw-ll_ucoco_384.onnx" in told


@pytest.mark.comfy
def test_without_dwposes_file_it_is_named(client: ComfyClient, names: dict[str, str]) -> None:
    with pytest.raises(JobError, match="DWPose's file is absent from"):
        client.run(prompt([names["woman"]], detector="DWPose"))
    for what in ("detector", "details"):
        nodes = prompt([names["woman"]])
        nodes["pose"]["inputs"][what] = "yolo"
        with pytest.raises(JobError, match=f"there is no {what} 'yolo'"):
            client.run(nodes)


@pytest.mark.comfy
def test_a_list_of_pictures_of_any_size_gives_one_portrait_each(
    client: ComfyClient, names: dict[str, str], pictures_of: Callable, shared_data: Path, tmp_path: Path
) -> None:
    source = Image.open(shared_data / "people" / "woman" / "pose1.png").convert("RGB")
    source.crop((0, 0, source.width, round(source.height * 0.7))).save(tmp_path / "wide.png")
    wide = client.upload(tmp_path / "wide.png", "pose_list")
    nodes = prompt([])
    files = f"{names['man']}\n{wide}"
    nodes["several"] = {
        "class_type": "FaceChain_LoadPhotos",
        "inputs": {"folder": "(none)", "files": files, "max_side": 1024},
    }
    nodes["pose"]["inputs"]["pose_image"] = ["several", 0]
    listed = pictures_of(client.run(nodes), "out").astype(int)
    assert len(listed) == 2
    for portrait, name in zip(listed, (names["man"], wide), strict=True):
        (single,) = pictures_of(client.run(prompt([name])), "out")
        assert np.abs(portrait - single).max() <= 2
