"""The run's book-keeping when workers fail or are lost, told by a crew that follows a script; real ones: tests/comfy/test_fleet.py."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fleet.drive import AHEAD, AHEAD_SECONDS, Outcome, Run
from fleet.ledger import Ledger
from fleet.store import Store
from fleet.tasks import Task
from fleet.worker import CRASH, JOB, NOT_BEGUN, UNFIT

GB = 2**30


def task(key: str, seconds: float = 1.0, memory: int = GB) -> Task:
    return Task(key, "portraits", {}, (), (), ("Anna",), ("anna",), "base", seconds, memory, "portraits/Anna", key)


class ScriptedCrew:
    """Answers tasks in the order they were given. script: by key, what becomes of each try; then it is done.

    "lost" loses the worker with all that it has; another one comes in its place.
    """

    def __init__(self, ledger: Ledger, script: Mapping[str, list[str]], memory: int = 8 * GB) -> None:
        self.ledger, self.memory = ledger, memory
        self.script = {key: list(fates) for key, fates in script.items()}
        self.given: list[str] = []
        self.most_at_once = 0
        self._names = (f"worker-{n}" for n in itertools.count(1))
        self._here = {next(self._names): []}
        self._ended: list[Outcome] = []

    def hands(self) -> Mapping[str, int]:
        return dict.fromkeys(self._here, self.memory)

    def submit(self, hand: str, task: Task) -> None:
        self.given.append(task.key)
        self._here[hand].append(task)
        self.most_at_once = max(self.most_at_once, len(self._here[hand]))

    def wait(self, seconds: float) -> list[Outcome]:
        for hand, tasks in list(self._here.items()):
            if tasks:
                self._end_first(hand, tasks)
        ended, self._ended = self._ended, []
        return ended

    def patience(self) -> float:
        return 0.0

    def _end_first(self, hand: str, tasks: list[Task]) -> None:
        key = tasks[0].key
        fate = self.script[key].pop(0) if self.script.get(key) else "done"
        if fate in ("lost", "lost after"):
            if fate == "lost after":
                self._commit(tasks[0])
            del self._here[hand]
            self._here[next(self._names)] = []
            # in the order that Ray happens to tell
            self._ended += [Outcome(hand, each.key, None) for each in reversed(tasks)]
            return
        done = tasks.pop(0)
        answer = (
            {"ok": True, "record": self._commit(done)} if fate == "done" else {"ok": False, "kind": fate, "error": fate}
        )
        if fate in (JOB, CRASH):
            self.ledger.add_try(key, {"error": fate})
        self._ended.append(Outcome(hand, key, answer))

    def _commit(self, task: Task) -> dict[str, Any]:
        return self.ledger.commit(task, {"picture 1": (f"{task.folder}/{task.key}.png", b"x")}, {"worker": "w"})


@pytest.fixture()
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Store(str(tmp_path)))


def states(manifest: dict[str, Any]) -> dict[str, str]:
    return {entry["key"]: entry["state"] for entry in manifest["tasks"]}


def test_a_lost_worker_costs_a_try_of_what_ran_alone(ledger: Ledger) -> None:
    crew = ScriptedCrew(ledger, {"a": ["lost", "lost"]})
    run = Run([task("a", 3), task("b", 2), task("c", 1)], ledger)
    manifest = run.work(crew)
    assert set(states(manifest).values()) == {"done"}
    assert run.scheduler.tries == {"a": 2} and [why["kind"] for why in ledger.failures("a")] == ["lost", "lost"]
    assert crew.most_at_once == 2, "one runs, one waits"


def test_a_task_that_kills_every_worker_is_given_up(ledger: Ledger) -> None:
    told: list[str] = []
    crew = ScriptedCrew(ledger, {"b": ["lost"] * 9})
    manifest = Run([task("a"), task("b"), task("c")], ledger, complain=told.append).work(crew)
    assert states(manifest) == {"a": "done", "b": "failed", "c": "done"}
    assert crew.given.count("b") >= 3 and "b: try 3 of 3 failed, given up" in told[-1]
    assert next(entry for entry in manifest["tasks"] if entry["key"] == "b")["tries"][2]["kind"] == "lost"


def test_what_was_finished_before_the_worker_was_lost_is_not_done_again(ledger: Ledger) -> None:
    crew = ScriptedCrew(ledger, {"a": ["lost after"]})
    run = Run([task("a", 2), task("b", 1)], ledger)
    assert set(states(run.work(crew)).values()) == {"done"}
    assert crew.given.count("a") == 1 and not run.scheduler.tries


def test_what_had_not_begun_is_given_again_and_not_counted(ledger: Ledger) -> None:
    crew = ScriptedCrew(ledger, {"a": [NOT_BEGUN, UNFIT, CRASH, JOB]})
    run = Run([task("a"), task("b")], ledger)
    assert set(states(run.work(crew)).values()) == {"done"}
    assert run.scheduler.tries == {"a": 2} and crew.given.count("a") == 5


def test_a_second_run_goes_on_where_the_first_ended(ledger: Ledger) -> None:
    tasks = [task(key) for key in "abcd"]
    Run(tasks[:2], ledger).work(ScriptedCrew(ledger, {"b": [JOB] * 3}))
    crew = ScriptedCrew(ledger, {})
    run = Run(tasks, ledger)
    assert states(run.work(crew)) == {"a": "done", "b": "failed", "c": "done", "d": "done"}
    assert sorted(crew.given) == ["c", "d"] and not Run(tasks, ledger).is_open()


def test_what_no_worker_has_the_memory_for_is_told_and_left(ledger: Ledger) -> None:
    told: list[str] = []
    manifest = Run([task("a"), task("large", memory=60 * GB)], ledger, complain=told.append).work(
        ScriptedCrew(ledger, {})
    )
    assert states(manifest) == {"a": "done", "large": "open"}
    assert "more memory than any worker has (8.0 GB at most)" in told[-1]


class SlowCrew:
    """Two workers; one ends nothing before the other has done all that it is given."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.held: dict[str, list[Task]] = {"quick": [], "slow": []}
        self.most = dict.fromkeys(self.held, 0)

    def hands(self) -> Mapping[str, int]:
        return dict.fromkeys(self.held, 8 * GB)

    def submit(self, hand: str, task: Task) -> None:
        self.held[hand].append(task)
        self.most[hand] = max(self.most[hand], len(self.held[hand]))

    def wait(self, seconds: float) -> list[Outcome]:
        hand = "quick" if self.held["quick"] else "slow"
        done = self.held[hand].pop(0)
        record = self.ledger.commit(done, {"picture 1": (f"x/{done.key}.png", b"x")}, {"worker": hand})
        return [Outcome(hand, done.key, {"ok": True, "record": record})]

    def patience(self) -> float:
        return 0.0


def test_a_slow_worker_is_given_no_more_than_it_takes_in(ledger: Ledger) -> None:
    crew = SlowCrew(ledger)
    run = Run([task(f"{n:03}") for n in range(40)], ledger)
    run.work(crew)
    by = [record["worker"] for record in run.finished.values()]
    assert crew.most == {"quick": AHEAD, "slow": AHEAD} and by.count("slow") == AHEAD and by.count("quick") == 38


def test_behind_a_long_task_none_waits(ledger: Ledger) -> None:
    crew = SlowCrew(ledger)
    Run([task(f"{n}", seconds=AHEAD_SECONDS) for n in range(10)], ledger).work(crew)
    assert crew.most == {"quick": 1, "slow": 1}
