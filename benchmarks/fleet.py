"""What the fleet costs and how it grows, as ratios on this machine.

    python benchmarks/fleet.py [--ray] [--tasks 8] [--rounds 3] [--people 2] [--only overhead|scaling|order]

overhead: the same number of portrait tasks of one person, by turns through the fleet and straight through the queue of
the very same ComfyUI (all prompts posted at once, nothing fetched). Told are both times a task, their ratio, how long
the server stood still between tasks, and the processor time of the fleet itself a task.
scaling: strong, the same table with one worker and with two; weak, two workers with twice the people. 1.00 is ideal.
Each worker computes with one thread. Servers have started before the clock does; models are loaded while it runs. The
arms take turns; beside each time stands how many cores other programs had meanwhile, and where those were not idle, the
growth is also told as a share of the cores that were left.
order: processor time of a decision which task goes where, in a plan of 120,000; with --ray, of telling a worker.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import comfy_host  # noqa: E402

# a portrait takes two to four seconds of one core
SETTINGS = {
    "FaceChain_TrainPersonLoRA": {"steps": 20, "resolution": 64, "snapshots": 1},
    "EmptyLatentImage": {"width": 128, "height": 128},
    "KSampler": {"steps": 20},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ray", action="store_true", help="by Ray instead of threads")
    parser.add_argument("--tasks", type=int, default=8, help="portrait tasks of a round of overhead")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--people", type=int, default=2, help="of one worker, in scaling")
    parser.add_argument("--only", choices=("overhead", "scaling", "order"))
    arguments = parser.parse_args()
    comfy_host.reenter(comfy_host.prepare())
    parts = {"order": order, "overhead": overhead, "scaling": scaling}
    for name, part in parts.items():
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="facechain-fleet-") as folder:
                part(Path(folder), arguments)


# --- overhead ---


def overhead(home: Path, arguments: argparse.Namespace) -> None:
    if arguments.ray:
        raise SystemExit("overhead is of workers without Ray: both sides use the same server")
    _lay_out(home, 1)
    with _crew(home, "out", 1, False) as crew:
        _work(home, "out", 1, 1, crew)  # learn the person, warm the server
        (worker,) = crew.workers.values()
        rows: dict[str, list[float]] = {"bare": [], "fleet": [], "own": [], "still": []}
        for number in range(arguments.rounds):
            first = 1000 + 2 * number * arguments.tasks
            rows["bare"].append(_bare(worker, _plan(home, 1, arguments.tasks, first)) / arguments.tasks)
            own, begun = time.process_time(), time.perf_counter()
            records = _work(home, "out", 1, arguments.tasks, crew, first + arguments.tasks)
            rows["fleet"].append((time.perf_counter() - begun) / arguments.tasks)
            rows["own"].append((time.process_time() - own) / arguments.tasks)
            ran = sum(record["seconds"]["run"] for record in records.values())
            rows["still"].append(max(rows["fleet"][-1] - ran / arguments.tasks, 0.0))
    medians = {name: statistics.median(values) for name, values in rows.items()}
    print(f"overhead, {arguments.rounds} rounds of {arguments.tasks} tasks, medians")
    print(f"  a task straight through the queue  {medians['bare']:.3f} s   {_all(rows['bare'])}")
    print(f"  a task through the fleet           {medians['fleet']:.3f} s   {_all(rows['fleet'])}")
    print(f"  ratio                              {medians['fleet'] / medians['bare']:.3f}")
    print(
        f"  server stands still, a task        {1000 * medians['still']:.0f} ms = {medians['still'] / medians['bare']:.1%} of it"
    )
    print(
        f"  processor time of the fleet, a task {1000 * medians['own']:.0f} ms = {medians['own'] / medians['bare']:.1%} of it"
    )


def _bare(worker: Any, tasks: list[Any]) -> float:
    """Seconds that the portrait tasks take when all are posted to the queue at once."""
    from comfy_client import ComfyClient

    from fleet.recipes import prompt_of

    client = ComfyClient(worker.server.url)
    begun = time.perf_counter()
    for task in tasks:
        client.post("/prompt", {"prompt": prompt_of(task.kind, task.what, f"bare{task.key}")})
    while client.get("/prompt")["exec_info"]["queue_remaining"]:  # seldom and little, as it costs the server time
        time.sleep(0.05)
    return time.perf_counter() - begun


# --- scaling ---


def scaling(home: Path, arguments: argparse.Namespace) -> None:
    people = arguments.people
    _lay_out(home, 2 * people)
    arms = {"one": (1, people), "two": (2, people), "two, twice": (2, 2 * people)}
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    others: dict[str, list[float]] = {name: [] for name in arms}
    outs = []
    for number in range(arguments.rounds):
        for name, (workers, count) in arms.items():
            out = f"out {name} {number}"
            with _crew(home, out, workers, arguments.ray) as crew:
                begun, busy = time.perf_counter(), _busy_beside(home)
                _work(home, out, count, 3, crew)
                seconds[name].append(time.perf_counter() - begun)
                others[name].append((_busy_beside(home) - busy) / seconds[name][-1])
            outs += [out] if name != "two, twice" else []
            print(f"  {name}: {seconds[name][-1]:.1f} s, others {others[name][-1]:.2f} cores", flush=True)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        f"scaling by {'Ray' if arguments.ray else 'threads'}, {people} people a worker, 3 portrait tasks each, medians"
    )
    print(f"  1 worker, {people} people    {middle['one']:7.1f} s   {_all(seconds['one'])}")
    strong, weak = middle["one"] / middle["two"] / 2, middle["one"] / middle["two, twice"]
    print(
        f"  2 workers, {people} people   {middle['two']:7.1f} s   {_all(seconds['two'])}   strong scaling {strong:.2f}"
    )
    twice = f"{middle['two, twice']:7.1f} s   {_all(seconds['two, twice'])}"
    print(f"  2 workers, {2 * people} people   {twice}   weak scaling {weak:.2f}")
    free = {name: (os.cpu_count() or 1) - statistics.median(values) for name, values in others.items()}
    shares = 2 * strong / min(free["two"], 2), 2 * weak / min(free["two, twice"], 2)
    print(f"  of the cores that others left: strong {shares[0]:.2f}, weak {shares[1]:.2f}")
    alike = len({tuple(sorted(_pictures(home / out).items())) for out in outs}) == 1
    print(f"  pictures of one worker and of two: {'the same to the bit' if alike else 'DIFFERENT'}")


def _busy_beside(home: Path) -> float:
    """Core seconds that all programs but this benchmark's have had so far; what ended is counted with them."""
    import psutil

    own = 0.0
    for process in psutil.process_iter(["cmdline", "cpu_times", "pid"]):
        words = " ".join(process.info["cmdline"] or [])
        if process.info["cpu_times"] and (process.info["pid"] == os.getpid() or str(home) in words):
            own += process.info["cpu_times"].user + process.info["cpu_times"].system
    every = psutil.cpu_times()
    return every.user + every.nice + every.system - own


