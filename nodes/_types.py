"""Our own socket types, and choices that several nodes share. Every other socket is a core type."""

from __future__ import annotations

from comfy_api.latest import io

Person = io.Custom("FACECHAIN_PERSON")
TemplateFaceInfo = io.Custom("FACECHAIN_TEMPLATE_FACE")
TrainOptions = io.Custom("FACECHAIN_TRAIN_OPTIONS")

CATEGORY = "FaceChain"


def engine_input() -> io.Combo.Input:
    """The face engine widget, the same on every node that looks at faces."""
    return io.Combo.Input(
        "engine",
        options=["embedded", "insightface"],
        default="embedded",
        tooltip="Which networks find and recognise faces. 'embedded' comes with the pack, needs no download and may be "
        "used commercially. 'insightface' recognises better; it needs the insightface package and a model pack in "
        "models/insightface/models, and its public weights are for non-commercial research only.",
    )
