"""The fleet's order of work: pure rules, tried on small plans and on a simulated day."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterable, Sequence

import pytest

from fleet.schedule import Scheduler
from fleet.tasks import Task

GB = 2**30


def task(
    key: str,
    kind: str = "portraits",
    needs: Sequence[str] = (),
    who: str = "",
    checkpoint: str = "",
    seconds: float = 1.0,
    memory: int = GB,
) -> Task:
    learnt = (who,) if who else ()
    return Task(key, kind, {}, (), tuple(needs), (who,), learnt, checkpoint, seconds, memory, "", key)


def person(who: str, portraits: int, training: float = 20.0, checkpoint: str = "a", each: float = 8.0) -> list[Task]:
    return [
        task(f"{who} intake", "intake", seconds=4.0),
        task(f"{who} training", "training", [f"{who} intake"], who, checkpoint, training),
        *(task(f"{who} {n}", "portraits", [f"{who} training"], who, checkpoint, each) for n in range(portraits)),
    ]


def simulate(
    scheduler: Scheduler, speeds: dict[str, float], memory: int = 80 * GB
) -> tuple[float, list[tuple[str, str]]]:
    """(time of the last end, (hand, key) as they began) of hands that each do one task at a time."""
    for name in speeds:
        scheduler.join(name, memory)
    clock, ends, order = 0.0, [], []
    while scheduler.is_open():
        for name, speed in speeds.items():
            if not scheduler.hands[name].running and (given := scheduler.take(name)):
                order.append((name, given.key))
                heapq.heappush(ends, (clock + given.seconds / speed, given.key))
        assert ends, "nothing runs, and something is left"
        clock, key = heapq.heappop(ends)
        scheduler.finished(key)
    return clock, order


def test_needs_come_first_and_everything_is_done_once() -> None:
    tasks = [*person("p", 3), *person("q", 2)]
    _, order = simulate(Scheduler(tasks), {"one": 1.0, "two": 1.0})
    began = [key for _, key in order]
    assert sorted(began) == sorted(each.key for each in tasks)
    assert all(began.index(need) < began.index(each.key) for each in tasks for need in each.needs)


def test_a_hand_stays_with_the_person_who_is_warm() -> None:
    tasks = [each for who in "pqrstu" for each in person(who, 6)]
    _, order = simulate(Scheduler(tasks), {"one": 1.0, "two": 1.0})
    for name in ("one", "two"):
        whom = [key.split()[0] for hand, key in order if hand == name and not key.endswith("intake")]
        changes = sum(before != after for before, after in itertools.pairwise(whom))
        assert changes <= 4, whom  # three people each, and one who is shared at the end


def test_base_models_are_not_mixed_on_a_hand() -> None:
    tasks = [each for who in "pqrs" for each in person(who, 4, checkpoint="a" if who in "pq" else "b")]
    _, order = simulate(Scheduler(tasks), {"one": 1.0, "two": 1.0})
    models = {each.key: each.checkpoint for each in tasks}
    for name in ("one", "two"):
        used = [models[key] for hand, key in order if hand == name and models[key]]
        assert sum(before != after for before, after in itertools.pairwise(used)) <= 1


def test_the_longest_training_is_not_left_for_the_end() -> None:
    short = [each for who in "pqrstuvw" for each in person(who, 4, training=5)]
    long = person("z", 1, training=100)
    seconds, order = simulate(Scheduler([*short, *long]), {"one": 1.0, "two": 1.0})
    least = sum(each.seconds for each in [*short, *long]) / 2
    assert seconds <= 1.1 * max(least, 4 + 100 + 8)
    assert [key for _, key in order].index("z training") < len(order) / 2


@pytest.mark.parametrize("hands", [1, 2, 5, 16])
def test_a_day_of_portraits_ends_near_the_least_time_possible(hands: int) -> None:
    dice = random.Random(hands)
    tasks = [
        each
        for n in range(120)
        for each in person(f"p{n}", 10, dice.choice([50, 100, 150]), dice.choice("ab"), dice.uniform(4, 12))
    ]
    seconds, order = simulate(Scheduler(tasks), {f"h{n}": 1.0 for n in range(hands)})
    chain = max(Scheduler(tasks).chain.values())
    least = max(sum(each.seconds for each in tasks) / hands, chain)
    assert len(order) == len(tasks)
    assert seconds <= 1.08 * least


def test_what_has_no_room_waits_for_a_hand_with_more() -> None:
    scheduler = Scheduler([task("large", memory=60 * GB, checkpoint="b"), task("small", memory=4 * GB, checkpoint="a")])
    scheduler.join("card of 8 GB", 8 * GB)
    assert scheduler.take("card of 8 GB").key == "small"  # type: ignore[union-attr]
    assert scheduler.take("card of 8 GB") is None and scheduler.is_open()
    scheduler.join("card of 80 GB", 80 * GB)
    assert scheduler.take("card of 80 GB").key == "large"  # type: ignore[union-attr]


def test_a_poisoned_task_is_given_up_after_three_tries_and_takes_only_its_own_with_it() -> None:
    scheduler = Scheduler([*person("p", 2), *person("q", 2)])
    scheduler.join("one", GB)
    given, tries = [], 0
    while (each := scheduler.take("one")) is not None:
        given.append(each.key)
        if each.key == "p training":
            tries += 1
            assert scheduler.failed_once(each.key) == (tries == 3)
        else:
            scheduler.finished(each.key)
    assert tries == 3 and scheduler.failed == {"p training"} and not scheduler.is_open()
    assert {"p 0", "p 1"}.isdisjoint(given) and {"q 0", "q 1", "p intake"} <= set(given)
    assert scheduler.left == pytest.approx(0)


def test_earlier_runs_count() -> None:
    tasks = [*person("p", 2), *person("q", 1)]
    scheduler = Scheduler(tasks, done=["p intake", "p training", "of another table"], tries={"q intake": 3, "p 0": 2})
    scheduler.join("one", GB)
    assert {scheduler.take("one").key for _ in range(2)} == {"p 0", "p 1"}  # type: ignore[union-attr]
    assert scheduler.take("one") is None
    assert scheduler.failed_once("p 0") is True
    scheduler.finished("p 1")
    assert not scheduler.is_open() and scheduler.failed == {"q intake", "p 0"}


def test_a_task_that_had_not_begun_is_given_again_without_counting() -> None:
    scheduler = Scheduler([task("only", checkpoint="a")])
    scheduler.join("one", GB)
    scheduler.join("two", GB)
    assert scheduler.take("one")
    assert scheduler.take("two") is None
    scheduler.returned("only")
    scheduler.leave("one")
    assert scheduler.take("two").key == "only" and not scheduler.tries["only"]  # type: ignore[union-attr]


def test_idle_hands_help_where_another_is_warm() -> None:
    tasks = [task(f"p {n}", who="p", checkpoint="a") for n in range(10)]
    seconds, _ = simulate(Scheduler(tasks), {"one": 1.0, "two": 1.0})
    assert seconds == 5.0


def test_a_plan_of_a_hundred_thousand_tasks_is_decided_quickly() -> None:
    def many() -> Iterable[Task]:
        return (each for n in range(10_000) for each in person(f"p{n}", 8))

    scheduler = Scheduler(many())
    for n in range(8):
        scheduler.join(f"h{n}", GB)
    import time

    begun = time.perf_counter()
    for _ in range(500):
        for n in range(8):
            each = scheduler.take(f"h{n}")
            assert each
            scheduler.finished(each.key)
    assert (time.perf_counter() - begun) / 4000 < 0.005  # seconds a decision, on a busy machine
