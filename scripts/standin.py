"""A stand-in base model, made on the spot: the layout of Stable Diffusion 1.5, small, seeded weights.

It lets the whole pack run end to end on any machine within seconds a picture: core's
CheckpointLoaderSimple and ControlNetLoader read these files without a warning, training,
styles, ControlNet and inpainting all act on them. It has never seen a picture, so what it
draws is coloured noise; a real checkpoint goes in its place for real portraits.

The weights are random where a network learns and set by hand where it helps:
- UNet: one level, one residual block, one transformer (13.6M parameters). Its noise prediction is the
  input itself, scaled to unit variance, plus a random function of prompt, time and surroundings;
  so sampling ends near the range of real latents instead of far outside.
- VAE: TAESD's architecture, set to 8x8 mean colours and back.
- Text encoder: CLIP-L with its 12 layers, which core insists on; random, so that prompts differ.

    python scripts/standin.py FOLDER      writes FOLDER/checkpoints and FOLDER/controlnet
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))

import itertools

from facechain.files import write_atomically

CHECKPOINT_NAME = "facechain_standin_sd15.safetensors"
CONTROLNET_NAME = "facechain_standin_controlnet.safetensors"
FORMAT = "facechain-standin-1"  # a changed recipe needs a new number: files that are there are kept

CHANNELS = 320  # core takes a UNet for SD 1.5 only with this width and
CONTEXT = 768  # this text width
EMBEDDING = 4 * CHANNELS
TEXT_LAYERS = 12
GROUP = CHANNELS // 32  # channels that a GroupNorm of the UNet treats together
LATENT_SCALE = 0.18215  # SD 1.5's
COLOUR_SCALE = 4.0  # latent = COLOUR_SCALE * (colour - 0.5), which has about unit variance
VAE_WIDTH = 64

Weights = dict[str, np.ndarray]


def make_checkpoint(path: Path) -> Path:
    """Write the stand-in checkpoint (UNet, CLIP-L, VAE; 280 MB, float16) unless it is there; returns path."""
    if not _is_there(path):
        random = np.random.default_rng(42)
        parts = {"model.diffusion_model.": _unet(random), "first_stage_model.": vae(random)}
        parts["cond_stage_model.transformer."] = _text_encoder(random)
        _write(path, {prefix + key: value for prefix, part in parts.items() for key, value in part.items()})
    return path


def make_controlnet(path: Path) -> Path:
    """Write a ControlNet that fits the stand-in checkpoint (28 MB, float16) unless it is there; returns path."""
    if not _is_there(path):
        _write(path, _controlnet(np.random.default_rng(43)))
    return path


def _is_there(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="np") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except SafetensorError:
        return False


def _write(path: Path, weights: Weights) -> None:
    from safetensors.numpy import save

    halves = {key: np.ascontiguousarray(value, np.float16) for key, value in weights.items()}
    write_atomically(path, save(halves, metadata={"format": FORMAT}))


# --- parts of networks -----------------------------------------------------------


def _layer(random: np.random.Generator, name: str, *shape: int, gain: float = 1.0, bias: bool = True) -> Weights:
    """A linear or convolution layer that keeps its input's variance times gain squared."""
    scale = gain / np.sqrt(np.prod(shape[1:]))
    layer = {f"{name}.weight": random.standard_normal(shape, np.float32) * np.float32(scale)}
    return {**layer, f"{name}.bias": np.zeros(shape[0], np.float32)} if bias else layer


def _norm(name: str, width: int) -> Weights:
    return {f"{name}.weight": np.ones(width, np.float32), f"{name}.bias": np.zeros(width, np.float32)}


def _residual_block(random: np.random.Generator, name: str, width: int) -> Weights:
    block = {
        **_norm(f"{name}.in_layers.0", width),
        **_layer(random, f"{name}.in_layers.2", CHANNELS, width, 3, 3, gain=1.7),
        **_layer(random, f"{name}.emb_layers.1", CHANNELS, EMBEDDING),
        **_norm(f"{name}.out_layers.0", CHANNELS),
        **_layer(random, f"{name}.out_layers.3", CHANNELS, CHANNELS, 3, 3),
    }
    if width != CHANNELS:
        block |= _layer(random, f"{name}.skip_connection", CHANNELS, width, 1, 1)
    return block


