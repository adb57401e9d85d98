"""Small random models of the user's kinds, of the right layout, under the names that the shipped graphs have."""

from __future__ import annotations

from pathlib import Path

import torch

LCM_LORA, UPSCALER = "lcm-lora-sdv1-5.safetensors", "RealESRGAN_x4plus.safetensors"


def write_users_models(models: Path) -> None:
    """A LoRA for the stand-in's UNet and an upscale model into a ComfyUI models folder."""
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(8)
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    up, down = (torch.randn(shape, generator=random) * 0.5 for shape in ((320, 4), (4, 320)))
    lora = {f"{layer}.lora_up.weight": up, f"{layer}.lora_down.weight": down, f"{layer}.alpha": torch.tensor(4.0)}
    for kind, name, weights in (("loras", LCM_LORA, lora), ("upscale_models", UPSCALER, _esrgan(random))):
        folder = models / kind
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, folder / name)


def _esrgan(random: torch.Generator) -> dict[str, torch.Tensor]:
    """Real-ESRGAN's layout (RRDBNet, four times as large) with one block of eight channels."""
    shapes = {"conv_first": (8, 3), "conv_body": (8, 8), "conv_up1": (8, 8), "conv_up2": (8, 8), "conv_hr": (8, 8)}
    shapes |= {"conv_last": (3, 8)}
    for dense in (1, 2, 3):
        grown = {f"body.0.rdb{dense}.conv{n}": (32 if n < 5 else 8, 8 + 32 * (n - 1)) for n in range(1, 6)}
        shapes |= grown
    weights = {f"{name}.weight": torch.randn(*shape, 3, 3, generator=random) * 0.1 for name, shape in shapes.items()}
    return {**weights, **{f"{name}.bias": torch.zeros(shape[0]) for name, shape in shapes.items()}}