def _pictures(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in (out / "portraits").rglob("*.png")}


# --- order ---


def order(home: Path, arguments: argparse.Namespace) -> None:
    from fleet.schedule import Scheduler
    from fleet.tasks import Task

    tasks = []
    for n in range(10_000):
        intake = Task(f"{n} i", "intake", {}, (), (), (f"{n}",), (), "", 6.0, 1, "", "")
        training = Task(f"{n} t", "training", {}, (), (intake.key,), (f"{n}",), (intake.key,), "m", 100.0, 1, "", "")
        portraits = (
            Task(f"{n} {k}", "portraits", {}, (), (training.key,), (f"{n}",), (intake.key,), "m", 8.0, 1, "", "")
            for k in range(10)
        )
        tasks += [intake, training, *portraits]
    begun = time.process_time()
    scheduler = Scheduler(tasks)
    made = time.process_time() - begun
    for n in range(200):
        scheduler.join(f"{n}", 1)
    begun, done = time.process_time(), 0
    while scheduler.is_open():
        for name in list(scheduler.hands):
            task = scheduler.take(name)
            if task is not None:
                scheduler.finished(task.key)
                done += 1
    each = (time.process_time() - begun) / done
    print(f"order: {len(tasks):,} tasks taken up in {made:.1f} s; a decision {1000 * each:.2f} ms with 200 workers")
    if arguments.ray:
        print(f"  and {1000 * _call():.2f} ms to send a task to a worker by Ray and to hear of its end")


