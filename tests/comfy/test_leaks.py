"""Memory and open files do not grow from job to job, and trainings leave the loaded weights alone; few jobs.

benchmarks/leaks.py runs 200 mixed jobs and 20 trainings.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import comfy_host
import pytest
from comfy_client import ComfyClient
from kept_weights import differing, write_out
from meter import taken
from mixed_jobs import MixedJobs

pytestmark = [pytest.mark.comfy, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]
ROUND = ("train_person", "trained_portrait", "refused", "cancelled", "housekeeping")


@pytest.fixture(scope="module")
def jobs(server: comfy_host.Server, client: ComfyClient, package_photos: dict[str, Path]) -> MixedJobs:
    assert server.base
    return MixedJobs(client, server.base)


def test_jobs_take_no_more_and_more_memory_and_files(server: comfy_host.Server, jobs: MixedJobs) -> None:
    assert server.process
    found = []
    for number in range(4):
        for kind in ROUND:
            jobs.run(kind, number)
        found.append(taken(server.process.pid))
    # What stays grows with every round; what is loaded late, or kept by the allocator, in one of them.
    later = list(itertools.pairwise(found))[1:]  # by then everything has been loaded
    grown = [(after.memory - before.memory) / 2**20 for before, after in later]
    assert min(grown) < 40, f"a model or a training that stays takes more than this: {grown}"
    assert any(after.files <= before.files for before, after in later), found
    assert any(after.threads <= before.threads for before, after in later), found


def test_trainings_leave_the_loaded_weights_as_they_were(
    server: comfy_host.Server, client: ComfyClient, jobs: MixedJobs
) -> None:
    assert server.base
    client.run(jobs.graph("train_person", 100))
    before, _ = write_out(client, server.base, "before")
    for number in (101, 102):
        client.run(jobs.graph("train_person", number))
    after, read_again = write_out(client, server.base, "after")
    assert not read_again, "the very model that was trained on"
    assert differing(before, after) == []
