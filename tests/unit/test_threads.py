"""Work side by side: in order, bounded, and ended by the first error."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from facechain.threads import cores, side_by_side


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.05 if number == 0 else 0)
        return number * number

    assert list(side_by_side(slow_first, range(9), threads=3)) == [n * n for n in range(9)]
    assert list(side_by_side(slow_first, [], threads=3)) == []


def test_items_are_made_only_when_a_thread_is_free() -> None:
    made, done = 0, 0
    most = 0

    def items() -> Iterator[int]:
        nonlocal made, most
        for number in range(20):
            made += 1
            most = max(most, made - done)
            yield number

    def work(number: int) -> int:
        time.sleep(0.002)
        return number

    for _ in side_by_side(work, items(), threads=3):
        done += 1
    assert done == 20 and most <= 4  # three being worked on, and the result that is being given out


def test_several_threads_work_at_once_and_one_alone_in_the_callers() -> None:
    together = threading.Barrier(3, timeout=20)
    assert len(list(side_by_side(lambda _: together.wait(), range(3), threads=3))) == 3
    assert set(side_by_side(lambda _: threading.get_ident(), range(3), threads=1)) == {threading.get_ident()}


def test_an_error_ends_the_rest() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise KeyError(number)
        return number

    with pytest.raises(KeyError):
        list(side_by_side(work, range(100), threads=2))
    assert max(begun) <= 4


def test_a_reader_who_stops_ends_the_rest() -> None:
    """As ComfyUI's cancel does, raised between two results."""
    begun: list[int] = []
    results = side_by_side(lambda number: begun.append(number), range(100), threads=2)
    with pytest.raises(InterruptedError):
        for _ in results:
            raise InterruptedError
    results.close()
    assert max(begun) <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("facechain")]


def test_the_environment_limits_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    for value, wanted in {"2": 2, "64": 6, "": 6, "many": 6, "0": 6}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert cores() == wanted
