"""Whether MODEL, CLIP and VAE of a training are there and belong together."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from ..facechain.errors import TrainingError

OF_THE_CHECKPOINT = "Connect the {} of the checkpoint that the model is from"


def check_parts(model: Any, clip: Any, vae: Any) -> None:
    """Raises TrainingError where a part is missing, as in checkpoints without it, or the model is quantised."""
    from ..facechain.training.network import QUANTISED_REMEDY

    if clip is None:
        raise TrainingError("this checkpoint has no text encoder", "Connect the CLIP of Load CLIP or Dual CLIP Loader")
    if getattr(vae, "first_stage_model", vae) is None:  # core's VAE of a checkpoint that has none
        raise TrainingError("this checkpoint has no VAE", "Connect the VAE of Load VAE")
    hidden = next(hidden_weights(model), "")
    if hidden:
        raise TrainingError(f"the model is quantised ({hidden} is stored in fewer bits)", QUANTISED_REMEDY)


def hidden_weights(model: Any) -> Iterator[str]:
    """Names of weights that are no plain tensors: GGUF's, which are listed without values, and core's quantised ones."""
    import torch

    plain = (torch.Tensor, torch.nn.Parameter)
    return (name for name, weight in model.model.state_dict().items() if weight.is_meta or type(weight) not in plain)


def parts_of(network: Any, key: str, weight: Any) -> list[Any]:
    """The plain tensors that a weight consists of: itself, or what a quantised one keeps.

    weight: as the network's state_dict lists it under key. Where that is without values: its bytes [N] as they lie.
    """
    import torch

    if not weight.is_meta:
        names, _ = weight.__tensor_flatten__() if hasattr(weight, "__tensor_flatten__") else ((), None)
        return [attrgetter(name)(weight) for name in names] or [weight]
    owner, _, name = key.rpartition(".")
    kept = network.get_submodule(owner)._parameters.get(name)
    if kept is None or kept.is_meta:
        return []
    storage = kept.untyped_storage()
    return [torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)]


def check_latents(model: Any, latents: Any) -> Any:
    """latents, as a VAE encodes them [B, C, ...]. Raises TrainingError where the model works on others, or they are no numbers."""
    wanted, given = model.model.latent_format.latent_channels, latents.shape[1]
    if given != wanted:
        raise TrainingError(
            f"the VAE encodes pictures in {given} channels, but this {family_of(model)} model works on {wanted}",
            OF_THE_CHECKPOINT.format("VAE"),
        )
    if not latents.isfinite().all():
        raise TrainingError(
            "what the VAE encodes is not a number", "Start ComfyUI with --fp32-vae, or connect another VAE"
        )
    return latents


def check_text(model: Any, conditioning: Any) -> Any:
    """conditioning, as core's CLIP Text Encode makes it.

    Raises TrainingError where the model was made for another CLIP, or it is no number.
    """
    config = model.model.model_config.unet_config
    wanted, given = config.get("context_dim", config.get("context_in_dim")), conditioning[0][0].shape[-1]
    if isinstance(wanted, int) and given != wanted:
        raise TrainingError(
            f"the text encoder gives {given} numbers a word, but this {family_of(model)} model takes {wanted}",
            OF_THE_CHECKPOINT.format("CLIP"),
        )
    if not conditioning[0][0].isfinite().all():
        raise TrainingError(
            "what the text encoder gives is not a number",
            "Start ComfyUI with --fp32-text-enc, or try another checkpoint: this one may be damaged",
        )
    return conditioning


def family_of(model: Any) -> str:
    """Name of core's class for the kind of model, such as SD15."""
    return type(model.model.model_config).__name__
