"""Template Face, Template Paste and Group Portrait: people put into a fixed picture."""

from __future__ import annotations

import json
from typing import Any

from comfy_api.latest import io

from . import _host, _styles
from ._types import CATEGORY, Person, TemplateFaceInfo, engine_input

MAX_PEOPLE = 10


class TemplateFace(io.ComfyNode):
    """One face of a template picture: its crop, its mask, and how to paste it back."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_TemplateFace",
            display_name="Template Face",
            category=CATEGORY,
            description="Finds and numbers the faces of a template picture and cuts one out for inpainting. Neighbours' faces are protected.",
            inputs=[
                io.Image.Input("template", tooltip="The template picture."),
                io.Int.Input(
                    "face",
                    default=1,
                    min=1,
                    max=100,
                    tooltip="Which face, counted from 1, left to right (see the preview).",
                ),
                io.Int.Input(
                    "size",
                    default=512,
                    min=256,
                    max=2048,
                    step=64,
                    tooltip="Pixels of a side of the crop: 512 for SD 1.5, 1024 for SDXL.",
                ),
                io.Float.Input(
                    "face_part",
                    default=0.45,
                    min=0.2,
                    max=0.9,
                    step=0.01,
                    tooltip="How much of the crop's side the face takes; FaceChain's 0.45 leaves room for hair and shoulders.",
                ),
                io.Float.Input(
                    "grow",
                    default=0.1,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How far the mask goes beyond the face, as a part of the face's size.",
                ),
                engine_input(),
                io.Combo.Input(
                    "choose",
                    options=["by number", "by likeness", "by gender and age"],
                    default="by number",
                    optional=True,
                    tooltip="How the face is chosen: by its number above, or as the one nearest to the connected person.",
                ),
                Person.Input(
                    "person",
                    optional=True,
                    tooltip="Who is to take the face; only for 'by likeness' and 'by gender and age'.",
                ),
            ],
            outputs=[
                io.Image.Output("crop", display_name="crop", tooltip="The face with its surroundings, size x size."),
                io.Mask.Output(
                    "inpaint_mask",
                    display_name="inpaint_mask",
                    tooltip="Where to inpaint in the crop; for Set Latent Noise Mask.",
                ),
                TemplateFaceInfo.Output("template_face", display_name="template_face", tooltip="For Template Paste."),
                io.Image.Output(
                    "preview", display_name="preview", tooltip="The template with its faces numbered, this one marked."
                ),
                io.Int.Output("number", display_name="number", tooltip="The number of the face that was chosen."),
                io.String.Output("report", display_name="report", tooltip="All faces of the template, as JSON."),
            ],
        )

    @classmethod
    def execute(
        cls,
        template: Any,
        face: int,
        size: int,
        face_part: float,
        grow: float,
        engine: str,
        choose: str = "by number",
        person: Any = None,
    ) -> io.NodeOutput:
        from ..facechain import template as core

        networks = _host.face_engine(engine)
        faces = core.find_faces(template, networks, described=choose != "by number")
        number = face if choose == "by number" else core.seat_of(choose, person, faces, networks)
        record = core.place_face(template, faces, number, size=size, face_part=face_part, grow=grow)
        preview = core.numbered_faces(template, faces, [record])
        report = json.dumps(core.faces_report(faces), ensure_ascii=False, indent=1)
        mask = record.crop_mask()[None]
        return io.NodeOutput(core.crop_of(template, record), mask, record, preview, number, report)


class TemplatePaste(io.ComfyNode):
    """Put an inpainted crop back into its template; every other pixel stays bit-identical."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_TemplatePaste",
            display_name="Template Paste",
            category=CATEGORY,
            description="Puts an inpainted crop back into the template with a soft edge. Pixels outside the mask stay exactly as they were.",
            inputs=[
                io.Image.Input("template", tooltip="The template picture, or the result of the person before."),
                io.Image.Input("crop", tooltip="The finished crop."),
                TemplateFaceInfo.Input("template_face", tooltip="From the Template Face that made the crop."),
                io.Float.Input(
                    "feather",
                    default=0.08,
                    min=0.0,
                    max=0.5,
                    step=0.01,
                    tooltip="Width of the soft edge, as a part of the face's size; it lies inside the mask.",
                ),
                io.Boolean.Input(
                    "match_colour", default=True, tooltip="Shift the crop's colours so that its edge fits the template."
                ),
            ],
            outputs=[
                io.Image.Output("pasted", display_name="pasted", tooltip="The template with the new face."),
                io.Mask.Output("changed", display_name="changed", tooltip="Which pixels may differ from the template."),
            ],
        )

    @classmethod
    def execute(cls, template: Any, crop: Any, template_face: Any, feather: float, match_colour: bool) -> io.NodeOutput:
        from ..facechain.template import paste_face

        pasted, changed = paste_face(template, crop, template_face, feather=feather, match_colour=match_colour)
        return io.NodeOutput(pasted, changed)


