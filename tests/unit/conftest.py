"""Helpers that several test files import by name lie beside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from s3_server import S3


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A bucket; skips where server or client is absent."""
    from s3_server import running

    yield from running()
