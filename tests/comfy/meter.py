"""What a running server takes of the machine, read from /proc (Linux)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Taken:
    """memory: resident, bytes. files: open file descriptors. threads: of the process. computing: seconds so far."""

    memory: int
    files: int
    threads: int
    computing: float


def taken(pid: int) -> Taken:
    """Of the process with that id."""
    process = Path("/proc") / str(pid)
    lines = (line.split(":", 1) for line in (process / "status").read_text().splitlines())
    about = {name: value.split() for name, value in lines}
    files = len(list((process / "fd").iterdir()))
    ticks = (process / "stat").read_text().rpartition(")")[2].split()[11:13]  # of the program, of the system for it
    computing = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return Taken(int(about["VmRSS"][0]) * 1024, files, int(about["Threads"][0]), computing)
