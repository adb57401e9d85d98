"""A LoRA trained on ComfyUI's own SD 1.5 classes, loaded by diffusers into the same network: do both draw alike?

    python tests/comfy/round_trip.py CHECKOUT FOLDER     prints one line of JSON

Run by test_diffusers.py with the host's Python; not a test itself.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

import families  # which makes ComfyUI importable

# isort: split
import comfy.sd
import comfy.utils
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

sys.path.insert(0, str(families.ROOT / "benchmarks"))
diffusers: Any = importlib.import_module("diffusers")
HIDDEN = 64  # of families' text encoder


def diffusers_unet(model: Any) -> Any:
    """ComfyUI's network as diffusers writes it, with the same weights."""
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=HIDDEN,
        attention_head_dim=8,
    )
    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    weights = model.model.diffusion_model.state_dict()
    unet.load_state_dict({name: weights[names[name]] for name in unet.state_dict()})
    return unet


def diffusers_text_encoder(clip: Any) -> CLIPTextModel:
    config = CLIPTextConfig(
        num_hidden_layers=3, hidden_size=HIDDEN, num_attention_heads=4, intermediate_size=128, projection_dim=HIDDEN
    )
    encoder = CLIPTextModel(config)
    weights = clip.cond_stage_model.clip_l.transformer.state_dict()
    own = encoder.state_dict()
    plain = {name.removeprefix("text_model."): value for name, value in weights.items()}
    encoder.load_state_dict({name: plain[name.removeprefix("text_model.")] for name in own})
    return encoder


def megabytes(rank: int) -> float:
    """Of a whole-size SD 1.5 network's LoRA in half precision; the network is made without its weights."""
    import whole_size

    network = importlib.import_module("pack.facechain.training.network")
    config = families.supported.SD15({**whole_size.UNETS["SD 1.5"], "dtype": torch.float32})
    unet: Any = families.comfy.model_base.BaseModel(config, device=torch.device("meta")).diffusion_model
    layers = [unet.get_submodule(path).weight.shape for path in network.matching_layers(unet, "attention")]
    return sum(rank * (inputs + outputs) * 2 for outputs, inputs in layers) / 2**20


def by_comfy(model: Any, clip: Any, text: str, x: torch.Tensor, timestep: int) -> torch.Tensor:
    """The noise that ComfyUI's network finds in x, with MODEL's and CLIP's patches."""
    import comfy.model_management as management

    conditions = clip.encode_from_tokens_scheduled(clip.tokenize(text))[0][0]
    management.load_models_gpu([model], force_full_load=True)
    return model.model.diffusion_model(x, torch.tensor([timestep]), context=conditions)


def main() -> dict[str, Any]:
    trainer = importlib.import_module("pack.facechain.training.trainer")
    config = importlib.import_module("pack.facechain.training.config")
    with torch.inference_mode():
        network, encoder, channels = families.make("eps")
        clip = families.make_clip(encoder)
        families.fill(network.diffusion_model)
        families.fill(clip.cond_stage_model)
        cpu = torch.device("cpu")
        model = families.comfy.model_patcher.ModelPatcher(network, cpu, cpu)
        host = importlib.import_module("pack.nodes._training_host").TrainingHost(model, clip, families.Vae(channels))
        host.find_lora, host.lora_folder = lambda _: None, lambda: families.FOLDER
        host.unfinished_folder = lambda: families.FOLDER / "unfinished"
        settings = {"steps": 10, "resolution": 64, "rank": 8, "alpha": 4, "learning_rate": 1e-2, "clip_rate": 3e-3}
        trained = trainer.train_person(families.person(), config.TrainConfig(**settings), host, lambda *_: None)
        text, x = families.person().caption, torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        plain = by_comfy(model, clip, text, x, 300)
        file: Any = comfy.utils.load_torch_file(str(trained.path), safe_load=True)
        patched = comfy.sd.load_lora_for_models(model, clip, file, 1.0, 1.0)
        expected = by_comfy(*patched, text, x, 300)
        by_comfy(model, clip, text, x, 300)  # takes the patches out again

    log = families.Log()
    for name in ("diffusers", "transformers", "peft"):
        logging.getLogger(name).addHandler(log)
    tokenizer = CLIPTokenizer.from_pretrained(Path(families.comfy.sd1_clip.__file__).with_name("sd1_tokenizer"))
    pipe = diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(block_out_channels=(32,)),
        text_encoder=diffusers_text_encoder(clip),
        tokenizer=tokenizer,
        unet=diffusers_unet(model),
        scheduler=diffusers.DDPMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )

    def by_diffusers() -> torch.Tensor:
        words = tokenizer(text, padding="max_length", max_length=77, return_tensors="pt").input_ids
        return pipe.unet(x, 300, pipe.text_encoder(words)[0]).sample

    with torch.no_grad():
        before = by_diffusers()
        log.lines.clear()
        pipe.load_lora_weights(str(trained.path))
        after = by_diffusers()
    return {
        "untrained": float((before - plain).abs().max()),
        "trained": float((after - expected).abs().max()),
        "change": float((expected - plain).abs().mean()),
        "log": log.lines,
        "megabytes": megabytes(32),
        "keys": len([key for key in file if key.endswith("lora_up.weight")]),
        "layers": len(
            [
                name
                for part in (pipe.unet, pipe.text_encoder)
                for name, _ in part.named_modules()
                if name.endswith("lora_B")
            ]
        ),
    }


if __name__ == "__main__":
    print("RESULT", json.dumps(main()), flush=True)
