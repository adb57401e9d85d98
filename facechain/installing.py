"""How to install what the pack can use: commands for a user's own Python, for error messages."""

from __future__ import annotations

import sys
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent


def install_command(*options: str) -> str:
    """The command that runs the pack's install.py in this Python, ready to paste into a terminal."""
    return _command("install.py", *options)


def download_command(*names: str) -> str:
    """The command that downloads model files of models/catalog.json, ready to paste into a terminal."""
    return _command("scripts/download_models.py", *names)


def _command(script: str, *options: str) -> str:
    words = [sys.executable or "python", str(PACK / script), *options]
    return " ".join(f'"{word}"' if " " in word else word for word in words)