def _call() -> float:
    """Processor seconds of the sender for a task there and its record back, by an actor that only answers."""
    from fleet import on_ray

    on_ray.join("local")
    import ray

    class Echo:
        def work(self, task: dict[str, Any]) -> dict[str, Any]:
            return {"ok": True, "record": task}

    echo: Any = ray.remote(Echo).options(num_cpus=0).remote()
    task = {"what": {f"widget {n}": "x" * 20 for n in range(40)}}
    ray.get(echo.work.remote(task))
    begun, calls = time.process_time(), 1000
    for _ in range(calls):
        ray.wait([echo.work.remote(task)])
    spent = (time.process_time() - begun) / calls
    ray.shutdown()
    return spent


# --- what all share ---


def _lay_out(home: Path, people: int) -> None:
    """Photos of so many people (variants of one photo: what they show does not matter here), and the base model."""
    import demo_jobs
    import standin
    from PIL import Image

    (home / "models" / "checkpoints").mkdir(parents=True)
    standin.make_checkpoint(comfy_host.HOST / "standin" / standin.CHECKPOINT_NAME)
    (home / "models" / "checkpoints" / standin.CHECKPOINT_NAME).symlink_to(
        comfy_host.HOST / "standin" / standin.CHECKPOINT_NAME
    )
    (photo,) = demo_jobs.inputs(home / "made")["person1"]
    for number in range(people):
        folder = home / "photos" / f"p{number}"
        folder.mkdir(parents=True)
        Image.open(photo).convert("RGB").crop((number, 0, 512, 512)).save(folder / "1.png")


def _plan(home: Path, people: int, portraits: int, seed: int = 1) -> list[Any]:
    """Portrait tasks alone where their people are known; see _all_tasks."""
    return [task for task in _all_tasks(home, people, portraits, seed) if task.kind == "portraits"]


def _all_tasks(home: Path, people: int, portraits: int, seed: int) -> list[Any]:
    import standin

    from fleet.table import read_table
    from fleet.tasks import Studio, plan

    lines = [
        {"person": f"p{n}", "photos": f"photos/p{n}", "styles": "armor", "count": portraits, "seed": seed}
        for n in range(people)
    ]
    styles = {"armor": ROOT / "styles" / "armor.json"}
    rows = read_table("jobs.jsonl", "\n".join(map(json.dumps, lines)).encode(), styles, standin.CHECKPOINT_NAME)
    return plan(rows, Studio(home / "models", styles, SETTINGS, batch=1), str(home))


def _work(home: Path, out: str, people: int, portraits: int, crew: Any, seed: int = 1) -> dict[str, Any]:
    """Records of what this run did."""
    from fleet.drive import Run
    from fleet.ledger import Ledger
    from fleet.store import Store

    run = Run(_all_tasks(home, people, portraits, seed), Ledger(Store(str(home / out))), complain=print)
    manifest = run.work(crew)
    if set(manifest["states"]) != {"done"}:
        raise SystemExit(f"not all is done: {manifest['states']}")
    return run.finished


@contextlib.contextmanager
def _crew(home: Path, out: str, workers: int, ray: bool) -> Iterator[Any]:
    """So many workers, all of them there."""
    from fleet.ledger import Ledger
    from fleet.local import LocalCrew, local_workers
    from fleet.store import Store
    from fleet.worker import WorkerSettings

    scratch = home / f"{out} scratch"
    identity = Ledger(Store(str(home / out))).identity(make=True)
    settings = WorkerSettings("worker", str(home / out), identity, str(scratch), str(home / "models"))
    if ray:
        from fleet import on_ray

        on_ray.join("local")
        crew: Any = on_ray.RayCrew(settings, workers, 2**30, print)
    else:
        crew = LocalCrew(local_workers(settings, workers, 2**30), print)
    with crew:
        while len(crew.hands()) < workers:
            time.sleep(0.2)
        yield crew
    if ray:
        import ray as engine

        engine.shutdown()


def _all(values: list[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


if __name__ == "__main__":
    main()
