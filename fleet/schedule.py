"""Which task next, for which worker. Pure: told what happened, asked what to do; no clock, no files, no network.

A worker is called a hand. The rules, in their order:

1. What no hand has the memory for is left out; a task whose needs are not done waits.
2. Urgent first: where a chain of tasks (a training and all that waits for it) is as long as what is left for each hand,
   its first task goes at once, the longest first. Otherwise it would run alone at the end.
3. Then what is warm: the person whose LoRA the hand used last, so that neither base model nor LoRA is loaded again.
4. Then the longest chain of the same base model, of people whom no other hand has warm.
5. Then another base model: the one with the most work for each hand that is on it.
6. Then people whom another hand has warm, so that no hand is idle.
"""

from __future__ import annotations

import bisect
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .tasks import Task

Group = tuple[str, tuple[str, ...]]  # base model, people: what a hand keeps warm
REMEMBERED = 4  # groups that a hand may find warm: it can have several tasks in its queue at once


@dataclass
class Hand:
    """A worker as the scheduler sees it. memory: bytes. warm: groups, the last one first. running: keys."""

    memory: int
    warm: list[Group] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)


class Scheduler:
    """tasks: all of a table. done: keys of those that need no work. tries: failures so far, by key."""

    def __init__(
        self,
        tasks: Iterable[Task],
        done: Iterable[str] = (),
        tries: Mapping[str, int] | None = None,
        most_tries: int = 3,
    ) -> None:
        self.tasks = {task.key: task for task in tasks}
        self.done = set(done) & set(self.tasks)
        self.tries = Counter(dict(tries or {}))
        self.most_tries = most_tries
        self.failed = {
            key
            for key, count in self.tries.items()
            if key in self.tasks and key not in self.done and count >= most_tries
        }
        self.hands: dict[str, Hand] = {}
        self.left = sum(task.seconds for key, task in self.tasks.items() if key not in self.done)
        self._after: dict[str, list[str]] = defaultdict(list)
        for task in self.tasks.values():
            for key in task.needs:
                self._after[key].append(task.key)
        self._without: set[str] = set()  # what waits for something that failed
        self.chain = self._chains()
        self._missing = {key: sum(need not in self.done for need in task.needs) for key, task in self.tasks.items()}
        self._ready: dict[Group, list[tuple[float, str]]] = defaultdict(list)
        self._heaps: dict[str, list[tuple[float, Group]]] = defaultdict(list)
        self._ready_seconds: defaultdict[str, float] = defaultdict(float)
        for key in self.failed:
            self._leave_out_after(key)
        for key, missing in self._missing.items():
            if not missing and key not in self.done and key not in self.failed:
                self._make_ready(key)

    # --- what happens ---

    def join(self, name: str, memory: int) -> None:
        """A worker is there. memory: bytes of its device."""
        self.hands[name] = Hand(memory)

    def leave(self, name: str) -> None:
        """A worker is gone, after each task that it had in hand was reported."""
        del self.hands[name]

    def finished(self, key: str) -> None:
        """A task is done, by whomever."""
        self._drop(key)
        if key in self.done:
            return
        self.done.add(key)
        self.left -= self.tasks[key].seconds
        for after in self._after[key]:
            self._missing[after] -= 1
            idle = after not in self.done and after not in self.failed and after not in self._without
            if not self._missing[after] and idle:
                self._make_ready(after)

    def failed_once(self, key: str) -> bool:
        """A try of a task failed; whether the task is given up now, and with it all that waits for it."""
        self._drop(key)
        self.tries[key] += 1
        if self.tries[key] < self.most_tries:
            self._make_ready(key)
            return False
        self.failed.add(key)
        self._leave_out_after(key)
        return True

    def returned(self, key: str) -> None:
        """A task was given to a hand that did not begin it; it is given again, and no try is counted."""
        self._drop(key)
        self._make_ready(key)

    # --- what to do ---

    def is_open(self) -> bool:
        """Whether anything is left to be done or waited for."""
        return len(self.done) + len(self.failed) + len(self._without) < len(self.tasks)

    def running(self) -> int:
        return sum(len(hand.running) for hand in self.hands.values())

    def take(self, name: str) -> Task | None:
        """The next task for a hand, counted as running there; None where it has to wait."""
        hand = self.hands[name]
        group = self._urgent(hand) or self._warm(hand) or self._coldest(name, hand)
        if group is None:
            return None
        ready = self._ready[group]
        key = next(key for _, key in ready if self.tasks[key].memory <= hand.memory)
        task = self.tasks[key]
        ready.remove((-self.chain[key], key))
        self._ready_seconds[group[0]] -= task.seconds
        self._push(group)
        hand.running[key] = task.seconds
        if task.checkpoint:
            hand.warm = [group, *(other for other in hand.warm if other != group)][:REMEMBERED]
        return task

    # --- the rules ---

    def _urgent(self, hand: Hand) -> Group | None:
        share = self.left / max(len(self.hands), 1)
        tops = [top for model in self._heaps if (top := self._top(model, hand, set()))]
        longest = min(tops, default=None)
        return longest[1] if longest and -longest[0] >= share else None

    def _warm(self, hand: Hand) -> Group | None:
        return next((group for group in hand.warm if self._fits(group, hand)), None)

    def _coldest(self, name: str, hand: Hand) -> Group | None:
        others = {group for other, held in self.hands.items() if other != name for group in held.warm[:1]}
        on = Counter(held.warm[0][0] for held in self.hands.values() if held.warm)
        same = hand.warm[0][0] if hand.warm else None
        models = sorted(
            self._heaps, key=lambda model: (model != same, -self._ready_seconds[model] / (1 + on[model]), model)
        )
        for taken in (others, set()):
            for model in models:
                if top := self._top(model, hand, taken):
                    return top[1]
        return None

    def _top(self, model: str, hand: Hand, taken: set[Group]) -> tuple[float, Group] | None:
        """The ready group of longest chain that fits the hand and is not taken."""
        heap, aside, found = self._heaps[model], [], None
        while heap:
            length, group = heap[0]
            ready = self._ready[group]
            if not ready or ready[0][0] != length:
                heapq.heappop(heap)  # of an earlier state; the present one is further down
            elif group in taken or not self._fits(group, hand):
                aside.append(heapq.heappop(heap))
            else:
                found = heap[0]
                break
        for entry in aside:
            heapq.heappush(heap, entry)
        return found

    def _fits(self, group: Group, hand: Hand) -> bool:
        return any(self.tasks[key].memory <= hand.memory for _, key in self._ready[group])

    # --- state ---

    def _chains(self) -> dict[str, float]:
        """Seconds of each task with the longest row of tasks that waits for it. Iterative: needs come before."""
        chain: dict[str, float] = {}
        for key in reversed(list(self._sorted())):
            after = max((chain[later] for later in self._after[key]), default=0.0)
            chain[key] = (0.0 if key in self.done else self.tasks[key].seconds) + after
        return chain

    def _sorted(self) -> Iterable[str]:
        missing = {key: len(task.needs) for key, task in self.tasks.items()}
        ready = [key for key, count in missing.items() if not count]
        while ready:
            key = ready.pop()
            yield key
            for later in self._after[key]:
                missing[later] -= 1
                if not missing[later]:
                    ready.append(later)

    def _make_ready(self, key: str) -> None:
        task = self.tasks[key]
        group = (task.checkpoint, task.learnt or (key,))
        bisect.insort(self._ready[group], (-self.chain[key], key))
        self._ready_seconds[group[0]] += task.seconds
        self._push(group)

    def _push(self, group: Group) -> None:
        if self._ready[group]:
            heapq.heappush(self._heaps[group[0]], (self._ready[group][0][0], group))
        else:
            del self._ready[group]

    def _drop(self, key: str) -> None:
        for hand in self.hands.values():
            hand.running.pop(key, None)

    def _leave_out_after(self, key: str) -> None:
        self.left -= self.tasks[key].seconds
        waiting = list(self._after[key])
        while waiting:
            later = waiting.pop()
            if later not in self._without and later not in self.done and later not in self.failed:
                self._without.add(later)
                self.left -= self.tasks[later].seconds
                waiting += self._after[later]
