"""Hostile and broken input: an error of ours or a right answer, within seconds, in little memory.

A few examples of each class, the same each time; benchmarks/fuzz.py tries as many as one likes.
"""

from __future__ import annotations

import resource
import sys
import time

import fuzzing
import pytest
from hypothesis import given, seed
from hypothesis import settings as rules

LONGEST = 10.0  # seconds of computing for one input; what waits for ever ends at pytest's own limit
MOST = 4 * 2**30  # bytes, of the whole process


@pytest.mark.parametrize("kind", fuzzing.KINDS_OF_INPUT, ids=lambda kind: kind.name)
def test_an_error_of_ours_or_a_right_answer(kind: fuzzing.Kind) -> None:
    said: list[str] = []

    @seed(1)
    @rules(max_examples=max(4, kind.share), deadline=None, database=None, suppress_health_check=fuzzing.UNHURRIED)
    @given(kind.strategy)
    def tried(example: object) -> None:
        began = time.process_time()
        said.append(kind.check(example))
        assert time.process_time() - began < LONGEST

    tried()
    assert len(said) >= 4
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < MOST
