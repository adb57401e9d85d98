"""Workers of this machine, without Ray: threads here, one ComfyUI process a worker."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from .drive import AHEAD, Outcome
from .ledger import Record
from .tasks import Task
from .worker import UNFIT, Worker, WorkerSettings, attempt


def local_workers(settings: WorkerSettings, wanted: int, need: int) -> list[WorkerSettings]:
    """One worker a GPU; without one, as many as wanted (0: one) and as main memory holds.

    settings: of all; name and scratch are made each worker's own. need: bytes that the largest task takes.
    """
    import psutil
    import torch

    count = torch.cuda.device_count()
    if count:
        places = [{"CUDA_VISIBLE_DEVICES": str(number)} for number in range(min(count, wanted or count))]
    else:
        places = [{}] * max(1, min(wanted or 1, psutil.virtual_memory().available // need))
    return [
        replace(settings, name=f"worker-{n}", scratch=f"{settings.scratch}/worker-{n}", environment=place)
        for n, place in enumerate(places, 1)
    ]


class LocalCrew:
    """A context manager. settings: of each worker; all of them start at once, and work begins with the first."""

    def __init__(self, settings: Sequence[WorkerSettings], complain: Callable[[str], None]) -> None:
        self.workers = {each.name: Worker(each) for each in settings}
        self._complain = complain
        self._hands: dict[str, int] = {}
        self._pool = ThreadPoolExecutor(max_workers=len(self.workers) * AHEAD + 1, thread_name_prefix="fleet")
        self._ended: queue.Queue[Outcome | None] = queue.Queue()
        self._starting = len(self.workers)
        self._stopping = False

    def __enter__(self) -> LocalCrew:
        for name, worker in self.workers.items():
            self._pool.submit(worker.start).add_done_callback(lambda future, name=name: self._started(name, future))
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for worker in self.workers.values():
            worker.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def hands(self) -> Mapping[str, int]:
        """Raises RuntimeError where no worker is left and none can come."""
        if not self._hands and not self._starting:
            raise RuntimeError("no ComfyUI runs here; see the messages above")
        return dict(self._hands)

    def submit(self, hand: str, task: Task) -> None:
        future = self._pool.submit(attempt, self.workers[hand], task)
        future.add_done_callback(lambda done: self._answered(hand, task.key, done))

    def wait(self, seconds: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        try:
            first = self._ended.get(timeout=seconds)
            outcomes += [first] if first else []
            while True:
                more = self._ended.get_nowait()
                outcomes += [more] if more else []
        except queue.Empty:
            return outcomes

    def patience(self) -> float:
        return float("inf") if self._starting else 0.0

    def _started(self, name: str, future: Future[Record]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            if not self._stopping:
                self._complain(f"the worker {name} does not start: {error}")
        elif not future.cancelled():
            # workers that share one memory, as on the CPU, share it out
            about = future.result()
            share = len(self.workers) if about["device"] == "cpu" else 1
            self._hands[name] = about["memory"] // share
        self._starting -= 1
        self._ended.put(None)

    def _answered(self, hand: str, key: str, future: Future[Record]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:  # of the fleet itself, not of a task
            self._complain(f"the worker {hand} failed: {type(error).__name__}: {error}")
            answer: Record = {"ok": False, "kind": UNFIT, "error": str(error)}
        else:
            answer = future.result()
        if answer.get("kind") == UNFIT:
            self._complain(f"the worker {hand} is given up: {answer['error']}")
            self._hands.pop(hand, None)
        self._ended.put(Outcome(hand, key, answer))
