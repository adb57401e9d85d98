"""kill -9 at any moment of a save: what is found afterwards is the older file or the newer one, and whole."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WRITER = """
import sys, itertools, hashlib
sys.path.insert(0, sys.argv[1])
from facechain import files
from pathlib import Path
path = Path(sys.argv[2])
print("ready", flush=True)
for number in itertools.count(int(sys.argv[3])):
    body = number.to_bytes(4, "big") * 500_000
    files.write_atomically(path, hashlib.sha256(body).digest() + body)
    print(number, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_a_writer_killed_at_any_moment_leaves_a_whole_file(root: Path, tmp_path: Path) -> None:
    path, draw, first, unfinished = tmp_path / "people" / "anna.safetensors", random.Random(0), 0, 0
    for _ in range(12):
        command = [sys.executable, "-c", WRITER, str(root), str(path), str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout and writer.stdout.readline() == b"ready\n"
            began = time.monotonic()
            for _ in range(draw.randrange(1, 3)):
                writer.stdout.readline()  # a file is whole, the next one begins
            time.sleep((time.monotonic() - began) * draw.random())
            writer.send_signal(signal.SIGKILL)
        data = path.read_bytes()
        assert hashlib.sha256(data[32:]).digest() == data[:32] and len(data) == 2_000_032
        before, first = first, int.from_bytes(data[32:36], "big")
        assert first >= before
        unfinished = len(list(path.parent.glob(".*")))
        listed = [each.name for each in path.parent.glob("*.safetensors") if not each.name.startswith(".")]
        assert listed == [path.name], "an unfinished file would be taken for somebody"
    assert unfinished > 0, "at least once it was killed in the midst of a file"
