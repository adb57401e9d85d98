"""Downloads and virtual environments that survive interruption. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path


class HostError(RuntimeError):
    """The host could not be prepared or started; the message says what to do."""


def fetch_wheel(folder: Path, requirement: str, sha256: str = "") -> Path:
    """Download one wheel, without its dependencies, into a folder of its own below ``folder``.

    An earlier download is kept.

    requirement: "name==version". sha256: of the wheel, where it is the same file on every platform.
    """
    folder = folder / requirement
    for attempt in ("kept", "downloaded"):
        for path in folder.glob("*.whl"):
            if not sha256 or hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
                return path
            path.unlink()  # our own download, damaged or tampered with
        if attempt == "kept":
            unfinished = folder.with_name(folder.name + ".tmp")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            # a fixed Python version, so that what is only unpacked does not depend on the running one
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
            pip += ["--only-binary=:all:", "--python-version=3.12", "--dest", str(unfinished), requirement]
            run(pip, f"Could not download {requirement}; check the network and try again.")
            unfinished.rename(folder)
    raise HostError(f"{requirement} does not have the expected sha256 {sha256}; it was not used.")


def install(venv: Path, stages: dict[str, list[str]]) -> Path:
    """Make a virtual environment and install into it in stages; each leaves a stamp when complete.

    pip cannot be trusted to notice a half-written package, so an environment whose installation
    was interrupted is made anew. Returns its Python. Raises HostError when pip fails.
    """
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    busy = venv.with_name(venv.name + ".installing")
    stamps = venv / "stamps.json"
    done: dict[str, object] = json.loads(stamps.read_text()) if stamps.is_file() else {}
    if busy.exists() or not python.exists() or done.get("python") != sys.version:
        shutil.rmtree(venv, ignore_errors=True)
        done = {"python": sys.version}
        say("Making a virtual environment ...")
        busy.touch()
        remedy = "Could not make a virtual environment (Debian: apt install python3-venv)."
        run([sys.executable, "-m", "venv", str(venv)], remedy)
    for stage, requirements in stages.items():
        if done.get(stage) == requirements:
            continue
        busy.touch()
        size = " (several GB the first time)" if stage == "torch" else ""
        say(f"Installing {stage}: {len(requirements)} packages{size} ...")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        run([*pip, *requirements], f"pip could not install the {stage} packages; see its message above and run again.")
        done[stage] = requirements
        stamps.write_text(json.dumps(done, indent=1))
    if busy.exists():
        # with all cores, where pip takes one; some packages carry files on purpose that are no Python
        compile_all = [str(python), "-m", "compileall", "-qq", "-j", "0", packages_of(python)]
        subprocess.run(compile_all)
    busy.unlink(missing_ok=True)
    return python.absolute()


def packages_of(python: Path) -> str:
    """Where that Python's packages lie."""
    told = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True)
    return told.stdout.decode().strip()


def run(command: list[str], remedy: str) -> None:
    if subprocess.run(command).returncode:
        raise HostError(remedy)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
