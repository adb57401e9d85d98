"""Locks between processes: they wait for each other, and one that is killed leaves none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facechain.locks import one_at_a_time

HOLD = """
import importlib.util, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("locks", sys.argv[1])
locks = importlib.util.module_from_spec(spec); spec.loader.exec_module(locks)
with locks.one_at_a_time(Path(sys.argv[2])):
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
"""


def holder(root: Path, lock: Path, seconds: float) -> subprocess.Popen[str]:
    """A process that holds the lock already."""
    command = [sys.executable, "-c", HOLD, str(root / "facechain" / "locks.py"), str(lock), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def test_whoever_comes_second_waits_and_no_file_is_left(root: Path, tmp_path: Path) -> None:
    lock, waited = tmp_path / "below" / "a.lock", []
    process = holder(root, lock, 1.0)
    with one_at_a_time(lock, lambda: waited.append(time.monotonic())):
        assert process.poll() is not None or process.wait(5) == 0
    assert waited
    assert not lock.exists()
    with one_at_a_time(lock, lambda: pytest.fail("nobody holds it")):
        pass


def test_waiting_can_be_cancelled(root: Path, tmp_path: Path) -> None:
    process = holder(root, tmp_path / "a.lock", 30)

    def cancel() -> None:
        raise KeyError("cancelled")

    try:
        with pytest.raises(KeyError, match="cancelled"), one_at_a_time(tmp_path / "a.lock", cancel):
            pytest.fail("it is held")
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_a_killed_process_holds_nothing(root: Path, tmp_path: Path) -> None:
    process = holder(root, tmp_path / "a.lock", 60)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (tmp_path / "a.lock").exists(), "what it left"
    with one_at_a_time(tmp_path / "a.lock", lambda: pytest.fail("it is stale")):
        pass
    assert not (tmp_path / "a.lock").exists()


def test_the_lock_is_let_go_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="work"), one_at_a_time(tmp_path / "a.lock"):
        raise ValueError("work")
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_for_the_lock_the_work_is_done_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with one_at_a_time(tmp_path / "file" / "a.lock"):
        pass
    assert "no lock in" in caplog.text


def test_many_at_once_never_meet(root: Path, tmp_path: Path) -> None:
    """Eight processes that take and leave it, over and over: what each does inside is never mixed with another's."""
    work = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("locks", sys.argv[1])
locks = importlib.util.module_from_spec(spec); spec.loader.exec_module(locks)
locks.PAUSE = 0.001
lock, count = Path(sys.argv[2]), Path(sys.argv[3])
for _ in range(40):
    with locks.one_at_a_time(lock):
        count.write_text(str(int(count.read_text()) + 1))
"""
    count = tmp_path / "count"
    count.write_text("0")
    command = [sys.executable, "-c", work, str(root / "facechain" / "locks.py"), str(tmp_path / "a.lock"), str(count)]
    processes = [subprocess.Popen(command) for _ in range(8)]
    assert [process.wait() for process in processes] == [0] * 8
    assert count.read_text() == "320"
