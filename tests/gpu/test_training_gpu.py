"""Training on a graphics card: in its own precision, in little memory, with weights left in main memory.

Run where there is one (-m gpu); skipped elsewhere. Whole-size networks with random weights, in processes of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def parts(root: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, root / "benchmarks" / "train_parts.py", "--repeat", "1", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout[done.stdout.index("{") :])


def test_sd15_trains_at_512_pixels_in_six_gigabytes(root: Path) -> None:
    # on: a large card would tell "auto" of memory that the limit keeps from the process
    told = parts(root, "--limit-gb", "6", "--checkpointing", "on", "--whole", "--preset", "fast", "--photos", "1")
    assert told["device"] != "cpu" and told["peak_gb"] <= 6
    assert told["whole"]["by phase"]["steps"] > 0
    assert told["lora_mb"] < 40


def test_what_is_not_steps_takes_less_than_a_sixth_of_a_slow_card_and_a_quarter_of_a_fast_one(root: Path) -> None:
    told = parts(root, "--whole")
    seconds = told["whole"]["by phase"]
    others = sum(seconds.values()) - seconds["steps"]
    assert others < 0.25 * sum(seconds.values()), seconds
    assert others < 5, f"less than a sixth of any training of half a minute: {seconds}"


def test_weights_in_main_memory_train_as_weights_on_the_card(root: Path) -> None:
    """With --novram, which leaves weights behind on every card, as --lowvram does on small ones."""
    script = root / "tests" / "gpu" / "low_memory.py"
    found = []
    for options in ([], ["--novram"]):
        done = subprocess.run([sys.executable, script, root, *options], capture_output=True, text=True)
        lines = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        assert lines, done.stderr[-3000:]
        found.append(json.loads(lines[0]))
    whole, low = found
    assert whole["on_cpu"] == 0 and low["on_cpu"] > 0, "some weights stayed behind"
    assert low["peak_gb"] < whole["peak_gb"]
    assert low["losses"] == pytest.approx(whole["losses"], rel=0.02)


def test_8_bit_adamw_learns(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bitsandbytes", reason="the optional package bitsandbytes is absent")
    monkeypatch.syspath_prepend(root / "tests" / "unit")
    from tiny_model import bank, ignore, make_model, make_trainee

    from facechain.training.config import config_from
    from facechain.training.loop import train, training_mode

    config = config_from("fast", {"optimizer": "AdamW 8-bit"}, rank=8, batch_size=4, learning_rate=2e-2)
    model = make_model().to("cuda")
    with training_mode(0, torch.device("cuda")):
        run = train(make_trainee(model, config, device="cuda"), bank(), config, 150, ignore)
    assert sum(run.losses[-20:]) < 0.9 * sum(run.losses[:20])
