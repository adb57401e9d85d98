"""ComfyUI's own page in a headless Chromium: open it, load graphs, read them back.

For the tests and for export_api_workflows.py. Needs Playwright (requirements-dev.txt) and a
Chromium of the system (Debian: apt install chromium); Playwright's own browsers are not used.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Route, sync_playwright

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A page without tours, banners and overview map, which draws all text at every zoom.
SETTINGS: dict[str, Any] = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.VueNodes.Enabled": False,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,
}
LOAD_TIMEOUT = 120_000  # ms; a few seconds on an idle machine

READY = """() => {
    const manager = window.app?.extensionManager, types = window.LiteGraph?.registered_node_types;
    return !!(manager?.workflow?.activeWorkflow && window.app.graph?._nodes.length && types && 'KSampler' in types);
}"""
DROP = """([name, text]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], name, { type: 'application/json' }));
    const event = { dataTransfer: transfer, bubbles: true, cancelable: true, clientX: 700, clientY: 500 };
    document.querySelector('#graph-canvas').dispatchEvent(new DragEvent('drop', event));
}"""
# Everything that is drawn, with a margin, into the part of the canvas that no toolbar covers.
FIT = """() => {
    const boxes = [...app.graph._nodes, ...app.graph._groups].map(item => item.boundingRect);
    const [left, top] = [0, 1].map(axis => Math.min(...boxes.map(box => box[axis])) - 20);
    const [right, bottom] = [0, 1].map(axis => Math.max(...boxes.map(box => box[axis] + box[axis + 2])) + 20);
    const canvas = app.canvas.canvas, view = app.canvas.ds, [x, y] = [80, 130];
    view.scale = Math.min((canvas.clientWidth - x) / (right - left), (canvas.clientHeight - y - 60) / (bottom - top));
    view.offset = [x / view.scale - left, y / view.scale - top];
    app.canvas.setDirty(true, true);
}"""


def find_chromium() -> str | None:
    """The Chromium to use: the one that CHROMIUM names, or the system's."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


@contextlib.contextmanager
def chromium(path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class FrontEnd:
    """One page of the front end. problems: what went wrong in it since it was opened."""

    page: Page
    problems: list[str]

    def load(self, graph: dict[str, Any]) -> None:
        """Open a graph as the menu does."""
        self.page.evaluate("graph => app.loadGraphData(graph)", graph)
        self.wait_for(len(graph["nodes"]))

    def drop(self, file: Path) -> None:
        """Drop a graph's file onto the canvas, as a user does."""
        text = file.read_text(encoding="utf-8")
        self.page.evaluate("() => app.graph.clear()")
        self.page.evaluate(DROP, [file.name, text])
        self.wait_for(len(json.loads(text)["nodes"]))

    def wait_for(self, nodes: int) -> None:
        """Wait until a graph with that many nodes is there and drawn."""
        self.page.wait_for_function("count => app.graph._nodes.length === count", arg=nodes)
        self.page.wait_for_timeout(500)

    def api_prompt(self) -> dict[str, dict[str, Any]]:
        """The loaded graph in API format."""
        return json.loads(self.page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)"))

    def close_dialogs(self) -> None:
        dialogs = self.page.get_by_role("dialog")
        while dialogs.count():
            self.page.keyboard.press("Escape")
            self.page.wait_for_timeout(300)

    def fit(self) -> None:
        """Show the whole graph. Nodes outside the view are not drawn, and do not get their pictures before they are."""
        self.page.evaluate(FIT)
        self.page.wait_for_timeout(700)

    def screenshot(self, file: Path) -> None:
        """The whole graph, fitted into the page."""
        self.fit()
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file)


@contextlib.contextmanager
def open_page(
    browser: Browser, url: str, locale: str = "en", size: tuple[int, int] = (1920, 1080), **settings: Any
) -> Iterator[FrontEnd]:
    """The front end of the server at url, ready for use, shut off from every other host."""
    _post_settings(url, {**SETTINGS, "Comfy.Locale": locale, **settings})
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height})
    page, problems = context.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))

    def only_ours(route: Route) -> None:
        if route.request.url.startswith((url, "data:", "blob:")):
            route.continue_()
        else:
            route.abort()

    page.route("**/*", only_ours)
    try:
        page.goto(url, timeout=LOAD_TIMEOUT)
        page.wait_for_function(READY, timeout=LOAD_TIMEOUT)
        page.wait_for_timeout(500)
        yield FrontEnd(page, problems)
    finally:
        context.close()


def _post_settings(url: str, settings: dict[str, Any]) -> None:
    request = urllib.request.Request(f"{url}/settings", json.dumps(settings).encode(), method="POST")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30):
        pass
