"""kill -9 of the server in the midst of a training: nothing half-written is found, and the training goes on."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy_host
import pytest
from comfy_client import ComfyClient, JobError
from test_training import NAME, make_person, train_prompt

from facechain.person import save_person

pytestmark = pytest.mark.comfy


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_a_training_goes_on_after_the_server_was_killed(comfy_base_factory: Callable[[], Path]) -> None:
    base, host = comfy_base_factory(), comfy_host.prepare()
    save_person(make_person(), base / "models" / "facechain" / "people" / f"{NAME}.safetensors")
    prompt = train_prompt(steps=20, snapshots=2)

    def kill(kind: str, data: dict[str, Any]) -> None:
        if kind == "progress" and data["node"] == "train" and data["value"] >= 13 and server.process:
            threading.Thread(target=server.process.kill).start()

    with comfy_host.Server(host, log=base / "first.log", base=base) as server, pytest.raises((JobError, OSError)):
        ComfyClient(server.url).run(prompt, kill)
    folder = base / "models" / "loras" / "facechain"
    assert not list(folder.glob("*")), "no LoRA, not even a part of one"
    (state,) = (base / "models" / "facechain" / "unfinished").glob("*.safetensors")
    with comfy_host.Server(host, log=base / "second.log", base=base) as server:
        report = json.loads(ComfyClient(server.url).run(prompt).texts("train")[0])
    assert report["resumed_after"] == 10 and len(report["losses"]) == 20
    assert not state.exists() and (folder / Path(report["lora"]).name).is_file()
    # the curve goes on where it was: no step of the second half starts from untrained weights
    begin, rest = report["losses"][:5], report["losses"][report["resumed_after"] : report["resumed_after"] + 5]
    assert sum(rest) < sum(begin)
