"""Whole trainings on a tiny host: the snapshot that is chosen is what is written, a cut-off one goes on, nothing is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_training import NAME, Cancelled, TinyHost, ignore, make_person

from facechain.errors import TrainingError
from facechain.faces.base import EngineInfo, Face, FaceEngine
from facechain.training import snapshots, trainer, unfinished, validation
from facechain.training.config import TrainConfig
from facechain.training.curve import curve_of, with_portraits
from facechain.training.judge import Verdict
from facechain.training.options import ClassPictures
from facechain.training.prepare import prepare
from facechain.training.trainer import Trained, train_person

ALIKE, SOMEWHAT, STRANGER = 0.0, 0.4, 1.5  # angles between embeddings
PORTRAITS = len(validation.PROMPTS) * len(validation.SEEDS)


class ScriptedEngine:
    """Sees in each batch of portraits one face an angle away from the person's; None: no face."""

    name, embedder = "scripted", "test"

    def __init__(self, angles: Sequence[float | None]) -> None:
        self.angles, self.sizes = list(angles), []

    def info(self) -> EngineInfo:
        raise NotImplementedError

    def analyze(
        self, images: Sequence[np.ndarray], *, embed: bool = True, attributes: bool = False
    ) -> list[list[Face]]:
        self.sizes.append([image.shape for image in images])
        angle = self.angles.pop(0)
        return [[] if angle is None else [self._face(angle)] for _ in images]

    def _face(self, angle: float) -> Face:
        embedding = np.array([np.cos(angle), 0, np.sin(angle), 0], np.float32)
        box = np.array([100, 100, 300, 300], np.float32)
        return Face(box, 0.9, np.zeros((5, 2), np.float32), None, 0.0, 0.0, 0.0, 1.0, embedding, "test")


class ScriptedHost(TinyHost):
    def __init__(self, folder: Path, *angles: float | None) -> None:
        super().__init__(folder)
        self.engine, self.encoded = ScriptedEngine(angles), 0

    def face_engine(self, name: str) -> FaceEngine:
        return self.engine

    def draw(self, model: Any, positive: Any, negative: Any, noise: torch.Tensor, steps: int) -> torch.Tensor:
        self.drawn_by = model
        return super().draw(model, positive, negative, noise, steps)

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        self.encoded += int((images[..., 2] > 0.45).all(-1).all(-1).sum())  # pictures without the red square
        return super().encode_images(images)


def config(choose: Any, count: int = 3, **settings: Any) -> TrainConfig:
    own = {"steps": 12, "resolution": 64, "rank": 2, "learning_rate": 1e-2}
    return TrainConfig(choose=choose, snapshots=count, **{**own, **settings})


@pytest.fixture()
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[snapshots.Snapshot]]:
    """Every snapshot that is taken, in its order."""
    found: list[snapshots.Snapshot] = []
    take = snapshots.take

    def keep(step: int, adapters: Any) -> snapshots.Snapshot:
        found.append(take(step, adapters))
        return found[-1]

    monkeypatch.setattr(snapshots, "take", keep)
    yield found


def written(trained: Trained) -> tuple[torch.Tensor, torch.Tensor]:
    tensors = load_file(trained.path)
    return tensors[f"{NAME}.lora_down.weight"], tensors[f"{NAME}.lora_up.weight"]


