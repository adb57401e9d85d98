"""Pose Control: a body pose from a picture, as ControlNet conditioning."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..facechain.errors import FaceError, RecordError
from . import _host
from ._types import CATEGORY

SOURCES = ["picture", "ready-made map"]


class PoseControl(io.ComfyNode):
    """Draw the OpenPose skeleton of a picture and apply a ControlNet with it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_PoseControl",
            display_name="Pose Control",
            category=CATEGORY,
            description="Finds the body pose in a picture, draws it as an OpenPose skeleton and applies the ControlNet. "
            "Without a picture or a ControlNet the prompts pass unchanged.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="The prompt, from Load Style."),
                io.Conditioning.Input("negative", tooltip="The negative prompt, from Load Style."),
                io.Combo.Input(
                    "source",
                    options=SOURCES,
                    default=SOURCES[0],
                    tooltip="'picture': find the people in pose_image. 'ready-made map': pose_image is a skeleton already.",
                ),
                io.Int.Input(
                    "width",
                    default=512,
                    min=64,
                    max=8192,
                    step=8,
                    tooltip="Width of the portrait in pixels; the pose is letterboxed to it, never stretched. A connected latent takes precedence.",
                ),
                io.Int.Input(
                    "height",
                    default=512,
                    min=64,
                    max=8192,
                    step=8,
                    tooltip="Height of the portrait in pixels. A connected latent takes precedence.",
                ),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=10.0, step=0.05, tooltip="Strength of the ControlNet."
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Where in the sampling the ControlNet begins (0 to 1).",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Where in the sampling the ControlNet ends (0 to 1).",
                ),
                io.Image.Input(
                    "pose_image", optional=True, tooltip="A picture of somebody in the wanted pose, or a skeleton map."
                ),
                io.ControlNet.Input(
                    "control_net", optional=True, tooltip="An OpenPose ControlNet, from core's Load ControlNet Model."
                ),
                io.Vae.Input("vae", optional=True, tooltip="Only for ControlNets that need one (SD3, Flux)."),
                io.Latent.Input("latent", optional=True, tooltip="The latent that will be sampled; its size is used."),
            ],
            outputs=[
                io.Conditioning.Output(
                    "posed_positive", display_name="posed_positive", tooltip="The prompt with the pose."
                ),
                io.Conditioning.Output(
                    "posed_negative", display_name="posed_negative", tooltip="The negative prompt with the pose."
                ),
                io.Image.Output("pose_map", display_name="pose_map", tooltip="The skeleton picture."),
                io.String.Output(
                    "notes", display_name="notes", tooltip="How many people were found, and what was applied."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        positive: Any,
        negative: Any,
        source: str,
        width: int,
        height: int,
        strength: float,
        start_percent: float,
        end_percent: float,
        pose_image: Any = None,
        control_net: Any = None,
        vae: Any = None,
        latent: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        canvas, portraits = (height, width), None
        if latent is not None:
            portraits, canvas = _portraits(latent)
        maps, notes = _maps(pose_image, source, canvas)
        acts = pose_image is not None and control_net is not None and strength > 0 and start_percent < end_percent
        if acts:
            positive, negative = _host.apply_controlnet(
                positive, negative, control_net, maps, strength, start_percent, end_percent, vae
            )
            span = f"{start_percent:g} to {end_percent:g}"
            notes += [f"ControlNet: strength {strength:g}, from {span} of the sampling"]
            notes += _pairs(len(maps), portraits)
        else:
            notes += ["The prompts pass unchanged: " + _missing(pose_image, control_net, strength)]
        text = "\n".join(notes)
        return io.NodeOutput(positive, negative, maps, text, ui={"text": [text]})


def _portraits(latent: dict[str, Any]) -> tuple[int, tuple[int, int]]:
    """(how many, (height, width) in pixels) of the pictures that a latent becomes."""
    shape = latent["samples"].shape
    return shape[0], (shape[-2] * 8, shape[-1] * 8)


def _maps(pose_image: Any, source: str, canvas: tuple[int, int]) -> tuple[Any, list[str]]:
    """IMAGE with a map for each picture, black without a picture, and what was found."""
    from ..facechain import images, pose

    if source not in SOURCES:  # the server does not check choices
        raise RecordError(f"there is no source {source!r}", f"Choose one of: {', '.join(SOURCES)}")
    if pose_image is None:
        return images.from_pixels(pose.draw([], canvas)), []
    pictures = images.to_pixels(pose_image)
    size = f"{canvas[1]}x{canvas[0]}"
    if source == SOURCES[1]:
        return images.from_pixels(*(pose.letterbox(p, canvas) for p in pictures)), [f"Map: as it came, on {size}"]
    people = _people(pictures)
    maps = [pose.pose_map(found, p.shape[:2], canvas) for found, p in zip(people, pictures, strict=True)]
    counts = ", ".join(str(len(found)) for found in people)
    return images.from_pixels(*maps), [f"People found: {counts}, drawn on {size}"]


def _people(pictures: list[Any]) -> list[list[Any]]:
    """The skeletons in each picture. Raises FaceError where one has nobody."""
    from ..facechain.faces.embedded import EmbeddedEngine
    from ..facechain.skeletons import find_skeletons

    engine, advance, found = EmbeddedEngine(), _host.progress_bar(len(pictures)), []
    for number, picture in enumerate(pictures, 1):
        found.append(find_skeletons(picture, engine))
        if not found[-1]:
            raise FaceError(
                f"pose picture {number} of {len(pictures)}: nobody found",
                "Use a picture that shows head and shoulders, or set source to 'ready-made map' for a skeleton",
            )
        advance(number)
    return found


def _pairs(maps: int, portraits: int | None) -> list[str]:
    """Core repeats maps where there are fewer than portraits in the batch, and leaves out those beyond."""
    if maps == 1 or maps == portraits:
        return []
    known = "" if portraits is None else f" of {portraits}"
    return [f"{maps} maps: each portrait of a batch{known} follows one, in order; set batch_size to {maps}"]


def _missing(pose_image: Any, control_net: Any, strength: float) -> str:
    lacking = [what for what, value in (("pose_image", pose_image), ("control_net", control_net)) if value is None]
    if lacking:
        return f"connect {' and '.join(lacking)}"
    return "strength is 0" if strength <= 0 else "start_percent is not before end_percent"
