"""Layers of a frozen network as training needs them: gradients of their inputs and adapters, and nothing else.

Autograd keeps what a frozen layer's weight gradient would need, and copies of weights that are cast or moved
for the forward pass. These layers keep neither: weights are cast again in the backward pass, so that weights
of another precision, or left in main memory by the host, cost no memory of the device for longer than a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, fold, linear, unfold
from torch.nn.grad import conv2d_input

from .narrow import widened
from .recall import Tensors, recalled
from .winograd import convolve, input_gradient

# On the CPU, oneDNN brings the weights of a convolution into another order at each call. Where there are that many
# times more output channels than places, a matrix product over the unfolded input takes less time (measured at
# 1280 channels, one thread: 8x8 places 69 -> 29 ms, 16x16 161 -> 123; at 320 channels and 32x32 24 -> 33).
CHANNELS_A_PLACE = 3
FEW_PLACES = 8  # below, the product is faster with the places as rows
# Where there are many places instead, it is the multiplications that count (measured at 320 to 1920 channels, one
# thread: 64x64 places 91 -> 48 ms at 320 channels, 32x32 86 -> 54 at 640; at 16x16 there is nothing to gain).
MANY_PLACES, MANY_CHANNELS = 768, 64

# On the CPU, Recall keeps the outputs of linear layers of at least so many inputs: time that is saved for a byte is in
# proportion to the inputs (nine times the channels, for a convolution).
WIDE = 640


# Layers that compute with their weight and bias as these are; others, such as scaled 8-bit ones, are left alone.
HOSTS = ("disable_weight_init.", "manual_cast.")  # ComfyUI's


def make_lean(network: nn.Module) -> None:
    """Replace the forward pass of network's frozen linear and convolution layers; what they compute stays the same."""
    for layer in network.modules():
        if not (type(layer) in (nn.Linear, nn.Conv2d) or type(layer).__qualname__.startswith(HOSTS)):
            continue
        if getattr(layer, "weight_function", None) or getattr(layer, "bias_function", None):
            continue  # patches that the host puts on the weights at each call
        if isinstance(layer, nn.Linear):
            layer.forward = _FrozenLinear(layer)  # type: ignore[method-assign]
        elif isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
            layer.forward = _FrozenConv(layer)  # type: ignore[method-assign]


def settled_bytes(network: nn.Module, dtype: torch.dtype) -> int:
    """What `settle` takes."""
    return sum(layer.weight.numel() * dtype.itemsize for layer in _unsettled(network, dtype))


def settle(network: nn.Module, dtype: torch.dtype) -> None:
    """Give network's frozen layers weights of their own as a card computes with them, so that no step converts them.

    That is in dtype, and for convolutions with the channels last. To bring them into that order takes a fourth of a
    step, as measured with SD 1.5 at 512 pixels on a fast card.
    """
    for layer in _unsettled(network, dtype):
        order = torch.channels_last if layer.weight.ndim == 4 else torch.contiguous_format
        layer.weight = nn.Parameter(layer.weight.to(dtype, memory_format=order, copy=True), requires_grad=False)


def _unsettled(network: nn.Module, dtype: torch.dtype) -> list[Any]:
    """The frozen layers whose weights lie otherwise than a card would have them."""
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Linear, nn.Conv2d)) and is_lean(layer)]
    last = torch.channels_last
    return [
        layer
        for layer in layers
        if layer.weight.dtype != dtype
        or (layer.weight.ndim == 4 and not layer.weight.is_contiguous(memory_format=last))
    ]


def is_lean(layer: nn.Module) -> bool:
    """Whether make_lean has replaced the layer's forward pass."""
    return isinstance(layer.forward, (_FrozenLinear, _FrozenConv))


@dataclass(frozen=True, eq=False)
class _FrozenLinear:
    layer: nn.Linear

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return _LinearProduct.apply(widened(x), self.layer.weight, self.layer.bias).to(x.dtype)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class _FrozenConv:
    layer: nn.Conv2d

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return _Convolution.apply(widened(x), self.layer).to(x.dtype)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class LowRank:
    """A linear layer with its adapter: x W + scale x A B, the adapter in the precision of x.

    down: [rank, inputs], up: [outputs, rank]; both float32.
    """

    layer: nn.Linear
    down: nn.Parameter
    up: nn.Parameter
    scale: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.layer.weight, self.layer.bias
        out = _LowRankProduct.apply(widened(x), weight, bias, self.down, self.up, self.scale)
        return out.to(x.dtype)  # type: ignore[no-any-return]


