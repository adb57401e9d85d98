"""Load Style: a style's LoRA, prompts and weights, joined with the person's."""

from __future__ import annotations

from comfy_api.latest import io

from . import _host
from ._types import CATEGORY, Person


class LoadStyle(io.ComfyNode):
    """Apply a style and a person LoRA to the model, each exactly once, and write the prompts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_LoadStyle",
            display_name="Load Style",
            category=CATEGORY,
            description="Applies the style LoRA and the person LoRA at the style's weights and composes both prompts.",
            inputs=[
                io.Model.Input(
                    "model", tooltip="The model from Train Person LoRA or Load Person, or a plain base model."
                ),
                io.Clip.Input("clip", tooltip="The text encoder that belongs to it."),
                io.Combo.Input(
                    "style",
                    options=_host.style_names(),
                    tooltip="The look of the portrait. A style whose LoRA file is absent works by its prompt alone and says so.",
                ),
                io.Float.Input(
                    "style_weight",
                    default=-1.0,
                    min=-1.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Strength of the style LoRA; -1: as the style says.",
                ),
                io.Float.Input(
                    "person_weight",
                    default=-1.0,
                    min=-1.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Strength of the person LoRA; -1: as the style says (mostly 0.95).",
                ),
                io.Combo.Input(
                    "frame",
                    options=["close-up", "upper body", "full body", "none"],
                    default="upper body",
                    tooltip="How much of the person is in the picture.",
                ),
                io.String.Input(
                    "extra_prompt",
                    default="",
                    multiline=True,
                    tooltip="Added at the end of the prompt; ComfyUI's (words:1.2) weighting works.",
                ),
                io.String.Input(
                    "extra_negative", default="", multiline=True, tooltip="Added at the end of the negative prompt."
                ),
                Person.Input("person", optional=True, tooltip="Who is portrayed; without one, the style alone."),
            ],
            outputs=[
                io.Model.Output(
                    "styled_model",
                    display_name="styled_model",
                    tooltip="The model with style LoRA and person LoRA at their weights.",
                ),
                io.Clip.Output("styled_clip", display_name="styled_clip", tooltip="The text encoder with the same."),
                io.Conditioning.Output("positive", display_name="positive", tooltip="The encoded prompt."),
                io.Conditioning.Output("negative", display_name="negative", tooltip="The encoded negative prompt."),
                io.String.Output("positive_text", display_name="positive_text", tooltip="The prompt as text."),
                io.String.Output("negative_text", display_name="negative_text", tooltip="The negative prompt as text."),
                io.String.Output(
                    "notes", display_name="notes", tooltip="What was applied at which weight, and what is missing."
                ),
            ],
        )

    @classmethod
    def execute(cls, **_: object) -> io.NodeOutput:
        raise NotImplementedError
