"""What all classes of hostile and broken input share; see fuzzing.py."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck
from hypothesis import strategies as st
from tiny_training import make_person

from facechain.errors import FaceChainError
from facechain.person import Person

# of hypothesis, about its own pace
UNHURRIED = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
)
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Kind:
    """A class of input. share: of all tries, relative to the others; slow ones get less."""

    name: str
    strategy: st.SearchStrategy[Any]
    check: Callable[[Any], str]
    share: int = 10


def answered(ask: Callable[[], object]) -> str:
    """ "answer", or the message of an error of ours; anything else is raised."""
    try:
        ask()
    except FaceChainError as error:
        assert error.message, "an error without a word"
        return str(error)
    return "answer"


@cache
def scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="facechain-fuzz-"))


@cache
def somebody() -> Person:
    return make_person("anna")
