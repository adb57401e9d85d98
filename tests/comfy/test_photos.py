"""Load Photos and Preprocess on the real server, through the HTTP API."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import comfy_host
import numpy as np
import pytest
from comfy_client import ComfyClient, JobError, Prompt, Result
from PIL import Image

from facechain.person import load_person

pytestmark = pytest.mark.comfy
Inputs = dict[str, Any]


@pytest.fixture()
def folder(server: comfy_host.Server) -> Iterator[Callable[[str, list[Path]], Path]]:
    """Puts pictures into the server's input folder, and takes them away afterwards."""
    made: list[Path] = []
    assert server.base

    def fill(name: str, pictures: list[Path]) -> Path:
        place = server.base / "input" / name  # type: ignore[operator]
        place.mkdir()
        made.append(place)
        for picture in pictures:
            shutil.copy(picture, place)
        return place

    yield fill
    for place in made:
        shutil.rmtree(place)


@pytest.fixture()
def men(shared_data: Path) -> list[Path]:
    return [shared_data / "people" / "man" / f"{name}.png" for name in ("portrait", "pose1", "pose2", "pose3")]


def prompt(load: Inputs, prepare: Inputs | None = None) -> Prompt:
    loading = {"folder": "(none)", "files": "", "max_side": 1536, **load}
    widgets = {"name": "api man", "size": "512", "background": "white", "retouch": 0.2, "engine": "embedded"}
    widgets |= {"gender": "auto", "age": 0, "caption": "", "save": True, **(prepare or {})}
    return {
        "1": {"class_type": "FaceChain_LoadPhotos", "inputs": loading},
        "2": {
            "class_type": "FaceChain_Preprocess",
            "inputs": {"photos": ["1", 0], "names": ["1", 1], **widgets},
        },
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 1]}},
        "4": {"class_type": "MaskToImage", "inputs": {"mask": ["2", 2]}},
        "5": {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}},
    }


def pictures(client: ComfyClient, result: Result, node: str) -> list[np.ndarray]:
    found = result.outputs[node]["images"]
    return [np.asarray(Image.open(io.BytesIO(client.fetch(ref))).convert("RGB")) for ref in found]


def refused(client: ComfyClient, wanted: Prompt) -> JobError:
    with pytest.raises(JobError) as caught:
        client.run(wanted)
    assert client.get("/system_stats")  # the server lives
    return caught.value


def test_photos_become_a_person(
    client: ComfyClient, server: comfy_host.Server, folder: Callable[..., Path], men: list[Path]
) -> None:
    folder("men", men)
    wanted = prompt({"folder": "men"})
    result = client.run(wanted)
    assert len(pictures(client, result, "1")) == 4  # thumbnails of all
    verdicts = json.loads(result.texts("2")[0])
    accepted = {photo["name"]: photo["accepted"] for photo in verdicts["photos"]}
    assert accepted == {"pose1.png": True, "pose2.png": True, "pose3.png": True, "portrait.png": False}
    report = pictures(client, result, "2")
    assert len(report) == 1 and report[0].shape[1] > 1000
    heads, masks = pictures(client, result, "3"), pictures(client, result, "5")
    assert len(heads) == len(masks) == 3
    for head, mask in zip(heads, masks, strict=True):
        assert head.shape == mask.shape == (512, 512, 3)
        assert (head[mask[..., 0] == 0] == 255).all() and mask[220, 256, 0] == 255
    assert server.base
    person = load_person(server.base / "models" / "facechain" / "people" / "api man.safetensors")
    assert person.count == 3 and person.caption == "<fcsks>, a handsome man"
    assert any(node == "2" for node, _, _ in result.progress)

    # the same again: nothing runs, and the client still gets report and verdicts
    again = client.run(wanted)
    assert list(again.seconds) == [] and again.texts("2") == result.texts("2")
    assert again.outputs["2"]["images"] == result.outputs["2"]["images"]

    # a photo that was taken again: it runs
    shutil.copy(men[1].with_name("pose4.png"), server.base / "input" / "men" / "pose3.png")
    third = client.run(wanted)
    assert {"1", "2"} <= set(third.seconds) and third.texts("2") != result.texts("2")


