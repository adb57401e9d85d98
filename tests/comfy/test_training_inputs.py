"""MODEL, CLIP and VAE of a training: what is missing, does not fit or cannot be trained is named before it begins."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def parts(root: Path, standin_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What training_host.py prints."""
    script, folder = Path(__file__).with_name("training_host.py"), tmp_path_factory.mktemp("training_host")
    command = [sys.executable, script, root, folder, standin_models["checkpoints"]]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[0])


def test_what_the_checkpoint_lacks_does_not_count(parts: dict[str, Any]) -> None:
    first, second, *_ = parts["hashes"]
    assert first == second


def test_quantised_text_encoders_are_told_apart(parts: dict[str, Any]) -> None:
    assert len(set(parts["hashes"])) == 4


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("clip", "this checkpoint has no text encoder. Connect the CLIP of Load CLIP"),
        ("vae", "this checkpoint has no VAE. Connect the VAE of Load VAE"),
        ("channels", "encodes pictures in 16 channels, but this SD15 model works on 4. Connect the VAE of the check"),
        ("width", "gives 64 numbers a word, but this SD15 model takes 768. Connect the CLIP of the checkpoint"),
        ("latents", "what the VAE encodes is not a number. Start ComfyUI with --fp32-vae"),
        ("text", "what the text encoder gives is not a number. Start ComfyUI with --fp32-text-enc"),
        (
            "hidden",
            "the model is quantised (diffusion_model.time_embed.0.weight is stored in fewer bits). Load the model in 16",
        ),
        ("quantised", "the model is quantised (diffusion_model.time_embed.2.weight is stored in fewer bits). Load the"),
    ],
)
def test_parts_that_are_missing_or_do_not_fit_are_named(parts: dict[str, Any], part: str, said: str) -> None:
    assert said in parts["told"][part]


def test_a_compiled_model_is_the_same_model(parts: dict[str, Any]) -> None:
    assert parts["compiled"]


def test_a_quantised_model_can_be_used_with_a_lora(parts: dict[str, Any]) -> None:
    own_family, other_family = parts["notes"]
    assert own_family == "", "whether it is the same model cannot be told"
    assert "trained on a SDXL model" in other_family
