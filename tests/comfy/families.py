"""Trains on ComfyUI's own model classes of several families, a few thousand random weights each, in one process.

    python tests/comfy/families.py CHECKOUT FOLDER FAMILY...     prints one line of JSON a family

Run by test_training_families.py with the host's Python; not a test itself.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import types
from pathlib import Path
from typing import Any

ROOT, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(ROOT / "scripts"))
import comfy_host  # noqa: E402

sys.path.insert(0, str(comfy_host.prepare().comfy))
FAMILIES, sys.argv = sys.argv[3:], ["main.py", "--cpu"]
import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()
import comfy.lora  # noqa: E402
import comfy.model_base  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.sd1_clip  # noqa: E402
import comfy.sdxl_clip  # noqa: E402
import comfy.supported_models as supported  # noqa: E402
import comfy.supported_models_base as bases  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402

for name, path in (("pack", ROOT), ("pack.nodes", ROOT / "nodes")):
    module = types.ModuleType(name)
    module.__path__ = [str(path)]
    sys.modules[name] = module

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 2],
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "use_spatial_transformer": True,
    "legacy": False,
    "adm_in_channels": None,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
    "dtype": torch.float32,
}
FLUX = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 64,
    "context_in_dim": 64,
    "hidden_size": 64,
    "mlp_ratio": 2.0,
    "num_heads": 2,
    "depth": 2,
    "depth_single_blocks": 2,
    "axes_dim": [8, 12, 12],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "guidance_embed": True,
    "dtype": torch.float32,
}
SD3 = {
    "in_channels": 16,
    "patch_size": 2,
    "input_size": 16,
    "depth": 2,
    "num_blocks": 2,
    "adm_in_channels": 64,
    "context_size": 64,
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 64, "out_features": 128}},
    "pos_embed_max_size": 16,
    "pos_embed_scaling_factor": None,
    "num_patches": 256,
    "dtype": torch.float32,
}


def make(family: str) -> tuple[Any, Any, int]:
    """A model, the class of its CLIP's text encoder, and the number of latent channels."""
    kind = comfy.model_base.ModelType
    sdxl = {**UNET, "use_linear_in_transformer": True, "num_classes": "sequential", "context_dim": 128}
    if family == "inpaint":  # five channels more: the mask, and the picture without what it hides
        config = supported.SD15({**UNET, "in_channels": 9, "use_linear_in_transformer": False, "context_dim": 64})
        network = comfy.model_base.BaseModel(config, kind.EPS)
        network.set_inpaint()
        return network, comfy.sd1_clip.SD1ClipModel, 4
    if family in ("eps", "all layers"):
        config = supported.SD15({**UNET, "use_linear_in_transformer": False, "context_dim": 64})
        return comfy.model_base.BaseModel(config, kind.EPS), comfy.sd1_clip.SD1ClipModel, 4
    if family == "v":
        config = supported.SD20({**UNET, "use_linear_in_transformer": True, "context_dim": 64})
        config.unet_config |= {"num_head_channels": 16}
        return comfy.model_base.BaseModel(config, kind.V_PREDICTION), comfy.sd1_clip.SD1ClipModel, 4
    if family == "sdxl":
        config = supported.SDXL({**sdxl, "adm_in_channels": 64 + 6 * 256})
        config.unet_config |= {"num_head_channels": 16}
        return comfy.model_base.SDXL(config), comfy.sdxl_clip.SDXLClipModel, 4
    if family == "flux":
        return comfy.model_base.Flux(supported.Flux(FLUX)), comfy.sd1_clip.SD1ClipModel, 16
    return comfy.model_base.SD3(supported.SD3(SD3)), comfy.sd1_clip.SD1ClipModel, 16


