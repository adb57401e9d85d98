"""A LoRA trained on ComfyUI's own classes, loaded by diffusers into the same networks: do both draw alike?

    python tests/comfy/round_trip.py CHECKOUT FOLDER     prints one line of JSON: SD 1.5, and SDXL with every kind of layer

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
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

sys.path.insert(0, str(families.ROOT / "benchmarks"))
diffusers: Any = importlib.import_module("diffusers")
LOG = families.Log()
for name in ("diffusers", "transformers", "peft"):
    logging.getLogger(name).addHandler(LOG)
HIDDEN = 64  # of families' text encoders
TIMESTEP, SIZE = 300, 64

# by family: settings of the training, and how diffusers describes families' network
LAYERS = {"eps": "attention", "sdxl": "all"}
UNETS = {
    "eps": {"cross_attention_dim": HIDDEN, "attention_head_dim": 8},
    "sdxl": {
        "cross_attention_dim": 2 * HIDDEN,
        "attention_head_dim": (2, 4),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": HIDDEN + 6 * 256,
        "transformer_layers_per_block": 1,
    },
}


def diffusers_unet(model: Any, family: str) -> Any:
    """ComfyUI's network as diffusers writes it, with the same weights."""
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        **UNETS[family],
    )
    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    weights = model.model.diffusion_model.state_dict()
    unet.load_state_dict({name: weights[names[name]] for name in unet.state_dict()})
    return unet


def diffusers_text_encoder(tower: Any, kind: type[Any] = CLIPTextModel, act: str = "quick_gelu") -> Any:
    """One of a CLIP's text encoders as transformers writes it, with the same weights."""
    small: dict[str, Any] = {
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "projection_dim": HIDDEN,
    }
    config = CLIPTextConfig(hidden_size=HIDDEN, hidden_act=act, eos_token_id=49407, **small)
    encoder = kind(config)
    plain = {name.removeprefix("text_model."): value for name, value in tower.transformer.state_dict().items()}
    encoder.load_state_dict({name: plain[name.removeprefix("text_model.")] for name in encoder.state_dict()})
    return encoder


def diffusers_pipe(model: Any, clip: Any, family: str) -> Any:
    tokenizer = CLIPTokenizer.from_pretrained(Path(families.comfy.sd1_clip.__file__).with_name("sd1_tokenizer"))
    parts = {
        "vae": diffusers.AutoencoderKL(block_out_channels=(32,)),
        "text_encoder": diffusers_text_encoder(clip.cond_stage_model.clip_l),
        "tokenizer": tokenizer,
        "unet": diffusers_unet(model, family),
        "scheduler": diffusers.DDPMScheduler(),
    }
    if family == "eps":
        without = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        return diffusers.StableDiffusionPipeline(**parts, **without)
    second = diffusers_text_encoder(clip.cond_stage_model.clip_g, CLIPTextModelWithProjection, "gelu")
    return diffusers.StableDiffusionXLPipeline(**parts, text_encoder_2=second, tokenizer_2=tokenizer)


def megabytes(rank: int) -> float:
    """Of a whole-size SD 1.5 network's LoRA in half precision; the network is made without its weights."""
    import whole_size

    network = importlib.import_module("pack.facechain.training.network")
    config = families.supported.SD15({**whole_size.UNETS["SD 1.5"], "dtype": torch.float32})
    unet: Any = families.comfy.model_base.BaseModel(config, device=torch.device("meta")).diffusion_model
    layers = [unet.get_submodule(path).weight.shape for path in network.matching_layers(unet, "attention")]
    return sum(rank * (inputs + outputs) * 2 for outputs, inputs in layers) / 2**20


def by_comfy(model: Any, clip: Any, text: str, x: torch.Tensor) -> torch.Tensor:
    """The noise that ComfyUI's network finds in x, with MODEL's and CLIP's patches."""
    import comfy.model_management as management

    embedding, extras = clip.encode_from_tokens_scheduled(clip.tokenize(text))[0]
    management.load_models_gpu([model], force_full_load=True)
    given = {**extras, "width": SIZE, "height": SIZE}
    y = model.model.encode_adm(**given) if hasattr(model.model, "embedder") else None
    return model.model.diffusion_model(x, torch.tensor([TIMESTEP]), context=embedding, y=y)


def by_diffusers(pipe: Any, tokens: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    """The same by pipe's networks. tokens: as ComfyUI's tokenizers give them."""
    words = {tower: torch.tensor([[token for token, _ in rows[0]]]) for tower, rows in tokens.items()}
    if "g" not in words:
        return pipe.unet(x, TIMESTEP, pipe.text_encoder(words["l"])[0]).sample
    first = pipe.text_encoder(words["l"], output_hidden_states=True).hidden_states[-2]
    second = pipe.text_encoder_2(words["g"], output_hidden_states=True)
    places = torch.tensor([[SIZE, SIZE, 0, 0, SIZE, SIZE]])
    added = {"text_embeds": second[0], "time_ids": places}
    context = torch.cat([first, second.hidden_states[-2]], -1)
    return pipe.unet(x, TIMESTEP, context, added_cond_kwargs=added).sample


def run(family: str) -> dict[str, Any]:
    trainer = importlib.import_module("pack.facechain.training.trainer")
    config = importlib.import_module("pack.facechain.training.config")
    with torch.inference_mode():
        network, encoder, channels = families.make(family)
        clip = families.make_clip(encoder)
        families.fill(network.diffusion_model)
        families.fill(clip.cond_stage_model)
        cpu = torch.device("cpu")
        model = families.comfy.model_patcher.ModelPatcher(network, cpu, cpu)
        host = importlib.import_module("pack.nodes._training_host").TrainingHost(model, clip, families.Vae(channels))
        host.find_lora, host.lora_folder = lambda _: None, lambda: families.FOLDER
        host.unfinished_folder = lambda: families.FOLDER / "unfinished"
        settings = {"steps": 10, "resolution": SIZE, "rank": 8, "alpha": 4, "learning_rate": 1e-2, "clip_rate": 3e-3}
        settings["layers"] = LAYERS[family]
        trained = trainer.train_person(families.person(), config.TrainConfig(**settings), host, lambda *_: None)
        text, x = families.person().caption, torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        plain = by_comfy(model, clip, text, x)
        file: Any = comfy.utils.load_torch_file(str(trained.path), safe_load=True)
        patched = comfy.sd.load_lora_for_models(model, clip, file, 1.0, 1.0)
        expected = by_comfy(*patched, text, x)
        by_comfy(model, clip, text, x)  # takes the patches out again

    pipe, tokens = diffusers_pipe(model, clip, family), clip.tokenize(text)
    with torch.no_grad():
        before = by_diffusers(pipe, tokens, x)
        LOG.lines = []
        pipe.load_lora_weights(str(trained.path))
        after = by_diffusers(pipe, tokens, x)
    networks = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    return {
        "untrained": float((before - plain).abs().max()),
        "trained": float((after - expected).abs().max()),
        "change": float((expected - plain).abs().mean()),
        "log": LOG.lines,
        "keys": len([key for key in file if key.endswith("lora_up.weight")]),
        "layers": sum(name.endswith("lora_B") for part in networks for name, _ in part.named_modules()),
    }


if __name__ == "__main__":
    print("RESULT", json.dumps({**{family: run(family) for family in LAYERS}, "megabytes": megabytes(32)}), flush=True)
