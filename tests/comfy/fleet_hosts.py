"""Two hosts of a Ray cluster on one machine, each in a network namespace of its own; started by test_fleet.py inside one.

    unshare --map-root-user --net --pid --fork --kill-child --mount-proc \\
        python fleet_hosts.py <out> <command of scripts/fleet.py>...

Host A is this namespace, host B another, with a cable between them; no process of either outlives this one. The command
runs on A. As soon as both have finished a task, the cable is cut, and it stays cut. Prints as JSON {"code": of the
command, "cut": how many tasks were done by then}.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from offline_run import loopback_up

A, B = "10.77.0.1", "10.77.0.2"
PORT = 6379
WATCHFUL = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(16),
    # a host counts as lost within seconds; Ray's own numbers are for networks that lose packets
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_worker_niceness": "0",  # 15 is Ray's own: beside other tests the servers would hardly ever get their turn
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def ray_start(*options: str, address: str) -> list[str]:
    """The command that makes a Ray host, tried again: Ray gives up where a machine is too busy to start it in 30 s."""
    again = ["bash", "-c", 'for n in 1 2 3 4 5 6; do "$@" && break; done', "again"]
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--node-ip-address={address}"]
    return [*again, *ray, "--object-store-memory=80000000", *options]


def own_ray_folder() -> None:
    """Where Ray keeps sockets, and the address of the last head: none of other programs' business."""
    ray = Path("/tmp/ray")
    ray.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", str(ray))


def wait_for(what: Callable[[], bool], seconds: float = 600.0) -> None:
    """Raises TimeoutError."""
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            raise TimeoutError(f"{what.__name__} did not come true within {seconds:.0f} s")
        time.sleep(0.1)


@contextlib.contextmanager
def cable() -> Iterator[list[str]]:
    """The command that enters host B, which is joined to this one."""
    loopback_up()
    own_ray_folder()
    own = Path("/proc/self/ns/net").readlink()
    with started(["unshare", "--net", "sleep", "infinity"]) as other:
        wait_for(lambda: Path(f"/proc/{other.pid}/ns/net").readlink() != own)
        enter = ["nsenter", f"--net=/proc/{other.pid}/ns/net"]
        run("ip", "link", "add", "a0", "type", "veth", "peer", "name", "b0", "netns", str(other.pid))
        run("ip", "address", "add", f"{A}/24", "dev", "a0")
        run("ip", "link", "set", "a0", "up")
        run(*enter, "ip", "address", "add", f"{B}/24", "dev", "b0")
        run(*enter, "ip", "link", "set", "b0", "up")
        run(*enter, "ip", "link", "set", "lo", "up")
        yield enter


@contextlib.contextmanager
def started(command: list[str], log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, which ends with the block."""
    with log.open("wb") if log else contextlib.nullcontext(subprocess.DEVNULL) as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **WATCHFUL}, start_new_session=True
        )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(3)


def begin(stack: contextlib.ExitStack, command: list[str], log: Path) -> None:
    """Start Ray on a host and wait until it has. Raises RuntimeError where it does not."""
    process = stack.enter_context(started(command, log))
    wait_for(lambda: b"Ray runtime started" in log.read_bytes() or process.poll() is not None)
    if process.poll() is not None:
        raise RuntimeError(log.read_text(errors="replace")[-2000:])


def hosts_of(out: Path) -> list[str]:
    """Address of the host that did each finished task."""
    records = (json.loads(path.read_text()) for path in (out / "ledger" / "done").rglob("*.json"))
    return [B if record["worker"].startswith(B) else A for record in records]


def main() -> None:
    out, command = Path(sys.argv[1]), sys.argv[2:]
    with cable() as enter, contextlib.ExitStack() as stack:
        options = ["--head", f"--port={PORT}", "--include-dashboard=false", "--block", "--num-cpus=1"]
        begin(stack, ray_start(*options, address=A), out.with_suffix(".a.log"))
        options = [f"--address={A}:{PORT}", "--block", "--num-cpus=1"]
        begin(stack, [*enter, *ray_start(*options, address=B)], out.with_suffix(".b.log"))
        fleet = stack.enter_context(started([*command, "--ray", f"{A}:{PORT}"], out.with_suffix(".log")))

        def both_have_worked() -> bool:
            return {A, B} <= set(hosts_of(out)) or fleet.poll() is not None

        wait_for(both_have_worked)
        run("ip", "link", "set", "a0", "down")
        cut = len(hosts_of(out))
        code = fleet.wait(400)
    print(json.dumps({"code": code, "cut": cut}))


if __name__ == "__main__":
    main()
