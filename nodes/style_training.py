"""Train Style LoRA: pictures in one look become a style of one's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from ..facechain.names import complaint
from . import _host, _styles
from ._trained_files import TRAINED
from ._types import CATEGORY, TrainOptions

if TYPE_CHECKING:
    import torch

    from ..facechain.training.options import Options


class TrainStyleLoRA(io.ComfyNode):
    """Train a LoRA of a look and write the style file that uses it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_TrainStyleLoRA",
            display_name="Train Style LoRA",
            category=CATEGORY,
            description="Trains a LoRA of the look that some pictures share, and writes a style file that Load Style then lists. "
            "The same pictures, captions, model and settings are found again at once.",
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="The base model, without any LoRA."),
                io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
                io.Image.Input(
                    "pictures", tooltip="Pictures in one look, of different things: a list (Load Photos) or a batch."
                ),
                io.String.Input(
                    "name", default="my style", tooltip="The style's name, under which Load Style lists it."
                ),
                io.String.Input(
                    "trigger",
                    default="",
                    tooltip="Words that stand for the look in captions and prompts; empty: the name and the word style.",
                ),
                io.String.Input(
                    "look",
                    default="",
                    multiline=True,
                    tooltip="Place, light and look, as they go into the style's prompt; empty: the trigger alone.",
                ),
                io.Combo.Input(
                    "preset",
                    options=["fast", "balanced", "best"],
                    default="fast",
                    tooltip="How long to train: 'fast' 100, 'balanced' 200 and 'best' 300 steps a picture, at most 3000. "
                    "The settings below, where not 0, take precedence.",
                ),
                io.Int.Input(
                    "steps", default=0, min=0, max=20000, tooltip="Training steps in all; 0: as the preset says."
                ),
                io.Int.Input(
                    "resolution",
                    default=512,
                    min=64,
                    max=2048,
                    step=64,
                    tooltip="Pixels of a side of the training pictures: 512 for SD 1.5, 1024 for SDXL and later.",
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
                    tooltip="Peak learning rate; 0: as the preset says.",
                ),
                io.Int.Input(
                    "seed",
                    default=42,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,  # a seed that changes by itself would train anew each time
                    tooltip="Seed of noise, crops and flips. The same seed trains the same LoRA.",
                ),
                io.String.Input(
                    "captions",
                    optional=True,
                    force_input=True,
                    tooltip="What each picture shows, apart from its look: a list (from Load Photos) or one line a picture. Where it is "
                    "empty the node writes who is seen.",
                ),
                TrainOptions.Input(
                    "options", optional=True, tooltip="Everything else that can be set, from Training Options."
                ),
            ],
            outputs=[
                io.String.Output("style_name", display_name="style_name", tooltip="The style's name in Load Style."),
                io.String.Output(
                    "lora_name",
                    display_name="lora_name",
                    tooltip="Name of the LoRA file as core's LoRA loaders list it.",
                ),
                io.Image.Output(
                    "samples", display_name="samples", tooltip="Portraits drawn in the look, as it was learnt last."
                ),
                io.Image.Output("loss_curve", display_name="loss_curve", tooltip="Loss by step."),
                io.String.Output(
                    "style_text",
                    display_name="style_text",
                    tooltip="The style file as it was written, and the captions.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, name: list[str] | None = None) -> bool | str:
        return complaint(name or [], "style name") or True

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> str:
        """Changes when a LoRA that was trained is deleted or replaced: it is trained anew."""
        return TRAINED.fingerprint()

    @classmethod
    def execute(
        cls,
        pictures: list[torch.Tensor],
        name: list[str],
        trigger: list[str],
        look: list[str],
        preset: list[str],
        seed: list[int],
        captions: list[str] | None = None,
        options: list[Options] | None = None,
        **more: list[Any],
    ) -> io.NodeOutput:
        from ..facechain.images import from_pixels
        from ..facechain.own_style import captions_for, save_style, style_config, subject_of, trigger_of
        from ..facechain.photos.look import Photos
        from ..facechain.training.curve import curve_of
        from ..facechain.training.trainer import train_person
        from ._training_host import TrainingHost, TrainingProgress

        file, words = _styles.own_style_file(name[0]), trigger_of(name[0], trigger[0])
        photos, size = list(Photos(pictures)), more["resolution"][0]
        texts = captions_for(photos, words, _lines(captions), _host.face_engine("embedded"))
        subject = subject_of(file.stem, photos, texts, words, size)
        further = options[0] if options else None
        chosen = {key: more[key][0] for key in ("steps", "rank", "learning_rate")}
        settings = dict(further.settings) if further else None
        config = style_config(preset[0], len(photos), settings, seed=seed[0], **chosen)
        host, progress = TrainingHost(more["model"][0], more["clip"][0], more["vae"][0]), TrainingProgress(file.stem)
        trained = train_person(subject, config, host, progress, progress.show, further.others if further else None)
        TRAINED.add(trained.path)
        about = {"lora": trained.name, "trigger": words, "prompt": look[0], "size": size}
        style = save_style(file, **about, family=_host.model_family(more["model"][0]))
        text = json.dumps({"file": str(file), "style": style, "captions": texts}, indent=1, ensure_ascii=False)
        curve, samples = from_pixels(curve_of(trained.report)), trained.samples
        shown = {**ui.PreviewImage(curve, cls=cls).as_dict(), "text": (text,)}
        drawn = _host.nothing() if samples is None else samples
        return io.NodeOutput(file.stem, trained.name, drawn, curve, text, ui=shown)


def _lines(captions: list[str] | None) -> list[str]:
    """One text a picture: a list as it is, a single text by its lines; [] for no words at all."""
    texts = captions[0].strip("\n").splitlines() if captions and len(captions) == 1 else captions or []
    return texts if any(text.strip() for text in texts) else []