def _transformer(random: np.random.Generator, name: str) -> Weights:
    block = f"{name}.transformer_blocks.0"
    weights = {**_norm(f"{name}.norm", CHANNELS), **_layer(random, f"{name}.proj_in", CHANNELS, CHANNELS, 1, 1)}
    for attention, context in (("attn1", CHANNELS), ("attn2", CONTEXT)):
        # Sharp attention (queries and keys of gain 2) lets single words and places matter.
        weights |= _layer(random, f"{block}.{attention}.to_q", CHANNELS, CHANNELS, gain=2.0, bias=False)
        weights |= _layer(random, f"{block}.{attention}.to_k", CHANNELS, context, gain=2.0, bias=False)
        weights |= _layer(random, f"{block}.{attention}.to_v", CHANNELS, context, bias=False)
        weights |= _layer(random, f"{block}.{attention}.to_out.0", CHANNELS, CHANNELS)
    weights |= _layer(random, f"{block}.ff.net.0.proj", 8 * CHANNELS, CHANNELS)
    weights |= _layer(random, f"{block}.ff.net.2", CHANNELS, 4 * CHANNELS)
    for norm in ("norm1", "norm2", "norm3"):
        weights |= _norm(f"{block}.{norm}", CHANNELS)
    return weights | _layer(random, f"{name}.proj_out", CHANNELS, CHANNELS, 1, 1)


def _trunk(random: np.random.Generator) -> Weights:
    """What UNet and ControlNet share in kind: time embedding, first convolution, one block with attention."""
    first = _layer(random, "input_blocks.0.0", CHANNELS, 4, 3, 3)
    return {
        **_layer(random, "time_embed.0", EMBEDDING, CHANNELS),
        **_layer(random, "time_embed.2", EMBEDDING, EMBEDDING),
        **first,
        **_residual_block(random, "input_blocks.1.0", CHANNELS),
        **_transformer(random, "input_blocks.1.1"),
    }


# --- the networks ----------------------------------------------------------------


def _unet(random: np.random.Generator) -> Weights:
    weights = {
        **_trunk(random),
        **_residual_block(random, "output_blocks.0.0", 2 * CHANNELS),
        **_residual_block(random, "output_blocks.1.0", 2 * CHANNELS),
        **_norm("out.0", CHANNELS),
        **_layer(random, "out.2", 4, CHANNELS, 3, 3, gain=0.2),
    }
    return _carry_input_through(weights)


def _carry_input_through(weights: Weights) -> Weights:
    """Let the first norm group of channels carry the input's 4 channels, once with each sign, to the output.

    SiLU(x) - SiLU(-x) = x, so the last layers hand the input on exactly, divided by its deviation.
    """
    inputs, outputs = weights["input_blocks.0.0.weight"], weights["out.2.weight"]
    inputs[:GROUP] = 0
    outputs[:, :GROUP] = 0
    deviation = np.sqrt(8 / GROUP)  # of the group: 8 of its channels carry the input, the others are zero
    for channel in range(4):
        for place, sign in ((channel, 1), (channel + 4, -1)):
            inputs[place, channel, 1, 1] = sign
            outputs[channel, place, 1, 1] = sign * deviation
    last = "output_blocks.1.0"
    weights[f"{last}.out_layers.3.weight"][:GROUP] = 0
    skip = weights[f"{last}.skip_connection.weight"]
    skip[:GROUP] = 0
    skip[range(GROUP), range(CHANNELS, CHANNELS + GROUP)] = 1  # the second half is the first block's output
    return weights


def _controlnet(random: np.random.Generator) -> Weights:
    weights = {**_trunk(random), **_residual_block(random, "middle_block.0", CHANNELS)}
    widths = (3, 16, 16, 32, 32, 96, 96, 256, CHANNELS)
    for index, (before, after) in enumerate(itertools.pairwise(widths)):
        weights |= _layer(random, f"input_hint_block.{2 * index}", after, before, 3, 3, gain=1.7)
    for name in ("zero_convs.0.0", "zero_convs.1.0", "middle_block_out.0"):
        weights |= _layer(random, name, CHANNELS, CHANNELS, 1, 1, gain=0.5)
    weights["zero_convs.0.0.weight"][:GROUP] = 0  # leaves the channels alone that carry the input
    return weights


