"""What Train Person LoRA makes of MODEL, CLIP and VAE that real checkpoints give, in one process.

    python tests/comfy/training_host.py CHECKOUT FOLDER CHECKPOINT     prints one line of JSON

Run by test_training_inputs.py with the host's Python; not a test itself.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

import families  # which makes ComfyUI importable

# isort: split
import comfy.quant_ops
import comfy.sd
import numpy as np
import standin
import torch


class Hidden(torch.nn.Linear):
    """As ComfyUI-GGUF's layers: they list their weights without values."""

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}weight"] = torch.empty_like(self.weight, device="meta")


def quantised(weight: torch.Tensor) -> torch.nn.Parameter:
    """As core keeps a weight that its checkpoint calls quantised."""
    small = comfy.quant_ops.QuantizedTensor.from_float(weight.float(), "TensorCoreFP8Layout", dtype=torch.float8_e4m3fn)
    return torch.nn.Parameter(small, requires_grad=False)


def vae_of_16_channels() -> Any:
    weights = {
        name: torch.from_numpy(np.asarray(value)) for name, value in standin.vae(np.random.default_rng(1)).items()
    }
    for name, axis in (("taesd_encoder.14.weight", 0), ("taesd_encoder.14.bias", 0), ("taesd_decoder.1.weight", 1)):
        weights[name] = weights[name].repeat_interleave(4, axis)
    return comfy.sd.VAE(sd=weights)


def write_lora(family: str) -> None:
    """A LoRA file that says that it was trained on some model of the family."""
    file, config = (importlib.import_module(f"pack.facechain.training.{name}") for name in ("lora_file", "config"))
    about = file.metadata(families.person(), file.Base("m", "c", "v", family), config.TrainConfig(), "", {})
    file.write(families.FOLDER / f"{family}.safetensors", {"x": torch.zeros(1)}, about)


def main(checkpoint: str) -> dict[str, Any]:
    host: Any = importlib.import_module("pack.nodes._training_host")
    errors = importlib.import_module("pack.facechain.errors")
    loaded: Any = comfy.sd.load_checkpoint_guess_config(checkpoint)
    model, clip, vae = loaded[:3]

    def refusal(attempt: Callable[[], Any]) -> str:
        try:
            attempt()
        except errors.TrainingError as error:
            return str(error)
        return "nothing is said"

    # core leaves CLIP's text projection as it finds the memory where a checkpoint has none, as all of SD 1.5
    projection, hashes = clip.patcher.model.clip_l.transformer.text_projection.weight, []
    for value in (0.0, 0.5):
        projection.data.fill_(value)
        hashes.append(host.TrainingHost(model, clip, vae).base.clip)
    pictures, other_clip = torch.zeros(1, 64, 64, 3), families.make_clip(families.comfy.sd1_clip.SD1ClipModel)
    told = {
        "clip": refusal(lambda: host.TrainingHost(model, None, vae)),
        "vae": refusal(lambda: host.TrainingHost(model, clip, comfy.sd.VAE(sd={}))),
        "channels": refusal(lambda: host.TrainingHost(model, clip, vae_of_16_channels()).encode_images(pictures)),
        "width": refusal(lambda: host.TrainingHost(model, other_clip, vae).encode_text("a woman")),
    }
    vae.first_stage_model.vae_shift.fill_(float("nan"))
    told["latents"] = refusal(lambda: host.TrainingHost(model, clip, vae).encode_images(pictures))
    clip.cond_stage_model.clip_l.transformer.text_model.final_layer_norm.weight.data.fill_(float("nan"))
    told["text"] = refusal(lambda: host.TrainingHost(model, clip, vae).encode_text("a woman"))
    plain = host.TrainingHost(model, clip, vae)
    network = model.model.diffusion_model
    model.model.diffusion_model = torch.compile(network)
    compiled = host.TrainingHost(model, clip, vae)
    model.model.diffusion_model = network
    same = compiled.base == plain.base and compiled.layer_names == plain.layer_names
    encoder_layers = clip.cond_stage_model.clip_l.transformer.text_model.encoder.layers
    hidden = encoder_layers[0].mlp.fc1 = Hidden(8, 8)
    for _ in range(2):
        torch.nn.init.normal_(hidden.weight)
        hashes.append(host.TrainingHost(model, clip, vae).base.clip)
    encoder_layers[1].mlp.fc1.weight = quantised(encoder_layers[1].mlp.fc1.weight)
    hashes.append(host.TrainingHost(model, clip, vae).base.clip)
    embedding = model.model.diffusion_model.time_embed
    embedding[2].weight, whole = quantised(embedding[2].weight), embedding[2].weight
    told["quantised"] = refusal(lambda: host.TrainingHost(model, clip, vae))
    embedding[2].weight, embedding[0] = whole, Hidden(8, 8)
    told["hidden"] = refusal(lambda: host.TrainingHost(model, clip, vae))
    host.find_model = lambda _, name: families.FOLDER / name
    for family in ("SD15", "SDXL"):
        write_lora(family)
    notes = [host.base_note(model, f"{family}.safetensors") for family in ("SD15", "SDXL")]
    return {"hashes": hashes, "told": told, "notes": notes, "compiled": same}


if __name__ == "__main__":
    with torch.inference_mode():
        print("RESULT", json.dumps(main(families.FAMILIES[0])), flush=True)
