"""The real front end in the system's Chromium, on the shared test server."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import comfy_host
import front_end
import pytest
from front_end import FrontEnd
from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).parents[1] / "comfy"))  # small_models

NODES_2: dict[str, Any] = {"Comfy.VueNodes.Enabled": True}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Not for the whole session: while Playwright runs, nothing else in the process can use asyncio.run."""
    path = front_end.find_chromium()
    if not path:
        pytest.skip("no Chromium found (Debian: apt install chromium; elsewhere set CHROMIUM to its path)")
    with front_end.chromium(path) as running:
        yield running


@pytest.fixture(scope="package")
def opened(browser: Browser, server: comfy_host.Server) -> Iterator[Callable[..., FrontEnd]]:
    """Gives the front end in a language and with settings, empty. It is opened once for all tests: that takes 8 s."""
    with contextlib.ExitStack() as pages:
        known: dict[str, FrontEnd] = {}

        def give(**settings: Any) -> FrontEnd:
            kind = str(settings)
            if kind not in known:
                known[kind] = pages.enter_context(front_end.open_page(browser, server.url, **settings))
            known[kind].clear()
            return known[kind]

        yield give


@pytest.fixture()
def page(opened: Callable[..., FrontEnd]) -> FrontEnd:
    """The page in English; each test loads its own graph into it."""
    return opened()


@pytest.fixture()
def chinese_page(opened: Callable[..., FrontEnd]) -> FrontEnd:
    return opened(locale="zh")


@pytest.fixture()
def nodes_2_page(opened: Callable[..., FrontEnd]) -> FrontEnd:
    """The page with the front end's other renderer."""
    return opened(**NODES_2)


@pytest.fixture(scope="session")
def pictures(root: Path) -> Path:
    """Where screenshots go, to be looked at."""
    return root / "test_output"
