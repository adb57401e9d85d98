"""Pose Control: a body pose from a picture, as ControlNet conditioning."""

from __future__ import annotations

from comfy_api.latest import io

from ._types import CATEGORY


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
                    options=["picture", "ready-made map"],
                    default="picture",
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
    def execute(cls, **_: object) -> io.NodeOutput:
        raise NotImplementedError
