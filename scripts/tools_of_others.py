"""Programs of others that tests run: each in an environment or folder of its own below ``.host/clients``.

Made when first asked for; a tool that cannot be had skips the test that needs it, with the reason.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import comfy_host
import pytest
from comfy_install import HostError, install

CLIENTS = comfy_host.HOST / "clients"
COMFY_CLI = "comfy-cli==1.23.0"
SCANNERS = ("nodesafe==0.6.0", "comfy-import-guard==1.3.0", "comfy-lint==0.1.0")


def python_tool(*requirements: str) -> Path:
    """The bin folder of an environment with these, named after the first."""
    CLIENTS.mkdir(parents=True, exist_ok=True)
    try:
        with comfy_host.one_at_a_time():  # tests run side by side
            return install(CLIENTS / requirements[0].split("==")[0], {"client": list(requirements)}).parent
    except HostError as error:
        pytest.skip(f"{requirements[0]} cannot be installed: {error}")


def npm_tool(name: str, version: str) -> Path:
    """A folder with this package in its node_modules."""
    folder = CLIENTS / name.rpartition("/")[2]
    with comfy_host.one_at_a_time():
        if (folder / "node_modules" / name).is_dir():
            return folder
        npm = shutil.which("npm")
        if not npm:
            pytest.skip("npm is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"{name}@{version}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"{name} cannot be installed: {done.stderr[-300:]}")
    return folder
