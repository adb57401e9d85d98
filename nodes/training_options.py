"""Training Options: what few people need to set, for Train Person LoRA."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ._types import CATEGORY, TrainOptions


class TrainingOptions(io.ComfyNode):
    """Settings beyond those on Train Person LoRA. As they come, they change nothing."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_TrainingOptions",
            display_name="Training Options",
            category=CATEGORY,
            description="Further settings for Train Person LoRA. Not needed for good results: as they come, they change nothing.",
            inputs=[
                io.Combo.Input(
                    "optimizer",
                    options=["AdamW", "AdamW 8-bit", "Prodigy"],
                    default="AdamW",
                    tooltip="'AdamW 8-bit' saves a little memory on NVIDIA cards and needs the Python package bitsandbytes; "
                    "'Prodigy' finds the learning rate by itself and needs the package prodigyopt.",
                ),
                io.Combo.Input(
                    "schedule",
                    options=["cosine", "linear", "constant"],
                    default="cosine",
                    tooltip="How the learning rate falls over the steps.",
                ),
                io.Float.Input(
                    "warmup",
                    default=0.0,
                    min=0.0,
                    max=0.9,
                    step=0.01,
                    tooltip="The part of the steps in which the learning rate rises from 0.",
                ),
                io.Int.Input(
                    "accumulation",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Batches whose gradients make one step: as a larger batch, without its memory.",
                ),
                io.Int.Input(
                    "alpha", default=0, min=0, max=1024, tooltip="Scale of the LoRA; 0: the rank, which scales by 1."
                ),
                io.Combo.Input(
                    "layers",
                    options=["attention", "feed-forward too", "all"],
                    default="attention",
                    tooltip="Which layers of the model learn. More of them learn more, and make a larger file.",
                ),
                io.Float.Input(
                    "clip_rate",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.00001,
                    round=0.0000001,
                    tooltip="Learning rate of the text encoder; 0 does not train it, 0.00005 is usual.",
                ),
                io.Float.Input(
                    "head_focus",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much less counts what lies outside the head; 0: all counts the same, 1: only the head counts.",
                ),
                io.Float.Input(
                    "min_snr_gamma",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.5,
                    tooltip="Weighs noise levels so that few do not rule; 0 is off, 5 is usual.",
                ),
                io.Float.Input(
                    "noise_offset",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Helps very dark and very bright pictures; 0 is off, 0.05 is usual.",
                ),
                io.Float.Input(
                    "caption_dropout",
                    default=0.0,
                    min=0.0,
                    max=0.9,
                    step=0.01,
                    tooltip="The part of the steps that are trained without the caption.",
                ),
                io.Float.Input(
                    "weight_decay",
                    default=0.01,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Pulls the weights of the LoRA towards 0.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["auto", "float32", "bfloat16"],
                    default="auto",
                    tooltip="What the model computes in while it trains; 'auto' takes bfloat16 on graphics cards that have it. "
                    "The LoRA itself always learns in float32.",
                ),
                io.Combo.Input(
                    "checkpointing",
                    options=["auto", "on", "off"],
                    default="auto",
                    tooltip="Compute activations twice instead of keeping them: less memory, more time, same result. 'auto' "
                    "measures whether they fit.",
                ),
                io.Float.Input(
                    "prior_weight",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.1,
                    tooltip="Weight of the class pictures; 0 is off, 1 is usual. Doubles the time of a step.",
                ),
                io.Image.Input(
                    "class_images",
                    optional=True,
                    tooltip="Pictures of other people of the same kind, drawn by the same model: they keep it from making everybody "
                    "look like the person.",
                ),
                io.Float.Input(
                    "ema",
                    default=0.0,
                    min=0.0,
                    max=0.9999,
                    step=0.001,
                    round=0.0001,
                    optional=True,
                    tooltip="Keep a moving average of the LoRA, of which this much stays at each step, instead of its last weights; 0 "
                    "is off, 0.99 is usual.",
                ),
                io.Combo.Input(
                    "cuda_graphs",
                    options=["auto", "off"],
                    default="auto",
                    optional=True,
                    tooltip="Record a step and replay it, on an NVIDIA card that holds the whole model: several times as fast, same "
                    "result. 'off' saves some memory, and helps where a driver cannot do it.",
                ),
            ],
            outputs=[
                TrainOptions.Output("options", display_name="options", tooltip="For Train Person LoRA."),
            ],
        )

    @classmethod
    def execute(cls, class_images: Any = None, **settings: Any) -> io.NodeOutput:
        from ..facechain.training.options import ClassPictures, Options

        return io.NodeOutput(Options(settings, None if class_images is None else ClassPictures(class_images)))
