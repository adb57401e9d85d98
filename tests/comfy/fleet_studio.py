"""A small studio for the fleet's tests: photos, table, models, and what its runs left behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import demo_jobs
import psutil
import pytest
import standin
from comfy_client import ComfyClient
from PIL import Image

SETTINGS = {
    "FaceChain_TrainPersonLoRA": {"steps": 4, "resolution": 64},
    "EmptyLatentImage": {"width": 64, "height": 64},
    "KSampler": {"steps": 2},
    "FaceChain_GroupPortrait": {"denoise": 0.0},
}
TABLE = """person,photos,styles,template,faces,count,seed,preset
Anna,photos/person1,cheongsam; armor,,,1,7,fast
Ben,photos/person2,armor,,,2,,fast
Anna; Ben,,,photos/template/template.png,"3, 1",,,fast
"""
TASKS, PICTURES = 9, 5  # of the table
POISONED = TABLE + "Nobody,photos/nobody,armor,,,1,,fast\n"  # a photo without a face


@dataclass
class Studio:
    """home: folder of table, photos, models and results. root: of the checkout. begun: runs, which `end` ends."""

    home: Path
    root: Path
    begun: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, name: str, *words: str, table: str = TABLE, out: str = "") -> list[str]:
        """name: of the run, and of its folder of results unless out names another place."""
        (self.home / f"{name}.csv").write_text(table)
        script = [sys.executable, str(self.root / "scripts" / "fleet.py"), str(self.home / f"{name}.csv")]
        options = ["--out", out or str(self.home / name), "--models", str(self.home / "models"), "--batch", "1"]
        options += ["--checkpoint", standin.CHECKPOINT_NAME, "--settings", str(self.home / "settings.json")]
        return [*script, *options, "--scratch", str(self.home / f"{name}.scratch"), *words]

    def start(self, name: str, *words: str, table: str = TABLE, out: str = "") -> subprocess.Popen[str]:
        command = self.command(name, *words, table=table, out=out)
        self.begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return self.begun[-1]

    def end(self) -> None:
        for run in self.begun:
            run.kill()

    def manifest(self, name: str) -> dict[str, dict[str, Any]]:
        """Entries by title."""
        told = json.loads((self.home / name / "manifest.json").read_text(encoding="utf-8"))
        return {entry["title"]: entry for entry in told["tasks"]}

    def records(self, name: str) -> dict[str, str]:
        """Each finished task with the text of its record, which has the time in it."""
        return {path.stem: path.read_text() for path in (self.home / name / "ledger" / "done").rglob("*.json")}

    def pictures(self, name: str) -> dict[str, bytes]:
        folders = (self.home / name / "portraits", self.home / name / "groups")
        return {
            str(path.relative_to(self.home / name)): path.read_bytes()
            for folder in folders
            for path in folder.rglob("*.png")
        }

    def prompts(self, name: str) -> int:
        """How many tasks ComfyUI servers were given, over all runs and restarts."""
        logs = (self.home / f"{name}.scratch").rglob("logs/*.log")
        return sum(log.read_text("utf-8", "replace").count("got prompt") for log in logs)

    def servers(self, name: str) -> list[psutil.Process]:
        """Living ComfyUI processes of this run."""
        scratch = str(self.home / f"{name}.scratch")
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


def queued(server: psutil.Process) -> int:
    """Tasks that a ComfyUI has now, running and waiting; 0 where it does not answer, as it has just started or ended."""
    try:
        words = server.cmdline()
        queue = ComfyClient(f"http://127.0.0.1:{words[words.index('--port') + 1]}").get("/queue")
    except (aiohttp.ClientError, psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0
    return len(queue["queue_running"]) + len(queue["queue_pending"])


def wait_for(what: Callable[[], Any], process: subprocess.Popen[str] | None = None, seconds: float = 500.0) -> Any:
    """What it returns, as soon as that is true; fails where the process ends before."""
    until = time.monotonic() + seconds
    while not (found := what()):
        ended = process is not None and process.poll() is not None
        assert not ended, f"it ended: {process.communicate()[0]}"  # type: ignore[union-attr]
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.05)
    return found


def make_studio(home: Path, root: Path, checkpoint: Path) -> Studio:
    (home / "models" / "checkpoints").mkdir(parents=True)
    (home / "models" / "checkpoints" / standin.CHECKPOINT_NAME).symlink_to(checkpoint)
    (home / "settings.json").write_text(json.dumps(SETTINGS))
    for name, files in demo_jobs.inputs(home / "made").items():
        (home / "photos" / name).mkdir(parents=True)
        for file in files:
            shutil.copy(file, home / "photos" / name / f"{name}{file.suffix}")
    (home / "photos" / "nobody").mkdir()
    Image.new("RGB", (256, 256), "grey").save(home / "photos" / "nobody" / "wall.png")
    return Studio(home, root)


def in_namespace(script: str, *arguments: str, seconds: float) -> dict[str, Any]:
    """What a script of this folder printed last, as JSON, run where network and processes are its own.

    Skips where Ray, or namespaces, are absent.
    """
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[default]'")
    unshare = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    for program in ("unshare", "nsenter", "ip"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is absent: network namespaces are Linux's")
    allowed = subprocess.run([*unshare, "true"], capture_output=True, text=True)
    if allowed.returncode:
        pytest.skip(f"this machine allows no network namespaces to its users ({allowed.stderr.strip()})")
    command = [*unshare, sys.executable, str(Path(__file__).with_name(script)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    out = Path(arguments[0])
    logs = "\n".join(path.read_text("utf-8", "replace")[-3000:] for path in out.parent.glob(f"{out.name}.*log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return {**json.loads(done.stdout.splitlines()[-1]), "logs": logs}
