"""Telling a lack of memory from a damaged file or a wrong shape: libraries say it in several ways."""

from __future__ import annotations

import errno

_SIGNS = (
    "can't allocate memory",  # torch, main memory
    "out of memory",  # torch, a card; CUDA's own words
    "cannot allocate memory",  # the operating system, through Rust libraries
    "failed to allocate memory",  # onnxruntime
    "bad_alloc",  # C++
    "bad allocation",
)


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether memory was used up, of the card or of the machine, whoever raised the error."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return any(sign in str(error).lower() for sign in _SIGNS)


def pass_on(error: BaseException) -> None:
    """Raise MemoryError where that is what an error comes down to; for those who would call a file damaged."""
    if is_lack_of_memory(error):
        raise MemoryError(f"not enough memory ({error})") from error
