"""All tests, with everything they need: `python3 scripts/test.py [pytest options]`.

Prepares ComfyUI (see comfy_host.py), then runs lint, types and pytest in its environment.
Needs only Python 3.10+; the first run downloads several GB, later ones start within seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys

import comfy_host

MOST_WORKERS = 4  # each with a server of its own, of about 2 GB


def main() -> int:
    try:
        host = comfy_host.prepare(("requirements-dev.txt",))
    except comfy_host.HostError as error:
        raise SystemExit(f"error: {error}") from None
    python = str(host.python)
    # the user's environment need not have the linters, nor pytest-xdist
    checks = [] if host.users_own else [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["pyright"]]
    running = [(check, start([python, "-m", *check])) for check in checks]  # beside the tests
    options, environment = ([], {}) if host.users_own else side_by_side(cores())
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    code = subprocess.call([python, "-m", "pytest", *options, *sys.argv[1:]], cwd=comfy_host.ROOT, env=environment)
    for check, process in running:
        told, _ = process.communicate()
        if process.returncode:
            comfy_host.say(f"{told}\nfailed: {' '.join(check)}")
            code = code or 1
    return code


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=comfy_host.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    )


def cores() -> int:
    """Cores that this process may use, which a container can have fewer of than its machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(cores: int) -> tuple[list[str], dict[str, str]]:
    """pytest options and environment for test files run next to each other, in the order of their names.

    A file stays with one worker, as its tests share a page or what was trained. The workers divide the cores: where
    each takes all of them for its mathematics, they mostly wait for each other.
    """
    workers = min(cores, MOST_WORKERS)
    if workers < 2:
        return [], {}
    options = [f"--numprocesses={workers}", "--dist=loadfile", "--no-loadscope-reorder"]
    return options, {"OMP_NUM_THREADS": str(cores // workers)}


if __name__ == "__main__":
    raise SystemExit(main())
