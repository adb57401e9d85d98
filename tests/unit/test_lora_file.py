"""The LoRA as a file, and a whole training against a host of a few weights: found again, cancelled, disk full."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_training import BASE, LAYER, NAME, Cancelled, TinyHost, ignore, make_person
from torch import nn

from facechain.errors import TrainingError
from facechain.training import lora_file
from facechain.training.config import TrainConfig
from facechain.training.lora_file import Base
from facechain.training.network import Adapter
from facechain.training.report import time_split
from facechain.training.trainer import train_person

CONFIG = TrainConfig(steps=12, resolution=64, rank=2, learning_rate=1e-2)


def test_a_training_writes_kohyas_keys_in_half_precision_with_its_origin(tmp_path: Path) -> None:
    trained = train_person(make_person(), CONFIG, TinyHost(tmp_path), ignore)
    assert trained.path == tmp_path / trained.name and trained.person.lora == trained.name and not trained.found
    assert trained.name.startswith("facechain/anna-") and len(Path(trained.name).stem) == len("anna-") + 12
    tensors = load_file(trained.path)
    assert {key: (tuple(t.shape), t.dtype) for key, t in tensors.items()} == {
        f"{NAME}.lora_down.weight": ((2, 4), torch.float16),
        f"{NAME}.lora_up.weight": ((4, 2), torch.float16),
        f"{NAME}.alpha": ((), torch.float16),
    }
    assert float(tensors[f"{NAME}.alpha"]) == 2 and tensors[f"{NAME}.lora_up.weight"].any()
    with safe_open(trained.path, framework="pt") as file:
        about = file.metadata()
    own = json.loads(about["facechain"])
    assert (about["ss_network_dim"], about["ss_network_alpha"], about["ss_seed"]) == ("2", "2", "42")
    assert own["person_hash"] == make_person().hash and own["base"]["model"] == "m"
    assert own["trigger"] == "<fcsks>" and own["phrase"] == "a beautiful woman"
    assert own["settings"]["steps"] == 12 and len(own["report"]["losses"]) == 12
    left = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {trained.path.name, trained.path.with_suffix(".png").name}, "nothing left over"


def test_the_same_inputs_find_the_file_and_other_inputs_train(tmp_path: Path) -> None:
    host = TinyHost(tmp_path)
    first = train_person(make_person(), CONFIG, host, ignore)
    again = train_person(make_person(), CONFIG, TinyHost(tmp_path), ignore)
    assert again.found and again.path == first.path and again.report["losses"] == first.report["losses"]
    assert train_person(
        make_person(),
        TrainConfig(steps=12, resolution=64, rank=2, learning_rate=1e-2, checkpointing="on"),
        host,
        ignore,
    ).found
    others = [
        (make_person(brightness=0.6), CONFIG, BASE),
        (make_person(), TrainConfig(steps=13, resolution=64, rank=2, learning_rate=1e-2), BASE),
        (make_person(), TrainConfig(steps=12, resolution=64, rank=2, learning_rate=1e-2, seed=1), BASE),
        (make_person(), CONFIG, Base("other", "c", "v")),
        (make_person(), CONFIG, Base("m", "other", "v")),
        (make_person(), CONFIG, Base("m", "c", "other")),
        (make_person("berta"), CONFIG, BASE),
    ]
    names = {first.name}
    for person, config, base in others:
        host.base = base
        trained = train_person(person, config, host, ignore)
        assert not trained.found
        names.add(trained.name)
    assert len(names) == 8


def test_a_damaged_file_is_trained_anew(tmp_path: Path) -> None:
    first = train_person(make_person(), CONFIG, TinyHost(tmp_path), ignore)
    whole = first.path.read_bytes()
    first.path.write_bytes(whole[:-5])
    again = train_person(make_person(), CONFIG, TinyHost(tmp_path), ignore)
    assert not again.found and load_file(again.path).keys() == load_file(first.path).keys()
    first.path.write_bytes(b"no safetensors at all")
    assert not train_person(make_person(), CONFIG, TinyHost(tmp_path), ignore).found


def test_a_file_of_another_training_under_the_same_name_is_not_taken(tmp_path: Path) -> None:
    first = train_person(make_person(), CONFIG, TinyHost(tmp_path), ignore)
    assert lora_file.read_report(first.path, "0" * 64) is None


@pytest.mark.parametrize("moment", ["encoding", "first step", "later"])
def test_a_cancel_passes_through_and_leaves_no_lora(tmp_path: Path, moment: str) -> None:
    host = TinyHost(tmp_path)
    host.cancel = moment == "encoding"

    def progress(step: int, *_: object) -> None:
        if moment != "encoding" and step == (0 if moment == "first step" else 7):
            raise Cancelled

    with pytest.raises(Cancelled):
        train_person(make_person(), CONFIG, host, progress)
    left = {path.parent for path in tmp_path.rglob("*.*")}
    assert left == ({tmp_path / "unfinished"} if moment == "later" else set()) and host.freed == 1
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match=r"anna-\w+.safetensors could not be written .*No space left") as caught:
        train_person(make_person(), CONFIG, TinyHost(tmp_path), ignore)
    assert "queue again" in caught.value.remedy
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_disk_that_is_too_full_is_told_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage, steps = shutil.disk_usage(tmp_path), []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5 * 2**20))
    with pytest.raises(TrainingError, match=r"disk of .* is full \(5 MB left, 16 MB needed") as caught:
        train_person(make_person(), CONFIG, TinyHost(tmp_path), lambda *step: steps.append(step))
    assert not steps and caught.value.remedy


@pytest.mark.parametrize(
    ("settings", "advice"),
    [({}, "Lower the resolution, or close"), ({"batch_size": 2, "resolution": 128}, "Lower one of them, or close")],
)
def test_out_of_memory_passes_through_with_advice(tmp_path: Path, settings: dict[str, int], advice: str) -> None:
    def progress(step: int, *_: object) -> None:
        if step == 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    host, config = TinyHost(tmp_path), replace(CONFIG, **settings)
    with pytest.raises(torch.cuda.OutOfMemoryError) as caught:
        train_person(make_person(), config, host, progress)
    told = str(caught.value)
    assert told.startswith("CUDA out of memory\n") and f"{config.resolution} pixels" in told and advice in told
    assert host.freed == 1


def test_the_report_tells_losses_times_and_settings(tmp_path: Path) -> None:
    report = train_person(make_person(), CONFIG, TinyHost(tmp_path), ignore).summary
    assert report["steps"] == 12 and report["photos"] == 2 and report["resolution"] == 64
    phases = ("latents", "caption", "load", "preparation", "steps", "validation", "choice", "save")
    assert set(report["seconds"]) == set(phases)
    assert json.loads(json.dumps(report))["settings"]["rank"] == 2


def test_weights_beyond_half_precision_are_refused() -> None:
    adapter = Adapter(LAYER, nn.Parameter(torch.full((2, 4), 1e6)), nn.Parameter(torch.zeros(4, 2)))
    with pytest.raises(TrainingError, match="beyond all bounds"):
        lora_file.to_tensors([adapter], {LAYER: NAME}, 2)


def test_names_of_people_stay_inside_the_folder(tmp_path: Path) -> None:
    from facechain.errors import UnusableNameError

    with pytest.raises(UnusableNameError):
        train_person(make_person("../evil"), CONFIG, TinyHost(tmp_path), ignore)
    assert lora_file.lora_name(make_person("小明"), "a" * 64) == "facechain/小明-aaaaaaaaaaaa.safetensors"


def test_where_the_time_went_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    train_person(make_person(), CONFIG, TinyHost(tmp_path), ignore)
    assert re.search(r"trained in \d+\.\d s: .*steps \d+ %", caplog.text)
    assert time_split({"load": 1, "steps": 88, "validation": 10.9, "save": 0.1}) == (
        "trained in 100.0 s: steps 88 %, validation 11 %, load 1 %"
    )
