"""Pose Control: pose and depth of a picture, as ControlNet conditioning."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from . import _poses
from ._types import CATEGORY


class PoseControl(io.ComfyNode):
    """Draw the OpenPose skeleton and the depth of a picture, and apply a ControlNet with each."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_PoseControl",
            display_name="Pose Control",
            category=CATEGORY,
            description="Finds the body pose in a picture, draws it as an OpenPose skeleton and applies the ControlNet; "
            "on request a second one with the picture's depth, without head and hair. "
            "Without a picture or a ControlNet the prompts pass unchanged.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="The prompt, from Load Style."),
                io.Conditioning.Input("negative", tooltip="The negative prompt, from Load Style."),
                io.Combo.Input(
                    "source",
                    options=_poses.SOURCES,
                    default=_poses.SOURCES[0],
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
                io.Combo.Input(
                    "detector",
                    options=_poses.DETECTORS,
                    default="auto",
                    optional=True,
                    tooltip="What finds bodies: 'embedded' comes with the pack; 'DWPose' finds hands as well and needs its file; 'auto' "
                    "takes DWPose where the file is there.",
                ),
                io.Combo.Input(
                    "details",
                    options=_poses.DETAILS,
                    default="body and hands",
                    optional=True,
                    tooltip="What is drawn, where it was found. Face points hand on the shape of the face in the picture as well.",
                ),
                io.Image.Input(
                    "depth_image",
                    optional=True,
                    tooltip="A ready-made depth map of pose_image (near is bright), one for each picture.",
                ),
                io.ControlNet.Input("depth_net", optional=True, tooltip="A depth ControlNet."),
                io.Combo.Input(
                    "depth_model",
                    options=[_poses.NO_MODEL, *_poses.depth_models()],
                    default=_poses.NO_MODEL,
                    optional=True,
                    tooltip="A model in models/facechain/depth that makes the depth map of pose_image where none is connected: a folder "
                    "of MiDaS or Depth Anything as Hugging Face has it.",
                ),
                io.Float.Input(
                    "depth_strength",
                    default=0.5,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    optional=True,
                    tooltip="Strength of the depth ControlNet.",
                ),
                io.Float.Input(
                    "depth_start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Where in the sampling the depth ControlNet begins (0 to 1).",
                ),
                io.Float.Input(
                    "depth_end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Where in the sampling the depth ControlNet ends (0 to 1).",
                ),
                io.Boolean.Input(
                    "cut_head",
                    default=True,
                    optional=True,
                    tooltip="Keep of the depth map only the body, without head, hair and surroundings, as FaceChain does, so that nobody "
                    "else's face shows through.",
                ),
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
                io.Image.Output(
                    "depth_map", display_name="depth_map", tooltip="The depth picture; black where there is none."
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
        detector: str = "auto",
        details: str = "body and hands",
        depth_image: Any = None,
        depth_net: Any = None,
        depth_model: str = _poses.NO_MODEL,
        depth_strength: float = 0.5,
        depth_start: float = 0.0,
        depth_end: float = 1.0,
        cut_head: bool = True,
    ) -> io.NodeOutput:
        portraits, canvas = (None, (height, width)) if latent is None else _poses.portraits_of(latent)
        poses = _poses.Poses(pose_image, source, detector, details, canvas)
        maps = poses.maps
        depths, deep = poses.depth(depth_image, depth_model, cut_head)
        lacking = _poses.absent(pose_image=pose_image, control_net=control_net)
        pose = _poses.Control("ControlNet", control_net, maps, strength, start_percent, end_percent, lacking)
        positive, negative, done = pose.apply(positive, negative, vae)
        if deep or depth_net is not None:
            lacking = _poses.absent(depth_image=deep, depth_net=depth_net)
            span = (depth_strength, depth_start, depth_end)
            depth = _poses.Control("Depth ControlNet", depth_net, depths, *span, lacking)
            positive, negative, more = depth.apply(positive, negative, vae)
            done += more
        text = "\n".join([*poses.notes, *done, *_poses.pairs(len(maps), portraits)])
        return io.NodeOutput(positive, negative, maps, text, depths, ui={"text": [text]})
