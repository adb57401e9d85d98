"""Workers on every machine of a Ray cluster: one actor a GPU, or some a machine where there are none."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .drive import AHEAD, PATIENCE, Outcome
from .tasks import Task
from .worker import UNFIT, WorkerSettings

ROOT = Path(__file__).resolve().parents[1]
LOOK_EVERY = 2.0  # seconds between looks for machines that came or went
START_PATIENCE = 600.0  # seconds for a worker that Ray has no room for yet, or whose ComfyUI is slow to start
STARTS = 3  # of a worker that fails to start, on one machine


def actor_class(root: str) -> type:
    """The actor's class. Local, so that Ray sends it as it is and no machine has to find this module by its name.

    What goes to and fro is dictionaries alone, for the same reason. root: of the checkout, at the same place everywhere.
    """

    class ComfyWorker:
        def __init__(self, settings: dict[str, Any]) -> None:
            import sys

            sys.path[:0] = [root, f"{root}/scripts"]
            from fleet.worker import Worker, WorkerSettings

            self.worker = Worker(WorkerSettings(**settings))

        def start(self) -> dict[str, Any]:
            return self.worker.start()

        def work(self, task: dict[str, Any]) -> dict[str, Any]:
            from fleet.tasks import Task
            from fleet.worker import attempt

            return attempt(self.worker, Task(**task))

        def stop(self) -> None:
            self.worker.stop()

    return ComfyWorker


@dataclass
class _Placed:
    """An actor. starting: the answer of its start. shares: workers that divide its machine's memory. memory: 0 until
    it has started.
    """

    actor: Any
    node: str
    starting: Any
    shares: int
    memory: int = 0


@dataclass
class RayCrew:
    """A context manager over a cluster that ray.init has joined.

    settings: of a worker; name and scratch are made each worker's own. slots: workers of a machine without a GPU.
    need: bytes of main memory that each worker reserves with Ray.
    """

    settings: WorkerSettings
    slots: int
    need: int
    complain: Callable[[str], None]
    _placed: dict[str, _Placed] = field(default_factory=dict)
    _tasks: dict[Any, tuple[str, str]] = field(default_factory=dict)
    _failures: Counter[str] = field(default_factory=Counter)
    _count: int = 0
    _looked: float = 0.0

    def __enter__(self) -> RayCrew:
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        stops = [placed.actor.stop.remote() for placed in self._placed.values()]
        ray.wait(stops, num_returns=len(stops), timeout=10) if stops else None
        for placed in self._placed.values():
            ray.kill(placed.actor)

    def hands(self) -> Mapping[str, int]:
        if time.monotonic() - self._looked > LOOK_EVERY:
            self._looked = time.monotonic()
            self._settle()
            self._place()
        return {name: placed.memory for name, placed in self._placed.items() if placed.memory}

    def submit(self, hand: str, task: Task) -> None:
        self._tasks[self._placed[hand].actor.work.remote(task.as_dict())] = (hand, task.key)

    def wait(self, seconds: float) -> list[Outcome]:
        import ray

        if not self._tasks:
            time.sleep(min(seconds, 0.2))
            return []
        ended, _ = ray.wait(list(self._tasks), num_returns=1, timeout=seconds)
        return [self._outcome(reference) for reference in ended]

    def patience(self) -> float:
        starting = any(not placed.memory for placed in self._placed.values())
        return START_PATIENCE if starting else PATIENCE

    # --- actors ---

    def _outcome(self, reference: Any) -> Outcome:
        import ray
        from ray.exceptions import RayError, RayTaskError

        hand, key = self._tasks.pop(reference)
        answer: Any
        try:
            answer = ray.get(reference)
        except RayTaskError as error:  # of the fleet itself, not of a task
            answer = {"ok": False, "kind": UNFIT, "error": str(error)}
        except RayError as error:
            self._forget(hand, f"lost ({type(error).__name__})")
            return Outcome(hand, key, None)
        if answer.get("kind") == UNFIT:
            self._forget(hand, answer["error"], failed=True)
        return Outcome(hand, key, answer)

    def _forget(self, name: str, why: str, failed: bool = False) -> None:
        import ray

        placed = self._placed.pop(name, None)
        if placed is not None:
            self.complain(f"the worker {name} is gone: {why}")
            self._failures[placed.node] += failed
            ray.kill(placed.actor)

    def _settle(self) -> None:
        """Hear from the workers that were starting."""
        import ray
        from ray.exceptions import RayError

        for name, placed in list(self._placed.items()):
            if placed.memory or not ray.wait([placed.starting], timeout=0)[0]:
                continue
            try:
                about: Any = ray.get(placed.starting)
                placed.memory = about["memory"] // placed.shares
            except RayError as error:
                self._forget(name, f"it does not start: {error}", failed=True)

    def _place(self) -> None:
        """A worker for each free slot of each machine that is alive; none any more of those that are not."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        busy = {hand for hand, _ in self._tasks.values()}  # these tell by their tasks that they are lost
        for name in [name for name, placed in self._placed.items() if placed.node not in nodes and name not in busy]:
            self._forget(name, "its machine is gone")
        have = Counter(placed.node for placed in self._placed.values())
        gpus = any(node["Resources"].get("GPU") for node in nodes.values())
        for identity, node in nodes.items():
            slots = int(node["Resources"].get("GPU", 0)) if gpus else self.slots
            while have[identity] < slots and self._failures[identity] < STARTS:
                self._count += 1
                have[identity] += 1
                name = f"{node['NodeManagerAddress']}-{identity[:6]}-{self._count}"
                scratch = str(Path(self.settings.scratch, name))
                settings = replace(self.settings, name=name, scratch=scratch)
                options = {
                    "num_cpus": 1,
                    "num_gpus": 1 if gpus else 0,
                    "memory": self.need,
                    "max_concurrency": AHEAD + 1,
                }
                where = NodeAffinitySchedulingStrategy(identity, soft=False)
                actor: Any = (
                    ray.remote(actor_class(str(ROOT)))
                    .options(scheduling_strategy=where, **options)
                    .remote(settings.as_dict())
                )
                self._placed[name] = _Placed(actor, identity, actor.start.remote(), 1 if gpus else slots)


def join(address: str) -> str:
    """Join the Ray cluster at address ("auto", "10.0.0.1:6379"), or make one of this machine ("local"); the dashboard's URL.

    Raises ImportError where Ray is absent, ConnectionError where there is no such cluster.
    """
    if address == "local":  # all read when Ray is imported. It would write a token into the user's home, and give
        # ComfyUI the lowest priority of all programs
        os.environ.setdefault("RAY_worker_niceness", "0")
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))
    import ray

    context = ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    return str(context.dashboard_url or "")
