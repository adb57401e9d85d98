"""What Delete Person asks of ComfyUI: where traces of people are, and that its memory lets go of them."""

from __future__ import annotations

from typing import Any

from ..facechain.errors import FaceChainError
from . import _host, _preview


def places() -> Any:
    """facechain.forget.Places of this ComfyUI."""
    from ..facechain.forget import Places

    return Places(
        people=_host.own_folder("people"),
        loras=tuple(_host.model_roots("loras")),
        unfinished=_host.own_folder("unfinished"),
        previews=_host.temp_folder(),
        kept=frozenset(_loras_of_own_styles()),
    )


def forget_in_memory(name: str) -> int:
    """Let ComfyUI's memory go of everything of this job and those before; how many records of finished jobs went.

    Results kept for the next run go when this job ends, as by the button that frees them.
    """
    from ..facechain.forget import names_person

    _preview.forget_people()
    server = _host.running_server()
    if server is None:
        return 0
    queue = server.prompt_queue
    done = [job for job, record in queue.get_history().items() if names_person(record["prompt"][2], name)]
    for job in done:
        queue.delete_history_item(job)
    queue.set_flag("free_memory", True)
    return len(done)


def _loras_of_own_styles() -> list[str]:
    from ..facechain.styles import load_style

    found = []
    for path in _host.own_folder("styles").glob("*.json"):
        try:
            found.append(load_style(path).lora)
        except FaceChainError:  # a broken style keeps nothing; Load Style says what is wrong with it
            continue
    return found
