"""One process at a time, among all that share a folder: several ComfyUI servers, on one machine or on several."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

PAUSE = 0.5  # seconds between two tries


@contextmanager
def one_at_a_time(path: Path, wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file at path while inside; whoever else wants it waits.

    The operating system keeps the lock and takes it from a process that ends in whatever way, so that none is ever
    stale. wait() is called before each further try, and may raise to cancel. Where the folder's file system knows no
    locks, or is not writable, a warning is logged and nobody waits. The file is gone afterwards. Not to be nested.
    """
    handle = _acquire(path, wait)
    try:
        yield
    finally:
        if handle is not None:
            _release(path, handle)


def _acquire(path: Path, wait: Callable[[], None]) -> int | None:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            log.warning("FaceChain: no lock in %s (%s); another server could do the same work", path.parent, error)
            return None
        try:
            _lock(handle)
        except (BlockingIOError, PermissionError):  # taken; Windows says the latter
            os.close(handle)
            wait()
            time.sleep(PAUSE)
            continue
        except OSError as error:
            log.warning("FaceChain: %s knows no locks (%s); another server could do the same work", path.parent, error)
            os.close(handle)
            return None
        if _is_still(path, handle):
            return handle
        os.close(handle)  # its holder took the file away just now: the lock is on nothing


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _release(path: Path, handle: int) -> None:
    if sys.platform == "win32":
        os.close(handle)
        try:
            path.unlink(missing_ok=True)
        except PermissionError:  # somebody waits with the file open, and takes it away later
            log.debug("FaceChain: %s is in use", path)
        return
    path.unlink(missing_ok=True)  # while the lock is held, so that nobody's own is taken away
    os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
