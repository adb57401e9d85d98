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

from playwright.sync_api import Browser, Page, sync_playwright

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
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # shut off from every other host
]
# A page without tours, banners and overview map, which draws all text at every zoom and offers no missing models.
SETTINGS: dict[str, Any] = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
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
# Two frames: what Vue and the canvas have to do is done and drawn.
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))"
DROP = """([name, text]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], name, { type: 'application/json' }));
    const event = { dataTransfer: transfer, bubbles: true, cancelable: true, clientX: 700, clientY: 500 };
    document.querySelector('#graph-canvas').dispatchEvent(new DragEvent('drop', event));
}"""
CLEAR = """() => {
    app.clean();
    app.graph.clear();
    const { sidebarTab: tabs, toast } = app.extensionManager;
    if (tabs.activeSidebarTabId) tabs.toggleSidebarTab(tabs.activeSidebarTabId);
    toast.removeAll();
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
        self.settle()

    def settle(self) -> None:
        """Wait until what was done to the page is drawn."""
        self.page.evaluate(DRAWN)

    def clear(self) -> None:
        """As it was opened: no graph, no dialog, no panel at the side, no message, no problem."""
        self.close_dialogs()
        self.page.evaluate(CLEAR)
        self.problems.clear()

    def reload(self) -> None:
        self.page.reload(timeout=LOAD_TIMEOUT)
        self.wait_until_open()

    def wait_until_open(self) -> None:
        self.page.wait_for_function(READY, timeout=LOAD_TIMEOUT)
        self.settle()

    def set(self, setting: str, value: Any) -> None:
        """Change a setting of the front end while it is open."""
        self.page.evaluate("([id, value]) => app.extensionManager.setting.set(id, value)", [setting, value])

    def api_prompt(self) -> dict[str, dict[str, Any]]:
        """The loaded graph in API format."""
        return json.loads(self.page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)"))

    def close_dialogs(self) -> None:
        dialogs = self.page.get_by_role("dialog")
        while dialogs.count():
            self.page.keyboard.press("Escape")
            self.page.wait_for_timeout(100)

    def fit(self) -> None:
        """Show the whole graph. Nodes outside the view are not drawn, and do not get their pictures before they are."""
        self.page.evaluate(FIT)
        self.settle()

    def screenshot(self, file: Path) -> None:
        """The whole graph, fitted into the page, with the pictures on its nodes."""
        self.fit()
        self.page.wait_for_timeout(200)  # pictures are fetched once their nodes are seen
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file)


@contextlib.contextmanager
def open_page(
    browser: Browser,
    url: str,
    locale: str = "en",
    size: tuple[int, int] = (1920, 1080),
    without: str = "",
    **settings: Any,
) -> Iterator[FrontEnd]:
    """The front end of the server at url, ready for use, shut off from every other host.

    without: what no address may hold; such files are missing, and nothing is kept between loads. settings: of the front end, by their ids.
    """
    _post_settings(url, {**SETTINGS, "Comfy.Locale": locale, **settings})
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height})
    page, problems = context.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    if without:
        page.route(f"**{without}**", lambda route: route.abort())
    try:
        page.goto(url, timeout=LOAD_TIMEOUT)
        opened = FrontEnd(page, problems)
        opened.wait_until_open()
        yield opened
    finally:
        context.close()


def _post_settings(url: str, settings: dict[str, Any]) -> None:
    request = urllib.request.Request(f"{url}/settings", json.dumps(settings).encode(), method="POST")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30):
        pass
