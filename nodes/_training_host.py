"""What Train Person LoRA asks of ComfyUI: the model in a form that can be trained, encoders, memory, progress."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..facechain.errors import TrainingError
from ._host import (
    applied_person_loras,
    check_cancel,
    encode,
    face_engine,
    find_model,
    model_folder,
    own_folder,
    progress_bar,
)
from ._training_inputs import check_latents, check_parts, check_text, family_of, hidden_weights, parts_of
from ._training_text import TrainableTextEncoder

# Seconds. A message of each step would hold up a card that does thirty a second: each goes to every page that is open.
TELL_EVERY, SHOW_EVERY = 0.1, 2.0


class TrainingProgress:
    """A training on its node: the bar, and as preview the loss curve below the latest validation portraits."""

    def __init__(self, title: str) -> None:
        self._title, self._advance = title, progress_bar(1)
        self._shown, self._portraits, self._verdicts = time.monotonic(), None, []
        self._told = 0.0
        self._first: int | None = None

    def __call__(self, step: int, steps: int, losses: list[float], seconds: float) -> None:
        from ..facechain.training.curve import draw_curve, note_of, with_portraits

        self._first = step if self._first is None else self._first
        now, picture = time.monotonic(), None
        if 0 < step < steps and now - self._told < TELL_EVERY:
            return check_cancel()
        self._told = now
        if now - self._shown > SHOW_EVERY:
            self._shown = now
            note = note_of(step, steps, losses, seconds, self._first)
            curve = draw_curve(losses, steps, self._title, note, verdicts=self._verdicts)
            picture = with_portraits(curve, self._portraits)
        self._advance(step, steps, picture)

    def show(self, portraits: Any, verdict: Any) -> None:
        """Take up a snapshot's portraits; they are seen at once."""
        self._portraits = portraits
        self._verdicts = [*self._verdicts, verdict.as_dict()]
        self._shown = 0.0


WORKSPACE = 2 * 2**30  # bytes a step works with at least, where the model does not fit beside it
GUIDANCE = 5.0  # of validation portraits, for models that take it,
# in that part of their steps: at the low noise of the last ones it changes little (Kynkaanniemi and others, 2024,
# "Applying Guidance in a Limited Interval"), and it doubles what a step costs
GUIDED = 2 / 3


