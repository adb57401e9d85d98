"""The nodes: thin shells over the core in ``facechain/``, one file a family."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import _preview
from ._check_host import add_route
from ._saving import mark_every_prompt
from .check import SystemCheck
from .deleting import DeletePerson
from .fusion import FaceFusion
from .photos import LoadPhotos, Preprocess
from .pose import PoseControl
from .rank import SimilarityRank
from .saving import SavePortraits
from .style import LoadStyle
from .style_training import TrainStyleLoRA
from .template import GroupPortrait, TemplateFace, TemplatePaste
from .training import LoadPerson, TrainPersonLoRA
from .training_options import TrainingOptions

NODES: list[type[io.ComfyNode]] = [
    LoadPhotos,
    Preprocess,
    TrainPersonLoRA,
    LoadPerson,
    LoadStyle,
    PoseControl,
    FaceFusion,
    SimilarityRank,
    TemplateFace,
    TemplatePaste,
    GroupPortrait,
    TrainingOptions,
    TrainStyleLoRA,
    SystemCheck,
    SavePortraits,
    DeletePerson,
]


class FaceChainExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        _preview.register()  # this version of ComfyUI never calls on_load
        add_route()
        mark_every_prompt()
        return NODES
