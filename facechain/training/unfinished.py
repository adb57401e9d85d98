"""The state of a training that may be cut off: kept at its snapshots, taken up again by the same training."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..files import json_object, write_atomically
from ..lack_of_memory import pass_on
from .average import Average
from .judge import Verdict
from .loop import Moment
from .network import Adapter
from .snapshots import Snapshot
from .validation import Validation

log = logging.getLogger(__name__)

FORMAT = "facechain-unfinished-1"  # another number with each change of what is kept: other states are passed over
KEPT = 2  # trainings; older ones are deleted, for each takes about ten times as much as its LoRA


class Unfinished:
    """One training's file of state. key: its training hash. average: of the adapters, where there is one.

    person: the name of who is trained, for those who want the person deleted.
    """

    def __init__(
        self,
        folder: Path,
        key: str,
        adapters: Sequence[Adapter],
        validation: Validation,
        average: Average | None = None,
        person: str = "",
    ) -> None:
        self._path, self._key = folder / f"{key[:16]}.safetensors", key
        self._adapters, self._validation, self._average = adapters, validation, average
        self._person = person
        self._writer = ThreadPoolExecutor(1, "facechain-unfinished")
        self._writing: Future[None] | None = None

    def save(self, moment: Moment) -> None:
        """Take the state as it is and begin to write it, while the training goes on; `finish` waits for it."""
        self.finish()
        state = moment.optimizer.state_dict()
        tensors = {"generator": moment.generator.get_state()}
        numbers: dict[str, dict[str, Any]] = {}
        for number, entries in state["state"].items():
            for name, value in entries.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer.{number}.{name}"] = _copy(value)
                else:
                    numbers.setdefault(str(number), {})[name] = value
        for number, adapter in enumerate(self._adapters):
            tensors[f"adapter.{number}.down"] = _copy(adapter.down)
            tensors[f"adapter.{number}.up"] = _copy(adapter.up)
        for number, value in enumerate(self._average.values if self._average else []):
            tensors[f"average.{number}"] = _copy(value)
        for number, snapshot in enumerate(self._validation.taken):
            for layer, (down, up) in enumerate(snapshot.halves):
                tensors[f"snapshot.{number}.{layer}.down"], tensors[f"snapshot.{number}.{layer}.up"] = down, up
            tensors[f"portraits.{number}"] = self._validation.portraits[number].contiguous()
        groups = [{k: v for k, v in group.items() if k != "params"} for group in state["param_groups"]]
        about = {
            "key": self._key,
            "losses": list(moment.losses),
            "numbers": numbers,
            "groups": groups,
            "steps": [snapshot.step for snapshot in self._validation.taken],
        }
        self._writing = self._writer.submit(self._write, tensors, about, self._validation.all_verdicts())

    def finish(self) -> None:
        """Wait until what `save` began is written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(
        self, tensors: dict[str, torch.Tensor], about: dict[str, Any], verdicts: Callable[[], list[Verdict]]
    ) -> None:
        """Atomically. A full disk is told in the log: the training itself can go on."""
        from safetensors.torch import save

        about["verdicts"] = [asdict(verdict) for verdict in verdicts()]
        metadata = {"format": FORMAT, "person": self._person, "state": json.dumps(about)}
        try:
            write_atomically(self._path, save(tensors, metadata))
            self._prune()
        except OSError as error:
            log.warning("FaceChain: the training's state could not be kept for resuming it (%s)", error)

    def take_up(self, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> list[float]:
        """Bring adapters, optimiser, generator and validation to the kept state; its losses, [] where there is none."""
        found = self._read()
        if found is None:
            return []
        tensors, about = found
        state: dict[int, dict[str, Any]] = {int(k): dict(v) for k, v in about["numbers"].items()}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, number, entry = name.split(".", 2)
                state.setdefault(int(number), {})[entry] = tensor
        groups = optimizer.state_dict()["param_groups"]
        for group, kept in zip(groups, about["groups"], strict=True):
            group.update({k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()})
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        generator.set_state(tensors["generator"])
        with torch.no_grad():
            for number, adapter in enumerate(self._adapters):
                adapter.down.copy_(tensors[f"adapter.{number}.down"])
                adapter.up.copy_(tensors[f"adapter.{number}.up"])
        for number, step in enumerate(about["steps"]):
            named = [f"snapshot.{number}.{layer}" for layer in range(len(self._adapters))]
            halves = [(tensors[f"{name}.down"], tensors[f"{name}.up"]) for name in named]
            self._validation.taken.append(Snapshot(step, halves))
            self._validation.verdicts.append(Verdict(**about["verdicts"][number]))
            self._validation.portraits.append(tensors[f"portraits.{number}"])
        if self._average:
            values = [tensors[f"average.{number}"] for number in range(len(self._average.values))]
            self._average.take_up(values, len(about["losses"]))
        log.info("FaceChain: the training goes on after step %d", len(about["losses"]))
        return list(about["losses"])

    def forget(self) -> None:
        self.finish()
        self._path.unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        from safetensors import SafetensorError, safe_open

        if not self._path.is_file():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError) as error:
            pass_on(error)
            return None
        about = json_object(metadata.get("state", ""))
        if metadata.get("format") != FORMAT or about.get("key") != self._key:
            return None
        fits = all(
            tensors[f"adapter.{n}.down"].shape == a.down.shape and tensors[f"adapter.{n}.up"].shape == a.up.shape
            for n, a in enumerate(self._adapters)
            if f"adapter.{n}.down" in tensors
        )
        return (tensors, about) if fits and f"adapter.{len(self._adapters) - 1}.down" in tensors else None

    def _prune(self) -> None:
        files = sorted(self._path.parent.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
        for path in files[:-KEPT]:
            path.unlink(missing_ok=True)


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """On the CPU, and unchanged by the steps that follow."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
