"""Where the time of a whole-size training goes, and what a graphics card makes of it.

    python benchmarks/train_parts.py [--family "SD 1.5"] [--size 512] [--batch 1] [--checkpointing auto] [--cuda-graphs auto]
                                     [--compile] [--limit-gb 6] [--preset balanced] [--photos 3] [--whole] [--repeat 3]

Random weights of whole size. Measured: bringing the model in, encoding a crop, a step, one denoising of a portrait,
decoding it, writing the LoRA; from these, by arithmetic, the time of the preset and the part of it that is not steps.
--whole runs that training as well, from the person to the saved LoRA. --limit-gb lets the process have only that much
memory of the card. Printed besides: steps a second, peak memory of the card, and the part of the card's own rate in
large bf16 products (measured in the same run) that a step reaches. CPU time is printed too where there is no card:
other programs falsify it less. Nothing here compares machines.

SD 1.5, one core of an AMD EPYC, CPU seconds, other programs running. 512 px, checkpointing on: encoding a crop 18.9, a
step 29.4, a denoising of a portrait 6.8, decoding it 21.4; so of `balanced` with three photos 87 % are steps, 9 %
snapshots and 4 % latents. 256 px, checkpointing off: 3.7, 6.7, 2.8 and 10.2; 81 % are steps, as portraits are as large as
training pictures below 448 px. The LoRA of rank 32 has 12.2 MB.

SD 1.5, one NVIDIA H200 with 16 CPU cores, bfloat16, 512 px, `balanced` with three photos: a step 25.8 ms (H100 28.9; without
CUDA graphs 129 and 142), 1.8 TFLOP, so 9 % of the card's own rate; batch 4 50.7 ms, 18 %. The whole training 18.0 s, of which
14.3 steps, 2.0 portraits of the snapshots, 0.5 latents, 0.3 preparation, 0.2 each for loading and saving: 80 % are steps (a
slower card's steps take longer, the rest hardly). 6.9 GB where memory is plenty; with --limit-gb 6 and checkpointing on it
fits (tests/gpu). SDXL at 1024 px by Python, batch 1 437 ms, batch 4 397 ms (18 and 48 GB); recorded: train_peers.py.
--compile together with --cuda-graphs off did not end within 75 s there: every layer of another shape is compiled anew.
On one core of the AMD EPYC, 256 px, checkpointing off, it took 20 minutes, after which a step took 7.07 CPU seconds and a
denoising 3.33, without it 6.74 and 2.78: what compiling fuses, the layers' own functions have fused already. It is not offered.
Since the H200's figures a snapshot's portraits are judged, and the state is written, while the next steps run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benchmarks")]

import comfy_host  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=["SD 1.5", "SDXL"], default="SD 1.5")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--checkpointing", choices=["auto", "on", "off"], default="auto")
    parser.add_argument("--cuda-graphs", choices=["auto", "off"], default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--limit-gb", type=float)
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--photos", type=int, default=3)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    host = comfy_host.prepare()
    comfy_host.reenter(host)
    from train import prepare_comfy

    prepare_comfy(host.comfy)
    print(json.dumps(_measure(arguments), indent=1))


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch
    import whole_size
    from train import make_person

    config_module = importlib.import_module("pack.facechain.training.config")
    card = torch.cuda.is_available()
    if card and arguments.limit_gb:
        torch.cuda.set_per_process_memory_fraction(
            arguments.limit_gb * 2**30 / torch.cuda.get_device_properties(0).total_memory
        )
    settings = {"resolution": arguments.size, "batch_size": arguments.batch}
    options = {"checkpointing": arguments.checkpointing, "cuda_graphs": arguments.cuda_graphs}
    config = config_module.config_from(arguments.preset, options, seed=42, **settings)
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        host = whole_size.make_host(arguments.family, torch.bfloat16 if card else torch.float32, Path(folder))
        told = _parts(host, config, arguments, Path(folder))
        told["estimate"] = _estimate(told["seconds"], config, arguments.photos)
        if arguments.whole:
            trainer = importlib.import_module("pack.facechain.training.trainer")
            begun = time.monotonic()
            trained = trainer.train_person(make_person(arguments.photos), config, host, lambda *_: None)
            told["whole"] = {"seconds": time.monotonic() - begun, "by phase": trained.report["seconds"]}
        if card:
            told["peak_gb"] = torch.cuda.max_memory_reserved() / 2**30
    return told


def _parts(host: Any, config: Any, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from train import make_person

    data, gradients, loop, lora_file, loss, prepare, optimizers, recorded_work = (
        importlib.import_module(f"pack.facechain.training.{part}")
        for part in ("data", "gradients", "loop", "lora_file", "loss", "prepare", "optimizers", "recorded")
    )
    person = make_person(arguments.photos)
    clock = _Clock(arguments.repeat)
    pictures = data.cut(person.images, data.plan_crops(3, 512, config, 1)[0], arguments.size)[None]
    latent = clock("encode", lambda: host.encode_images(pictures))
    bank = data.LatentBank(latent.float().cpu().repeat(4, 1, 1, 1).clone())
    texts = clock("caption", lambda: prepare.encode_texts(person, config, host, False), once=True)
    loaded = clock("load", host.load_model, once=True)
    with loop.training_mode(42, host.device):
        prepared = clock(
            "preparation",
            lambda: prepare.prepare(person, config, host, loaded, texts, bank, False),
            once=True,
        )
        trainee, generator = prepared.trainee, torch.Generator().manual_seed(0)
        if arguments.compile:
            network = importlib.import_module("pack.facechain.training.network")
            for block in network.blocks_of(trainee.model.diffusion_model):
                block.compile()
        optimizer = optimizers.make_optimizer(trainee.groups, config, host.device)

        def make_gradients(recorded: bool) -> Any:
            recorder = recorded_work.Recorder(recorded)
            return gradients.Gradients(trainee.model, trainee.options, trainee.parameters, config, recorder)

        def step(adder: Any) -> None:
            adder.clear()
            noised = loss.add_noise(
                trainee.model, bank.batch(config.batch_size, generator), config, generator, host.device
            )
            float(adder.add(trainee.captions.person(), noised, 1.0))
            torch.nn.utils.clip_grad_norm_(trainee.parameters, 1.0)
            optimizer.step()

        adder = make_gradients(trainee.recorded)
        step(adder)
        clock("step", lambda: step(adder))
        adder.release()
        with FlopCounterMode(display=False) as counter:
            step(make_gradients(False))
        noise = torch.randn(1, *prepared.portrait)
        with torch.no_grad():
            positive, negative = prepared.prompts.positive[0](), prepared.prompts.negative()
            # two steps, both with guidance: four denoisings
            drawn = clock("denoise", lambda: host.draw(trainee.model, positive, negative, noise, 2), times=4)
            clock("decode", lambda: host.decode_latents(drawn))
        tensors = lora_file.to_tensors(prepared.adapters, prepared.names, config.scale_alpha)
        clock("save", lambda: lora_file.write(folder / "lora.safetensors", tensors, {}))
        flops = counter.get_total_flops()
        rate = _card_rate() if host.device.type == "cuda" else None
    seconds = clock.seconds
    return {
        "device": torch.cuda.get_device_name() if host.device.type == "cuda" else "cpu",
        "seconds": seconds,
        "steps_a_second": 1 / seconds["step"],
        "tflop_a_step": flops / 1e12,
        "part_of_the_cards_rate": flops / seconds["step"] / rate if rate else None,
        "lora_mb": (folder / "lora.safetensors").stat().st_size / 2**20,
    }


def _estimate(seconds: dict[str, float], config: Any, photos: int) -> dict[str, float]:
    """The preset's training from its parts, as facechain.training does them."""
    data, validation = (importlib.import_module(f"pack.facechain.training.{part}") for part in ("data", "validation"))
    steps = config.steps_for(photos)
    portraits = len(validation.PROMPTS) * len(validation.SEEDS)
    drawings = config.snapshots_for(photos) + config.compares(photos)  # of the base model as well
    by_phase = {
        "load": seconds["load"] + seconds["caption"] + seconds["preparation"],
        "latents": seconds["encode"] * len(data.plan_crops(photos, 512, config, steps)),
        "steps": seconds["step"] * steps,
        "snapshots": drawings
        * portraits
        * (seconds["denoise"] * _denoisings(validation.DRAWING_STEPS) + seconds["decode"]),
        "save": seconds["save"],
    }
    whole = sum(by_phase.values())
    return {**by_phase, "whole": whole, "part that is not steps": 1 - by_phase["steps"] / whole}


