"""Attention on the CPU whose result a block's second pass takes from its first.

torch's own kernel, called as torch calls it: the backward pass needs the queries, keys and values again, and of what
the kernel computed only its output and the logarithm of each row's sum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.attention import SDPBackend

from .narrow import widened
from .recall import recalled

KERNEL = "_scaled_dot_product_flash_attention_for_cpu"  # and KERNEL_backward; since torch 2.2


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor | None:
    """What torch's own attention gives, bit by bit; None where torch would not use the kernel named above.

    In bfloat16 on a CPU without it to the precision of bfloat16.
    """
    # q: [B, heads, N, D], k and v: [B, heads, M, D]; without a mask and without dropout
    dtype = q.dtype
    q, k, v = widened(q), widened(k), widened(v)
    known = hasattr(torch.ops.aten, KERNEL) and hasattr(torch.ops.aten, f"{KERNEL}_backward")
    if q.device.type != "cpu" or not known:
        return None
    if torch._fused_sdp_choice(q, k, v) != SDPBackend.FLASH_ATTENTION.value:  # type: ignore[attr-defined]
        return None
    return _Attention.apply(q, k, v).to(dtype)  # type: ignore[no-any-return]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        out, sums = recalled(lambda: torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v))
        ctx.save_for_backward(q, k, v, out, sums)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        return backward(gradient, *ctx.saved_tensors, 0.0, False)
