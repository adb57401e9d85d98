"""A child that must not outlive its parent, however the parent ends: kill -9, too.

A small process holds the other end of a pipe of the parent's. When the parent is gone the pipe closes, and the small
process kills the child.
"""

from __future__ import annotations

import subprocess
import sys

_CODE = """
import os, signal, sys
def born(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None
pid = int(sys.argv[1])
signal.signal(signal.SIGINT, signal.SIG_IGN)
start = born(pid)
if sys.stdin.read() == "" and born(pid) == start:  # the same process, not a later one of that number
    try:
        os.kill(pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    except OSError:
        pass
"""


class Lifeline:
    """pid: of the child."""

    def __init__(self, pid: int) -> None:
        self._holder = subprocess.Popen(
            [sys.executable, "-c", _CODE, str(pid)], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def cut(self) -> None:
        """The child ends in another way; forget it."""
        assert self._holder.stdin
        if self._holder.poll() is None:
            self._holder.stdin.write("cut")
        self._holder.stdin.close()
        self._holder.wait()
