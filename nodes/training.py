"""Train Person LoRA and Load Person: from a PERSON to a MODEL and CLIP that know the person."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from . import _host
from ._trained_files import TRAINED
from ._types import CATEGORY, Person, TrainOptions

if TYPE_CHECKING:
    from ..facechain.person import Person as PersonRecord
    from ..facechain.training.options import Options as OptionsRecord

log = logging.getLogger(__name__)

BY_PRESET = "as the preset says"


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
                io.Combo.Input(
                    "choose_snapshot",
                    options=[BY_PRESET, "best", "mean of best", "last"],
                    default=BY_PRESET,
                    optional=True,
                    tooltip="What ends as the LoRA. 'best': the snapshot whose portraits look most like the person and still "
                    "follow their prompt; 'mean of best': the mean of the better half of them; 'last': the end of the "
                    "training. The preset fast takes the last, balanced the best, best the mean of the best.",
                ),
                io.Int.Input(
                    "snapshots",
                    default=0,
                    min=0,
                    max=50,
                    optional=True,
                    tooltip="How many snapshots are taken during the training and judged by portraits; 0: as the preset says, up to "
                    "4 or 6, one for every 100 pictures trained on. Each costs about as much as 16 steps.",
                ),
                TrainOptions.Input(
                    "options", optional=True, tooltip="Everything else that can be set, from Training Options."
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
                    tooltip="The person, who knows this LoRA from now on: for Load Style and Group Portrait.",
                ),
                io.String.Output(
                    "lora_name",
                    display_name="lora_name",
                    tooltip="Name of the LoRA file as core's LoRA loaders list it.",
                ),
                io.Image.Output("loss_curve", display_name="loss_curve", tooltip="Loss and likeness by step."),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="Settings, loss, likeness of the snapshots and times as JSON.",
                ),
                io.Image.Output(
                    "samples",
                    display_name="samples",
                    tooltip="The portraits that the snapshots were judged by, four of each snapshot, in the order of the steps.",
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> str:
        """Changes when a LoRA that was trained is deleted or replaced: it is trained anew."""
        return TRAINED.fingerprint()

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
        choose_snapshot: str = "",
        snapshots: int = 0,
        options: OptionsRecord | None = None,
    ) -> io.NodeOutput:
        from ..facechain.images import from_pixels
        from ..facechain.training.config import config_from
        from ..facechain.training.curve import curve_of
        from ..facechain.training.trainer import train_person
        from ._training_host import TrainingHost, TrainingProgress

        chosen = {"steps": steps, "resolution": resolution, "batch_size": batch_size, "rank": rank}
        chosen |= {"choose": "" if choose_snapshot == BY_PRESET else choose_snapshot, "snapshots": snapshots}
        further = options.settings if options else None
        config = config_from(preset, further, seed=seed, learning_rate=learning_rate, **chosen)
        progress, host = TrainingProgress(person.name), TrainingHost(model, clip, vae)
        trained = train_person(person, config, host, progress, progress.show, options.others if options else None)
        TRAINED.add(trained.path)
        _remember(trained.person)
        model, clip = _host.apply_person_lora(model, clip, trained.name, 1.0)
        curve, samples = from_pixels(curve_of(trained.report)), trained.samples
        report = json.dumps(trained.summary, ensure_ascii=False, indent=1)
        shown = {**ui.PreviewImage(curve, cls=cls).as_dict(), "text": (report,)}
        pictures = _host.nothing() if samples is None else samples
        return io.NodeOutput(model, clip, trained.person, trained.name, curve, report, pictures, ui=shown)


def _remember(person: PersonRecord) -> None:
    """Tell the saved record of this very person, where there is one, which LoRA was trained last."""
    from ..facechain.errors import RecordError
    from ..facechain.person import load_person, save_person

    file = _host.person_file(person.name)
    if not file.is_file():
        return
    try:
        saved = load_person(file)
        if saved.hash == person.hash and saved.lora != person.lora:
            save_person(saved.with_lora(person.lora), file)
    except RecordError as error:  # the LoRA is there all the same; Load Person says so when it is asked for
        log.warning("FaceChain: the saved person does not know the new LoRA: %s", error)


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
                    tooltip="The person, as saved: for Load Style, Face Fusion and Similarity Rank.",
                ),
                io.String.Output(
                    "notes",
                    display_name="notes",
                    tooltip="A warning where the LoRA was trained on another model than this one; else empty.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, name: str) -> bool | str:
        if name in _host.people_names():
            return True
        return (
            f"no saved person is called {name!r}. Choose one from the list, or run FaceChain Preprocess with 'save' on."
        )

    @classmethod
    def fingerprint_inputs(cls, name: str, **_: object) -> str:
        return _host.file_stamp(_host.person_file(name))

    @classmethod
    def execute(cls, name: str, weight: float, model: Any = None, clip: Any = None) -> io.NodeOutput:
        from ..facechain.errors import RecordError
        from ..facechain.person import load_person
        from ._training_host import base_note

        person, note = load_person(_host.person_file(name)), ""
        if model is not None or clip is not None:
            if not person.lora:
                raise RecordError(
                    f"{name} has no LoRA yet", "Run Train Person LoRA for this person, or disconnect model and clip"
                )
            note = base_note(model, person.lora) if model is not None else ""
            if note:
                log.warning("FaceChain: %s", note)
            model, clip = _host.apply_person_lora(model, clip, person.lora, weight)
        return io.NodeOutput(model, clip, person, note)
