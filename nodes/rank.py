"""Similarity Rank: which portraits look most like the person."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from . import _host
from ._cards import rank_cards
from ._types import CATEGORY, Person, engine_input

if TYPE_CHECKING:
    import torch

    from ..facechain.person import Person as PersonRecord


class SimilarityRank(io.ComfyNode):
    """Order portraits by likeness to the person and keep the best."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_SimilarityRank",
            display_name="Similarity Rank",
            category=CATEGORY,
            description="Orders portraits by likeness to the person. 100 % is as like as the person's photos are to each other. "
            "Pictures that cannot be judged come out on their own output, each with the reason.",
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="Portraits: a batch, or a list of pictures of any sizes."),
                Person.Input("person", tooltip="Whom they should look like."),
                io.Int.Input("keep", default=4, min=1, max=10000, tooltip="How many of the best to give out."),
                io.Float.Input(
                    "min_face",
                    default=0.1,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Smallest face that is judged, as a part of the picture's shorter side.",
                ),
                io.Float.Input(
                    "max_face",
                    default=0.8,
                    min=0.0,
                    max=2.0,
                    step=0.01,
                    tooltip="Largest face that is judged, as a part of the picture's shorter side.",
                ),
                io.Combo.Input(
                    "when_none",
                    options=["give all unranked", "error"],
                    default="give all unranked",
                    tooltip="What to do when no picture can be judged: give them out in their own order, or stop with the reasons.",
                ),
                engine_input(),
            ],
            outputs=[
                io.Image.Output(
                    "ranked", display_name="ranked", tooltip="The best pictures, most alike first.", is_output_list=True
                ),
                io.Image.Output("best", display_name="best", tooltip="The most alike picture."),
                io.Float.Output(
                    "scores",
                    display_name="scores",
                    tooltip="Likeness of each ranked picture in percent of the person's own baseline.",
                    is_output_list=True,
                ),
                io.Image.Output("sheet", display_name="sheet", tooltip="All pictures with score or reason."),
                io.Image.Output(
                    "rejected",
                    display_name="rejected",
                    tooltip="Pictures that could not be judged; nothing where there are none.",
                    is_output_list=True,
                ),
                io.String.Output("report", display_name="report", tooltip="Scores and reasons as JSON."),
            ],
        )

    @classmethod
    def execute(
        cls,
        images: list[torch.Tensor],
        person: list[PersonRecord],
        keep: list[int],
        min_face: list[float],
        max_face: list[float],
        when_none: list[str],
        engine: list[str],
    ) -> io.NodeOutput:
        from ..facechain.images import from_pixels
        from ..facechain.rank import pictures_in, rank, report_of, sheet_of, small_pictures

        who, networks = person[0], _host.face_engine(engine[0])
        limits = {"min_face": min_face[0], "max_face": max_face[0], "must_judge": when_none[0] == "error"}
        progress = _host.progress_bar(sum(len(batch) for batch in images))
        ranking = rank(images, who, networks, **limits, progress=progress)
        pictures = list(pictures_in(images))
        kept = ranking.kept(keep[0])
        ranked = [pictures[verdict.picture] for verdict in kept]
        scores = [math.nan if verdict.percent is None else verdict.percent for verdict in kept]
        small = small_pictures(ranking, images, _host.check_cancel)
        sheet = from_pixels(sheet_of(ranking, small, who, keep[0], _host.check_cancel))
        rejected = [pictures[verdict.picture] for verdict in ranking.rejected] or _host.nothing()
        report = json.dumps(report_of(ranking, who, networks), ensure_ascii=False, indent=1)
        shown = {**ui.PreviewImage(sheet, cls=cls).as_dict(), "text": (report,)}
        shown |= rank_cards(ranking, small, keep[0], cls)
        return io.NodeOutput(ranked, ranked[0], scores, sheet, rejected, report, ui=shown)
