"""A cancel ends each of our nodes within two seconds and leaves the loaded model as it was; smaller jobs, one moment each.

benchmarks/interrupts.py asks at several moments of longer ones. Train Person LoRA has tests of its own (test_training.py).
"""

from __future__ import annotations

import comfy_host
import pytest
from comfy_client import ComfyClient
from long_jobs import LongJobs, cancel, drawn

pytestmark = pytest.mark.comfy
LONGEST = 2.0  # seconds of computing; other work on the machine is no fault of ours
AFTER = 0.25  # seconds after the node began
NODES = (
    "LoadPhotos",
    "Preprocess",
    "TrainStyleLoRA",
    "LoadStyle",
    "PoseControl",
    "FaceFusion",
    "SimilarityRank",
    "SavePortraits",
)


@pytest.fixture(scope="module")
def jobs(server: comfy_host.Server, client: ComfyClient, package_photos: dict[str, object]) -> LongJobs:
    assert server.base
    return LongJobs(client, server.base, 0.5)


@pytest.fixture(scope="module")
def before(client: ComfyClient) -> bytes:
    """What the base model draws before anything was cancelled."""
    return drawn(client)


@pytest.mark.parametrize("name", NODES)
def test_a_cancel_ends_the_node_and_leaves_the_model(
    name: str, jobs: LongJobs, before: bytes, server: comfy_host.Server, client: ComfyClient
) -> None:
    assert server.process
    found = cancel(client, jobs.jobs[f"FaceChain_{name}"](1), AFTER, server.process.pid)
    assert found.how == "execution_interrupted", "it had seconds of work"
    assert found.computing < LONGEST
    assert drawn(client) == before
