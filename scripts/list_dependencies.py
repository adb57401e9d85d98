"""What installing the pack adds to a ComfyUI, with licences, as SECURITY.md lists it.

    python3 scripts/list_dependencies.py            write the table into SECURITY.md
    python3 scripts/list_dependencies.py --check    change nothing; code 1 if something is not listed

Read from the packages installed for the tests: those that requirements.txt and onnxruntime need, and that ComfyUI's own
requirements do not bring. Whether one of them has a known weakness is asked by pip-audit, in .github/workflows/test.yml.
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import comfy_host

FILE = comfy_host.ROOT / "SECURITY.md"
BEGIN, END = "<!-- added packages: scripts/list_dependencies.py -->", "<!-- end of added packages -->"
FAMILIES = {"apache": "Apache-2.0", "mit": "MIT", "3-clause": "BSD-3-Clause", "bsd-3": "BSD-3-Clause", "bsd": "BSD"}


def added(comfy: Path) -> dict[str, tuple[str, str]]:
    """{package: (the requirement that brings it, its licence)}, those of ComfyUI left out. comfy: ComfyUI's folder."""
    there = set()
    for name in _names((comfy / "requirements.txt").read_text(encoding="utf-8")):
        there |= needs(name)
    found = {}
    for name in [*_names((comfy_host.ROOT / "requirements.txt").read_text(encoding="utf-8")), "onnxruntime"]:
        for package in sorted(needs(name) - there):
            found.setdefault(package, (name, licence(package)))
    return found


def needs(name: str) -> set[str]:
    """A package and all that it needs, as far as it is installed here."""
    found: set[str] = set()
    open_ = [name]
    while open_:
        package = _canonical(open_.pop())
        if package in found:
            continue
        try:
            requirements = metadata.requires(package) or []
        except metadata.PackageNotFoundError:  # for another system, or left out on purpose
            continue
        found.add(package)
        open_ += [each for each in requirements if "extra ==" not in each]
    return found


def licence(package: str) -> str:
    """In SPDX's words where it is one of the usual ones; "not told" where the package says nothing."""
    about: Any = metadata.metadata(package)  # a Message; its type says less
    said = [about.get("License-Expression") or "", about.get("License") or ""]
    said += [each for each in about.get_all("Classifier") or [] if each.startswith("License")]
    for text in said:
        for sign, name in FAMILIES.items():
            if sign in text.lower()[:80]:
                return name
    return next((text for text in said if text), "not told")[:60]


def table(packages: dict[str, tuple[str, str]]) -> str:
    rows = [f"| `{name}` | `{by}` | {terms} |" for name, (by, terms) in packages.items()]
    return "\n".join(["| package | brought by | licence |", "| --- | --- | --- |", *rows])


def _names(requirements: str) -> list[str]:
    return [line for line in requirements.splitlines() if line and line[0] != "#"]


def _canonical(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~;\[ (]", requirement.strip())[0]).lower()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    host = comfy_host.prepare()
    comfy_host.reenter(host)
    text = FILE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    packages = added(host.comfy)
    if check:
        missing = [name for name, (_, terms) in packages.items() if f"| `{name}` |" not in rest or terms not in rest]
        print("\n".join(f"not listed: {name}" for name in missing))
        return int(bool(missing))
    FILE.write_text(f"{before}{BEGIN}\n{table(packages)}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