def _denoisings(steps: int) -> int:
    """Of a portrait: two in each step that is guided."""
    guided = importlib.import_module("pack.nodes._training_host").GUIDED
    return steps + math.ceil(guided * steps)


class _Clock:
    """Seconds by name: wall time on a card, CPU time of one thread without one. Medians after a first, unmeasured run."""

    def __init__(self, repeat: int) -> None:
        self.seconds: dict[str, float] = {}
        self._repeat = repeat

    def __call__(self, name: str, run: Callable[[], Any], *, once: bool = False, times: int = 1) -> Any:
        import torch

        def now() -> float:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
                return time.monotonic()
            return time.process_time()

        found, result = [], None
        for _ in range(1 if once else self._repeat + 1):
            begun = now()
            result = run()
            found.append(now() - begun)
        self.seconds[name] = statistics.median(found[-self._repeat :]) / times
        return result


def _card_rate() -> float:
    """FLOP a second of large bf16 products on this card."""
    import torch

    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    rates = []
    for _ in range(10):
        torch.cuda.synchronize()
        begun = time.monotonic()
        torch.matmul(a, a)
        torch.cuda.synchronize()
        rates.append(2 * 8192**3 / (time.monotonic() - begun))
    return max(rates)


if __name__ == "__main__":
    main()
