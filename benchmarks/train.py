"""How long training takes: seconds a step by resolution, the phases, and how soon a cancel works.

    python benchmarks/train.py [--checkpoint FILE] [--sizes 64 128 256] [--steps 12] [--batch 1]

In process, on the host's ComfyUI; the stand-in checkpoint unless another one is named. Sizes are
interleaved over the rounds, medians are printed. Run it on a machine that is otherwise idle.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import comfy_host  # noqa: E402
import standin  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=comfy_host.HOST / "standin" / standin.CHECKPOINT_NAME)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    host = comfy_host.prepare()
    comfy_host.reenter(host)
    standin_wanted = arguments.checkpoint.name == standin.CHECKPOINT_NAME
    checkpoint = standin.make_checkpoint(arguments.checkpoint) if standin_wanted else arguments.checkpoint
    prepare_comfy(host.comfy)
    print(json.dumps(_measure(checkpoint, arguments), indent=1))


def prepare_comfy(folder: Path, options: Sequence[str] = ()) -> None:
    """Import ComfyUI's library, and the pack as a package of its own without running its entry point.

    options: of ComfyUI's main.py; --cpu is added where there is no card.
    """
    sys.path.insert(0, str(folder))
    import comfy.options

    comfy.options.enable_args_parsing()
    import torch

    sys.argv = [sys.argv[0], *options, *([] if torch.cuda.is_available() else ["--cpu"])]
    for name, path in (("pack", ROOT), ("pack.nodes", ROOT / "nodes")):
        module = types.ModuleType(name)
        module.__path__ = [str(path)]
        sys.modules[name] = module


def _measure(checkpoint: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    import comfy.sd
    import torch

    host_module = importlib.import_module("pack.nodes._training_host")
    config_module = importlib.import_module("pack.facechain.training.config")
    trainer = importlib.import_module("pack.facechain.training.trainer")
    rounds: dict[int, list[dict[str, Any]]] = {size: [] for size in arguments.sizes}
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        model, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(str(checkpoint))
        host = host_module.TrainingHost(model, clip, vae)
        host.find_lora = lambda name: None
        host.lora_folder = host.unfinished_folder = lambda: Path(folder)
        person = make_person(3)

        def train(size: int, steps: int, progress: Any = lambda *_: None, **settings: Any) -> dict[str, Any]:
            config = config_module.TrainConfig(steps=steps, resolution=size, batch_size=arguments.batch, **settings)
            return trainer.train_person(person, config, host, progress).report

        train(arguments.sizes[0], 3)
        clocks: dict[int, list[tuple[float, float]]] = {size: [] for size in arguments.sizes}
        for _ in range(arguments.rounds):
            for size in arguments.sizes:
                ticks: list[tuple[float, float]] = []
                tick = lambda *_, ticks=ticks: ticks.append((time.monotonic(), time.process_time()))  # noqa: E731
                rounds[size].append(train(size, arguments.steps, tick))
                clocks[size] += [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(ticks)]
        latency = {size: _cancel_latency(train, size) for size in arguments.sizes}
    return {str(s): _medians(rounds[s], clocks[s]) | {"cancel_seconds": latency[s]} for s in arguments.sizes}


def _medians(reports: list[dict[str, Any]], clocks: list[tuple[float, float]]) -> dict[str, Any]:
    """cpu: of the process, all its threads; on a busy machine less misleading than wall time."""
    phases = {phase: statistics.median(r["seconds"][phase] for r in reports) for phase in reports[0]["seconds"]}
    wall, cpu = (round(statistics.median(c[i] for c in clocks), 4) for i in (0, 1))
    fastest = round(min(c[0] for c in clocks), 4)
    step = {"median": wall, "fastest": fastest, "cpu": cpu}
    return {"seconds_a_step": step, "phases": phases, "steps": reports[0]["steps"]}


def _cancel_latency(train: Any, size: int) -> list[float]:
    """Seconds from a cancel, at several moments of a step, to the end of the training."""
    import comfy.model_management as management

    found = []
    for delay in (0.0, 0.15, 0.4):
        asked: list[float] = []

        def cancel(asked: list[float] = asked) -> None:
            asked.append(time.monotonic())
            management.interrupt_current_processing()

        def progress(step: int, *_: object, delay: float = delay, cancel: Any = cancel) -> None:
            if step == 2:
                threading.Timer(delay, cancel).start()

        try:
            train(size, 10_000, progress, crops_per_photo=1)
        except management.InterruptProcessingException:
            found.append(round(time.monotonic() - asked[0], 3))
    return found


def make_person(photos: int) -> Any:
    """Noise in place of photos: training takes as long."""
    import torch

    record = importlib.import_module("pack.facechain.person")
    images = torch.rand(photos, 512, 512, 3, generator=torch.Generator().manual_seed(0))
    return record.Person(
        name="benchmark",
        images=images,
        masks=torch.ones(photos, 512, 512),
        embeddings=torch.eye(photos, 8),
        embedder="none",
        quality=torch.ones(photos),
        poses=torch.zeros(photos, 3),
        attributes=record.Attributes("woman", 30.0, "a beautiful woman"),
        caption="<fcsks>, a beautiful woman",
    )


if __name__ == "__main__":
    main()