def product(halves: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return halves[1].float() @ halves[0].float()


def test_the_best_snapshot_is_written(tmp_path: Path, taken: list[Any]) -> None:
    host = ScriptedHost(tmp_path, STRANGER, SOMEWHAT, ALIKE, STRANGER)
    trained = train_person(make_person(), config("best"), host, ignore)
    assert [s.step for s in taken] == [4, 8, 12]
    assert all(torch.equal(a, b) for a, b in zip(written(trained), taken[1].halves[0], strict=True))
    assert not torch.equal(written(trained)[1], taken[2].halves[0][1])
    report = trained.report
    assert report["chosen"] == [8] and "highest score" in report["choice"]
    likeness = [s["likeness"] for s in report["snapshots"]]
    assert likeness[1] > likeness[0] > likeness[2] >= 0
    assert report["base_likeness"] == pytest.approx(likeness[2], abs=0.01)
    assert all(s["loss"] > 0 for s in report["snapshots"])
    assert host.engine.sizes == [[(512, 512, 3)] * PORTRAITS] * 4, "small portraits are enlarged"


def test_the_mean_of_the_better_half_is_written_where_it_is_the_best(tmp_path: Path, taken: list[Any]) -> None:
    host = ScriptedHost(tmp_path, STRANGER, SOMEWHAT, STRANGER, SOMEWHAT, ALIKE)
    trained = train_person(make_person(), config("mean of best"), host, ignore)
    expected = (product(taken[0].halves[0]) + product(taken[2].halves[0])) / 2
    assert trained.report["chosen"] == [4, 12] and trained.report["merged"]["likeness"] > 90
    assert not torch.equal(written(trained)[0], taken[2].halves[0][0])
    values = torch.linalg.svdvals(expected)
    error = float((product(written(trained)) - expected).square().sum().sqrt())
    assert error <= 1.05 * float(values[2:].square().sum().sqrt()) + 1e-3


def test_a_mean_that_is_worse_than_the_best_snapshot_is_left_aside(tmp_path: Path, taken: list[Any]) -> None:
    host = ScriptedHost(tmp_path, STRANGER, SOMEWHAT, STRANGER, ALIKE, STRANGER)
    trained = train_person(make_person(), config("mean of best"), host, ignore)
    assert trained.report["chosen"] == [12] and trained.report["merged"] is not None
    assert torch.equal(written(trained)[1], taken[2].halves[0][1])


def test_without_a_face_the_last_one_is_taken_and_the_report_says_why(tmp_path: Path, taken: list[Any]) -> None:
    trained = train_person(make_person(), config("best"), ScriptedHost(tmp_path, *[None] * 4), ignore)
    assert trained.report["chosen"] == [12] and "no portrait of any snapshot shows a face" in trained.report["choice"]
    assert torch.equal(written(trained)[1], taken[2].halves[0][1])
    unknown = train_person(make_person(), config("best", seed=3), TinyHost(tmp_path), ignore)
    assert unknown.report["chosen"] == [12] and "no face engine at hand" in unknown.report["choice"]


def test_a_photo_that_is_held_out_trains_nobody(tmp_path: Path) -> None:
    person = make_person()
    images = torch.full((4, 64, 64, 3), 0.5)
    images[[0, 2, 3], 20:40, 20:40] = torch.tensor([1.0, 0.0, 0.2])
    embeddings = torch.tensor([[0.0, 0, 0, 1], [1, 0, 0, 0], [0.9, 0.436, 0, 0], [0.9, 0, 0.436, 0]])
    rest = {"masks": torch.ones(4, 64, 64), "quality": torch.ones(4), "poses": torch.zeros(4, 3)}
    four = type(person)(**{**vars(person), "images": images, "embeddings": embeddings, **rest})
    host = ScriptedHost(tmp_path, STRANGER, ALIKE, ALIKE, ALIKE)
    report = train_person(four, config("best"), host, ignore).report
    assert host.encoded == 0, "photo 1, the most typical one, has no red square"
    assert report["snapshots"][0]["likeness"] > 90, "compared with photo 1 alone"
    trained = ScriptedHost(tmp_path / "last", ALIKE)
    train_person(four, config("last", 1), trained, ignore)
    assert trained.encoded > 0


class WaitingEngine(ScriptedEngine):
    """Looks at portraits only once it is told to."""

    def __init__(self, angles: Sequence[float | None]) -> None:
        super().__init__(angles)
        self.told = threading.Event()

    def analyze(self, images: Sequence[np.ndarray], **what: bool) -> list[list[Face]]:
        assert self.told.wait(20)
        return super().analyze(images, **what)


def test_portraits_are_judged_while_the_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same LoRA, report and portraits as one after the other."""
    angles = STRANGER, SOMEWHAT, ALIKE, STRANGER
    whole = train_person(make_person(), config("best"), ScriptedHost(tmp_path / "whole", *angles), ignore)
    host = ScriptedHost(tmp_path / "beside")
    engine = host.engine = WaitingEngine(angles)
    monkeypatch.setattr(trainer, "_leaves_room", lambda device, judge: True)
    shown: list[int] = []

    def progress(step: int, *_: object) -> None:
        if step == 6:
            assert shown == [], "two batches of portraits wait, and the third step after them has come"
            engine.told.set()

    def show(_portraits: torch.Tensor, verdict: Verdict) -> None:
        shown.append(verdict.step)

    beside = train_person(make_person(), config("best"), host, progress, show)
    assert shown == [0, 4, 8, 12]
    assert beside.report["chosen"] == [8]
    assert beside.report["snapshots"] == whole.report["snapshots"]
    assert beside.report["base_likeness"] == whole.report["base_likeness"]
    assert all(torch.equal(a, b) for a, b in zip(written(beside), written(whole), strict=True))
    assert beside.samples is not None and whole.samples is not None and torch.equal(beside.samples, whole.samples)


def test_what_breaks_while_judging_ends_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_leaves_room", lambda device, judge: True)
    with pytest.raises(IndexError):  # the engine has no further answer
        train_person(make_person(), config("best"), ScriptedHost(tmp_path, STRANGER, ALIKE), ignore)


@pytest.mark.parametrize("beside", [False, True])
def test_a_training_that_was_cut_off_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    monkeypatch.setattr(trainer, "_leaves_room", lambda device, judge: beside)

    def host(folder: str) -> ScriptedHost:
        return ScriptedHost(tmp_path / folder, STRANGER, SOMEWHAT, STRANGER, ALIKE)

    whole = train_person(make_person(), config("best"), host("whole"), ignore)

    def cut_off(step: int, *_: object) -> None:
        if step == 10:
            raise Cancelled

    released: list[Any] = []
    monkeypatch.setattr(validation.Validation, "release", lambda own: released.append(own))
    with pytest.raises(Cancelled):
        train_person(make_person(), config("best"), host("cut"), cut_off)
    assert len(released) == 1, "the memory of recorded drawings, before the error goes on"
    states = list((tmp_path / "cut" / "unfinished").iterdir())
    assert len(states) == 1 and not (tmp_path / "cut" / "facechain").exists()
    steps: list[int] = []
    again = ScriptedHost(tmp_path / "cut", STRANGER, ALIKE)  # the base's portraits, and those of the last snapshot
    resumed = train_person(make_person(), config("best"), again, lambda step, *_: steps.append(step))
    assert steps == [8, 9, 10, 11, 12] and resumed.report["resumed_after"] == 8
    assert resumed.report["losses"] == whole.report["losses"]
    assert resumed.report["snapshots"] == whole.report["snapshots"]
    assert all(torch.equal(a, b) for a, b in zip(written(resumed), written(whole), strict=True))
    assert resumed.samples is not None and whole.samples is not None
    assert torch.equal(resumed.samples, whole.samples)
    assert not states[0].exists()


def test_a_training_without_snapshots_on_the_way_goes_on_too(tmp_path: Path) -> None:
    settings = config("last", 1)
    whole = train_person(make_person(), settings, ScriptedHost(tmp_path / "whole", ALIKE), ignore)

    def cut_off(step: int, *_: object) -> None:
        if step == 10:
            raise Cancelled

    with pytest.raises(Cancelled):
        train_person(make_person(), settings, ScriptedHost(tmp_path / "cut"), cut_off)
    resumed = train_person(make_person(), settings, ScriptedHost(tmp_path / "cut", ALIKE), ignore)
    assert resumed.report["resumed_after"] == 9 and resumed.report["losses"] == whole.report["losses"]
    assert all(torch.equal(a, b) for a, b in zip(written(resumed), written(whole), strict=True))


def test_an_optimiser_that_is_missing_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    host = ScriptedHost(tmp_path)
    with pytest.raises(TrainingError, match="8-bit"):
        train_person(make_person(), config("last", optimizer="AdamW 8-bit"), host, ignore)
    assert host.loads == host.encoded == 0 and not host.texts


def test_a_damaged_state_is_passed_over_and_few_are_kept(tmp_path: Path) -> None:
    def cut_off(step: int, *_: object) -> None:
        if step == 10:
            raise Cancelled

    for seed in (1, 2, 3):
        with pytest.raises(Cancelled):
            train_person(make_person(), config("last", seed=seed), ScriptedHost(tmp_path, *[ALIKE] * 3), cut_off)
    states = sorted((tmp_path / "unfinished").iterdir(), key=lambda path: path.stat().st_mtime)
    assert len(states) == 2
    states[1].write_bytes(states[1].read_bytes()[:500])
    trained = train_person(make_person(), config("last", seed=3), ScriptedHost(tmp_path, *[ALIKE] * 3), ignore)
    assert trained.report["resumed_after"] == 0


def test_a_state_that_cannot_be_written_is_told_and_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(unfinished, "write_atomically", full)
    trained = train_person(make_person(), config("last"), ScriptedHost(tmp_path, *[ALIKE] * 3), ignore)
    assert trained.path.is_file()
    assert "could not be kept for resuming" in caplog.text and "No space left" in caplog.text


def test_a_loss_that_breaks_down_leaves_the_last_good_snapshot(tmp_path: Path, taken: list[Any]) -> None:
    host = ScriptedHost(tmp_path, *[ALIKE] * 4)

    def poison(step: int, *_: object) -> None:
        if step == 9:
            host.drawn_by.model_sampling.percent_to_sigma = lambda percent: float("nan")

    with pytest.raises(
        TrainingError, match=r"step 10 .* snapshot of step 8 is kept as (\S+step-8.safetensors)"
    ) as caught:
        train_person(make_person(), config("best"), host, poison)
    assert "learning_rate" in caught.value.message and caught.value.remedy
    (kept,) = (tmp_path / "facechain").glob("*.safetensors")
    assert torch.equal(load_file(kept)[f"{NAME}.lora_up.weight"], taken[1].halves[0][1])
    assert not list((tmp_path / "unfinished").iterdir())


def test_a_snapshot_that_was_broken_already_is_not_kept(tmp_path: Path, taken: list[Any]) -> None:
    host = ScriptedHost(tmp_path, *[ALIKE] * 4)

    def poison(step: int, *_: object) -> None:
        if step == 9:
            taken[1].halves[0][1].fill_(float("inf"))
            host.drawn_by.model_sampling.percent_to_sigma = lambda percent: float("nan")

    with pytest.raises(TrainingError, match=r"snapshot of step 4 is kept as (\S+step-4.safetensors)"):
        train_person(make_person(), config("best"), host, poison)


def test_samples_are_found_again_in_the_order_of_the_steps(tmp_path: Path) -> None:
    shown: list[torch.Tensor] = []
    trained = train_person(
        make_person(),
        config("best"),
        ScriptedHost(tmp_path, STRANGER, ALIKE, ALIKE, ALIKE),
        ignore,
        lambda portraits, _: shown.append(portraits),
    )
    again = train_person(make_person(), config("best"), ScriptedHost(tmp_path), ignore)
    assert again.found and trained.samples is not None and again.samples is not None
    assert torch.equal(again.samples, trained.samples) and again.samples.shape == (3 * PORTRAITS, 64, 64, 3)
    assert float((again.samples - torch.cat(shown[1:])).abs().max()) < 0.004, "the base model's are not among them"
    trained.path.with_suffix(".png").unlink()
    assert again.samples is None
    assert json.loads(json.dumps(again.summary))["samples"] == {"columns": 3, "rows": PORTRAITS}


def test_the_curve_shows_the_likeness_and_fills_the_chosen_mark(tmp_path: Path) -> None:
    host = ScriptedHost(tmp_path, STRANGER, SOMEWHAT, ALIKE, STRANGER)
    trained = train_person(make_person(), config("best"), host, ignore)
    picture = curve_of(trained.report).astype(int)
    orange = (picture[..., 0] > 190) & (picture[..., 2] < 60) & (picture[..., 1] > 90)
    rows, columns = np.nonzero(orange)
    assert orange.sum() > 300
    top = columns[(rows > 60) & (rows < 75) & (columns < 700)]
    assert 400 < top.mean() < 560, "100 % at two thirds of the steps"
    plain = curve_of({**trained.report, "snapshots": [], "base_likeness": None}).astype(int)
    assert not ((plain[..., 0] > 190) & (plain[..., 2] < 60) & (plain[..., 1] > 90)).any()
    from PIL import Image

    both = with_portraits(Image.fromarray(curve_of(trained.report)), trained.samples)
    assert both.width == 768 and both.height > 432


def test_class_pictures_change_the_lora_and_its_name_and_are_asked_for(tmp_path: Path) -> None:
    others = ClassPictures(torch.rand(2, 64, 80, 3, generator=torch.Generator().manual_seed(0)))
    prior = config("last", 1, prior_weight=1.0)
    host = ScriptedHost(tmp_path, ALIKE, ALIKE)
    without = train_person(make_person(), config("last", 1), host, ignore, others=others)
    with_them = train_person(make_person(), prior, host, ignore, others=others)
    assert not with_them.found and not torch.equal(written(without)[1], written(with_them)[1])
    assert "a beautiful woman" in host.texts
    with pytest.raises(TrainingError, match="no class pictures"):
        train_person(make_person(), prior, host, ignore)


def test_the_moving_average_is_what_is_judged_and_written(
    tmp_path: Path, taken: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the same mean in plain numbers, step by step; cut off and taken up again it comes to the same."""
    seen: list[torch.Tensor] = []
    prepared: list[Any] = []
    settings = config("best", ema=0.8)

    def keep(*given: Any) -> Any:
        prepared.append(prepare(*given))
        return prepared[-1]

    def follow(*_: object) -> None:
        seen.append(prepared[-1].adapters[0].up.detach().clone())

    def cut_off(step: int, *_: object) -> None:
        if step == 10:
            raise Cancelled

    monkeypatch.setattr(trainer, "prepare", keep)
    whole = train_person(make_person(), settings, ScriptedHost(tmp_path / "whole", *[ALIKE] * 4), follow)
    mean, means = seen[0], []
    for n, value in enumerate(seen[1:], 1):
        decay = min(0.8, (1 + n) / (10 + n))
        mean = decay * mean + (1 - decay) * value
        means.append(mean)
    for snapshot in taken:
        assert torch.allclose(snapshot.halves[0][1].float(), means[snapshot.step - 1], atol=1e-3)
        assert not torch.allclose(snapshot.halves[0][1].float(), seen[snapshot.step], atol=1e-3)

    with pytest.raises(Cancelled):
        train_person(make_person(), settings, ScriptedHost(tmp_path / "cut", *[ALIKE] * 4), cut_off)
    resumed = train_person(make_person(), settings, ScriptedHost(tmp_path / "cut", *[ALIKE] * 4), ignore)
    assert resumed.report["resumed_after"] == 8
    assert all(torch.equal(a, b) for a, b in zip(written(resumed), written(whole), strict=True))
