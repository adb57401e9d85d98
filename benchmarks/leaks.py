"""Whether memory and open files level off over many jobs, and the base model keeps its weights over many trainings.

    python3 benchmarks/leaks.py --jobs 200 --trainings 20 --out leaks.json

On a server of its own: mixed jobs (tests/comfy/mixed_jobs.py), one after the other, with what the server takes after
each; then trainings one after the other, before and after which the server writes its loaded checkpoint out.
Linux alone: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "comfy")]

import comfy_host  # noqa: E402
from own_server import own_server  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--trainings", type=int, default=20)
    parser.add_argument("--out", type=Path, default=comfy_host.HOST / "leaks.json")
    chosen = parser.parse_args()
    comfy_host.reenter(comfy_host.prepare())
    with own_server("leaks") as (server, base):
        told = _measure(server, base, chosen)
    print(json.dumps({key: value for key, value in told.items() if key != "jobs"}, indent=1))
    return int(bool(told["changed weights"]))


def _measure(server: comfy_host.Server, base: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    from comfy_client import ComfyClient
    from kept_weights import differing, write_out
    from meter import taken
    from mixed_jobs import KINDS, MixedJobs

    client = ComfyClient(server.url)
    jobs = MixedJobs(client, base)
    told: dict[str, Any] = {"jobs": [], "changed weights": []}
    assert server.process

    def note(kind: str, seconds: float) -> None:
        now = taken(server.process.pid)  # type: ignore[union-attr]
        row = {"kind": kind, "seconds": round(seconds, 2), "MB": now.memory >> 20, "files": now.files}
        told["jobs"].append(row | {"threads": now.threads, "computing": round(now.computing, 1)})
        chosen.out.write_text(json.dumps(told | summary(told["jobs"]), indent=1))

    def run(kind: str, number: int) -> None:
        began = time.monotonic()
        jobs.run(kind, number)
        note(kind, time.monotonic() - began)

    for number in range(chosen.jobs):
        run(KINDS[number % len(KINDS)], number)
    told |= summary(told["jobs"])
    if chosen.trainings:
        before, _ = write_out(client, base, "before")
        for number in range(chosen.trainings):
            client.run(jobs.graph("train_person", 20_000 + number))
        after, read_again = write_out(client, base, "after")
        told |= {"trainings": chosen.trainings, "checkpoint read again": read_again}
        told["changed weights"] = differing(before, after)
    chosen.out.write_text(json.dumps(told, indent=1))
    return told


def summary(jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of each quarter of the jobs, and megabytes a job that the second half adds, by least squares."""
    quarter = max(1, len(jobs) // 4)
    quarters = [jobs[start : start + quarter] for start in range(0, 4 * quarter, quarter)]
    half = [job["MB"] for job in jobs[len(jobs) // 2 :]]
    slope = statistics.linear_regression(range(len(half)), half).slope if len(half) > 1 else 0.0
    found: dict[str, Any] = {
        name: [statistics.median(job[name] for job in part) for part in quarters if part]
        for name in ("MB", "files", "threads")
    }
    return {"by quarter": found, "MB a job in the second half": round(slope, 3)}


if __name__ == "__main__":
    sys.exit(main())
