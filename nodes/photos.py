"""Load Photos and FaceChain Preprocess: from photos to a PERSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ..facechain.errors import FaceChainError
from ..facechain.names import complaint
from . import _host
from ._cards import verdict_cards
from ._types import CATEGORY, Person, engine_input

if TYPE_CHECKING:
    from pathlib import Path

    import torch

NO_FOLDER = NO_SAM = "(none)"


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
                    options=[NO_FOLDER, *_host.input_folders()],
                    default=NO_FOLDER,
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
                io.String.Output(
                    "captions",
                    display_name="captions",
                    tooltip="The words of the .txt file of the same name beside each photo, else empty: for Train Style LoRA.",
                    is_output_list=True,
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, folder: str | None = None, files: str | None = None) -> bool | str:
        if folder is None or files is None:  # comes from another node, known when the graph runs
            return True
        try:
            _photos(folder, files)
        except FaceChainError as error:
            return _ToldOnce(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, folder: str | None = None, files: str | None = None, **_: object) -> str:
        """Changes when a photo is added, taken away or written again."""
        from ..facechain.photos.folder import fingerprint

        try:
            return fingerprint(_photos(folder or NO_FOLDER, files or ""))
        except FaceChainError as error:  # execute tells the user
            return str(error)

    @classmethod
    def execute(cls, folder: str, files: str, max_side: int) -> io.NodeOutput:
        from ..facechain.images import from_pixels
        from ..facechain.photos.folder import caption_beside, read_photos, thumbnail

        found = _photos(folder, files)
        pictures = read_photos(found, max_side, _host.progress_bar(len(found)))
        thumbnails = ui.PreviewImage(from_pixels(*map(thumbnail, pictures)), cls=cls)
        images = [from_pixels(pictures.pop(0)) for _ in found]  # one at a time: each is let go as its IMAGE is made
        captions = [caption_beside(path) for _, path in found]
        names = [name for name, _ in found]
        # the page's script shows each with its name (web/load_photos.js)
        shown = {**thumbnails.as_dict(), "facechain_names": tuple(names)}
        return io.NodeOutput(images, names, captions, ui=shown)


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
                io.Combo.Input(
                    "sam_model",
                    options=[NO_SAM, *_host.sam_names()],
                    default=NO_SAM,
                    optional=True,
                    tooltip="A Segment Anything model in models/sams that refines the head masks. It needs the package "
                    "segment-anything, and a .safetensors file: scripts/convert_sam.py makes one of a .pth.",
                ),
                io.String.Input(
                    "tags",
                    default="",
                    optional=True,
                    tooltip="Words for the portraits' prompt, between commas (long hair, glasses). Empty takes what more than "
                    "half of the photos show, 'none' none; 'no glasses' keeps glasses out. They are never trained.",
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
    def validate_inputs(cls, name: list[str] | None = None) -> bool | str:
        return complaint(name or [], "person name") or True

    @classmethod
    def execute(
        cls,
        photos: list[torch.Tensor],
        name: list[str],
        size: list[str],
        background: list[str],
        retouch: list[float],
        engine: list[str],
        gender: list[str],
        age: list[int],
        caption: list[str],
        save: list[bool],
        names: list[str] | None = None,
        reference: list[torch.Tensor] | None = None,
        sam_model: list[str] | None = None,
        tags: list[str] | None = None,
    ) -> io.NodeOutput:
        from ..facechain.images import from_pixels
        from ..facechain.photos.intake import options_of, save_new, take_in
        from ..facechain.photos.look import Photos
        from ..facechain.photos.sheet import pictures_of, report_sheet

        target = _host.person_file(name[0])
        words = (tags or [""])[0]
        options = options_of(name[0], size[0], background[0], retouch[0], gender[0], age[0], caption[0], words)
        guide = Photos(reference)[0] if reference else None
        progress = _host.progress_bar(1)
        refiner = _host.load_sam(sam_model[0]) if sam_model and sam_model[0] != NO_SAM else None
        looker = _host.face_engine(engine[0])
        intake = take_in(Photos(photos), names or [], looker, options, guide, progress, refiner)
        person = save_new(intake.person, target) if save[0] else intake.person
        pictures = pictures_of(intake, _host.check_cancel)
        report = from_pixels(report_sheet(intake, pictures, _host.check_cancel))
        verdicts = intake.as_json()
        cards = verdict_cards(intake, pictures, cls)
        shown = {**ui.PreviewImage(report, cls=cls).as_dict(), "text": (verdicts,), **cards}
        return io.NodeOutput(person, person.images, person.masks, person.caption, report, verdicts, ui=shown)


class _ToldOnce(str):
    """What is wrong. ComfyUI prints it for each input that was checked: for the first in full, then in brief."""

    def __str__(self) -> str:
        first = not hasattr(self, "_told")
        self._told = True
        return super().__str__() if first else "(as above)"


def _photos(folder: str, files: str) -> list[tuple[str, Path]]:
    from ..facechain.photos.folder import list_photos

    return list_photos(_host.input_folder(), "" if folder == NO_FOLDER else folder, files, _host.PICTURE_SUFFIXES)
