"""The fleet with real servers: killed and started again, a task that always fails, a bucket, and Ray struck everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fleet_studio import PICTURES, POISONED, TASKS, Studio, in_namespace, make_studio, queued, wait_for

if TYPE_CHECKING:
    from s3_server import S3

pytestmark = [pytest.mark.comfy, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

LONG_TOO = "FACECHAIN_RAY_TEST"
long = pytest.mark.skipif(os.environ.get(LONG_TOO) != "1", reason=f"set {LONG_TOO}=1: takes minutes")


@pytest.fixture(scope="module")
def studio(root: Path, tmp_path_factory: pytest.TempPathFactory, standin_models: dict[str, Path]) -> Iterator[Studio]:
    made = make_studio(tmp_path_factory.mktemp("studio"), root, standin_models["checkpoints"])
    yield made
    made.end()


@dataclass
class Killed:
    """What a run without Ray left that was killed, by kill -9, when the first picture was there.

    records: of finished tasks. prompts: that its servers got. most: tasks that one of them had at once.
    """

    records: dict[str, str]
    prompts: int
    most: int


@pytest.fixture(scope="module")
def killed(studio: Studio) -> Iterator[Killed]:
    """One of its two servers was killed before, as soon as something was done."""
    run = studio.start("local", "--workers", "2", table=POISONED)
    most = [0]

    def drawn() -> bool:
        most[0] = max([most[0], *(queued(server) for server in studio.servers("local"))])
        return bool(studio.pictures("local"))

    wait_for(lambda: studio.records("local"), run)
    studio.servers("local")[0].kill()
    wait_for(drawn, run)
    run.kill()
    run.wait()
    yield Killed(studio.records("local"), studio.prompts("local"), most[0])


def test_no_server_outlives_a_run_that_was_killed(studio: Studio, killed: Killed) -> None:
    wait_for(lambda: not studio.servers("local"), seconds=20)
    assert killed.records


def test_a_server_has_one_task_and_one_that_waits(killed: Killed) -> None:
    assert killed.most == 2


def test_the_same_command_goes_on_although_a_task_always_fails(studio: Studio, killed: Killed) -> None:
    done = subprocess.run(studio.command("local", table=POISONED), capture_output=True, text=True, timeout=400)
    told = studio.manifest("local")
    assert done.returncode == 1, done.stdout + done.stderr
    nobody = {title: entry for title, entry in told.items() if "Nobody" in entry["people"]}
    others = [entry for title, entry in told.items() if title not in nobody]
    assert len(others) == TASKS and {entry["state"] for entry in others} == {"done"}, done.stdout + done.stderr
    # the poisoned task fails alone, after three tries, and says why
    poisoned = nobody.pop("Nobody: photos")
    assert poisoned["state"] == "failed" and len(poisoned["tries"]) == 3
    whys = [one["error"].lower() for one in poisoned["tries"] if one["kind"] == "job"]
    assert len(whys) >= 2 and all("no face" in why for why in whys), poisoned["tries"]  # a kill may have been its third
    assert {entry["why"] for entry in nobody.values()} == {
        "failed before it: Nobody: photos",
        "failed before it: Nobody: training",
    }
    # nothing that was finished is made again, and a kill costs what was in hand: at most two tasks of each worker
    assert {key: text for key, text in studio.records("local").items() if key in killed.records} == killed.records
    assert killed.prompts <= len(killed.records) + 3 + 2 + 4
    assert studio.prompts("local") - killed.prompts <= TASKS - len(killed.records) + 3
    assert len(studio.pictures("local")) == PICTURES


def test_a_finished_run_starts_nothing(studio: Studio, killed: Killed) -> None:
    prompts = studio.prompts("local")
    done = subprocess.run(studio.command("local", table=POISONED), capture_output=True, text=True)
    assert done.returncode == 1 and "failed" in done.stdout
    assert studio.prompts("local") == prompts


@pytest.fixture(scope="module")
def alone(studio: Studio, killed: Killed) -> dict[str, bytes]:
    """All pictures, made without Ray."""
    subprocess.run(studio.command("local", "--workers", "2"), check=True, capture_output=True)
    return studio.pictures("local")


@long
@pytest.mark.timeout(1200)
def test_a_run_into_a_bucket_is_stopped_and_goes_on(studio: Studio, alone: dict[str, bytes], s3: S3) -> None:
    """And the bucket's server is away for a while. Pictures and manifest are as in a folder."""
    import fsspec

    bucket = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    run = studio.start("s3", out=f"{s3.url}/monday")
    wait_for(lambda: bucket.find("studio/monday/portraits"), run)
    s3.stop()  # while it draws
    time.sleep(5)
    s3.start()
    wait_for(lambda: len(bucket.find("studio/monday/portraits")) > 1, run)
    run.terminate()  # ends as by Ctrl+C, which programs in the background do not hear
    said = run.communicate(timeout=60)[0]
    stopped = json.loads(bucket.cat_file("studio/monday/manifest.json"))
    done = {entry["key"]: entry for entry in stopped["tasks"] if entry["state"] == "done"}
    assert run.returncode and "stopped; the same command goes on" in said and 0 < len(done) < TASKS, said
    subprocess.run(studio.command("s3", out=f"{s3.url}/monday"), check=True, capture_output=True, timeout=400)
    manifest = json.loads(bucket.cat_file("studio/monday/manifest.json"))
    assert manifest["states"] == {"done": TASKS} and manifest["found_done"] == len(done)
    assert all(done.get(entry["key"], entry) == entry for entry in manifest["tasks"])
    listed = [file for kind in ("portraits", "groups") for file in bucket.find(f"studio/monday/{kind}")]
    assert {file.removeprefix("studio/monday/"): bucket.cat_file(file) for file in listed} == alone