def _like(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return weight.to(x.device, x.dtype, non_blocking=x.is_cuda)


def _bias(x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor | None:
    return None if bias is None else _like(x, bias)


class _LinearProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.weight = weight
        return _recalled_if_wide(x, lambda: (linear(x, _like(x, weight), _bias(x, bias)),))[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return gradient @ _like(gradient, ctx.weight), None, None


class _LowRankProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        down, up = down.to(x.dtype), up.to(x.dtype)  # as the host casts the weights: half the work in 16 bits

        def compute() -> Tensors:
            rows = x.reshape(-1, x.shape[-1])
            middle = rows @ down.T
            return linear(rows, _like(x, weight), _bias(x, bias)).addmm_(middle, up.T, alpha=scale), middle

        out, middle = _recalled_if_wide(x, compute)
        ctx.save_for_backward(x, middle, down, up)
        ctx.weight, ctx.scale = weight, scale
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        x, middle, down, up = ctx.saved_tensors
        rows, gradient = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
        to_middle = (gradient @ up).mul_(ctx.scale)
        to_down = (to_middle.T @ rows).float()
        to_up = (gradient.T @ middle).mul_(ctx.scale).float()
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = (gradient @ _like(gradient, ctx.weight)).addmm_(to_middle, down).view(x.shape)
        return to_x, None, None, to_down, to_up, None


def _recalled_if_wide(x: torch.Tensor, compute: Callable[[], Tensors]) -> Tensors:
    """What a linear layer gives for x."""
    return recalled(compute) if x.device.type == "cpu" and x.shape[-1] >= WIDE else compute()


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
        ctx.layer, ctx.shape = layer, x.shape
        return recalled(lambda: (_convolve(layer, x),))[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        layer, shape = ctx.layer, ctx.shape
        weight = _like(gradient, layer.weight)
        settings = layer.stride, layer.padding, layer.dilation, layer.groups
        if _channels_last(weight):
            gradient = gradient.contiguous(memory_format=torch.channels_last)
            return conv2d_input(shape, weight, gradient, *settings).contiguous(), None
        if _by_winograd(layer, gradient):
            return input_gradient(gradient, weight), None
        if not _by_product(layer, gradient):
            return conv2d_input(shape, weight, gradient, *settings), None
        places, matrix = gradient.flatten(2), weight.flatten(1)
        few = places.shape[0] * places.shape[2] <= FEW_PLACES
        patches = (places.mT @ matrix).mT if few else matrix.T @ places
        return fold(patches, shape[2:], layer.kernel_size, padding=layer.padding), None


def _convolve(layer: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    weight, bias = _like(x, layer.weight), _bias(x, layer.bias)
    if _channels_last(weight):
        x = x.contiguous(memory_format=torch.channels_last)
        out = conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)  # type: ignore[arg-type]
        return out.contiguous()  # what follows, such as a norm, would convert it each for itself
    if _by_winograd(layer, x):
        return convolve(x, weight, bias)
    if not _by_product(layer, x):
        return conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)  # type: ignore[arg-type]
    patches, matrix = unfold(x, layer.kernel_size, padding=layer.padding), weight.flatten(1)  # type: ignore[arg-type]
    few = patches.shape[0] * patches.shape[2] <= FEW_PLACES
    out = linear(patches.mT, matrix).mT if few else matrix @ patches
    out = out if bias is None else out + bias[:, None]
    return out.reshape(len(x), -1, *x.shape[2:])


def _channels_last(weight: torch.Tensor) -> bool:
    """Whether `settle` has brought it into that order; a weight of 1x1 is in both."""
    return weight.is_cuda and weight.is_contiguous(memory_format=torch.channels_last)


def _by_product(layer: nn.Conv2d, x: torch.Tensor) -> bool:
    """Whether a matrix product is faster. x: the layer's input or the gradient of its output."""
    places = x.shape[0] * x.shape[2] * x.shape[3]
    return _is_plain(layer, x) and layer.out_channels >= CHANNELS_A_PLACE * places


def _by_winograd(layer: nn.Conv2d, x: torch.Tensor) -> bool:
    """Whether Winograd's way is faster. x: as above."""
    many = min(layer.in_channels, layer.out_channels) >= MANY_CHANNELS
    many = many and x.shape[0] * x.shape[2] * x.shape[3] >= MANY_PLACES
    return many and layer.kernel_size == (3, 3) and _is_plain(layer, x)


def _is_plain(layer: nn.Conv2d, x: torch.Tensor) -> bool:
    """Whether x is of float32 on the CPU, and the layer keeps its size and has neither steps nor groups."""
    keeps_size = all(2 * p == k - 1 for p, k in zip(layer.padding, layer.kernel_size, strict=True))  # type: ignore[operator]
    plain = keeps_size and layer.groups == 1 and {*layer.stride, *layer.dilation} == {1}
    return plain and x.device.type == "cpu" and x.dtype == torch.float32
