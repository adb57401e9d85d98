"""Training against its peers: core's Train LoRA node, and a plain diffusers + peft loop. Ratios of one run.

    python benchmarks/train_peers.py [--size 256] [--steps 3] [--rounds 3] [--precision float32]
                                     [--checkpointing on|off] [--arms pack core diffusers facechain] [--peer-python PYTHON]
                                     [--family "SD 1.5"|SDXL]

A whole-size UNet with random weights (SDXL: against core alone), rank 16, batch 1, the same checkpointing everywhere (core keeps its own
"on"). Every measurement has a process of its own (peak memory), rounds are interleaved, medians are printed: wall time
and, less misleading where other programs run, the process's CPU time. diffusers runs in this Python where it is
installed, or in the one that --peer-python names; else that peer is left out.

2 cores of an AMD EPYC, CPU only, one thread, float32, checkpointing on, other programs running, one timed step each,
so seconds of one core a step (and GB above the loaded model):

             64 px        256 px       512 px
pack         1.88 (0.22)  7.8 (0.50)   30.0 (1.36)
core        30.2  (1.46)  34.0 (1.58)  98.7 (3.05)    16x at 64 px, 4.4x at 256, 3.3x at 512; 0.32 and 0.45 of its memory
diffusers    2.99 (0.16)  12.3 (0.53)                 1.6x at 64 px, 1.5x at 256; 0.9 of its memory at 256
FaceChain    3.14 (0.16)  12.5 (0.92)                 1.7x; with --checkpointing off, as it has, 1.7x at 256 (7.4 s)

At 256 and 512 px pack and core are of one run; another at 512 gave 31.1 (1.47) and 101.4 (3.13), 3.3x and 0.47. The others
and 64 px were measured before the pack convolved by Winograd and kept attention and wide layers for the second pass,
which made its step 1.13x as fast at 256 px and 1.25x at 512 (both in one process by turns, the least of four and of two).
SDXL at 64 px: pack 7.2 (0.49), core 50.5 (6.10): 7.1x with 0.08 of its memory above the model, 0.65 in all (10.8 GB).
SD 1.5's memory in all, the model's 3.2 GB included, is 0.79 of core's at 256 px and 0.75 at 512. 3x FaceChain's steps is not
reached: both then do little else than the same products in float32. These processors have no bfloat16. In it, at
256 px, checkpointing on, one step: core 362.0 s (2.10 GB above the model), the pack, whose products are then of float32
(narrow.py), 12.0 s (0.62), in two runs; before that 188.1 s (0.30), 1.9x, in one run with core.

One NVIDIA H200 with 16 CPU cores, torch 2.11, 512 px, bfloat16, checkpointing on, 20 steps, one round: seconds a step
(GB above the loaded model; in all)

pack         0.031 (0.33; 1.95)   its steps recorded as CUDA graphs; by Python 0.129 (checkpointing off, train_parts.py)
core         0.598 (0.68; 2.29)   19.4x, 0.49 of its memory
diffusers    0.243 (0.36; 1.99)    7.9x
FaceChain    0.145 (1.17; 2.96)    4.7x; in float32, its own recipe, 0.122 (5.16 in all)

With checkpointing off, as where memory is plenty, the pack takes 0.022 s (3.41 GB in all), 5.5x FaceChain's own recipe.
In float32, checkpointing off, one NVIDIA H100 with 16 cores: pack 0.080 s, diffusers 0.168 (2.1x), FaceChain 0.167 (2.1x).
SDXL at 1024 px, bfloat16, checkpointing on, 4 steps, H200: pack 0.122 s (1.05; 5.90), core 1.098 (2.43; 7.28): 9.0x, 0.43 of
its memory. The other loops are bound by Python's starting of kernels, so on slower cards the ratios are smaller.
In the runs on cards some norms of the pack's and core's networks had weights of 0 (whole_size.py since fills all with 1), so
that their gradients were 0: the same kernels, if anything a little faster on such numbers.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benchmarks")]

RANK = 16
CAPTION_SHAPE = {"SD 1.5": (1, 77, 768), "SDXL": (1, 77, 2048)}
POOLED, VECTOR = (1, 1280), (1, 2816)  # of SDXL's captions, alone and with the sizes that go with it
ARMS = ["pack", "core", "diffusers", "facechain"]
Tick = tuple[float, float]  # wall time and the process's CPU time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--checkpointing", choices=["on", "off"], default="on")
    parser.add_argument("--cuda-graphs", choices=["auto", "off"], default="auto", help="of the pack's steps")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--family", choices=list(CAPTION_SHAPE), default="SD 1.5")
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm in ("diffusers", "facechain"):  # in the peer's Python, which has no ComfyUI
        return print("RESULT", json.dumps(_diffusers(arguments, arguments.arm == "facechain")))
    import comfy_host

    host = comfy_host.prepare()
    comfy_host.reenter(host)
    if arguments.arm:
        from train import prepare_comfy

        prepare_comfy(host.comfy)
        return print("RESULT", json.dumps({"pack": _pack, "core": _core}[arguments.arm](arguments)))
    _compare(arguments)


def _compare(arguments: argparse.Namespace) -> None:
    peer = str(arguments.peer_python or (sys.executable if importlib.util.find_spec("diffusers") else ""))
    pythons = {"pack": sys.executable, "core": sys.executable, "diffusers": peer, "facechain": peer}
    with_it = ARMS if arguments.family == "SD 1.5" else ARMS[:2]
    arms = {arm: pythons[arm] for arm in arguments.arms if pythons[arm] and arm in with_it}
    results: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
    for _ in range(arguments.rounds):
        for arm, python in arms.items():
            options = ["--size", str(arguments.size), "--steps", str(arguments.steps)]
            options += ["--precision", arguments.precision, "--checkpointing", arguments.checkpointing]
            options += ["--family", arguments.family, "--cuda-graphs", arguments.cuda_graphs]
            command = [python, __file__, "--arm", arm, *options]
            done = subprocess.run(command, capture_output=True, text=True)
            lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
            if not lines:
                raise SystemExit(f"{arm} failed:\n{done.stderr[-3000:]}")
            results[arm].append(json.loads(lines[-1].removeprefix("RESULT ")))
    medians = {arm: {key: statistics.median(r[key] for r in rows) for key in rows[0]} for arm, rows in results.items()}
    own = medians.get("pack")
    for arm, found in medians.items():
        line = f"{arm:10} {found['seconds']:8.3f} s ({found['cpu']:.3f} s CPU) a step, "
        line += f"{found['extra_gb']:6.2f} GB above the loaded model, {found['peak_gb']:.2f} GB in all"
        if own and arm != "pack":
            faster, by_cpu = found["seconds"] / own["seconds"], found["cpu"] / own["cpu"]
            memory = own["extra_gb"] / max(found["extra_gb"], 1e-9)
            line += f"; the pack is {faster:.2f}x as fast ({by_cpu:.2f}x by CPU time) with {memory:.2f} of its memory"
            line += f" ({own['peak_gb'] / found['peak_gb']:.2f} in all)"
        print(line)


def _loaded_gb() -> float:
    """With the model in memory; on a card the peak counts from here, without what making random weights took."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    return _peak_gb()


