"""A real lack of memory on the real server: it reaches ComfyUI as what it is, memory comes back, the next job runs.

The server's address space is limited to a little more than what it has; on the CPU that is where memory ends.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import comfy_host
import numpy as np
import pytest
from comfy_client import ComfyClient, JobError, Prompt
from group_portraits import person_of
from meter import taken
from test_training import NAME, _loader, draw, make_person, picture, train_prompt

from facechain.person import save_person

pytestmark = [
    pytest.mark.comfy,
    pytest.mark.skipif(sys.platform != "linux", reason="the limit of a running process is Linux's prlimit"),
]
MB, SITTER = 2**20, "sitter"


@pytest.fixture(scope="module")
def own(comfy_base_factory: Callable[[], Path], package_photos: dict[str, Path]) -> Iterator[comfy_host.Server]:
    """A server of its own, since it is made short of memory."""
    base = comfy_base_factory()
    people = base / "models" / "facechain" / "people"
    save_person(make_person(), people / f"{NAME}.safetensors")
    save_person(person_of(SITTER, [package_photos["astronaut"]]), people / f"{SITTER}.safetensors")
    with comfy_host.Server(comfy_host.prepare(), log=base / "server.log", base=base) as running:
        yield running


def pid_of(server: comfy_host.Server) -> int:
    assert server.process
    return server.process.pid


def limit(server: comfy_host.Server, more: int | None) -> None:
    """Let the server's address space grow by so many bytes, or as it likes."""
    import resource

    pid = pid_of(server)
    _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
    lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    size = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmSize"))
    resource.prlimit(pid, resource.RLIMIT_AS, (hard if more is None else size + more, hard))


def comes_back(server: comfy_host.Server, most: int) -> bool:
    """Whether the server takes no more than so many bytes soon: ComfyUI tidies up every ten seconds."""
    for _ in range(60):
        if taken(pid_of(server)).memory < most:
            return True
        time.sleep(0.25)
    return False


def fusion(side: int) -> Prompt:
    inputs = {"images": ["blank", 0], "person": ["person", 2], "fusion": "embedded", "faces": "largest"}
    inputs |= {"face_index": 1, "identity": 1.0, "shape": 0.5, "skin_tone": 0.0, "engine": "embedded"}
    blank = {"width": side, "height": side, "batch_size": 1, "color": 0x808080}
    return {
        "blank": {"class_type": "EmptyImage", "inputs": blank},
        "person": {"class_type": "FaceChain_LoadPerson", "inputs": {"name": SITTER, "weight": 1.0}},
        "fuse": {"class_type": "FaceChain_FaceFusion", "inputs": inputs},
        "look": {"class_type": "PreviewAny", "inputs": {"source": ["fuse", 2]}},
    }


def test_a_training_that_is_too_large_says_what_to_lower_and_a_smaller_one_runs(own: comfy_host.Server) -> None:
    client = ComfyClient(own.url)
    first = client.run({"base": _loader(), **draw("before", ["base", 0], ["base", 1])})
    before = picture(client, first, "before")
    client.run(train_prompt(steps=2))  # whatever a training loads for good is loaded now
    had = taken(pid_of(own)).memory
    limit(own, 600 * MB)
    try:
        with pytest.raises(JobError) as caught:
            client.run(train_prompt(resolution=2048, batch_size=16, seed=2))
        details = caught.value.details
        assert details["type"] == "execution_error" and details["node_type"] == "FaceChain_TrainPersonLoRA"
        assert details["exception_type"] == "RuntimeError", "torch's own, not one of ours"
        assert "allocate memory" in details["exception_message"]
        assert "not enough memory to train at 2048 pixels with batch size 16. Lower one of them" in str(caught.value)
        assert comes_back(own, had + 200 * MB), "what the training had taken is free again"
        smaller = client.run(train_prompt(steps=4, seed=3))  # as short of memory as before
        assert "train" in smaller.seconds
        after = client.run({"base": _loader(), **draw("after", ["base", 0], ["base", 1])})
    finally:
        limit(own, None)
    assert np.array_equal(picture(client, after, "after"), before), "the base model is as it was"


def test_a_picture_that_is_too_large_for_fusion_is_no_damaged_file(own: comfy_host.Server) -> None:
    client = ComfyClient(own.url)
    client.run(fusion(256))
    blank = {key: value for key, value in fusion(6000).items() if key == "blank"}
    client.run({**blank, "size": {"class_type": "GetImageSize", "inputs": {"image": ["blank", 0]}}, **shown()})
    limit(own, 150 * MB)
    try:
        with pytest.raises(JobError) as caught:
            client.run(fusion(6000))
        assert caught.value.details["node_type"] == "FaceChain_FaceFusion"
        assert "allocate" in str(caught.value) and "damaged" not in str(caught.value)
        assert "fuse" in client.run(fusion(320)).seconds
    finally:
        limit(own, None)
    assert "fuse" in client.run(fusion(352)).seconds


def shown() -> Prompt:
    return {"look": {"class_type": "PreviewAny", "inputs": {"source": ["size", 0]}}}
