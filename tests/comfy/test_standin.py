"""The stand-in checkpoint and ControlNet: core loads them without a word, and every part of them acts."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import comfy_host
import numpy as np
import pytest
import standin
from comfy_client import ComfyClient, Prompt, Result
from PIL import Image

COMPLAINTS = ("clip missing", "unet missing", "unet unexpected", "missing controlnet", "vae keys", "left over keys")


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def _workflow(photo: str) -> Prompt:
    """Two prompts and a ControlNet drawn with one seed, and a photo through the VAE and back."""
    prompt = {
        "base": _node("CheckpointLoaderSimple", ckpt_name=standin.CHECKPOINT_NAME),
        "control": _node("ControlNetLoader", control_net_name=standin.CONTROLNET_NAME),
        "photo": _node("LoadImage", image=photo),
        "woman": _node("CLIPTextEncode", text="a woman in winter", clip=["base", 1]),
        "man": _node("CLIPTextEncode", text="a man in armour", clip=["base", 1]),
        "posed": _node(
            "ControlNetApplyAdvanced",
            positive=["woman", 0],
            negative=["man", 0],
            control_net=["control", 0],
            image=["photo", 0],
            strength=1.0,
            start_percent=0.0,
            end_percent=1.0,
        ),
        "empty": _node("EmptyLatentImage", width=128, height=128, batch_size=1),
        "encoded": _node("VAEEncode", pixels=["photo", 0], vae=["base", 2]),
        "again": _node("VAEDecode", samples=["encoded", 0], vae=["base", 2]),
        "show_again": _node("SaveImage", images=["again", 0], filename_prefix="standin"),
    }
    texts = {"as_woman": ("woman", "man"), "as_man": ("man", "woman"), "as_posed": ("posed", "man")}
    for name, (positive, negative) in texts.items():
        common = {"seed": 3, "steps": 6, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        links = {"model": ["base", 0], "positive": [positive, 0], "negative": [negative, 0]}
        prompt[name] = _node("KSampler", latent_image=["empty", 0], **links, **common)
        prompt[f"decoded_{name}"] = _node("VAEDecode", samples=[name, 0], vae=["base", 2])
        prompt[f"show_{name}"] = _node("SaveImage", images=[f"decoded_{name}", 0], filename_prefix="standin")
    return prompt


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Soft coloured shapes: what a mean over 8x8 pixels keeps."""
    y, x = np.mgrid[0:128, 0:128] / 128
    colours = np.stack([x, 1 - y, 0.5 + 0.5 * np.sin(6 * x) * np.cos(5 * y)], -1)
    path = tmp_path_factory.mktemp("standin") / "shapes.png"
    Image.fromarray((colours * 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def drawn(client: ComfyClient, photo: Path) -> dict[str, np.ndarray]:
    result = client.run(_workflow(client.upload(photo, "standin")))
    return {name: _picture(client, result, f"show_{name}") for name in ("as_woman", "as_man", "as_posed", "again")}


def _picture(client: ComfyClient, result: Result, node: str) -> np.ndarray:
    image = Image.open(io.BytesIO(client.fetch(result.outputs[node]["images"][0])))
    return np.asarray(image.convert("RGB")).astype(int)


def test_it_draws_colours_that_depend_on_the_prompt_and_on_the_control_picture(drawn: dict[str, np.ndarray]) -> None:
    for name in ("as_woman", "as_man", "as_posed"):
        assert drawn[name].std() > 15, f"{name} is flat"
        assert np.mean((drawn[name] > 3) & (drawn[name] < 252)) > 0.5, f"{name} is burnt out"
    assert np.abs(drawn["as_woman"] - drawn["as_man"]).mean() > 10
    assert np.abs(drawn["as_woman"] - drawn["as_posed"]).mean() > 3


def test_a_photo_comes_back_from_the_vae_softened(drawn: dict[str, np.ndarray], photo: Path) -> None:
    original = np.asarray(Image.open(photo)).astype(int)
    assert np.abs(drawn["again"] - original).mean() < 12


def test_core_loads_both_files_without_a_warning(drawn: dict[str, np.ndarray], server: comfy_host.Server) -> None:
    lines = server.log.read_text(errors="replace").lower().splitlines()
    assert [line for line in lines if any(words in line for words in COMPLAINTS)] == []
    assert any("model_type eps" in line for line in lines), "the log tells how the checkpoint was loaded"


def test_files_that_are_there_are_kept_and_foreign_ones_replaced(tmp_path: Path) -> None:
    path = tmp_path / "controlnet.safetensors"
    first = standin.make_controlnet(path).read_bytes()
    stamp = path.stat().st_mtime_ns
    standin.make_controlnet(path)
    assert path.stat().st_mtime_ns == stamp
    path.write_bytes(first[: len(first) // 2])
    assert standin.make_controlnet(path).read_bytes() == first, "the same bytes every time"