class GroupPortrait(io.ComfyNode):
    """A fixed template and one person a face: expands into one lane a person."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_GroupPortrait",
            display_name="Group Portrait",
            category=CATEGORY,
            description="Puts people into the faces of a template, left to right, one after another: inpaint with the person's LoRA, "
            "fuse the face, paste. It expands into core nodes, so unchanged people are not computed again.",
            enable_expand=True,
            is_input_list=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                io.Model.Input("model", tooltip="The base model, without any person LoRA."),
                io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
                io.Image.Input("template", tooltip="The picture to put people into."),
                io.Combo.Input(
                    "style",
                    options=["(none)", *_styles.style_names()],
                    default="(none)",
                    tooltip="A style for the prompt; its LoRA is applied weakly (0.05) so that the template keeps its look.",
                ),
                io.Float.Input(
                    "person_weight",
                    default=0.95,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Strength of each person's LoRA in their own lane.",
                ),
                io.Float.Input(
                    "denoise",
                    default=0.65,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much of each face is drawn anew before fusion; 0 only fuses.",
                ),
                io.Int.Input("steps", default=20, min=1, max=1000, tooltip="Sampling steps for each face."),
                io.Float.Input("cfg", default=7.0, min=0.0, max=100.0, step=0.1, tooltip="Classifier-free guidance."),
                io.Combo.Input(
                    "sampler_name",
                    options=_host.sampler_names(),
                    default="dpmpp_2m",
                    tooltip="Sampler, as in core's KSampler.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=_host.scheduler_names(),
                    default="karras",
                    tooltip="Scheduler, as in core's KSampler.",
                ),
                io.Int.Input(
                    "seed",
                    default=42,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Seed for the first person; each next one adds 1.",
                ),
                io.Int.Input(
                    "size",
                    default=512,
                    min=256,
                    max=2048,
                    step=64,
                    tooltip="Pixels of a side of each crop: 512 for SD 1.5, 1024 for SDXL.",
                ),
                io.Float.Input(
                    "identity",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Strength of the face fusion; 0 leaves it out.",
                ),
                io.String.Input(
                    "faces",
                    default="",
                    tooltip="Which face each person goes into, such as '1, 3', counted from 1, left to right; "
                    "empty: left to right. The other faces stay as they are.",
                ),
                engine_input(),
                *(
                    Person.Input(f"person_{n}", optional=n > 1, tooltip=f"Person {n}; see 'faces' for who goes where.")
                    for n in range(1, MAX_PEOPLE + 1)
                ),
                *_lane_inputs(),
            ],
            outputs=[
                io.Image.Output(
                    "group_photo", display_name="group_photo", tooltip="The template with everybody in it."
                ),
                io.Image.Output("preview", display_name="preview", tooltip="The template with its faces numbered."),
                io.Image.Output(
                    "inspect",
                    display_name="inspect",
                    tooltip="A picture for each person: photo used, face before, new face, where it shows, result.",
                ),
                io.String.Output(
                    "report", display_name="report", tooltip="The template's faces and who sits where, as JSON."
                ),
                Person.Output(
                    "people",
                    display_name="people",
                    tooltip="Everybody who was put into the picture, for Save Portraits.",
                    is_output_list=True,
                ),
            ],
        )

    @classmethod
    def execute(cls, template: list[Any], faces: list[str], **inputs: list[Any]) -> io.NodeOutput:
        from . import _lanes

        links = cls.hidden.dynprompt.get_node(cls.hidden.unique_id)["inputs"]
        settings = _lanes.settings_from(inputs)
        guests = _lanes.guests_from(inputs, links, MAX_PEOPLE)
        people = [guest.person for guest in guests]
        _lanes.check_loras(people, settings)
        seats, preview, report = _lanes.take_seats(
            template, people, faces[0], _host.face_engine(settings.engine), settings
        )
        graph, group_photo, inspect = _lanes.build(links, guests, seats, settings)
        return io.NodeOutput(group_photo, preview, inspect, report, people, expand=graph)


def _lane_inputs() -> list[Any]:
    """What each lane of Group Portrait can do besides."""
    return [
        io.Combo.Input(
            "assign",
            options=["left to right", "by likeness", "by gender and age"],
            default="left to right",
            optional=True,
            tooltip="Who goes into which face where 'faces' is empty: in order, or so that likeness, or gender and age, fit best "
            "over all.",
        ),
        io.Combo.Input(
            "fusion",
            options=["embedded", "inswapper"],
            default="embedded",
            optional=True,
            tooltip="How faces are fused, see Face Fusion. 'inswapper' is for non-commercial research only.",
        ),
        io.Float.Input(
            "refine",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.01,
            optional=True,
            tooltip="A last pass over each fused face and its seam at this denoise; 0.1 to 0.15 settles skin and light, 0 leaves it out.",
        ),
        io.ControlNet.Input(
            "edge_control_net",
            optional=True,
            tooltip="A Canny ControlNet: keeps hair, clothes and background; the face itself is cut out of the edges.",
        ),
        io.Float.Input(
            "edge_strength",
            default=0.2,
            min=0.0,
            max=10.0,
            step=0.05,
            optional=True,
            tooltip="Strength of the Canny ControlNet.",
        ),
        io.ControlNet.Input(
            "pose_control_net",
            optional=True,
            tooltip="An OpenPose ControlNet: keeps the pose of each person in the template.",
        ),
        io.Float.Input(
            "pose_strength",
            default=1.0,
            min=0.0,
            max=10.0,
            step=0.05,
            optional=True,
            tooltip="Strength of the OpenPose ControlNet.",
        ),
    ]
