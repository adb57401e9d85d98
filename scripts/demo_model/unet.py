"""The demo model's UNet: Stable Diffusion 1.5's layout, three levels of one block each, 40.3M parameters.

Attention stands on the middle level, where 192 px are 12 x 12 places, on the way down and on the way up, and once on
the lowest: it costs little there, and it is where the text comes in and where a person LoRA acts. The lowest level,
6 x 6, is what lays a picture out: its convolutions see all of it, and by the padding where in it they are.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

CHANNELS = 320  # core takes a UNet for SD 1.5 only with this width and
CONTEXT = 768  # this text width
_GROUP = CHANNELS // 32  # channels that a GroupNorm treats together
_LAST = "output_blocks.5.0"


def make_unet(comfyui: Path) -> nn.Module:
    """ComfyUI's own UNetModel in this layout, float32, ready to be trained from nothing.

    comfyui: a ComfyUI folder. Call as make_unet(...)(latents [B,4,h,w], timesteps [B], context=[B,T,768]).
    """
    import_comfy(comfyui)
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    make: Any = UNetModel  # its annotations are narrower than what it takes
    net = make(
        image_size=32,
        in_channels=4,
        out_channels=4,
        model_channels=CHANNELS,
        num_res_blocks=[1, 1, 1],
        channel_mult=[1, 1, 1],
        transformer_depth=[0, 1, 0],
        transformer_depth_output=[0, 0, 1, 0, 1, 0],  # from the last block to the first
        transformer_depth_middle=-2,
        num_heads=8,
        use_spatial_transformer=True,
        context_dim=CONTEXT,
        legacy=False,
        dtype=torch.float32,
        device="cpu",
        operations=comfy.ops.disable_weight_init,
    )
    _start(net)
    return net


def attention(_: Any, *inputs: Any, **options: Any) -> Any:
    """Core's attention by PyTorch, for transformer_options: its choice for the CPU is slower in training."""
    from comfy.ldm.modules.attention import attention_pytorch

    return attention_pytorch(*inputs, **options)


def import_comfy(comfyui: Path) -> None:
    """Make ComfyUI's modules importable outside its server, on the CPU where there is no NVIDIA card."""
    if "comfy.options" in sys.modules:
        return
    sys.path.insert(0, str(comfyui))
    import comfy.options

    comfy.options.enable_args_parsing()
    arguments, sys.argv = sys.argv, [sys.argv[0], *([] if torch.cuda.is_available() else ["--cpu"])]
    try:
        import comfy.cli_args
    finally:
        sys.argv = arguments


@torch.no_grad()
def listen(net: nn.Module, texts: torch.Tensor) -> None:
    """Let the net hear from the first step what tells the texts ([K, T, 768]) apart.

    What all texts share is nearly half of their length. The values of the cross attention begin as a random mixture
    of the directions in which the texts' means differ, each with unit variance, and what they say is passed on at full strength;
    from chance weights 3,000 steps went by in which no style could be told from another.
    """
    means = texts.float().mean(1)
    _, spread, directions = torch.linalg.svd(means - means.mean(0), full_matrices=False)
    share = spread.square().cumsum(0) / spread.square().sum()
    kept = int((share < 0.97).sum()) + 1
    hearing = directions[:kept] / (spread[:kept, None] / len(means) ** 0.5)
    for name, weight in net.named_parameters():
        if name.endswith("attn2.to_v.weight"):
            weight.copy_(torch.randn(len(weight), kept) / kept**0.5 @ hearing)
        elif name.endswith("attn2.to_out.0.weight"):
            nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        elif name.endswith("proj_out.weight"):
            nn.init.normal_(weight, std=0.5 * weight[0].numel() ** -0.5)


@torch.no_grad()
def _start(net: nn.Module) -> None:
    """Random weights of the usual sizes; each block begins as the identity, the whole as "the noise is the input".

    The second is done as in the stand-in: the first norm group carries the input's four channels, once with each
    sign, around everything to the output, where SiLU(x) - SiLU(-x) = x.
    """
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.GroupNorm | nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    for name, weight in net.named_parameters():
        if name.endswith(("out_layers.3.weight", "proj_out.weight", "to_out.0.weight", "ff.net.2.weight")):
            weight.zero_() if "proj_out" not in name else weight.mul_(0.1)
            if name.endswith(("to_out.0.weight", "ff.net.2.weight")):
                nn.init.normal_(weight, std=0.3 * weight[0].numel() ** -0.5)
    inputs, outputs = net.get_parameter("input_blocks.0.0.weight"), net.get_parameter("out.2.weight")
    outputs.mul_(0.05)
    inputs[:_GROUP] = 0
    outputs[:, :_GROUP] = 0
    for channel in range(4):
        for place, sign in ((channel, 1.0), (channel + 4, -1.0)):
            inputs[place, channel, 1, 1] = sign
            outputs[channel, place, 1, 1] = sign * (8 / _GROUP) ** 0.5
    skip = net.get_parameter(f"{_LAST}.skip_connection.weight")
    skip[:_GROUP] = 0
    skip[range(_GROUP), range(CHANNELS, CHANNELS + _GROUP)] = 1  # the second half is the first convolution's output
