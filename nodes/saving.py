"""Save Portraits: pictures that say they are AI-generated."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ..facechain.errors import UnusableNameError
from ._types import CATEGORY, Person

if TYPE_CHECKING:
    import torch

    from ..facechain.person import Person as PersonRecord


class SavePortraits(io.ComfyNode):
    """Save pictures as PNG, with the workflow as core does, and with a statement of what they are."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_SavePortraits",
            display_name="Save Portraits",
            category=CATEGORY,
            description="Saves pictures like Save Image, and writes into each file that it is AI-generated, of whom (as a hash), "
            "and by which engines and models under which licences.",
            is_input_list=True,
            is_output_node=True,
            hidden=[io.Hidden.unique_id],  # prompt and extra_pnginfo are given to every output node
            inputs=[
                io.Image.Input("images", tooltip="The pictures to save: a batch, or a list of any sizes."),
                io.String.Input(
                    "filename_prefix",
                    default="FaceChain",
                    tooltip="Folder and beginning of the file names inside ComfyUI's output folder. What stands between percent "
                    "signs is filled in as in Save Image: the %year%, the %width%, a %date:yyyy-MM-dd% or the %KSampler.seed%.",
                ),
                io.Boolean.Input(
                    "mark",
                    default=True,
                    tooltip="Write the statement into each file. Switch it off only where another tool marks the pictures.",
                ),
                Person.Input(
                    "person",
                    optional=True,
                    tooltip="Who is portrayed, also several: the hash of each person's record stands in the statement, never the "
                    "name.",
                ),
            ],
            outputs=[
                io.String.Output(
                    "statement", display_name="statement", tooltip="What was written into the files, as JSON."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: list[str] | None = None) -> bool | str:
        from . import _saving

        try:  # before anything is trained and drawn
            for prefix in filename_prefix or []:
                _saving.checked_prefix(prefix)
        except UnusableNameError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        images: list[torch.Tensor],
        filename_prefix: list[str],
        mark: list[bool],
        person: list[PersonRecord] | None = None,
    ) -> io.NodeOutput:
        from ..facechain.images import to_pixels
        from . import _saving

        graph = cls.hidden.prompt
        said = _saving.statement_of(graph, cls.hidden.unique_id, person or []) if mark[0] else None
        pictures = [picture for batch in images for picture in to_pixels(batch)]
        texts = _saving.texts_of(graph, cls.hidden.extra_pnginfo)
        saved = _saving.save_pictures(pictures, filename_prefix[0], texts, said)
        shown = ui.SavedImages([ui.SavedResult(file, folder, io.FolderType.output) for file, folder in saved])
        return io.NodeOutput(json.dumps(said or {}, indent=1), ui=shown)
