"""A few steps on a whole-size SD 1.5 network of random weights, with or without its weights on the card.

    python tests/gpu/low_memory.py CHECKOUT [--novram]     prints one line of JSON

Run by test_training_gpu.py with the host's Python; not a test itself.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT, MODE = Path(sys.argv[1]), sys.argv[2:]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benchmarks")]
import comfy_host  # noqa: E402
import train  # noqa: E402


def main() -> dict[str, Any]:
    sys.argv = [sys.argv[0]]
    train.prepare_comfy(comfy_host.prepare().comfy, MODE)
    import torch
    import whole_size

    config = importlib.import_module("pack.facechain.training.config")
    trainer = importlib.import_module("pack.facechain.training.trainer")
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        host = whole_size.make_host("SD 1.5", torch.float16, Path(folder))
        settings = {"steps": 6, "resolution": 512, "checkpointing": "on"}
        trained = trainer.train_person(train.make_person(1), config.TrainConfig(**settings), host, lambda *_: None)
        weights = host._model.model.diffusion_model.parameters()
        return {
            "losses": trained.report["losses"],
            "on_cpu": sum(weight.numel() for weight in weights if weight.device.type == "cpu"),
            "peak_gb": torch.cuda.max_memory_allocated() / 2**30,
        }


if __name__ == "__main__":
    print("RESULT", json.dumps(main()), flush=True)