def test_names_may_be_left_out_and_a_batch_given(
    client: ComfyClient, folder: Callable[..., Path], men: list[Path]
) -> None:
    folder("batch", men[1:3])
    wanted = prompt({"files": "batch/pose1.png\nbatch/pose2.png"}, {"save": False})
    del wanted["2"]["inputs"]["names"]
    wanted["6"] = {"class_type": "LoadImage", "inputs": {"image": "batch/pose1.png"}}
    wanted["2"]["inputs"]["reference"] = ["6", 0]
    verdicts = json.loads(client.run(wanted).texts("2")[0])
    assert [(p["name"], p["accepted"]) for p in verdicts["photos"]] == [("photo 1", True), ("photo 2", True)]


@pytest.mark.parametrize("name", ["../x", "", "a/b", "con"])
def test_a_dangerous_person_name_is_refused_before_anything_runs(
    client: ComfyClient, server: comfy_host.Server, folder: Callable[..., Path], men: list[Path], name: str
) -> None:
    folder("named", men[:1])
    error = refused(client, prompt({"folder": "named"}, {"name": name}))
    assert "person name" in str(error) and "Use letters" in str(error)
    assert server.base and not list(server.base.rglob("x.safetensors"))


@pytest.mark.parametrize(
    ("files", "words"),
    [("", "no photo to load"), ("../../etc/passwd", "outside"), ("/etc/passwd", "outside"), ("gone.png", "gone.png")],
)
def test_wrong_files_are_refused_before_anything_runs(client: ComfyClient, files: str, words: str) -> None:
    assert str(refused(client, prompt({"files": files})).details).count(words) == 1


def test_unusable_photos_are_explained_one_by_one(
    client: ComfyClient,
    server: comfy_host.Server,
    folder: Callable[..., Path],
    package_photos: dict[str, Path],
    tmp_path: Path,
) -> None:
    for name, size in (("dot.png", (1, 1)), ("sky.jpg", (400, 300))):
        Image.new("RGB", size, (120, 160, 220)).save(tmp_path / name)
    folder("useless", [tmp_path / "dot.png", tmp_path / "sky.jpg", package_photos["group"]])
    error = str(refused(client, prompt({"folder": "useless"}, {"name": "nobody"})))
    for words in ("none of the 3 photos", "(dot.png)", "1 x 1", "(sky.jpg): No face found", "6 people"):
        assert words in error
    assert server.base and not list((server.base / "models").rglob("nobody*"))


def test_a_broken_file_is_named(client: ComfyClient, folder: Callable[..., Path], men: list[Path]) -> None:
    place = folder("broken", men[:2])
    (place / "x.jpg").write_bytes(men[0].read_bytes()[:5000])
    assert "photo 3 of 3 (x.jpg): the file is damaged" in str(refused(client, prompt({"folder": "broken"})))


def test_a_12000_pixel_png_is_refused_and_a_jpeg_is_scaled_while_it_is_read(
    client: ComfyClient, folder: Callable[..., Path], package_photos: dict[str, Path], tmp_path: Path
) -> None:
    Image.new("1", (12000, 12000)).save(tmp_path / "huge.png")
    folder("huge", [tmp_path / "huge.png"])
    error = str(refused(client, prompt({"folder": "huge"})))
    assert "(huge.png): 12000 x 12000 pixels are too many" in error and "or as JPEG" in error
    with Image.open(package_photos["astronaut"]) as photo:
        wide = Image.new("RGB", (12000, 6000), "grey")
        wide.paste(photo.convert("RGB").resize((6000, 6000)), (3000, 0))
    wide.save(tmp_path / "wide.jpg", quality=80)
    folder("wide", [tmp_path / "wide.jpg"])
    verdicts = json.loads(client.run(prompt({"folder": "wide"})).texts("2")[0])
    assert verdicts["accepted"] == 1
