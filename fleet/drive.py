"""The run itself: gives tasks to workers, hears what became of them, until nothing is left. The same with and without Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .ledger import Ledger, Record
from .schedule import Scheduler
from .tasks import Task
from .worker import CRASH, JOB, now, why

AHEAD = 2  # tasks a worker may have: one that runs, one that waits in ComfyUI's queue, so that the GPU never does
AHEAD_SECONDS = 30.0  # behind a longer task none waits: another worker may be free sooner
PATIENCE = 60.0  # seconds without any worker, or with none that has the memory, before the run gives up
LOST = "lost"  # of an outcome: the worker is gone


@dataclass(frozen=True)
class Outcome:
    """What became of a task; each submitted one has exactly one. answer: of fleet.worker.attempt; None where the worker
    was lost.
    """

    hand: str
    key: str
    answer: Record | None


class Crew(Protocol):
    """Workers, wherever they are."""

    def hands(self) -> Mapping[str, int]:
        """Name and memory in bytes of each worker that is there now; workers may come and go."""
        ...

    def submit(self, hand: str, task: Task) -> None: ...

    def wait(self, seconds: float) -> list[Outcome]:
        """What has ended meanwhile; returns early as soon as something has."""
        ...

    def patience(self) -> float:
        """Seconds to wait for workers that may still come."""
        ...


@dataclass
class Told:
    """How a run stands, for whoever shows it."""

    total: int
    done: int
    failed: int
    pictures: int
    hands: int
    running: int


@dataclass
class Run:
    """One run over a plan. shown: called after each change; complain: with what the user should read.

    finished: records of tasks that were done in this run.
    """

    tasks: Sequence[Task]
    ledger: Ledger
    most_tries: int = 3
    shown: Callable[[Told], None] = lambda told: None
    complain: Callable[[str], None] = lambda text: None
    finished: dict[str, Record] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begun = now()
        self.scheduler = Scheduler(self.tasks, self.ledger.done(), self.ledger.tries(), self.most_tries)
        self._found = len(self.scheduler.done)
        self._pictures = 0
        self._blamed: set[str] = set()
        self._idle_since = time.monotonic()

    def is_open(self) -> bool:
        """Whether there is anything to do."""
        return self.scheduler.is_open()

    def work(self, crew: Crew) -> Record:
        """Until all is done or given up; the manifest. Where it is interrupted, `manifest` is the caller's to write, once
        the crew has ended: what its workers finish until then is in it.
        """
        while self.is_open():
            self._give(crew, self._meet(crew))
            if not self._waits(crew):
                self._complain_of_waiting()
                break
            for outcome in crew.wait(1.0):
                self._hear(outcome)
            self._show()
        return self.manifest()

    def manifest(self) -> Record:
        about = {"begun": self.begun, "ended": now(), "found_done": self._found}
        return self.ledger.write_manifest(self.tasks, self.scheduler.failed, self.finished, about)

    def _waits(self, crew: Crew) -> bool:
        """Whether there is something to wait for."""
        if self.scheduler.running():
            self._idle_since = time.monotonic()
            return True
        return time.monotonic() - self._idle_since <= crew.patience()

    def _complain_of_waiting(self) -> None:
        most = max((hand.memory for hand in self.scheduler.hands.values()), default=0) / 2**30
        self.complain(
            f"what is left needs more memory than any worker has ({most:.1f} GB at most), or there is no worker"
        )

    def _meet(self, crew: Crew) -> list[str]:
        """Let new workers join, and those go that are no more once each of their tasks is accounted for; who is there."""
        hands = crew.hands()
        for name in [name for name, hand in self.scheduler.hands.items() if name not in hands and not hand.running]:
            self.scheduler.leave(name)
        for name, memory in hands.items():
            if name not in self.scheduler.hands:
                self.scheduler.join(name, memory)
                self._idle_since = time.monotonic()
        return list(hands)

    def _give(self, crew: Crew, there: Sequence[str]) -> None:
        for name in there:
            hand = self.scheduler.hands[name]
            while (len(hand.running) < AHEAD and sum(hand.running.values()) < AHEAD_SECONDS) or not hand.running:
                task = self.scheduler.take(name)
                if task is None:
                    break
                crew.submit(name, task)

    def _hear(self, outcome: Outcome) -> None:
        answer = outcome.answer
        if answer is None:
            self._lose(outcome)
        elif answer["ok"]:
            self.scheduler.finished(outcome.key)
            self.finished[outcome.key] = answer["record"]
            self._pictures += sum(role.startswith("picture") for role in answer["record"]["files"])
        elif answer["kind"] in (JOB, CRASH):
            self._fail(outcome.key, answer["error"])
        else:
            self.scheduler.returned(outcome.key)

    def _lose(self, outcome: Outcome) -> None:
        """A worker is gone. The task that it got first was running, and has failed once; others had not begun."""
        first = next(iter(self.scheduler.hands[outcome.hand].running), None)
        if self.ledger.record(outcome.key) is not None:  # it was done before the worker went
            self.scheduler.finished(outcome.key)
        elif outcome.key == first and outcome.hand not in self._blamed:
            self._blamed.add(outcome.hand)
            error = f"the worker {outcome.hand} was lost while it ran"
            self.ledger.add_try(outcome.key, why(error, LOST, outcome.hand))
            self._fail(outcome.key, error)
        else:
            self.scheduler.returned(outcome.key)

    def _fail(self, key: str, error: str) -> None:
        title = self.scheduler.tasks[key].title
        given_up = self.scheduler.failed_once(key)
        count = self.scheduler.tries[key]
        self.complain(f"{title}: try {count} of {self.most_tries} failed{', given up' if given_up else ''}: {error}")

    def _show(self) -> None:
        scheduler = self.scheduler
        self.shown(
            Told(
                total=len(scheduler.tasks),
                done=len(scheduler.done),
                failed=len(scheduler.failed),
                pictures=self._pictures,
                hands=len(scheduler.hands),
                running=scheduler.running(),
            )
        )
