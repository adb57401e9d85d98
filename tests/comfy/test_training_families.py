"""Training on ComfyUI's own classes of other families than the stand-in's, with tiny random weights.

Noise prediction, velocity and flow, one and two text encoders, every kind of layer: all by the same code.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FAMILIES = ("eps", "inpaint", "all layers", "v", "sdxl", "flux", "sd3")
# a layer of each kind that its LoRA must hold, by the names other tools know
KEYS = {
    "eps": ("lora_te_text_model_encoder_layers_2_self_attn_q_proj", "lora_unet_mid_block_attentions_0_"),
    "inpaint": ("lora_te_text_model_encoder_layers_2_self_attn_q_proj", "lora_unet_mid_block_attentions_0_"),
    "all layers": ("lora_te_text_model_encoder_layers_0_mlp_fc1", "lora_unet_down_blocks_0_resnets_0_conv1"),
    "v": ("lora_te_text_model_encoder_layers_2_self_attn_q_proj", "lora_unet_up_blocks_1_attentions_0_"),
    "sdxl": ("lora_te1_text_model_encoder_layers_0_", "lora_te2_text_model_encoder_layers_0_", "lora_unet_mid_block_"),
    "flux": ("lora_unet_double_blocks_1_img_attn_qkv", "lora_unet_single_blocks_1_linear1"),
    "sd3": ("lora_unet_joint_blocks_0_x_block_attn_qkv", "lora_unet_joint_blocks_0_context_block_attn_qkv"),
}


@pytest.fixture(scope="module")
def results(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    script, folder = Path(__file__).with_name("families.py"), tmp_path_factory.mktemp("families")
    done = subprocess.run([sys.executable, script, root, folder, *FAMILIES], capture_output=True, text=True)
    lines = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    found = {result["family"]: result for result in map(json.loads, lines)}
    assert set(found) == set(FAMILIES), done.stderr[-3000:]
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_the_picture_is_learnt_and_the_base_stays(results: dict[str, Any], family: str) -> None:
    losses = results[family]["losses"]
    assert np.mean(losses[-10:]) < 0.87 * np.mean(losses[:10])
    assert results[family]["base_is_the_same"]
    assert results[family]["samples"] == [4, 64, 64, 3]


@pytest.mark.parametrize("family", FAMILIES)
def test_core_loads_every_key_and_the_lora_acts_on_its_model(results: dict[str, Any], family: str) -> None:
    result = results[family]
    assert result["log"] == [], "no key that core does not know"
    assert result["by_core"] < 0.87 * result["untrained"]
    assert all(any(key.startswith(wanted) for key in result["keys"]) for wanted in KEYS[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_portraits_are_guided_in_their_first_steps(results: dict[str, Any], family: str) -> None:
    assert results[family]["denoisings"] == (6 if family == "flux" else 6 + 4), "Flux has guidance in it"
