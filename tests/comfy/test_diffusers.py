"""A person LoRA in diffusers: it loads every key without a warning, and draws what ComfyUI draws with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

each_family = pytest.mark.parametrize("family", ["eps", "sdxl"])


@pytest.fixture(scope="module")
def results(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    pytest.importorskip("diffusers", reason="the development package diffusers is absent")
    script, folder = Path(__file__).with_name("round_trip.py"), tmp_path_factory.mktemp("round_trip")
    done = subprocess.run([sys.executable, script, root, folder], capture_output=True, text=True)
    lines = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[0])


@each_family
def test_diffusers_loads_every_layer_without_a_warning(results: dict[str, Any], family: str) -> None:
    result = results[family]
    assert result["log"] == []
    # SD 1.5: 8 in each of 7 blocks, 4 in each of 3 layers of the text encoder
    assert result["layers"] == result["keys"] and result["keys"] == {"eps": 68, "sdxl": 155}[family]


@each_family
def test_diffusers_draws_what_comfyui_draws(results: dict[str, Any], family: str) -> None:
    result = results[family]
    assert result["untrained"] < 1e-4, "the same network"
    assert result["change"] > 0.05, "the LoRA acts"
    # core keeps a text encoder's patched weights in half precision
    assert result["trained"] < 0.02 * result["change"]


def test_the_file_stays_small(results: dict[str, Any]) -> None:
    assert 10 < results["megabytes"] < 40, "SD 1.5 at rank 32, without its few kilobytes of metadata"
