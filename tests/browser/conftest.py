"""The real front end in the system's Chromium, on the shared test server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import comfy_host
import front_end
import pytest
from playwright.sync_api import Browser


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for the whole session: while Playwright runs, nothing else in the process can use asyncio.run."""
    path = front_end.find_chromium()
    if not path:
        pytest.skip("no Chromium found (Debian: apt install chromium; elsewhere set CHROMIUM to its path)")
    with front_end.chromium(path) as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, server: comfy_host.Server) -> Iterator[front_end.FrontEnd]:
    """One page for the tests of a file; each loads its own graph into it."""
    with front_end.open_page(browser, server.url) as opened:
        yield opened


@pytest.fixture(scope="session")
def pictures(root: Path) -> Path:
    """Where screenshots go, to be looked at."""
    return root / "test_output"
