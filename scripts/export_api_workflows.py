"""Write workflows/api/*.json: each graph of workflows/ in API format, as ComfyUI's front end exports it.

    python3 scripts/export_api_workflows.py

Starts a server, opens its page in Chromium (see front_end.py), loads each graph and saves what
"Export (API)" would. Run it after every change of a graph; a test compares the files with a fresh export.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy_host

WORKFLOWS = comfy_host.ROOT / "workflows"
API = WORKFLOWS / "api"


def main() -> None:
    try:
        host = comfy_host.prepare(("requirements-dev.txt",))
        comfy_host.reenter(host)
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            comfy_host.lay_out(base)
            with comfy_host.Server(host, log=base / "server.log", base=base) as server:
                for name, prompt in export_all(server.url):
                    write(API / f"{name}.json", prompt)
    except comfy_host.HostError as error:
        raise SystemExit(f"error: {error}") from None


def export_all(url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, workflow in API format) of each graph, by the front end of the server at url."""
    import front_end

    path = front_end.find_chromium()
    if not path:
        raise comfy_host.HostError("no Chromium found. Install it (Debian: apt install chromium) or set CHROMIUM.")
    with front_end.chromium(path) as browser, front_end.open_page(browser, url) as page:
        for graph in sorted(WORKFLOWS.glob("*.json")):
            page.load(json.loads(graph.read_text(encoding="utf-8")))
            yield graph.stem, page.api_prompt()


def as_text(prompt: dict[str, Any]) -> str:
    """Nodes in the order of their numbers, so that changes are easy to read."""
    ordered = {key: prompt[key] for key in sorted(prompt, key=int)}
    return json.dumps(ordered, indent=2, ensure_ascii=False) + "\n"


def write(path: Path, prompt: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_text(prompt), encoding="utf-8")
    print(f"{path.relative_to(comfy_host.ROOT)}: {len(prompt)} nodes")


if __name__ == "__main__":
    main()
