"""System Check: which models, engines, device and memory are there, and what to do next."""

from __future__ import annotations

import json
import time

from comfy_api.latest import io

from . import _check_host
from ._types import CATEGORY


class SystemCheck(io.ComfyNode):
    """The same report as the route /facechain/check."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_SystemCheck",
            display_name="System Check",
            category=CATEGORY,
            description="Says which models, face engines, device and memory are there, and what to do next.",
            is_output_node=True,
            inputs=[
                io.Boolean.Input(
                    "read_files",
                    default=False,
                    tooltip="Also read the model files and compare them with the published sha256: seconds for each "
                    "gigabyte. Otherwise only their size is compared.",
                ),
            ],
            outputs=[
                io.String.Output("report", display_name="report", tooltip="The report, for people."),
                io.String.Output("report_json", display_name="report_json", tooltip="The same as JSON, for programs."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> str:
        """Another one each time: files come and go without ComfyUI's knowing."""
        return str(time.time_ns())

    @classmethod
    def execute(cls, read_files: bool) -> io.NodeOutput:
        from ..facechain.check import as_text

        report = _check_host.check(read_files)
        text = as_text(report)
        return io.NodeOutput(text, json.dumps(report, ensure_ascii=False, indent=1), ui={"text": [text]})