class TrainingHost:
    """What facechain.training.trainer.Host asks for, of the MODEL, CLIP and VAE of a graph."""

    def __init__(self, model: Any, clip: Any, vae: Any) -> None:
        import comfy.model_management as management
        import torch

        from ..facechain.training.lora_file import Base

        check_parts(model, clip, vae)
        others = [name for name, weight in applied_person_loras(model).items() if weight]
        if others:
            raise TrainingError(
                f"the model already carries the person LoRA {others[0]}", "Connect the MODEL of the checkpoint itself"
            )
        self._model, self._clip, self._vae = model, clip, vae
        self._distilled = bool(model.model.model_config.unet_config.get("guidance_embed"))
        self.base = Base(
            model=_model_hash(model),
            clip=_fingerprint(clip.patcher, clip.layer_idx),
            vae=_fingerprint(vae.patcher),
            family=family_of(model),
        )
        self.device = model.load_device
        narrow = self.device.type == "cuda" and management.should_use_bf16(self.device)
        self.dtype = torch.bfloat16 if narrow else torch.float32
        self.layer_names: Mapping[str, str] = _lora_layer_names(model.model)

    def encode_images(self, images: Any) -> Any:
        with _inference():
            return check_latents(self._model, self._vae.encode(images))

    def decode_latents(self, latents: Any) -> Any:
        with _inference():
            pictures = self._vae.decode(latents)
        return pictures.reshape(-1, *pictures.shape[-3:])  # some VAEs are for videos, of one picture here

    def encode_text(self, text: str) -> Any:
        with _inference():
            return check_text(self._model, encode(self._clip, text))

    def text_encoder(self) -> TrainableTextEncoder:
        return TrainableTextEncoder(self._clip)

    def load_model(self) -> Any:
        """Whole where it fits: with --lowvram, or on a card smaller than the model, as much as leaves room for the steps.

        The rest stays in main memory and is brought over layer by layer, in both directions of a step.
        """
        import comfy.model_management as management

        low = management.vram_state in (management.VRAMState.LOW_VRAM, management.VRAMState.NO_VRAM)
        fits = self._model.model_size() + WORKSPACE < management.get_total_memory(self.device)
        whole = self.device.type == "cpu" or (fits and not low)
        # whole: as core's Train LoRA, room for the activations by putting everything else aside
        room = 10**20 if whole else WORKSPACE
        with _inference():
            management.load_models_gpu([self._model], memory_required=room, force_full_load=whole)
        return self._model.model

    def conditions(self, model: Any, text: Any, latents: Any) -> dict[str, Any]:
        import torch

        embedding, extras = text[0]
        noise = latents.to(self.device)
        size = {"width": latents.shape[-1] * 8, "height": latents.shape[-2] * 8}
        found = model.extra_conds(
            **{**extras, **size},
            cross_attn=embedding.to(self.device),
            noise=noise,
            latent_image=torch.zeros_like(noise),  # as of an empty latent: inpainting models ask for it
            device=self.device,
            prompt_type="positive",
        )
        return {name: c.process_cond(batch_size=len(latents), area=None).cond for name, c in found.items()}

    def draw(self, model: Any, positive: Any, negative: Any, noise: Any, steps: int) -> Any:
        """By core's samplers on the model itself: its patcher would load the untrained weights anew."""
        import comfy.k_diffusion.sampling as samplers
        import comfy.model_sampling
        import comfy.samplers
        import torch

        sampling = model.model_sampling
        flow = isinstance(sampling, comfy.model_sampling.CONST)
        sample = samplers.sample_euler if flow else samplers.sample_dpmpp_2m
        sigmas = comfy.samplers.calculate_sigmas(sampling, "simple" if flow else "karras", steps).to(self.device)
        least = sigmas[math.ceil(GUIDED * steps) - 1]

        def denoise(x: Any, sigma: Any) -> Any:
            wanted = model.apply_model(x, sigma, transformer_options=self.options(), **positive)
            if self._distilled or bool(sigma[0] < least):  # distilled: guidance is in the model itself
                return wanted
            unwanted = model.apply_model(x, sigma, transformer_options=self.options(), **negative)
            return unwanted + GUIDANCE * (wanted - unwanted)

        noise = noise.to(self.device)
        x = sampling.noise_scaling(sigmas[0], noise, torch.zeros_like(noise), True)
        drawn = sampling.inverse_noise_scaling(sigmas[-1], sample(denoise, x, sigmas, disable=True))
        return model.process_latent_out(drawn.float())

    def options(self) -> dict[str, Any]:
        # core's choice for the CPU is slower in training, and needs up to twice the memory
        return {"optimized_attention_override": _attention}

    def find_lora(self, name: str) -> Path | None:
        return find_model("loras", name)

    def lora_folder(self) -> Path:
        return model_folder("loras")

    def unfinished_folder(self) -> Path:
        return own_folder("unfinished")

    def face_engine(self, name: str) -> Any:
        return face_engine(name)

    def free_bytes(self) -> int:
        import comfy.model_management as management

        reserved = management.extra_reserved_memory() if self.device.type != "cpu" else 0  # --reserve-vram
        free: Any = management.get_free_memory(self.device)
        return max(int(free - reserved), 0)

    def check_cancel(self) -> None:
        check_cancel()

    def free_memory(self) -> None:
        import comfy.model_management

        comfy.model_management.soft_empty_cache()


def _attention(
    replaced: Any,
    q: Any,
    k: Any,
    v: Any,
    heads: int,
    mask: Any = None,
    attn_precision: Any = None,
    skip_reshape: bool = False,
    skip_output_reshape: bool = False,
    **options: Any,
) -> Any:
    """core's attention_pytorch, bit by bit, and where that can be without what a block's second pass need not do."""
    from comfy.ldm.modules.attention import attention_pytorch

    from ..facechain.training.attention import attention

    if mask is None:
        heads_first = [t if skip_reshape else t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v)]
        out = attention(*heads_first)
        if out is not None:
            return out if skip_output_reshape else out.transpose(1, 2).flatten(2)
    return attention_pytorch(q, k, v, heads, mask, attn_precision, skip_reshape, skip_output_reshape, **options)


