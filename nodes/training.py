"""Train Person LoRA and Load Person: from a PERSON to a MODEL and CLIP that know the person."""

from __future__ import annotations

from comfy_api.latest import io

from . import _host
from ._types import CATEGORY, Person


class TrainPersonLoRA(io.ComfyNode):
    """Train a LoRA of one person on the loaded model; found again, not repeated, for the same inputs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_TrainPersonLoRA",
            display_name="Train Person LoRA",
            category=CATEGORY,
            description="Trains a LoRA of the person on the loaded model and saves it under models/loras/facechain. "
            "The same person, model and settings are found again at once.",
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="The base model, without any person LoRA."),
                io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
                Person.Input("person", tooltip="Who to learn, from FaceChain Preprocess."),
                io.Combo.Input(
                    "preset",
                    options=["fast", "balanced", "best"],
                    default="balanced",
                    tooltip="How long to train: 'fast' 100, 'balanced' 200 (FaceChain's number) and 'best' 300 steps a photo. "
                    "The settings below, where not 0, take precedence.",
                ),
                io.Int.Input(
                    "steps", default=0, min=0, max=20000, tooltip="Training steps in all; 0: as the preset says."
                ),
                io.Int.Input(
                    "resolution",
                    default=0,
                    min=0,
                    max=2048,
                    step=64,
                    tooltip="Pixels of a side of the training pictures; 0: the size of the person's pictures.",
                ),
                io.Int.Input(
                    "batch_size", default=0, min=0, max=64, tooltip="Pictures in a step; 0: as the preset says (1)."
                ),
                io.Int.Input(
                    "rank",
                    default=0,
                    min=0,
                    max=256,
                    tooltip="Rank of the LoRA; 0: as the preset says. More learns finer detail and makes a larger file.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.00001,
                    round=0.0000001,
                    tooltip="Peak learning rate; 0: as the preset says (FaceChain's 1.5e-4).",
                ),
                io.Int.Input(
                    "seed",
                    default=42,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    tooltip="Seed of noise, crops and flips. The same seed trains the same LoRA.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "trained_model",
                    tooltip="The model with the person LoRA at strength 1. Load Style brings it to the style's weight.",
                ),
                io.Clip.Output("trained_clip", tooltip="The text encoder, with the person LoRA where it was trained."),
                Person.Output(
                    "trained_person", tooltip="The PERSON, knowing its LoRA: for Load Style and Group Portrait."
                ),
                io.String.Output("lora_name", tooltip="Name of the LoRA file as core's LoRA loaders list it."),
                io.Image.Output("loss_curve", tooltip="Loss by step."),
                io.String.Output("report", tooltip="Settings, loss and times as JSON."),
            ],
        )

    @classmethod
    def execute(cls, **_: object) -> io.NodeOutput:
        raise NotImplementedError


class LoadPerson(io.ComfyNode):
    """A saved PERSON by name, with its LoRA applied to the model where one is given."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_LoadPerson",
            display_name="Load Person",
            category=CATEGORY,
            description="Loads a saved person by name and applies their LoRA to the model. No training again.",
            inputs=[
                io.Combo.Input(
                    "name",
                    options=_host.people_names() or ["(no person saved yet)"],
                    tooltip="A saved person (models/facechain/people).",
                ),
                io.Float.Input(
                    "weight",
                    default=1.0,
                    min=-2.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Strength of the person LoRA. Load Style brings it to the style's weight.",
                ),
                io.Model.Input("model", optional=True, tooltip="The base model that the person was trained on."),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder of the same checkpoint."),
            ],
            outputs=[
                io.Model.Output(
                    "person_model", tooltip="The model with the person LoRA; nothing where no model came in."
                ),
                io.Clip.Output(
                    "person_clip", tooltip="The text encoder with the person LoRA; nothing where none came in."
                ),
                Person.Output("person", tooltip="The PERSON: for Load Style, Face Fusion and Similarity Rank."),
            ],
        )

    @classmethod
    def execute(cls, **_: object) -> io.NodeOutput:
        raise NotImplementedError
