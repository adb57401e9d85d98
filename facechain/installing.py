"""How to install what the pack can use: the command for a user's own Python, for error messages."""

from __future__ import annotations

import sys
from pathlib import Path

_SCRIPT = Path(__file__).resolve().parent.parent / "install.py"


def install_command(*options: str) -> str:
    """The command that runs the pack's install.py in this Python, ready to paste into a terminal."""
    words = [sys.executable or "python", str(_SCRIPT), *options]
    return " ".join(f'"{word}"' if " " in word else word for word in words)
