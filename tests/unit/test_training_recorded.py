"""What recorded steps need, as far as it can be shown without a card; the records themselves: tests/gpu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_training_lean import frozen, results
from tiny_training import TinyHost, make_person
from torch import nn

from facechain.training.config import TrainConfig
from facechain.training.data import LatentBank
from facechain.training.lean import make_lean, settle, settled_bytes
from facechain.training.loop import training_mode
from facechain.training.loss import batched
from facechain.training.prepare import encode_texts, prepare
from facechain.training.recorded import Recorder, shapes_of
from facechain.training.validation import PROMPTS, SEEDS, Validation


def test_without_a_card_everything_is_computed_by_python() -> None:
    recorder, seen = Recorder(False), []

    def double(part: dict[str, torch.Tensor]) -> torch.Tensor:
        seen.append(part)
        return part["x"] * 2

    for number in range(3):
        assert float(recorder.run(double, {"x": torch.tensor(float(number))})) == 2 * number
    assert len(seen) == 3 and not recorder.holds


def test_what_decides_about_the_work_is_told_apart() -> None:
    part = {"x": torch.zeros(2, 3), "kind": "a"}
    assert shapes_of(part) == shapes_of({"x": torch.ones(2, 3), "kind": "a"})
    for other in ({"x": torch.zeros(3, 3)}, {"x": torch.zeros(2, 3).half()}, {"kind": "b"}, {"x": None}):
        assert shapes_of(part) != shapes_of({**part, **other})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_settled_layers_compute_the_same_on_weights_of_their_own(dtype: torch.dtype) -> None:
    network: Any = nn.Sequential(frozen(nn.Conv2d(6, 8, 3, padding=1)), nn.Flatten(2), frozen(nn.Linear(16, 4)))
    make_lean(network)
    x = torch.randn(2, 6, 4, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    shared, before = network[0].weight, results(network, x)
    linear = network[2].weight
    expected = shared.numel() * dtype.itemsize + (0 if dtype == linear.dtype else linear.numel() * dtype.itemsize)
    assert settled_bytes(network, dtype) == expected
    settle(network, dtype)
    assert settled_bytes(network, dtype) == 0
    assert network[0].weight.data_ptr() != shared.data_ptr() and shared.is_contiguous(), "the host's own stays as it is"
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    for after, own in zip(results(network, x), before, strict=True):
        torch.testing.assert_close(after, own, rtol=2e-2, atol=2e-2 if dtype == torch.bfloat16 else 1e-5)


def test_conditions_of_several_portraits_become_those_of_a_batch() -> None:
    made = batched([{"y": torch.full((1, 2), float(n)), "kind": "a"} for n in range(3)])
    assert made["kind"] == "a" and made["y"].tolist() == [[0, 0], [1, 1], [2, 2]]


class Counting(TinyHost):
    """Conditions that differ by text, in numbers and, for long texts, in shape."""

    def __init__(self, folder: Path, long: bool = False) -> None:
        super().__init__(folder)
        self.sizes: list[int] = []
        self.long = long

    def conditions(self, model: object, text: object, latents: torch.Tensor) -> dict[str, torch.Tensor]:
        words = 1 + (self.long and "garden" in str(text))
        return {"c": torch.full((1, words, 1, 1), len(str(text)) / 100)}

    def draw(self, model: object, positive: dict, negative: dict, noise: torch.Tensor, steps: int) -> torch.Tensor:
        self.sizes.append(len(noise))
        assert len(positive["c"]) == len(negative["c"]) == len(noise)
        return noise + positive["c"][:, :1] - negative["c"]


def portraits(host: Counting, roomy: bool) -> torch.Tensor:
    person = make_person()
    config = TrainConfig(steps=4, resolution=64, rank=2, checkpointing="off")
    bank = LatentBank(torch.zeros(2, 4, 8, 8))
    with training_mode(0, host.device):
        made = prepare(person, config, host, host.model, encode_texts(person, config, host, False), bank, False)
        inputs = host, made.trainee.model, made.adapters, config, made.prompts, made.portrait, None
        validation = Validation(*inputs, roomy=roomy)
        validation.add(4, 0.1)
        return validation.portraits[0]


def test_where_memory_is_plenty_portraits_are_drawn_in_one_batch(tmp_path: Path) -> None:
    single, together = Counting(tmp_path), Counting(tmp_path)
    assert torch.equal(portraits(single, False), portraits(together, True))
    count = len(PROMPTS) * len(SEEDS)
    assert single.sizes == [1] * count and together.sizes == [count]


def test_prompts_of_different_lengths_are_drawn_one_by_one(tmp_path: Path) -> None:
    host = Counting(tmp_path, long=True)
    portraits(host, True)
    assert host.sizes == [1] * len(PROMPTS) * len(SEEDS)
