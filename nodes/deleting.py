"""Delete Person: everything of a person that is kept on this machine, with one action."""

from __future__ import annotations

import time

from comfy_api.latest import io

from . import _host
from ._types import CATEGORY


class DeletePerson(io.ComfyNode):
    """Delete a person's record, LoRAs, unfinished trainings and previews, and what memory keeps of them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceChain_DeletePerson",
            display_name="Delete Person",
            category=CATEGORY,
            description="Deletes everything that is kept of a person: the saved record, their LoRAs, unfinished trainings, "
            "previews, and results in memory. There is no way back.",
            is_output_node=True,
            inputs=[
                io.Combo.Input(
                    "name",
                    options=_host.people_names() or ["(no person saved yet)"],
                    tooltip="A saved person (models/facechain/people).",
                ),
                io.String.Input(
                    "confirm",
                    default="",
                    tooltip="Write the name here exactly as above to delete. While it is empty, the node only says what would go.",
                ),
            ],
            outputs=[
                io.String.Output(
                    "report", display_name="report", tooltip="What was deleted, or would be, and what is left to you."
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **_: object) -> str:
        """Another one each time: what was true of the files a moment ago need not be true now."""
        return str(time.time_ns())

    @classmethod
    def execute(cls, name: str, confirm: str) -> io.NodeOutput:
        from ..facechain import forget
        from . import _deleting

        if confirm:
            forget.confirm(name, confirm)
        traces = forget.find_traces(name, _deleting.places(), _host.check_cancel)
        lines = traces.lines(done=bool(confirm))
        if confirm:
            forget.erase(traces)
            lines.append(f"Records of finished jobs: {_deleting.forget_in_memory(traces.name)} deleted")
        text = "\n".join(lines)
        return io.NodeOutput(text, ui={"text": [text]})