def fill(network: torch.nn.Module) -> None:
    """Random weights that keep the variance of what goes through them; core leaves the memory as it finds it."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in network.parameters():
            if tensor.ndim > 1:
                fan = tensor[0].numel()
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / fan**0.5)
            else:
                tensor.zero_()
        for name, buffer in network.named_buffers():
            if name == "pos_embed":  # SD3's, which comes with the checkpoint
                buffer.copy_(torch.randn(buffer.shape, generator=generator))
        layers: list[Any] = list(network.modules())
        for layer in layers:
            if "Norm" in type(layer).__name__ and getattr(layer, "weight", None) is not None:
                layer.weight.fill_(1.0)


class Vae:
    """8x8 mean colours, spread over the channels."""

    def __init__(self, channels: int) -> None:
        cpu = torch.device("cpu")
        self.channels, self.patcher = channels, comfy.model_patcher.ModelPatcher(torch.nn.Linear(2, 2), cpu, cpu)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        small = torch.nn.functional.avg_pool2d(pictures.movedim(-1, 1), 8) * 4 - 2
        return small.repeat(1, self.channels // 3 + 1, 1, 1)[:, : self.channels]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(latents[:, :3] / 4 + 0.5, scale_factor=8).movedim(1, -1)


def make_clip(encoder: Any) -> Any:
    small = {"num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}
    configs = {
        "clip_l_model_config": {**small, "projection_dim": 64},
        "clip_g_model_config": {**small, "projection_dim": 64},
    }
    tokenizer = comfy.sdxl_clip.SDXLTokenizer if "SDXL" in encoder.__name__ else comfy.sd1_clip.SD1Tokenizer
    return comfy.sd.CLIP(bases.ClipTarget(tokenizer, encoder), model_options=configs)


def person() -> Any:
    record = importlib.import_module("pack.facechain.person")
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    head = ((x / 0.35) ** 2 + ((y + 0.1) / 0.5) ** 2 < 1).float()
    image = torch.stack([1 - head * part for part in (0.2, 0.5, 0.7)], -1)
    return record.Person(
        name="families",
        images=image[None],
        masks=head[None],
        embeddings=torch.eye(1, 8),
        embedder="test",
        quality=torch.ones(1),
        poses=torch.zeros(1, 3),
        attributes=record.Attributes("woman", 30.0, "a beautiful woman"),
        caption="<fcsks>, a beautiful woman",
    )


class Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def loss(model: Any, clip: Any, vae: Vae, somebody: Any) -> float:
    """Of ComfyUI's own model, with the patches that MODEL and CLIP carry."""
    host = importlib.import_module("pack.nodes._training_host").TrainingHost(model, clip, vae)
    losses, config, prepare = (
        importlib.import_module(f"pack.facechain.training.{part}") for part in ("loss", "config", "prepare")
    )
    latents = host.encode_images(somebody.images).clone().repeat(16, 1, 1, 1)
    text = host.encode_text(somebody.caption)
    loaded = host.load_model()
    conditions = prepare.usable(host.conditions(loaded, text, latents), host.device)
    settings, generator = config.TrainConfig(), torch.Generator().manual_seed(1)
    noised = losses.add_noise(loaded, losses.Batch(latents), settings, generator, host.device)
    return float(losses.loss_of(loaded, conditions, noised, settings, host.options()))


def denoisings(host: Any, channels: int) -> int:
    """How often the model runs for a portrait of six steps."""
    prepare = importlib.import_module("pack.facechain.training.prepare")
    noise = torch.randn(1, channels, 8, 8, generator=torch.Generator().manual_seed(2))
    text, loaded, seen = host.encode_text("a woman"), host.load_model(), []
    conditions = prepare.usable(host.conditions(loaded, text, noise), host.device)
    apply = loaded.apply_model

    def counted(x: torch.Tensor, *given: Any, **options: Any) -> torch.Tensor:
        seen.append(x)
        return apply(x, *given, **options)

    loaded.apply_model = counted
    assert host.draw(loaded, conditions, conditions, noise, 6).isfinite().all()
    del loaded.apply_model
    return len(seen)


def run(family: str) -> dict[str, Any]:
    host_module = importlib.import_module("pack.nodes._training_host")
    config_module = importlib.import_module("pack.facechain.training.config")
    trainer = importlib.import_module("pack.facechain.training.trainer")
    network, encoder, channels = make(family)
    clip = make_clip(encoder)
    fill(network.diffusion_model)
    fill(clip.cond_stage_model)
    cpu = torch.device("cpu")
    model = comfy.model_patcher.ModelPatcher(network, cpu, cpu)
    host = host_module.TrainingHost(model, clip, Vae(channels))
    host.find_lora, host.lora_folder = lambda _: None, lambda: FOLDER / family
    host.unfinished_folder = lambda: FOLDER / family / "unfinished"
    somebody = person()
    weights = {**network.state_dict(), **{f"clip {k}": v for k, v in clip.cond_stage_model.state_dict().items()}}
    before = {name: tensor.clone() for name, tensor in weights.items()}
    untrained = loss(model, clip, host._vae, somebody)
    settings = {"steps": 40, "resolution": 64, "rank": 8, "learning_rate": 1e-2, "batch_size": 2, "min_snr_gamma": 0.0}
    settings |= {"flip": False, "face_share": (0.305, 0.305), "clip_rate": 1e-3}
    settings |= {"layers": "all"} if family == "all layers" else {}
    settings |= {"checkpointing": "on"} if family in ("sdxl", "sd3") else {}
    trained = trainer.train_person(somebody, config_module.TrainConfig(**settings), host, lambda *_: None)
    same = all(torch.equal(before[name], tensor) for name, tensor in weights.items())
    log = Log()
    logging.getLogger().addHandler(log)
    file: Any = comfy.utils.load_torch_file(str(trained.path), safe_load=True)
    patched, patched_clip = comfy.sd.load_lora_for_models(model, clip, file, 1.0, 1.0)
    after = loss(patched, patched_clip, host._vae, somebody)
    logging.getLogger().removeHandler(log)
    return {
        "family": family,
        "losses": trained.report["losses"],
        "untrained": untrained,
        "by_core": after,
        "base_is_the_same": same,
        "keys": sorted({key.rsplit(".lora_", 1)[0] for key in file if ".lora_" in key}),
        "log": [line for line in log.lines if "lora" in line.lower()],
        "samples": list(trained.samples.shape),
        "denoisings": denoisings(host, channels),
    }


if __name__ == "__main__":
    with torch.inference_mode():
        for family in FAMILIES:
            print("RESULT", json.dumps(run(family)), flush=True)
