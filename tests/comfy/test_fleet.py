"""The fleet with real servers: killed and started again, a task that always fails, and two Ray hosts of which one is cut off."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import demo_jobs
import psutil
import pytest
import standin
from PIL import Image

pytestmark = [pytest.mark.comfy, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

RAY_TOO = "FACECHAIN_RAY_TEST"
SETTINGS = {
    "FaceChain_TrainPersonLoRA": {"steps": 4, "resolution": 64, "snapshots": 1},
    "EmptyLatentImage": {"width": 64, "height": 64},
    "KSampler": {"steps": 2},
    "FaceChain_GroupPortrait": {"denoise": 0.0},
}
TABLE = """person,photos,styles,template,faces,count,seed
Anna,photos/person1,cheongsam; armor,,,2,7
Ben,photos/person2,armor,,,3,
Anna; Ben,,,photos/template/template.png,"3, 1",,
"""
POISONED = TABLE + "Nobody,photos/nobody,armor; cheongsam,,,1,\n"


@dataclass
class Studio:
    """home: folder of table, photos, models and results."""

    home: Path
    root: Path

    def command(self, out: str, *words: str, table: str = TABLE) -> list[str]:
        (self.home / f"{out}.csv").write_text(table)
        script = [sys.executable, str(self.root / "scripts" / "fleet.py"), str(self.home / f"{out}.csv")]
        options = ["--out", str(self.home / out), "--models", str(self.home / "models"), "--batch", "1"]
        options += ["--checkpoint", standin.CHECKPOINT_NAME, "--settings", str(self.home / "settings.json")]
        return [*script, *options, "--scratch", str(self.home / f"{out}.scratch"), *words]

    def start(self, out: str, *words: str, table: str = TABLE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(out, *words, table=table), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def manifest(self, out: str) -> dict[str, dict[str, Any]]:
        """Entries by title."""
        told = json.loads((self.home / out / "manifest.json").read_text(encoding="utf-8"))
        return {entry["title"]: entry for entry in told["tasks"]}

    def records(self, out: str) -> dict[str, str]:
        """Each finished task with the text of its record, which has the time in it."""
        return {path.stem: path.read_text() for path in (self.home / out / "ledger" / "done").rglob("*.json")}

    def pictures(self, out: str) -> dict[str, bytes]:
        folders = (self.home / out / "portraits", self.home / out / "groups")
        return {
            str(path.relative_to(self.home / out)): path.read_bytes()
            for folder in folders
            for path in folder.rglob("*.png")
        }

    def prompts(self, out: str) -> int:
        """How many tasks ComfyUI servers were given, over all runs and restarts."""
        logs = (self.home / f"{out}.scratch").rglob("logs/*.log")
        return sum(log.read_text("utf-8", "replace").count("got prompt") for log in logs)

    def servers(self, out: str) -> list[psutil.Process]:
        """Living ComfyUI processes of this run."""
        scratch = str(self.home / f"{out}.scratch")
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = process.info["cmdline"] or []
            if (
                any("main.py" in word for word in words)
                and any(scratch in word for word in words)
                and process.info["status"] != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        return found


def wait_for(what: Callable[[], Any], process: subprocess.Popen[str] | None = None, seconds: float = 300.0) -> Any:
    """What it returns, as soon as that is true; fails where the process ends before."""
    until = time.monotonic() + seconds
    while not (found := what()):
        ended = process is not None and process.poll() is not None
        assert not ended, f"it ended: {process.communicate()[0]}"  # type: ignore[union-attr]
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def studio(root: Path, tmp_path_factory: pytest.TempPathFactory, standin_models: dict[str, Path]) -> Studio:
    home = tmp_path_factory.mktemp("studio")
    (home / "models" / "checkpoints").mkdir(parents=True)
    (home / "models" / "checkpoints" / standin.CHECKPOINT_NAME).symlink_to(standin_models["checkpoints"])
    (home / "settings.json").write_text(json.dumps(SETTINGS))
    for name, files in demo_jobs.inputs(home / "made").items():
        (home / "photos" / name).mkdir(parents=True)
        for file in files:
            shutil.copy(file, home / "photos" / name / f"{name}{file.suffix}")
    (home / "photos" / "nobody").mkdir()
    Image.new("RGB", (256, 256), "grey").save(home / "photos" / "nobody" / "wall.png")
    return Studio(home, root)


@pytest.fixture(scope="module")
def killed(studio: Studio) -> Iterator[dict[str, str]]:
    """Records of a run without Ray that was killed, by kill -9, when the first picture was there."""
    run = studio.start("local", "--workers", "2", table=POISONED)
    wait_for(lambda: studio.pictures("local"), run)
    run.kill()
    run.wait()
    yield studio.records("local")


def test_no_server_outlives_a_run_that_was_killed(studio: Studio, killed: dict[str, str]) -> None:
    wait_for(lambda: not studio.servers("local"), seconds=20)
    assert killed


def test_the_same_command_goes_on_although_a_server_is_killed_and_a_task_always_fails(
    studio: Studio, killed: dict[str, str]
) -> None:
    before = studio.prompts("local")
    run = studio.start("local", "--workers", "2", table=POISONED)
    had = len(killed)
    wait_for(lambda: len(studio.records("local")) > had, run)
    struck = wait_for(lambda: studio.servers("local"), run)[0]
    struck.send_signal(signal.SIGKILL)
    output, _ = run.communicate(timeout=400)
    told = studio.manifest("local")
    assert run.returncode == 1, output
    nobody = {title: entry for title, entry in told.items() if "Nobody" in entry["people"]}
    others = [entry for title, entry in told.items() if title not in nobody]
    assert len(others) == 12 and {entry["state"] for entry in others} == {"done"}, output
    # the poisoned task fails alone, after three tries, and says why
    poisoned = nobody.pop("Nobody: photos")
    assert poisoned["state"] == "failed" and len(poisoned["tries"]) == 3
    assert all("no face" in one["error"].lower() for one in poisoned["tries"]), poisoned["tries"]
    assert {entry["why"] for entry in nobody.values()} == {
        "failed before it: Nobody: photos",
        "failed before it: Nobody: training",
    }
    # nothing that was finished is made again, and a kill costs what was in hand: at most two tasks of each worker
    assert {key: text for key, text in studio.records("local").items() if key in killed} == killed
    assert studio.prompts("local") - before <= len(others) - had + 3 + 2
    assert len(studio.pictures("local")) == 8


def test_a_finished_run_starts_nothing(studio: Studio, killed: dict[str, str]) -> None:
    prompts = studio.prompts("local")
    done = subprocess.run(studio.command("local", table=POISONED), capture_output=True, text=True)
    assert done.returncode == 1 and "failed" in done.stdout
    assert studio.prompts("local") == prompts


@pytest.fixture(scope="module")
def alone(studio: Studio, killed: dict[str, str]) -> dict[str, bytes]:
    """All pictures, made without Ray."""
    subprocess.run(studio.command("local", "--workers", "2"), check=True, capture_output=True)
    return studio.pictures("local")


@pytest.mark.skipif(
    os.environ.get(RAY_TOO) != "1", reason=f"set {RAY_TOO}=1: two Ray hosts take three to seven minutes"
)
@pytest.mark.timeout(1200)  # two minutes alone; starting Ray beside other work takes long
def test_one_of_two_ray_hosts_is_cut_off_and_nothing_is_lost(studio: Studio, alone: dict[str, bytes]) -> None:
    """And the pictures are those of the run without Ray, bit for bit."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[default]'")
    unshare = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    for program in ("unshare", "nsenter", "ip"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is absent: network namespaces are Linux's")
    allowed = subprocess.run([*unshare, "true"], capture_output=True, text=True)
    if allowed.returncode:
        pytest.skip(f"this machine allows no network namespaces to its users ({allowed.stderr.strip()})")
    script = Path(__file__).with_name("fleet_hosts.py")
    command = [*unshare, sys.executable, str(script), str(studio.home / "ray"), *studio.command("ray")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1000)
    logs = "\n".join(path.read_text("utf-8", "replace")[-3000:] for path in studio.home.glob("ray*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    said = json.loads(done.stdout.splitlines()[-1])
    told = studio.manifest("ray")
    assert said["code"] == 0 and {entry["state"] for entry in told.values()} == {"done"}, logs
    assert 0 < said["cut"] < len(told), "the cable was cut in the middle"
    hosts = {entry["worker"].split("-")[0] for entry in told.values()}
    assert len(hosts) == 2
    ours = studio.pictures("ray")
    assert len(ours) == 8
    assert ours == alone
