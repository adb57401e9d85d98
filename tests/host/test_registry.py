"""What goes to the Comfy Registry, and what an installation of it does to a user's ComfyUI."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import comfy_host
import pytest
import yaml
from tools_of_others import COMFY_CLI, SCANNERS, python_tool

# All that ships: whole folders, and single files.
FOLDERS = {"docs", "facechain", "locales", "models", "nodes", "styles", "subgraphs", "web", "workflows"}
FILES = {"CHANGELOG.md", "LICENSE", "README.md", "README_zh.md", "__init__.py", "install.py", "pyproject.toml"}
NOT_SHIPPED = "models/demo/"  # 29 MB that the demo and the tests alone use
FILES |= {"SECURITY.md", "requirements.txt", "scripts/convert_sam.py", "scripts/download_models.py"}


@pytest.fixture(scope="module")
def tracked(root: Path) -> list[str]:
    """All files of this checkout that git knows or would take up."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in listed if name and (root / name).is_file()]


def comfy(folder: Path, *words: str) -> str:
    environment = {**os.environ, "HOME": str(folder), "NO_COLOR": "1", "COLUMNS": "200", "DO_NOT_TRACK": "1"}
    command = [str(python_tool(COMFY_CLI) / "comfy"), "--skip-prompt", "--no-json", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def packed(root: Path, tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that `comfy node publish` would send, made by comfy-cli itself of a copy of this checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, folder / name)
    for words in (["init", "-q"], ["add", "-A", "-f"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    comfy(folder, "node", "pack")
    return folder / "node.zip"


@pytest.fixture(scope="module")
def unpacked(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the Manager unpacks it: custom_nodes/facechain-studio of a new ComfyUI folder."""
    folder = tmp_path_factory.mktemp("comfyui") / "custom_nodes" / "facechain-studio"
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    return folder


def test_exactly_what_users_need_ships(packed: Path, tracked: list[str]) -> None:
    with zipfile.ZipFile(packed) as archive:
        shipped = set(archive.namelist())
        size = sum(entry.file_size for entry in archive.infolist())
    wanted = {name for name in tracked if name in FILES or PurePosixPath(name).parts[0] in FOLDERS}
    assert shipped == {name for name in wanted if not name.startswith(NOT_SHIPPED)}
    assert shipped >= FILES
    assert size < 40e6  # the networks are 21 MB of it


def test_the_registrys_own_checks_pass(packed: Path) -> None:
    assert "All validation checks passed" in comfy(packed.parent, "node", "validate")


def test_the_project_says_what_the_registry_asks(root: Path) -> None:
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    for line in ('name = "facechain-studio"', 'DisplayName = "FaceChain"', 'PublisherId = "facechain-studio"'):
        assert f"\n{line}\n" in text
    assert f'requires-comfyui = ">={comfy_host.COMFYUI_VERSION}"' in text
    version = re.search(r'^version = "(\d+\.\d+\.\d+)"$', text, re.M)
    assert version and f"## {version[1]}" in (root / "CHANGELOG.md").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = (\[.*\])$", text, re.M)
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert listed and json.loads(listed[1]) == [line for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("name", ["test", "publish"])
def test_workflows_have_the_least_rights(root: Path, name: str) -> None:
    text = (root / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    triggers = workflow[True]  # YAML reads `on` as true
    assert "pull_request_target" not in triggers and ("pull_request" in triggers) == (name == "test")
    for job in workflow["jobs"].values():
        assert "permissions" not in job and job["timeout-minutes"] <= 60
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False
            assert not re.search(r"\$\{\{", step.get("run", "")), "what others write could become a command"
    assert ("secrets." in text) == (name == "publish")


# --- what the Manager does after unpacking ---


def test_requirements_move_nothing_that_comfyui_has(unpacked: Path, tmp_path: Path) -> None:
    """In an environment that has all of ComfyUI's packages, numpy 2 and the current torch among them, but not ours."""
    python = comfy_host.prepare().python
    probe = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    theirs = Path(subprocess.run([python, "-c", probe], capture_output=True, text=True, check=True).stdout.strip())
    site = tmp_path / "site"
    site.mkdir()
    for entry in theirs.iterdir():
        if not entry.name.startswith(("peft", "pip")) and entry.suffix != ".pth":
            (site / entry.name).symlink_to(entry)
    subprocess.run([python, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    mine = next((tmp_path / "venv").glob("lib/python*/site-packages"), None)
    if mine is None:
        pytest.skip("this environment has another layout (Windows)")
    (mine / "comfyui.pth").write_text(str(site))
    (mine / "pip").symlink_to(theirs / "pip")
    report = tmp_path / "report.json"
    command = [str(tmp_path / "venv" / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--dry-run", "--report", str(report), "-r", str(unpacked / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    added = [entry["metadata"] for entry in json.loads(report.read_text())["install"]]
    assert [entry["name"] for entry in added] == ["peft"]
    have = "import importlib.metadata as m; print(m.version('numpy'), m.version('torch'))"
    numpy, torch = subprocess.run([python, "-c", have], capture_output=True, text=True, check=True).stdout.split()
    assert int(numpy.split(".")[0]) >= 2 and int(torch.split(".")[0]) >= 2
    assert "Would install peft" in done.stdout


def test_the_unpacked_pack_downloads_models_into_its_own_comfyui(unpacked: Path) -> None:
    (unpacked.parents[1] / "models").mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key not in ("COMFYUI_PATH", "PYTHONPATH")}
    script = unpacked / "scripts" / "download_models.py"
    command = [str(comfy_host.prepare().python), "-B", str(script), "--check", "base"]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "base: 0 of 1 there" in done.stdout and str(script) in done.stdout


# --- what others' scanners say of what ships ---


def test_no_symbol_of_comfyui_that_we_use_is_missing(unpacked: Path, tmp_path: Path) -> None:
    """comfy-import-guard, against the ComfyUI of the tests."""
    source = tmp_path / "cache" / "ComfyUI"
    left_out = shutil.ignore_patterns("__pycache__", "models", "input", "output", "user", "custom_nodes", ".git", "web")
    shutil.copytree(comfy_host.prepare().comfy, source, ignore=left_out)
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "-A", "-f"], [*who, "commit", "-q", "-m", "ComfyUI"]):
        subprocess.run(["git", *words], cwd=source, check=True, capture_output=True)
    guard = python_tool(*SCANNERS) / "comfy-import-guard"
    command = [str(guard), "--cache-dir", str(tmp_path / "cache"), "--offline", "check", "--no-update", "--strict"]
    command += ["--comfy-dir", str(unpacked.parents[1]), "--target", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.search(r"(\d+) comfy\.\* reference", done.stdout)
    assert "SAFE" in done.stdout and counted and int(counted[1]) > 20, done.stdout


def test_nodesafe_finds_nothing(unpacked: Path) -> None:
    """A text of 40 characters and more is a finding where its letters are too mixed: docs/scanners.md says what helps."""
    command = [str(python_tool(*SCANNERS) / "nodesafe"), "scan", str(unpacked), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    report = json.loads(done.stdout[done.stdout.index("{") :])
    found = [f"{one['file']}:{one['line']}: {one['title']}" for one in report["findings"]]
    assert found == [] and report["recommendation"] == "install", "\n".join(found)
    # it does look: a line that runs another program is found
    (unpacked / "probe.py").write_text("import subprocess\nsubprocess.run(['true'])\n")
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    finally:
        (unpacked / "probe.py").unlink()
    assert '"shell_execution"' in done.stdout
