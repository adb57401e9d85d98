"""What SECURITY.md says of licences and of the repository's own workflows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = ("publish.yml", "test.yml")


@pytest.fixture(scope="module")
def workflows(root: Path) -> dict[str, dict[Any, Any]]:
    folder = root / ".github" / "workflows"
    assert sorted(path.name for path in folder.iterdir()) == sorted(WORKFLOWS)
    return {name: yaml.safe_load((folder / name).read_text(encoding="utf-8")) for name in WORKFLOWS}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_read_and_nothing_else(workflows: dict[str, dict[Any, Any]], name: str) -> None:
    flow = workflows[name]
    assert flow["permissions"] == {"contents": "read"}
    for job in flow["jobs"].values():
        assert "permissions" not in job and job["timeout-minutes"] <= 60
        for step in job["steps"]:
            # by commit: a tag can be moved to another one, and then runs with what this workflow may do
            assert "uses" not in step or re.fullmatch(r"actions/(checkout|setup-\w+)@[0-9a-f]{40}", step["uses"])
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
            # what somebody writes into a title or a branch's name must not become a command
            assert "${{" not in step.get("run", "")
    assert "pull_request_target" not in flow[True]  # YAML reads the key "on" so


def test_zizmor_finds_nothing(root: Path) -> None:
    program = Path(sys.executable).with_name("zizmor.exe" if sys.platform == "win32" else "zizmor")
    command = [str(program), "--offline", "--no-progress", str(root / ".github" / "workflows")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_core_is_tested_on_every_python_that_is_promised(workflows: dict[str, dict[Any, Any]], root: Path) -> None:
    assert workflows["test.yml"]["jobs"]["core"]["strategy"]["matrix"]["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert 'requires-python = ">=3.10"' in (root / "pyproject.toml").read_text(encoding="utf-8")


def test_what_installing_adds_is_listed_with_its_licence(root: Path) -> None:
    """The list of scripts/list_dependencies.py, as the packages installed here tell it."""
    import comfy_host
    import list_dependencies

    packages = list_dependencies.added(comfy_host.prepare().comfy)
    assert {"peft", "accelerate", "onnxruntime"} <= packages.keys() and not {"torch", "numpy"} & packages.keys()
    said = (root / "SECURITY.md").read_text(encoding="utf-8")
    for name, (by, terms) in packages.items():
        assert f"| `{name}` | `{by}` | {terms} |" in said, "run python3 scripts/list_dependencies.py"
        assert terms in ("Apache-2.0", "MIT", "BSD-3-Clause", "BSD"), name


def test_only_the_publication_has_a_secret_and_only_on_tags(workflows: dict[str, dict[Any, Any]], root: Path) -> None:
    texts = {name: (root / ".github" / "workflows" / name).read_text("utf-8") for name in WORKFLOWS}
    assert [name for name, text in texts.items() if "secrets." in text] == ["publish.yml"]
    assert set(workflows["publish.yml"][True]) == {"push"} and workflows["publish.yml"][True]["push"] == {
        "tags": ["v*"]
    }
    assert all("environment" in job for job in workflows["publish.yml"]["jobs"].values())


def test_every_requirement_is_listed_with_its_licence(root: Path) -> None:
    said = (root / "SECURITY.md").read_text(encoding="utf-8")
    rows = {
        name: line for line in said.splitlines() if line.startswith("|") for name in re.findall(r"`([\w-]+)`", line)
    }
    wanted = [line for line in (root / "requirements.txt").read_text("utf-8").splitlines() if line and line[0] != "#"]
    for requirement in [*wanted, "onnxruntime", "onnxruntime-gpu", "insightface"]:
        name = re.split(r"[<>=\[ ]", requirement)[0]
        assert re.search(r"Apache-2\.0|MIT|BSD", rows[name]), name