@long
@pytest.mark.timeout(1200)  # two minutes alone; starting Ray beside other work takes long
def test_one_of_two_ray_hosts_is_cut_off_and_nothing_is_lost(studio: Studio, alone: dict[str, bytes]) -> None:
    """And the pictures are those of the run without Ray, bit for bit."""
    said = in_namespace("fleet_hosts.py", str(studio.home / "ray"), *studio.command("ray"), seconds=1000)
    told = studio.manifest("ray")
    assert said["code"] == 0 and {entry["state"] for entry in told.values()} == {"done"}, said["logs"]
    assert 0 < said["cut"] < len(told), "the cable was cut in the middle"
    hosts = {entry["worker"].split("-")[0] for entry in told.values()}
    assert len(hosts) == 2
    assert studio.pictures("ray") == alone


@long
@pytest.mark.timeout(1200)
def test_ray_is_struck_everywhere_and_nothing_is_lost(studio: Studio, alone: dict[str, bytes]) -> None:
    """A worker, a ComfyUI, the head's heart and the head's whole machine; the same command goes on."""
    plan = "actor,gcs,comfy,node"
    command = studio.command("struck", "--workers", "2", "--tries", "9")
    said = in_namespace("fleet_strikes.py", str(studio.home / "struck"), plan, *command, seconds=1000)
    assert said["code"] == 0, said["logs"]
    told = studio.manifest("struck")
    assert {entry["state"] for entry in told.values()} == {"done"}, said["logs"]
    strikes = {one["what"]: one for one in said["strikes"]}
    for heart in ("gcs", "node"):
        assert strikes[heart]["ended"] != 0 and strikes[heart]["servers"] == 0, said
    assert "Ray's head at 127.0.0.1:6379 does not answer any more" in said["logs"]
    assert all(one["changed"] == 0 for one in said["strikes"]), "what was done is not done again"
    # a worker costs at most what it had in hand: one task that ran and one that waited
    assert studio.prompts("struck") <= TASKS + 2 * (1 + 2 + 1 + 2)
    assert said["strikes"][-1]["most"] == 2 and said["most"] == 1, "no worker that the host has no memory for"
    assert studio.pictures("struck") == alone