def _peak_gb() -> float:
    """Of the card where there is one, else of the process."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux: kB


def _now() -> Tick:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic(), time.process_time()


def _measured(ticks: list[Tick], loaded: float) -> dict[str, float]:
    """From the moments at the beginning of each step; the first step, which warms up, does not count."""
    wall, cpu = (statistics.median(b[n] - a[n] for a, b in itertools.pairwise(ticks[1:])) for n in (0, 1))
    return {"seconds": wall, "cpu": cpu, "extra_gb": _peak_gb() - loaded, "peak_gb": _peak_gb()}


def _latents(size: int, count: int) -> Any:
    import torch

    return torch.randn(count, 4, size // 8, size // 8, generator=torch.Generator().manual_seed(1))


def _pack(arguments: argparse.Namespace) -> dict[str, float]:
    """The pack's own steps, without photos and portraits."""
    import torch
    from whole_size import make_model

    parts = {
        name: importlib.import_module(f"pack.facechain.training.{name}")
        for name in ("config", "data", "lean", "loop", "network", "optimizers")
    }
    host_module = importlib.import_module("pack.nodes._training_host")
    with torch.inference_mode():
        model = make_model(arguments.family, getattr(torch, arguments.precision))
        host = object.__new__(host_module.TrainingHost)  # its steps alone: no CLIP and no VAE
        host._model, host.device = model, model.load_device
        loaded = host.load_model()
    begun = _loaded_gb()
    settings = {"rank": RANK, "checkpointing": arguments.checkpointing, "precision": arguments.precision}
    config = parts["config"].TrainConfig(steps=arguments.steps + 1, **settings)
    ticks: list[Tick] = []
    with parts["loop"].training_mode(0, host.device):
        view = parts["network"].trainable_view(loaded, getattr(torch, arguments.precision))
        adapters = parts["network"].add_adapters(
            view.diffusion_model, config, host_module._lora_layer_names(model.model)
        )
        parts["network"].watch_layers(view.diffusion_model, host.check_cancel)
        if arguments.checkpointing == "on":
            parts["network"].checkpoint_blocks(parts["network"].blocks_of(view.diffusion_model))
        recorded = host.device.type == "cuda" and arguments.cuda_graphs == "auto"
        if recorded and arguments.checkpointing == "off":  # as where memory is plenty
            parts["lean"].settle(view.diffusion_model, getattr(torch, arguments.precision))
        halves = [half for adapter in adapters for half in (adapter.down, adapter.up)]
        text = {"c_crossattn": torch.randn(CAPTION_SHAPE[arguments.family]).to(host.device)}
        if arguments.family == "SDXL":
            text["y"] = torch.randn(VECTOR).to(host.device)
        trainee = parts["loop"].Trainee(
            view,
            [parts["optimizers"].Group(halves, 1e-4)],
            parts["loop"].Captions(lambda: text),
            host.device,
            host.options(),
            recorded,
        )
        bank = parts["data"].LatentBank(_latents(arguments.size, 4))
        parts["loop"].train(trainee, bank, config, config.steps, lambda *_: ticks.append(_now()))
    return _measured(ticks, begun)


