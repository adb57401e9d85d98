"""Whole-size models with random weights: what training them costs is what training real ones costs."""

from __future__ import annotations

import importlib
from typing import Any

COMMON = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "use_spatial_transformer": True,
    "legacy": False,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
}
UNETS = {
    "SD 1.5": {
        **COMMON,
        "num_res_blocks": [2, 2, 2, 2],
        "channel_mult": [1, 2, 4, 4],
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        "transformer_depth_middle": 1,
        "use_linear_in_transformer": False,
        "context_dim": 768,
        "adm_in_channels": None,
    },
    "SDXL": {
        **COMMON,
        "num_res_blocks": [2, 2, 2],
        "channel_mult": [1, 2, 4],
        "transformer_depth": [0, 0, 2, 2, 10, 10],
        "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
        "transformer_depth_middle": 10,
        "use_linear_in_transformer": True,
        "context_dim": 2048,
        "adm_in_channels": 2816,
        "num_classes": "sequential",
        "num_head_channels": 64,
    },
}
VAE = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}

NUMBERS = 2**20 - 3  # of _fill; odd, so that rows of a layer differ


def make_model(family: str, dtype: Any) -> Any:
    """A ModelPatcher around ComfyUI's own network."""
    import comfy.model_base
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models
    import torch

    unet = {**UNETS[family], "dtype": dtype}
    if family == "SDXL":
        model: Any = comfy.model_base.SDXL(comfy.supported_models.SDXL(unet))
    else:
        model = comfy.model_base.BaseModel(comfy.supported_models.SD15(unet))
    _fill(model.diffusion_model)
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(model, device, torch.device("cpu"))


def make_clip(family: str) -> Any:
    import comfy.sd
    import comfy.sd1_clip
    import comfy.sdxl_clip
    import comfy.supported_models_base

    kinds = {
        "SD 1.5": (comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel),
        "SDXL": (comfy.sdxl_clip.SDXLTokenizer, comfy.sdxl_clip.SDXLClipModel),
    }
    clip = comfy.sd.CLIP(comfy.supported_models_base.ClipTarget(*kinds[family]))
    _fill(clip.cond_stage_model)
    return clip


def make_vae() -> Any:
    import comfy.ldm.models.autoencoder as autoencoder
    import comfy.sd

    network = autoencoder.AutoencoderKL(ddconfig=VAE, embed_dim=4)
    _fill(network)
    return comfy.sd.VAE(sd=network.state_dict())


def make_host(family: str, dtype: Any, folder: Any) -> Any:
    """The pack's training host around all three; it finds no LoRA and writes into folder."""
    host_module = importlib.import_module("pack.nodes._training_host")
    host = host_module.TrainingHost(make_model(family, dtype), make_clip(family), make_vae())
    host.find_lora = lambda name: None
    host.lora_folder = host.unfinished_folder = lambda: folder
    return host


def _fill(network: Any) -> None:
    """Weights that neither vanish nor overflow; core leaves the memory as it finds it.

    A million random numbers over and over: to draw 860 million takes longer than what is measured on a graphics card.
    """
    import torch

    numbers = torch.randn(NUMBERS, generator=torch.Generator().manual_seed(0))
    begun = 0
    for name, tensor in network.named_parameters():
        tensor.requires_grad_(False)
        if tensor.ndim > 1:
            begun = (begun + 104_729) % NUMBERS  # a prime: no two layers begin alike
            rounds = -(-(begun + tensor.numel()) // NUMBERS)
            drawn = numbers.expand(rounds, -1).flatten()[begun : begun + tensor.numel()]
            tensor.copy_(drawn.view_as(tensor)).mul_(0.5 / tensor[0].numel() ** 0.5)
        else:
            tensor.fill_(1.0 if name.endswith("weight") else 0.0)  # of norms, whatever they are called; biases
