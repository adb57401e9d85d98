"""Load Photos and FaceChain Preprocess: from photos to a PERSON."""

from __future__ import annotations

from comfy_api.latest import io

from . import _host
from ._types import CATEGORY, Person, engine_input


class LoadPhotos(io.ComfyNode):
    """Photos of one person, from a folder of ComfyUI's input folder or from named files in it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_LoadPhotos",
            display_name="Load Photos",
            category=CATEGORY,
            description="Loads 1 to 200 photos of a person, upright as the camera says, scaled down where they are large.",
            inputs=[
                io.Combo.Input(
                    "folder",
                    options=["(none)", *_host.input_folders()],
                    default="(none)",
                    tooltip="A folder inside ComfyUI's input folder; all pictures in it are loaded, ordered by name.",
                ),
                io.String.Input(
                    "files",
                    default="",
                    multiline=True,
                    tooltip="File names inside ComfyUI's input folder, one a line (anna/1.jpg). Added to those of the folder.",
                ),
                io.Int.Input(
                    "max_side",
                    default=1536,
                    min=512,
                    max=8192,
                    step=64,
                    tooltip="Photos are scaled down to this many pixels on the longer side while they are decoded. "
                    "More keeps detail of small faces and costs memory.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "photos", display_name="photos", tooltip="A list with one IMAGE a photo.", is_output_list=True
                ),
                io.String.Output(
                    "names",
                    display_name="names",
                    tooltip="The file name of each photo, in the same order.",
                    is_output_list=True,
                ),
            ],
        )

    @classmethod
    def execute(cls, **_: object) -> io.NodeOutput:
        raise NotImplementedError


class Preprocess(io.ComfyNode):
    """Judge, turn, align, crop and mask photos of one person; the result is a PERSON."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_Preprocess",
            display_name="FaceChain Preprocess",
            category=CATEGORY,
            description="Turns photos of one person into a PERSON: gives each photo a verdict, sets it upright, aligns and "
            "crops the head, takes away the background, and describes the person for the prompt.",
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Image.Input(
                    "photos",
                    tooltip="Photos of one person: a list (Load Photos) or a batch. Two or three sharp ones do well.",
                ),
                io.String.Input(
                    "name",
                    default="person",
                    tooltip="The person's name; the saved person and the LoRA are called after it.",
                ),
                io.Combo.Input(
                    "size",
                    options=["512", "1024"],
                    default="512",
                    tooltip="Pixels of a side of the aligned head pictures: 512 for SD 1.5, 1024 for SDXL and later.",
                ),
                io.Combo.Input(
                    "background",
                    options=["white", "grey", "blurred", "keep"],
                    default="white",
                    tooltip="What stands behind the head in the training pictures. White keeps the surroundings out of the likeness.",
                ),
                io.Float.Input(
                    "retouch",
                    default=0.2,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Evens out blotches of the skin; pores, eyes, lips and brows stay. 0 leaves the skin as it is.",
                ),
                engine_input(),
                io.Combo.Input(
                    "gender",
                    options=["auto", "woman", "man"],
                    default="auto",
                    tooltip="Word for the prompt; 'auto' judges by all photos.",
                ),
                io.Int.Input(
                    "age",
                    default=0,
                    min=0,
                    max=120,
                    tooltip="Age in years for the prompt; 0 judges by all photos.",
                ),
                io.String.Input(
                    "caption",
                    default="",
                    tooltip="The caption each photo is trained with; empty composes it from the trigger word and the person's "
                    "age and gender, which does better than many tags.",
                ),
                io.Boolean.Input(
                    "save",
                    default=True,
                    tooltip="Save the person as models/facechain/people/<name>.safetensors, for Load Person.",
                ),
                io.String.Input(
                    "names",
                    optional=True,
                    force_input=True,
                    tooltip="File names of the photos (from Load Photos), for the verdicts.",
                ),
                io.Image.Input(
                    "reference",
                    optional=True,
                    tooltip="A clear picture of the person alone; chooses the right face where photos show several people.",
                ),
            ],
            outputs=[
                Person.Output("person", display_name="person", tooltip="The PERSON: for training, fusion and ranking."),
                io.Image.Output(
                    "aligned",
                    display_name="aligned",
                    tooltip="The aligned head pictures that were accepted, in the order of the photos.",
                ),
                io.Mask.Output(
                    "head_masks",
                    display_name="head_masks",
                    tooltip="The head (face, hair, hat) in each aligned picture.",
                ),
                io.String.Output("caption_text", display_name="caption_text", tooltip="The caption used for training."),
                io.Image.Output(
                    "report", display_name="report", tooltip="A sheet with every photo, its numbers and its verdict."
                ),
                io.String.Output("verdicts", display_name="verdicts", tooltip="The same as JSON."),
            ],
        )

    @classmethod
    def execute(cls, **_: object) -> io.NodeOutput:
        raise NotImplementedError
