"""ComfyUI's text encoders in a form that can learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..facechain.errors import TrainingError

LAYER = "text_model_encoder_layers"  # as kohya names the layers of CLIP


class TrainableTextEncoder:
    """What facechain.training.host.TextEncoder asks for, of a CLIP; the CLIP itself stays as it is.

    Raises TrainingError for text encoders other than OpenAI's CLIP, or quantised ones.
    """

    def __init__(self, clip: Any) -> None:
        import comfy.model_management
        import torch

        from ..facechain.training.network import aliased

        self.layer_names: Mapping[str, str] = _layer_names(clip.cond_stage_model)
        if not self.layer_names:
            raise TrainingError(
                f"the text encoder of this model ({type(clip.cond_stage_model).__name__}) cannot be trained",
                "Set clip_rate to 0",
            )
        with torch.inference_mode():
            comfy.model_management.load_models_gpu([clip.patcher], force_full_load=True)
        self.network: Any = aliased(clip.cond_stage_model, torch.float32)
        self.network.reset_clip_options()
        if clip.layer_idx is not None:
            self.network.set_clip_options({"layer": clip.layer_idx})
        self._tokenize = clip.tokenize

    def encode(self, text: str) -> Any:
        """The embedding and the pooled output, in the form that the core's encoders give, with gradients."""
        embedding, pooled, *rest = self.network.encode_token_weights(self._tokenize(text))
        extras = rest[0] if rest else {}
        return [[embedding, {"pooled_output": pooled, **extras}]]


def _layer_names(network: Any) -> dict[str, str]:
    """kohya's key by layer path: {"clip_l.transformer.text_model.encoder.layers.0.mlp.fc1": "lora_te_text_model_..."}.

    "lora_te_" where there is one text encoder, else "lora_te1_" and "lora_te2_".
    """
    import comfy.lora

    keys = comfy.lora.model_lora_keys_clip(network, {})
    found = {name: target for name, target in keys.items() if LAYER in name and target.endswith(".weight")}
    alone = len({target.split(".")[0] for target in network.state_dict() if target.endswith(".weight")}) == 1
    wanted = ("lora_te_",) if alone else ("lora_te1_", "lora_te2_")
    return {target[: -len(".weight")]: name for name, target in found.items() if name.startswith(wanted)}
