"""Half precision on a processor that has none: products are computed in single precision, and rounded.

That is what a processor with it does, too.
"""

from __future__ import annotations

from functools import cache

import torch

# torch's own way there takes a hundred times as long (AVX2, one thread: a convolution of 320 channels at 32x32 places 2.6 s
# against 17 ms in float32, a matrix product 680 ms against 7.5).


def widened(x: torch.Tensor) -> torch.Tensor:
    """x, in float32 where it is of bfloat16 on a CPU without it."""
    narrow = x.dtype == torch.bfloat16 and x.device.type == "cpu"
    return x.float() if narrow and not _has_bfloat16() else x


@cache
def _has_bfloat16() -> bool:
    """Whether torch's library for the CPU, oneDNN, computes in bfloat16 here."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
