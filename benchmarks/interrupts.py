"""How soon a cancel ends each node, at several moments of its work, and whether the loaded model stays as it was.

    python3 benchmarks/interrupts.py --moments 5 --out interrupts.json
    python3 benchmarks/interrupts.py --only Preprocess

On a server of its own: for each node a job that keeps it busy (tests/comfy/long_jobs.py), once to its end, then
interrupted at evenly spread moments. After each the base model draws a picture again, which must be the same to the bit.
Counted is the server's computing from the request to the job's end, so that other work on the machine does not matter;
the seconds that passed are told as well. Linux alone: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "comfy")]

import comfy_host  # noqa: E402
from own_server import own_server  # noqa: E402

LONGEST = 2.0  # seconds until a cancelled job has ended
SHORT = 0.3  # seconds; nodes that are done sooner need no cancel


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=5)
    parser.add_argument("--only", default="", help="nodes whose id contains one of these, with commas between")
    parser.add_argument("--much", type=float, default=1.0, help="size of the jobs: 1 for some ten seconds of work each")
    parser.add_argument("--out", type=Path, default=comfy_host.HOST / "interrupts.json")
    chosen = parser.parse_args()
    comfy_host.reenter(comfy_host.prepare())
    with own_server("interrupts") as (server, base):
        rows = _measure(server, base, chosen)
    return int(any(row["most computing"] > LONGEST or not row["model unchanged"] for row in rows))


def _measure(server: comfy_host.Server, base: Path, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    from comfy_client import ComfyClient
    from long_jobs import LongJobs, cancel, drawn, run_time

    assert server.process
    client, rows = ComfyClient(server.url), []
    before = drawn(client)
    for kind, job in LongJobs(client, base, chosen.much).jobs.items():
        if not any(part in kind for part in chosen.only.split(",")):
            continue
        whole = run_time(client, job(0))
        unchanged, found = drawn(client) == before, []
        for number in range(chosen.moments if whole > SHORT else 0):
            prompt = job(number + 1)
            found.append(cancel(client, prompt, whole * (number + 0.5) / chosen.moments, server.process.pid))
            unchanged = unchanged and drawn(client) == before
        most = max((one.computing for one in found), default=0.0)
        row = {"node": kind, "runs": round(whole, 2), "most computing": round(most, 2), "model unchanged": unchanged}
        row |= {"computing": [round(one.computing, 2) for one in found]}
        row |= {"seconds": [round(one.seconds, 2) for one in found], "ended": [one.how for one in found]}
        print(json.dumps(row), flush=True)
        rows.append(row)
        chosen.out.write_text(json.dumps(rows, indent=1))
    return rows


if __name__ == "__main__":
    sys.exit(main())