def base_note(model: Any, lora_name: str) -> str:
    """What to tell a user whose MODEL is not the one that a person LoRA was trained on; "" where it is, or unknown."""
    from ..facechain.training.lora_file import read_base

    path = find_model("loras", lora_name)
    base = read_base(path) if path else None
    if base is None:
        return ""
    family = family_of(model)
    if base.family != family:
        return f"The LoRA {lora_name} was trained on a {base.family} model and hardly acts on this {family} model."
    if any(hidden_weights(model)) or base.model == _model_hash(model):
        return ""
    return (
        f"The LoRA {lora_name} was trained on another {family} model than this one: likeness may be lower. "
        "Train the person on this model for the best likeness."
    )


def _model_hash(model: Any) -> str:
    """Of a MODEL with its patches and its noise schedule."""
    sampling = model.get_model_object("model_sampling")
    noise_levels = [float(sampling.percent_to_sigma(percent)) for percent in (0.01, 0.5, 0.99)]
    return _fingerprint(model, type(model.model).__name__, type(sampling).__mro__, noise_levels)


def _inference() -> Any:
    """ComfyUI's own mode, for its own work in the midst of a training."""
    import torch

    return torch.inference_mode()


# Checkpoints of SD 1.5 have neither: core leaves the first as it finds the memory, and uses it for nothing.
UNCERTAIN = (".text_projection.weight", ".logit_scale")


COMPILED = "_orig_mod."  # in the names of weights, while a network or a block lies in torch.compile's wrapper


def _fingerprint(patcher: Any, *words: object) -> str:
    """Hash of a network's own weights and of the patches (LoRAs) that the graph has put on it so far.

    Independent of what other branches of the graph have patched into the same weights at the moment.
    """
    from ..facechain.training.fingerprint import weights_hash

    own = [
        (f"{name} {number}" if number else name, part)
        for key, value in patcher.model.state_dict().items()
        if not (name := key.replace(COMPILED, "")).endswith(UNCERTAIN)
        for number, part in enumerate(parts_of(patcher.model, key, _unpatched(patcher, key, value)))
    ]
    patches: list[tuple[str, Any]] = []
    strengths = []
    for key, entries in sorted(patcher.patches.items(), key=lambda item: str(item[0])):
        for index, (strength, weights, strength_model, offset, _) in enumerate(entries):
            leaves = list(_leaves(weights))
            tensors = [leaf for leaf in leaves if hasattr(leaf, "untyped_storage")]
            name = str(key).replace(COMPILED, "")
            patches += [(f"patch {name} {index} {n}", tensor) for n, tensor in enumerate(tensors)]
            numbers = [leaf for leaf in leaves if isinstance(leaf, (int, float, str))]
            strengths.append([name, strength, strength_model, str(offset), *numbers])
    return weights_hash([*own, *patches], [str(word) for word in words] + strengths)


def _unpatched(patcher: Any, key: str, value: Any) -> Any:
    kept = patcher.backup.get(key, patcher.backup.get(key.replace(COMPILED, "")))  # patched before or after compiling
    return value if kept is None else kept.weight


def _leaves(value: Any) -> Iterator[Any]:
    """What a weight patch holds: a tensor, an adapter with its weights, or nested tuples of tensors and numbers."""
    value = getattr(value, "weights", value)
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _lora_layer_names(model: Any) -> dict[str, str]:
    """The key in the manner of kohya by the path of a layer.

    So a layer of "input_blocks.1.1" has one that begins with "lora_unet_down_blocks_0_attentions_0".
    Of the several names that the core has for a layer, the one that other tools know comes last.
    """
    import comfy.lora

    plain = copy.copy(model)  # the core makes names from those of the weights
    plain.state_dict = lambda: {key.replace(COMPILED, ""): weight for key, weight in model.state_dict().items()}
    keys = comfy.lora.model_lora_keys_unet(plain, {})
    prefix, suffix = "diffusion_model.", ".weight"
    return {
        target[len(prefix) : -len(suffix)]: name
        for name, target in keys.items()
        if name.startswith("lora_unet_") and isinstance(target, str) and target.endswith(suffix)
    }
