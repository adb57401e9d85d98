"""All tests, with everything they need: `python3 scripts/test.py [pytest options]`.

Prepares ComfyUI (see comfy_host.py), then runs lint, types and pytest in its environment.
Needs only Python 3.10+; the first run downloads several GB, later ones start within seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys

import comfy_host


def main() -> int:
    try:
        host = comfy_host.prepare(("requirements-dev.txt",))
    except comfy_host.HostError as error:
        raise SystemExit(f"error: {error}") from None
    python = str(host.python)
    checks = [[python, "-m", "ruff", "check", "."], [python, "-m", "ruff", "format", "--check", "."]]
    if host.users_own:
        checks = []  # the user's environment need not have the linters
    else:
        checks.append([python, "-m", "pyright"])
    failed = [check for check in checks if subprocess.call(check, cwd=comfy_host.ROOT)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    code = subprocess.call([python, "-m", "pytest", *sys.argv[1:]], cwd=comfy_host.ROOT, env=environment)
    for check in failed:
        comfy_host.say(f"failed: {' '.join(check[1:])}")
    return code or bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
