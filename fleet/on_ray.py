"""Workers on every machine of a Ray cluster: one actor a GPU, or some a machine where there are none."""

from __future__ import annotations

import logging
import os
import secrets
import socket
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
HEAD_PATIENCE = 15.0  # seconds for Ray's head to answer again; after 60 Ray ends the program, without a word to us
START_PATIENCE = 600.0  # seconds for a worker that Ray has no room for yet, or whose ComfyUI is slow to start
STARTS = 3  # of a worker that fails to start, on one machine


def actor_class(root: str) -> type:
    """The actor's class. Local, so that Ray sends it as it is and no machine has to find this module by its name.

    What goes to and fro is dictionaries alone, for the same reason. root: of the checkout, at the same place everywhere.
    """

    class ComfyWorker:
        def __init__(self, settings: dict[str, Any], slot: int) -> None:
            import sys

            import ray

            sys.path[:0] = [root, f"{root}/scripts"]
            from fleet.worker import Worker, WorkerSettings

            self.worker = Worker(WorkerSettings(**settings))
            gpus = ray.get_runtime_context().get_accelerator_ids().get("GPU")
            self.place = f"GPU {', '.join(gpus)}" if gpus else f"slot {slot}"

        def __repr__(self) -> str:
            """What Ray's dashboard calls it."""
            return f"{self.place} of {self.worker.settings.name.split('-')[0]}"

        def start(self) -> dict[str, Any]:
            return self.worker.start()

        def work(self, task: dict[str, Any]) -> dict[str, Any]:
            from fleet.tasks import Task
            from fleet.worker import attempt

            asked = Task(**task)
            answer = attempt(self.worker, asked)
            said = "done" if answer["ok"] else answer["error"]
            print(f"{asked.label}: {said}", flush=True)  # into Ray's log of the worker
            return answer

        def stop(self) -> None:
            self.worker.stop()

    ComfyWorker.__qualname__ = "ComfyWorker"  # as the dashboard shows it
    return ComfyWorker


@dataclass
class _Placed:
    """An actor. slot: which of its machine's places it has, from 1. starting: the answer of its start. shares: workers
    that divide its machine's memory. memory: 0 until it has started.
    """

    actor: Any
    node: str
    slot: int
    starting: Any
    shares: int
    memory: int = 0


@dataclass
class RayCrew:
    """A context manager over a cluster that ray.init has joined; `hands` raises RuntimeError where its head is gone.

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
    _head: str = ""
    _head_answered: float = 0.0

    def __enter__(self) -> RayCrew:
        import ray

        self._head, self._head_answered = str(ray.get_runtime_context().gcs_address), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        stops = [placed.actor.stop.remote() for placed in self._placed.values()]
        ray.wait(stops, num_returns=len(stops), timeout=10) if stops else None
        for placed in self._placed.values():
            self._kill(placed)

    def hands(self) -> Mapping[str, int]:
        if time.monotonic() - self._looked > LOOK_EVERY:
            self._looked = time.monotonic()
            if self._head_answers():  # without it the calls of these would wait for a minute
                self._settle()
                self._place()
            elif self._looked - self._head_answered > HEAD_PATIENCE:
                raise RuntimeError(
                    f"Ray's head at {self._head} does not answer any more. What is done stays done: start Ray again "
                    "(`ray stop --force` on each machine, then as before), then the same command"
                )
        return {name: placed.memory for name, placed in self._placed.items() if placed.memory}

    def submit(self, hand: str, task: Task) -> None:
        work = self._placed[hand].actor.work.options(name=task.label)
        self._tasks[work.remote(task.as_dict())] = (hand, task.key)

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
            answer = {"ok": False, "kind": UNFIT, "error": str(error.cause)}
        except RayError as error:
            self._forget(hand, f"lost ({type(error).__name__})")
            return Outcome(hand, key, None)
        if answer.get("kind") == UNFIT:
            self._forget(hand, answer["error"], failed=True)
        return Outcome(hand, key, answer)

    def _head_answers(self) -> bool:
        host, _, port = self._head.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
        except OSError:
            return False
        self._head_answered = time.monotonic()
        return True

    def _kill(self, placed: _Placed) -> None:
        import ray

        if self._head_answers():
            ray.kill(placed.actor)

    def _forget(self, name: str, why: str, failed: bool = False) -> None:
        placed = self._placed.pop(name, None)
        if placed is not None:
            self.complain(f"the worker {name} is gone: {why}")
            self._failures[placed.node] += failed
            self._kill(placed)

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
                self._forget(name, f"it does not start: {getattr(error, 'cause', None) or error}", failed=True)

    def _place(self) -> None:
        """A worker for each free slot of each machine that is alive; none any more of those that are not."""
        import ray

        nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        busy = {hand for hand, _ in self._tasks.values()}  # these tell by their tasks that they are lost
        for name in [name for name, placed in self._placed.items() if placed.node not in nodes and name not in busy]:
            self._forget(name, "its machine is gone")
        gpus = any(node["Resources"].get("GPU") for node in nodes.values())
        for identity, node in nodes.items():
            slots = int(node["Resources"].get("GPU", 0)) if gpus else self.slots
            taken = {placed.slot for placed in self._placed.values() if placed.node == identity}
            for slot in sorted(set(range(1, slots + 1)) - taken):
                if self._failures[identity] < STARTS:
                    self._place_one(identity, node["NodeManagerAddress"], slot, gpus)

    def _place_one(self, node: str, address: str, slot: int, gpu: bool) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._count += 1
        name = f"{address}-{node[:6]}-{self._count}"
        settings = replace(self.settings, name=name, scratch=str(Path(self.settings.scratch, name)))
        actor: Any = (
            ray.remote(actor_class(str(ROOT)))
            .options(
                name=name,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
                num_cpus=1,
                num_gpus=int(gpu),
                memory=self.need,
                max_concurrency=AHEAD + 1,
            )
            .remote(settings.as_dict(), slot)
        )
        starting = actor.start.options(name="start ComfyUI").remote()
        self._placed[name] = _Placed(actor, node, slot, starting, 1 if gpu else self.slots)


def join(address: str) -> tuple[str, str]:
    """Join the Ray cluster at address ("auto", "10.0.0.1:6379"), or make one of this machine ("local").

    Returns the dashboard's address, and the token that it asks for where the cluster is new and has one of its own.
    Raises ImportError where Ray is absent, ConnectionError where there is no such cluster.
    """
    token = ""
    if address == "local":  # all read when Ray is imported. It would write a token into the user's home, and give
        # ComfyUI the lowest priority of all programs
        token = "" if "RAY_AUTH_TOKEN" in os.environ else secrets.token_hex(16)
        os.environ.setdefault("RAY_worker_niceness", "0")
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", token)
    import ray

    context = ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    return str(context.dashboard_url or ""), token