def _text_encoder(random: np.random.Generator) -> Weights:
    weights = {
        "text_model.embeddings.token_embedding.weight": random.standard_normal((49408, CONTEXT), np.float32),
        "text_model.embeddings.position_embedding.weight": random.standard_normal((77, CONTEXT), np.float32) * 0.2,
        **_norm("text_model.final_layer_norm", CONTEXT),
    }
    for index in range(TEXT_LAYERS):
        name = f"text_model.encoder.layers.{index}"
        for projection in ("q_proj", "k_proj", "v_proj"):
            weights |= _layer(random, f"{name}.self_attn.{projection}", CONTEXT, CONTEXT)
        # Small steps, so that after 12 layers a word is still itself.
        weights |= _layer(random, f"{name}.self_attn.out_proj", CONTEXT, CONTEXT, gain=0.3)
        weights |= _layer(random, f"{name}.mlp.fc1", 4 * CONTEXT, CONTEXT)
        weights |= _layer(random, f"{name}.mlp.fc2", CONTEXT, 4 * CONTEXT, gain=0.3)
        weights |= {**_norm(f"{name}.layer_norm1", CONTEXT), **_norm(f"{name}.layer_norm2", CONTEXT)}
    return weights


def vae(random: np.random.Generator) -> Weights:
    """TAESD's modules, set by hand: the encoder takes mean colours of 8x8 pixels, the decoder spreads them softly.

    Its blocks end in ReLU, so they carry values that are never negative: the encoder colours
    0..1, the decoder what is above and below grey in separate channels, which also makes
    the zero padding at the borders mean grey.
    """
    weights = {
        "vae_scale": np.float32(LATENT_SCALE).reshape(()),
        "vae_shift": np.zeros((), np.float32),
    }
    weights |= _encoder(random) | _decoder(random)
    return weights


def _encoder(random: np.random.Generator) -> Weights:
    colours = _tap(VAE_WIDTH, 3, {(c, c): 1.0 for c in range(3)})
    weights = {"0.weight": colours, "0.bias": np.zeros(VAE_WIDTH, np.float32)} | _identity_block(random, "1")
    for index in (2, 6, 10):
        mean = np.zeros((VAE_WIDTH, VAE_WIDTH, 3, 3), np.float32)
        for channel in range(3):
            mean[channel, channel, 1:, 1:] = 0.25
        weights |= {f"{index}.weight": mean}
        for block in range(index + 1, index + 4):
            weights |= _identity_block(random, str(block))
    latents = {(c, c): COLOUR_SCALE for c in range(3)} | {(3, c): COLOUR_SCALE / 3 for c in range(3)}
    weights |= {"14.weight": _tap(4, VAE_WIDTH, latents), "14.bias": np.full(4, -COLOUR_SCALE / 2, np.float32)}
    return {f"taesd_encoder.{key}": value for key, value in weights.items()}


def _decoder(random: np.random.Generator) -> Weights:
    split = {(2 * c + s, c): sign / COLOUR_SCALE for c in range(3) for s, sign in ((0, 1.0), (1, -1.0))}
    weights = {"1.weight": _tap(VAE_WIDTH, 4, split), "1.bias": np.zeros(VAE_WIDTH, np.float32)}
    soft = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25]).astype(np.float32)
    for first, after in ((3, 7), (8, 12), (13, 17)):
        for block in range(first, first + 3):
            weights |= _identity_block(random, str(block))
        spread = np.zeros((VAE_WIDTH, VAE_WIDTH, 3, 3), np.float32)
        spread[range(6), range(6)] = soft
        weights |= {f"{after}.weight": spread}
    weights |= _identity_block(random, "18")
    join = {(c, 2 * c + s): sign for c in range(3) for s, sign in ((0, 1.0), (1, -1.0))}
    weights |= {"19.weight": _tap(3, VAE_WIDTH, join), "19.bias": np.full(3, 0.5, np.float32)}
    return {f"taesd_decoder.{key}": value for key, value in weights.items()}


def _tap(outputs: int, inputs: int, values: dict[tuple[int, int], float]) -> np.ndarray:
    """A 3x3 convolution that looks at the middle pixel only: {(output channel, input channel): weight}."""
    kernel = np.zeros((outputs, inputs, 3, 3), np.float32)
    for (output, source), value in values.items():
        kernel[output, source, 1, 1] = value
    return kernel


def _identity_block(random: np.random.Generator, name: str) -> Weights:
    """TAESD's residual block with a branch that adds next to nothing."""
    layers = {}
    for index, gain in ((0, 1.0), (2, 1.0), (4, 0.0)):
        layers |= _layer(random, f"{name}.conv.{index}", VAE_WIDTH, VAE_WIDTH, 3, 3, gain=gain)
    return layers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="a ComfyUI models folder")
    folder = parser.parse_args().models
    print(make_checkpoint(folder / "checkpoints" / CHECKPOINT_NAME))
    print(make_controlnet(folder / "controlnet" / CONTROLNET_NAME))


if __name__ == "__main__":
    main()
