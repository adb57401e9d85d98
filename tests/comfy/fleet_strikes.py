"""Kills parts of a fleet on Ray, one after another, and goes on with the same command; started by test_fleet.py.

    unshare --map-root-user --net --pid --fork --kill-child --mount-proc \\
        python fleet_strikes.py <out> <strikes, such as actor,gcs,node> <command of scripts/fleet.py>...

A strike is kill -9 of: actor (a worker's process), comfy (its ComfyUI), gcs (the heart of Ray's head), node (all of Ray
on the head's machine), fleet (the program). Each comes when a task more than at the one before is done, or, with a number
behind it (gcs@2.5), so many seconds after a ComfyUI is there. Where Ray or the program has ended, it is started again;
the last Ray has memory for one worker alone. Prints as JSON:

{"strikes": [{"what", "done": tasks by then, "most": ComfyUI servers that lived at once since Ray was started, "changed":
of the tasks done by then, how many were done again, and for what the program does not outlive "ended": its code,
"seconds": until its end, "servers": that live 20 s later}], "code": of the last run, "most": servers of the last Ray}
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from fleet_hosts import PORT, WATCHFUL, own_ray_folder, ray_start, started, wait_for
from offline_run import loopback_up

HEAD = "127.0.0.1"
ENDS = {"gcs", "node", "fleet"}  # what the program does not outlive
RAY = ("gcs_server", "raylet", "ray::", "ray/dashboard", "ray/_private", "ray.scripts.scripts")
ROOM_FOR_ONE = 3 * 2**30  # a worker of the test's base model takes 2.3 GB


class Struck:
    """The cluster and the program, each started where it does not live. most: servers of this Ray at once."""

    def __init__(self, out: Path, command: list[str], stack: contextlib.ExitStack) -> None:
        self.out, self.command, self._stack = out, command, stack
        self.fleet: subprocess.Popen[bytes] | None = None
        self.most = self._starts = 0

    def ready(self, *options: str) -> subprocess.Popen[bytes]:
        """options: of a Ray that has to be started."""
        self._starts += 1
        if not victims("gcs") or not any("raylet" in " ".join(process.cmdline()) for process in victims("node")):
            self.start_ray(*options)
        if self.fleet is None or self.fleet.poll() is not None:
            log = self.out.with_suffix(f".{self._starts}.log")
            self.fleet = self._stack.enter_context(started([*self.command, "--ray", f"{HEAD}:{PORT}"], log))
        return self.fleet

    def start_ray(self, *options: str) -> None:
        for process in victims("node"):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.most = 0
        own = ["--head", f"--port={PORT}", "--num-cpus=2", "--include-dashboard=false"]
        with self.out.with_suffix(f".ray{self._starts}.log").open("wb") as log:
            head = ray_start(*own, *options, address=HEAD)
            subprocess.run(head, check=True, env={**os.environ, **WATCHFUL}, stdout=log, stderr=log)

    def records(self) -> dict[str, str]:
        return {path.stem: path.read_text() for path in (self.out / "ledger" / "done").rglob("*.json")}

    def servers(self) -> int:
        now = len(victims("comfy"))
        self.most = max(self.most, now)
        return now


def victims(what: str) -> list[psutil.Process]:
    """Living processes that a strike of this kind is for; this namespace has no others' ones."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        hit = {
            "actor": words.startswith("ray::") and not words.startswith(("ray::IDLE", "ray::Dash", "ray::Runtime")),
            "comfy": "main.py --port" in words,
            "gcs": "gcs_server" in words,
            "node": "fleet.py" not in words and any(name in words for name in RAY),
            "fleet": "scripts/fleet.py" in words and "fleet_strikes.py" not in words,
        }
        if hit[what] and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def strike(struck: Struck, what: str, delay: float | None) -> tuple[dict[str, Any], dict[str, str]]:
    """What is told of it, and the records of what was done by then."""
    fleet = struck.ready()
    before = len(struck.records())

    def due() -> bool:
        there = struck.servers()
        return (len(struck.records()) > before if delay is None else bool(there)) or fleet.poll() is not None

    wait_for(due)
    time.sleep(delay or 0.0)
    hit, records = victims(what), struck.records()
    told: dict[str, Any] = {"what": what, "done": len(records), "most": struck.most}
    for process in hit if what == "node" else hit[:1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    if what in ENDS:
        begun = time.monotonic()
        told |= {"ended": fleet.wait(300), "seconds": round(time.monotonic() - begun, 1)}
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: not victims("comfy"), 20)
        told["servers"] = len(victims("comfy"))
    print(told, file=sys.stderr, flush=True)
    return told, records


def main() -> None:
    out, plan, command = Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]
    with contextlib.ExitStack() as stack:
        loopback_up()
        own_ray_folder()
        struck = Struck(out, command, stack)
        strikes = [(what, float(delay) if delay else None) for what, _, delay in (each.partition("@") for each in plan)]
        told = [strike(struck, *each) for each in strikes]
        last = struck.ready(f"--memory={ROOM_FOR_ONE}")
        while last.poll() is None:
            struck.servers()
            time.sleep(0.2)
        at_end = struck.records()
    for each, records in told:
        each["changed"] = sum(at_end.get(key) != text for key, text in records.items())
    print(json.dumps({"strikes": [each for each, _ in told], "code": last.returncode, "most": struck.most}))


if __name__ == "__main__":
    main()
