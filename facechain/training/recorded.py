"""Work on a graphics card that is recorded once and replayed (CUDA graphs).

Starting the thousands of kernels of a step from Python takes longer than the card takes to run them. A record is
started as one: the same kernels on the same places of memory, so the same results.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

from ..lack_of_memory import is_lack_of_memory

log = logging.getLogger(__name__)

Part = dict[str, Any]
Compute = Callable[..., torch.Tensor]


class Recorder:
    """Runs functions of tensors: by Python, or by a record of what Python did. One for each function.

    wanted: whether to record. All that a function reads besides its arguments must stay in its place of memory.
    """

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self._known: set[tuple[object, ...]] = set()
        self._records: dict[tuple[object, ...], _Recording] = {}
        self._stream: Any = None

    @property
    def holds(self) -> bool:
        """Whether there is a record, and so memory that is in use between two runs."""
        return bool(self._records)

    def release(self) -> None:
        """Give back the memory; the next run is recorded anew."""
        self._records.clear()

    def run(self, compute: Compute, *parts: Part) -> torch.Tensor:
        """compute(*parts), whose result the next run may write over.

        The first run with tensors of some shapes is done by Python, which makes libraries ready; the second is
        recorded. What cannot be recorded is said once, and Python goes on with it.
        """
        if not self.wanted:
            return compute(*parts)
        shapes = tuple(entry for part in parts for entry in shapes_of(part))
        record = self._records.get(shapes)
        if record is None and shapes in self._known:
            record = self._prepare(compute, shapes, parts)
        self._known.add(shapes)
        return record.replay(parts) if record else self._by_python(compute, parts)

    def _by_python(self, compute: Compute, parts: tuple[Part, ...]) -> torch.Tensor:
        """On the stream of the records: autograd remembers the stream of a parameter's first use."""
        self._stream = self._stream or torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            result = compute(*parts)
        torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def _prepare(self, compute: Compute, shapes: tuple[object, ...], parts: tuple[Part, ...]) -> _Recording | None:
        try:
            record = _Recording(compute, parts, self._stream)
        except RuntimeError as error:
            if is_lack_of_memory(error):
                raise
            log.warning("FaceChain: this graphics card cannot record steps; training goes on without (%s)", error)
            self.wanted = False
            return None
        self._records[shapes] = record
        return record


class _Recording:
    """A recorded run, with a copy of its own of every tensor that it is given."""

    def __init__(self, compute: Compute, parts: tuple[Part, ...], stream: Any) -> None:
        self._inputs = [tensor.clone() for tensor in _tensors_of(parts)]
        inputs = iter(self._inputs)
        own = [{k: next(inputs) if isinstance(v, torch.Tensor) else v for k, v in part.items()} for part in parts]
        self._graph = torch.cuda.CUDAGraph()
        self._result = self._run(lambda: compute(*own), stream)

    def _run(self, compute: Callable[[], torch.Tensor], stream: Any) -> torch.Tensor:
        failure: BaseException | None = None
        try:
            # thread_local: another thread of the host may ask for memory meanwhile
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                try:
                    return compute()
                except BaseException as error:
                    failure = error  # a cancel, say: the end of a broken record raises an error in its place
                    raise
        except RuntimeError as error:
            if failure is not None and failure is not error:
                raise failure from error
            raise

    def replay(self, parts: tuple[Part, ...]) -> torch.Tensor:
        for own, given in zip(self._inputs, _tensors_of(parts), strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._result


def _tensors_of(parts: tuple[Part, ...]) -> list[torch.Tensor]:
    return [value for part in parts for value in part.values() if isinstance(value, torch.Tensor)]


def shapes_of(part: Part) -> tuple[object, ...]:
    """All but the numbers in its tensors: where these are equal, the same work is done."""
    return tuple(
        (key, tuple(value.shape), value.dtype) if isinstance(value, torch.Tensor) else (key, repr(value))
        for key, value in part.items()
    )
