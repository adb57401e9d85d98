"""Face Fusion: the person's own face laid over the drawn one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from comfy_api.latest import io

from . import _host
from ._types import CATEGORY, Person, engine_input

if TYPE_CHECKING:
    import torch

    from ..facechain.person import Person as PersonRecord


class FaceFusion(io.ComfyNode):
    """Fuse the person's face into pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_FaceFusion",
            display_name="Face Fusion",
            category=CATEGORY,
            description="Lays the person's own face over the face in each picture: shape, skin and light are matched. "
            "A picture without a face passes unchanged, and the report says so.",
            inputs=[
                io.Image.Input("images", tooltip="Pictures whose faces are to look like the person."),
                Person.Input("person", tooltip="Whose face."),
                io.Combo.Input(
                    "fusion",
                    options=["embedded", "inswapper"],
                    default="embedded",
                    tooltip="'embedded' warps the person's own photo by its mesh: no download, may be used commercially. 'inswapper' is "
                    "the swap network models/insightface/inswapper_128.onnx, with the engine 'insightface'; for "
                    "non-commercial research only.",
                ),
                io.Combo.Input(
                    "faces",
                    options=["most alike", "largest", "all", "by index"],
                    default="largest",
                    tooltip="Which faces of a picture: the one most like the person, the largest, all, or the one of the index below.",
                ),
                io.Int.Input(
                    "face_index",
                    default=1,
                    min=1,
                    max=100,
                    tooltip="With 'by index': which face, counted from 1, left to right.",
                ),
                io.Float.Input(
                    "identity",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the person's own skin and features; 0 leaves the picture as it is.",
                ),
                io.Float.Input(
                    "shape",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far the shape of the face goes towards the person's; the expression stays the picture's.",
                ),
                io.Float.Input(
                    "skin_tone",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0: the colour and light of the picture; 1: the colour of the person's photo.",
                ),
                engine_input(),
                io.Mask.Input("region", optional=True, tooltip="Only faces and pixels inside this mask are changed."),
                io.Image.Input(
                    "fallback",
                    optional=True,
                    tooltip="Taken instead of a picture in which no face is found, such as the crop as it was before it was "
                    "drawn anew. The same size as the pictures.",
                ),
            ],
            outputs=[
                io.Image.Output("fused", display_name="fused", tooltip="The pictures with the person's face."),
                io.Mask.Output("face_masks", display_name="face_masks", tooltip="Where each picture was changed."),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="For each picture: faces found, photo used, likeness before and after, as JSON.",
                ),
                io.Image.Output(
                    "inspect",
                    display_name="inspect",
                    tooltip="A row for each face: photo used, face before, new face, where it shows, result.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        images: torch.Tensor,
        person: PersonRecord,
        fusion: str,
        faces: str,
        face_index: int,
        identity: float,
        shape: float,
        skin_tone: float,
        engine: str,
        region: torch.Tensor | None = None,
        fallback: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        from ..facechain.fusion import Strength, fuse_pictures, inspection, swapper_of
        from ..facechain.images import from_pixels

        swapper = swapper_of(fusion, folders=_host.insightface_folders(), gpu=_host.on_nvidia())
        done = fuse_pictures(
            images,
            person,
            _host.face_engine(engine),
            Strength(identity, shape, skin_tone),
            faces=faces,
            face_index=face_index,
            region=region,
            fallback=fallback,
            swapper=swapper,
            progress=_host.progress_bar(len(images)),
        )
        report = json.dumps(done.reports, ensure_ascii=False, indent=1)
        inspect = from_pixels(inspection(done.looks))
        return io.NodeOutput(done.images, done.masks, report, inspect, ui={"text": (report,)})
