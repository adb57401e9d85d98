"""3x3 convolutions on the CPU with a quarter of the multiplications, after Winograd.

Tiles of outputs are products of transformed tiles of inputs and of transformed weights, place by place.
They round like plain sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import torch
from torch.nn.functional import pad

# Lavin and Gray, 2016, "Fast Algorithms for Convolutional Neural Networks".
TILE, WINDOW = 4, 6  # outputs and inputs of a tile, in each direction: 36 multiplications for 144
# Exact in binary, and nearer to 1 than 2 is; the sixth is infinity. The root mean square of the errors of outputs around 1
# is 1.1e-6 to 1.4e-6 at 128 to 1280 channels, that of oneDNN's own convolution 0.6e-6 to 1.8e-6. With the usual points,
# 0, +-1 and +-2, it would be 2.8e-6.
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
AT_ONCE = 64  # output channels whose weights are transformed at once, in the processor's cache
CACHED = 2**18  # numbers of the input's tiles that are transformed at once, for the same reason


def convolve(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """What conv2d gives with a padding of 1: of x [B, C, H, W] and weight [K, C, 3, 3], both float32, [B, K, H, W]."""
    return _products(x, weight, bias)


def input_gradient(gradient: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The gradient [B, C, H, W] of convolve's x, of its result's gradient [B, K, H, W]."""
    return _products(gradient, weight, None, backwards=True)


def _products(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *, backwards: bool = False
) -> torch.Tensor:
    count, inputs, height, width = x.shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    tiles = _input_tiles(x, rows, columns)
    channels = weight.shape[1 if backwards else 0]
    of_weight, of_output = _matrices()[2 if backwards else 1], _matrices()[3]
    out = x.new_empty(count, channels, rows * TILE, columns * TILE)
    placed = out.view(count, channels, rows, TILE, columns, TILE).permute(3, 5, 1, 0, 2, 4)
    filter_buffer, product_buffer, part_buffer = _Buffer(x), _Buffer(x), _Buffer(x)
    for some in _parts(channels, AT_ONCE):
        number = some.stop - some.start
        kernels = (weight[:, some] if backwards else weight[some]).reshape(-1, 9)
        filters = torch.mm(of_weight, kernels.T, out=filter_buffer(WINDOW**2, len(kernels)))
        # backwards it is the same convolution with the weights turned round and the channels exchanged
        each = filters.view(WINDOW**2, inputs, number).mT if backwards else filters.view(WINDOW**2, number, inputs)
        product = torch.bmm(each, tiles, out=product_buffer(WINDOW**2, number, tiles.shape[2]))
        part = torch.mm(of_output, product.flatten(1), out=part_buffer(TILE**2, number * tiles.shape[2]))
        part = part.view(TILE, TILE, number, count, rows, columns)
        placed[:, :, some] = part if bias is None else part.add_(bias[some, None, None, None])
    return out[:, :, :height, :width]


def _input_tiles(x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Transformed tiles [36, C, tiles]."""
    count, channels, height, width = x.shape
    padded = pad(x, (1, 1 + TILE * columns - width, 1, 1 + TILE * rows - height))
    image, channel, row, column = padded.stride()
    windows = padded.as_strided(
        (WINDOW, WINDOW, channels, count, rows, columns), (row, column, channel, image, TILE * row, TILE * column)
    )
    tiles = count * rows * columns
    transformed, buffer = x.new_empty(WINDOW**2, channels, tiles), _Buffer(x)
    for some in _parts(channels, max(CACHED // (WINDOW**2 * tiles), 1)):
        part = windows[:, :, some]
        part = buffer(*part.shape).copy_(part).view(WINDOW**2, -1)
        torch.mm(_matrices()[0], part, out=transformed[:, some].view(WINDOW**2, -1))
    return transformed


class _Buffer:
    """Memory that is used again and again: to be given new memory takes longer than what is computed into it."""

    def __init__(self, like: torch.Tensor) -> None:
        self._memory = like.new_empty(0)

    def __call__(self, *shape: int) -> torch.Tensor:
        size = math.prod(shape)
        if len(self._memory) < size:
            self._memory = self._memory.new_empty(size)
        return self._memory[:size].view(shape)


def _parts(length: int, size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + size, length)) for begin in range(0, length, size))


@cache
def _matrices() -> tuple[torch.Tensor, ...]:
    """Transforms of input tiles [36, 36], of weights and of weights turned round [36, 9], and to outputs [16, 36].

    After Toom and Cook.
    """
    points = torch.tensor(POINTS, dtype=torch.float64)

    def powers(length: int) -> torch.Tensor:
        """Values at the points of the monomials, and at infinity of the highest one: [6, length]."""
        highest = torch.eye(length, dtype=torch.float64)[-1:]
        return torch.cat([points[:, None] ** torch.arange(length), highest])

    apart = points[:, None] - points + torch.eye(len(points), dtype=torch.float64)
    scale = torch.cat([apart.prod(1), apart.new_ones(1)])[:, None]
    of_input, of_weight, of_output = (
        torch.kron(matrix, matrix).float()
        for matrix in (torch.linalg.inv(powers(WINDOW)).T * scale, powers(3) / scale, powers(TILE).T)
    )
    return of_input, of_weight, of_weight.flip(1), of_output
