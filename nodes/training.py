"""Train Person LoRA and Load Person: from a PERSON to a MODEL and CLIP that know the person."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from . import _host
from ._types import CATEGORY, Person

if TYPE_CHECKING:
    from ..facechain.person import Person as PersonRecord


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
                    control_after_generate=False,  # a seed that changes by itself would train anew each time
                    tooltip="Seed of noise, crops and flips. The same seed trains the same LoRA.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "trained_model",
                    display_name="trained_model",
                    tooltip="The model with the person LoRA at strength 1. Load Style brings it to the style's weight.",
                ),
                io.Clip.Output(
                    "trained_clip",
                    display_name="trained_clip",
                    tooltip="The text encoder, with the person LoRA where it was trained.",
                ),
                Person.Output(
                    "trained_person",
                    display_name="trained_person",
                    tooltip="The PERSON, knowing its LoRA: for Load Style and Group Portrait.",
                ),
                io.String.Output(
                    "lora_name",
                    display_name="lora_name",
                    tooltip="Name of the LoRA file as core's LoRA loaders list it.",
                ),
                io.Image.Output("loss_curve", display_name="loss_curve", tooltip="Loss by step."),
                io.String.Output("report", display_name="report", tooltip="Settings, loss and times as JSON."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        person: PersonRecord,
        preset: str,
        steps: int,
        resolution: int,
        batch_size: int,
        rank: int,
        learning_rate: float,
        seed: int,
    ) -> io.NodeOutput:
        from ..facechain.images import from_pixels
        from ..facechain.training.config import config_from
        from ..facechain.training.curve import curve_of
        from ..facechain.training.trainer import train_person
        from ._training_host import TrainingHost, training_progress

        chosen = {"steps": steps, "resolution": resolution, "batch_size": batch_size, "rank": rank}
        config = config_from(preset, seed=seed, learning_rate=learning_rate, **chosen)
        host = TrainingHost(model, clip, vae)
        trained = train_person(person, config, host, training_progress(person.name))
        _remember(trained.person)
        model, clip = _host.apply_person_lora(model, clip, trained.name, 1.0)
        curve = from_pixels(curve_of(trained.report))
        report = json.dumps(trained.summary, ensure_ascii=False, indent=1)
        shown = {**ui.PreviewImage(curve, cls=cls).as_dict(), "text": (report,)}
        return io.NodeOutput(model, clip, trained.person, trained.name, curve, report, ui=shown)


def _remember(person: PersonRecord) -> None:
    """Tell the saved record of this very person, where there is one, which LoRA was trained last."""
    from ..facechain.errors import RecordError
    from ..facechain.person import load_person, save_person

    file = _host.person_file(person.name)
    if not file.is_file():
        return
    with contextlib.suppress(RecordError):  # a damaged record: Load Person says so when it is asked for
        saved = load_person(file)
        if saved.hash == person.hash and saved.lora != person.lora:
            save_person(saved.with_lora(person.lora), file)


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
                    "person_model",
                    display_name="person_model",
                    tooltip="The model with the person LoRA; nothing where no model came in.",
                ),
                io.Clip.Output(
                    "person_clip",
                    display_name="person_clip",
                    tooltip="The text encoder with the person LoRA; nothing where none came in.",
                ),
                Person.Output(
                    "person",
                    display_name="person",
                    tooltip="The PERSON: for Load Style, Face Fusion and Similarity Rank.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, name: str) -> bool | str:
        return True if name in _host.people_names() else f"no saved person is called {name!r}"

    @classmethod
    def fingerprint_inputs(cls, name: str, **_: object) -> str:
        return _host.file_stamp(_host.person_file(name))

    @classmethod
    def execute(cls, name: str, weight: float, model: Any = None, clip: Any = None) -> io.NodeOutput:
        from ..facechain.errors import RecordError
        from ..facechain.person import load_person

        person = load_person(_host.person_file(name))
        if model is not None or clip is not None:
            if not person.lora:
                raise RecordError(
                    f"{name} has no LoRA yet", "Run Train Person LoRA for this person, or disconnect model and clip"
                )
            model, clip = _host.apply_person_lora(model, clip, person.lora, weight)
        return io.NodeOutput(model, clip, person)