def _core(arguments: argparse.Namespace) -> dict[str, float]:
    """Core's Train LoRA node with the same rank, batch, size and precision."""
    import comfy.model_management
    import comfy_extras.nodes_train as nodes_train
    import torch
    from whole_size import make_model

    dtype = {"float32": "fp32", "bfloat16": "bf16"}[arguments.precision]
    ticks: list[Tick] = []
    with torch.inference_mode():
        model = make_model(arguments.family, getattr(torch, arguments.precision))
        comfy.model_management.load_models_gpu([model], force_full_load=True)
        begun = _loaded_gb()
        forward = nodes_train.TrainSampler.fwd_bwd
        pooled = {"pooled_output": torch.randn(POOLED)} if arguments.family == "SDXL" else {}

        def timed(self: Any, *inputs: Any, **options: Any) -> Any:
            ticks.append(_now())
            return forward(self, *inputs, **options)

        nodes_train.TrainSampler.fwd_bwd = timed
        nodes_train.TrainLoraNode.execute(
            model=[model],
            latents=[
                {"samples": latent[None]} for latent in _latents(arguments.size, 4)
            ],  # one alone crashes in 0.3.75
            positive=[[[torch.randn(CAPTION_SHAPE[arguments.family]), pooled]]],
            batch_size=[1],
            grad_accumulation_steps=[1],
            steps=[arguments.steps + 1],
            learning_rate=[1e-4],
            rank=[RANK],
            optimizer=["AdamW"],
            loss_function=["MSE"],
            seed=[0],
            training_dtype=[dtype],
            lora_dtype=["fp32"],
            algorithm=["LoRA"],
            gradient_checkpointing=[True],
            existing_lora=["[None]"],
        )
        ticks.append(_now())
    return _measured(ticks, begun)


def _diffusers(arguments: argparse.Namespace, facechain: bool) -> dict[str, float]:
    """The loop of diffusers' own LoRA example, in a few lines; for facechain as FaceChain v3.0.0 has it.

    That is rank 4, float32, everything kept for the backward pass, and the picture encoded at each step.
    """
    import torch
    from peft import LoraConfig

    diffusers: Any = importlib.import_module("diffusers")
    dtype, device = getattr(torch, arguments.precision), "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):  # on a card its random weights take no time
        unet = diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    unet = unet.to(dtype).requires_grad_(False)
    rank = 4 if facechain else RANK
    vae = _autoencoder(diffusers).to(device, dtype) if facechain else None
    picture = torch.rand(1, 3, arguments.size, arguments.size, device=device, dtype=dtype)
    begun = _loaded_gb()
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    if arguments.checkpointing == "on" and not facechain:
        unet.enable_gradient_checkpointing()
    unet.train()
    parameters = [p.requires_grad_(True) for name, p in unet.named_parameters() if "lora_" in name]
    for parameter in parameters:
        parameter.data = parameter.data.float()
    optimizer, schedule = torch.optim.AdamW(parameters, lr=1e-4), diffusers.DDPMScheduler()
    latents, text = (
        _latents(arguments.size, 4).to(device, dtype),
        torch.randn(CAPTION_SHAPE["SD 1.5"]).to(device, dtype),
    )
    ticks: list[Tick] = []
    for step in range(arguments.steps + 1):
        ticks.append(_now())
        with torch.no_grad():
            clean = latents[step % 4][None] if vae is None else vae.encode(picture).latent_dist.sample() * 0.18215
        noise, time_step = torch.randn_like(clean), torch.randint(1000, (1,), device=device)
        with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
            predicted = unet(schedule.add_noise(clean, noise, time_step), time_step, text).sample
        torch.nn.functional.mse_loss(predicted.float(), noise.float()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    ticks.append(_now())
    return _measured(ticks, begun)


def _autoencoder(diffusers: Any) -> Any:
    """Stable Diffusion's, its weights random."""
    down, up = ["DownEncoderBlock2D"] * 4, ["UpDecoderBlock2D"] * 4
    return diffusers.AutoencoderKL(
        down_block_types=down, up_block_types=up, block_out_channels=(128, 256, 512, 512), layers_per_block=2
    ).requires_grad_(False)


if __name__ == "__main__":
    main()
