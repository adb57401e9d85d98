"""Working on several items at once, with no more of them in memory than there are threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_MOST = 8  # pictures in memory at once, at most


def cores() -> int:
    """How many threads may work at once; fewer than the machine has cores where OMP_NUM_THREADS says so."""
    have = os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(have, int(wanted)) if wanted.isdigit() and int(wanted) > 0 else have


def side_by_side(
    work: Callable[[_Item], _Result], items: Iterable[_Item], threads: int = 0
) -> Generator[_Result, None, None]:
    """work(item) for each item, in their order, by several threads; for work that leaves Python's lock, as networks do.

    The next item is taken only when a thread is free for it. An error of work, or of whoever reads the results,
    ends the rest: what runs is waited for, nothing new is begun. threads: 0 for as many as there are cores.
    """
    count = min(threads or cores(), _MOST)
    if count == 1:
        yield from map(work, items)
        return
    running: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="facechain") as pool:
        try:
            for item in items:
                running.append(pool.submit(work, item))
                del item  # else it would stay in memory while the next one is made
                if len(running) >= count:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
