"""Snapshots and their mean, what the judge makes of portraits, and which snapshot is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from facechain.faces.base import EngineInfo, Face
from facechain.person import Attributes, Person
from facechain.training.config import TrainConfig
from facechain.training.judge import NO_FACE, PENALTY, Judge, Verdict, chosen, enlarged, held_out, judge_for
from facechain.training.loop import snapshot_steps
from facechain.training.network import Adapter
from facechain.training.snapshots import Snapshot, mean, mean_product, restore, take
from facechain.training.validation import portrait_shape, portrait_size

SIDE = 128
WHITE, BLUE, GREEN = (1.0, 1.0, 1.0), (0.1, 0.1, 0.6), (0.1, 0.6, 0.1)


def adapters(seed: int, rank: int = 4) -> list[Adapter]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [((rank, 12), (20, rank)), ((rank, 3, 3, 3), (8, rank, 1, 1))]
    return [
        Adapter(
            str(n),
            nn.Parameter(torch.randn(down, generator=generator)),
            nn.Parameter(torch.randn(up, generator=generator)),
        )
        for n, (down, up) in enumerate(shapes)
    ]


def product(halves: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    down, up = halves
    return up.float().flatten(1) @ down.float().flatten(1)


def test_a_snapshot_brings_the_adapters_back() -> None:
    own = adapters(1)
    snapshot = take(7, own)
    before = [half.detach().half() for adapter in own for half in (adapter.down, adapter.up)]
    with torch.no_grad():
        for adapter in own:
            adapter.down.mul_(2)
            adapter.up.zero_()
    restore(snapshot, own)
    after = [half.detach() for adapter in own for half in (adapter.down, adapter.up)]
    assert snapshot.step == 7 and all(torch.equal(a.float(), b) for a, b in zip(before, after, strict=True))


def test_the_mean_is_exact_where_the_rank_allows_it() -> None:
    """Products that share a subspace of the rank: the mean has no higher rank, and is met to float16's precision."""
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(30, 4, generator=generator), torch.randn(4, 25, generator=generator)
    halves = [(torch.randn(4, 4, generator=generator) @ right, left) for _ in range(3)]
    expected = torch.stack([product(h) for h in halves]).mean(0)
    found = product(mean_product(halves))
    assert (found - expected).norm() < 2e-3 * expected.norm()


def test_otherwise_the_mean_is_the_best_one_of_its_rank() -> None:
    snapshots = [take(step, adapters(step)) for step in (10, 20, 30)]
    merged = mean(snapshots)
    assert merged.step == 30
    for layer, halves in enumerate(merged.halves):
        whole = torch.stack([product(s.halves[layer]) for s in snapshots]).mean(0)
        values = torch.linalg.svdvals(whole)
        assert halves[0].shape == snapshots[0].halves[layer][0].shape
        assert halves[1].shape == snapshots[0].halves[layer][1].shape
        error = (product(halves) - whole).square().sum()
        assert float(error) == pytest.approx(float(values[4:].square().sum()), rel=0.02), "Eckart and Young's bound"


def test_equal_snapshots_have_themselves_as_mean_and_zeros_stay_zero() -> None:
    own = take(1, adapters(3))
    for halves, merged in zip(own.halves, mean([own, own]).halves, strict=True):
        assert torch.allclose(product(merged), product(halves), atol=0.02)
    zero = Snapshot(1, [(torch.randn(4, 6).half(), torch.zeros(5, 4).half())])
    assert not product(mean([zero, zero]).halves[0]).any()


def test_snapshots_are_spread_evenly_and_end_with_the_last_step() -> None:
    assert snapshot_steps(600, 4) == [150, 300, 450, 600]
    assert snapshot_steps(10, 3) == [4, 7, 10]
    assert snapshot_steps(2, 5) == [1, 2]


# --- the judge, on painted portraits ---


class PaintedEngine:
    """Sees a face where the middle of a picture is red; its embedding is in the green of the middle."""

    name: str = "painted"
    embedder: str = "painted"

    def info(self) -> EngineInfo:
        raise NotImplementedError

    def analyze(
        self, images: Sequence[np.ndarray], *, embed: bool = True, attributes: bool = False
    ) -> list[list[Face]]:
        return [self._faces(image) for image in images]

    def _faces(self, image: np.ndarray) -> list[Face]:
        side = image.shape[0]
        middle = image[side // 2, side // 2] / 255.0
        if middle[0] < 0.8:
            return []
        angle = float(middle[1])
        box = np.array([0.4, 0.35, 0.6, 0.65], np.float32) * side
        embedding = np.array([np.cos(angle), np.sin(angle)], np.float32)
        return [Face(box, 0.9, np.zeros((5, 2), np.float32), None, 0.0, 0.0, 0.0, 1.0, embedding, "painted")]


def portrait(around: tuple[float, ...], face: float | None = 0.0) -> torch.Tensor:
    """A head of a colour that the engine reads, before surroundings."""
    picture = torch.tensor(around).expand(SIDE, SIDE, 3).clone()
    low, high = int(0.35 * SIDE), int(0.65 * SIDE)
    picture[low:high, low:high] = torch.tensor([0.0, 0.0, 0.0] if face is None else [1.0, face, 0.0])
    return picture


def make_person(count: int = 3, embedder: str = "painted") -> Person:
    mask = torch.zeros(count, SIDE, SIDE)
    mask[:, 20:108, 30:98] = 1.0
    images = torch.stack([portrait(WHITE)] * count)
    angles = torch.linspace(0, 0.2, count)
    return Person(
        name="anna",
        images=images,
        masks=mask,
        embeddings=torch.stack([angles.cos(), angles.sin()], 1),
        embedder=embedder,
        quality=torch.ones(count),
        poses=torch.zeros(count, 3),
        attributes=Attributes("woman", 30.0, "a beautiful woman"),
        caption="<fcsks>, a beautiful woman",
    )


def judge(compared: Sequence[int] = (0, 1, 2)) -> Judge:
    return Judge(make_person(), PaintedEngine(), compared, 2)


def look(*portraits: torch.Tensor) -> Any:
    return judge().look(torch.stack(portraits))


def test_a_likelier_face_scores_higher_and_none_scores_worst() -> None:
    own = judge()
    like, unlike, none = (
        own.verdict(1, look(portrait(BLUE, face), portrait(GREEN, face)), None) for face in (0.1, 1.0, None)
    )
    assert like.likeness > 90 and like.faces == 2
    assert like.likeness > unlike.likeness >= 0 > none.likeness == NO_FACE
    assert none.faces == 0 and none.portraits == 2


def test_the_photos_background_and_an_ignored_prompt_cost_points() -> None:
    own, base = judge(), look(portrait(BLUE), portrait(GREEN))
    kept, copied, ignoring, half = (
        own.verdict(1, look(*pictures), base)
        for pictures in (
            (portrait(BLUE), portrait(GREEN)),
            (portrait(WHITE), portrait(WHITE)),
            (portrait(BLUE), portrait(BLUE)),
            (portrait(tuple((a + 1) / 2 for a in BLUE)), portrait(tuple((a + 1) / 2 for a in GREEN))),
        )
    )
    assert kept.copied == kept.ignored == 0 and kept.score == kept.likeness
    assert copied.copied > 0.95 and copied.ignored > 0.95
    assert copied.score == pytest.approx(copied.likeness - PENALTY, abs=1.5)
    assert ignoring.ignored > 0.95 and ignoring.copied < 0.1
    assert half.copied == pytest.approx(0.5, abs=0.05)


def test_surroundings_that_were_the_photos_anyway_are_no_fault() -> None:
    base = look(portrait(WHITE), portrait(WHITE))
    verdict = judge().verdict(1, look(portrait(WHITE), portrait(WHITE)), base)
    assert verdict.copied == verdict.ignored == 0


def test_small_pictures_are_enlarged_for_the_engine() -> None:
    small = np.zeros((96, 128, 3), np.uint8)
    assert enlarged(small).shape == (512, 683, 3)
    large = np.zeros((512, 400, 3), np.uint8)
    assert enlarged(large) is large


def test_the_real_engine_knows_a_person_on_a_small_portrait(package_photos: Any) -> None:
    from PIL import Image

    from facechain.faces import engine

    with Image.open(package_photos["astronaut"]) as file:
        photo = np.asarray(file.convert("RGB").crop((100, 0, 350, 250)).resize((128, 128)))
    own = engine()
    (face,) = own.analyze([enlarged(photo)])[0]
    person = make_person(1, own.embedder)
    person = Person(**{**vars(person), "embeddings": torch.from_numpy(face.embedding)[None]})
    found, excuse = judge_for(person, TrainConfig(), 1, engine)
    assert found is not None and not excuse
    looks = found.look(torch.from_numpy(photo.copy())[None] / 255)
    assert found.verdict(1, looks, None).likeness > 90
    noise = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    assert found.verdict(1, found.look(noise), None).likeness == NO_FACE


def test_without_the_persons_engine_there_is_no_judge_but_a_reason() -> None:
    from facechain.faces import engine

    found, excuse = judge_for(make_person(2, "unknown-net"), TrainConfig(), 2, engine)
    assert found is None and "unknown-net" in excuse


def test_one_photo_in_four_is_held_out_and_never_the_best() -> None:
    config = TrainConfig(choose="best", snapshots=4)
    assert held_out(make_person(3), config) == []
    assert held_out(make_person(8), TrainConfig()) == [], "nothing is compared"
    assert held_out(make_person(4), config) in ([1], [2]), "the most typical one, not the best (0)"
    assert len(held_out(make_person(9), config)) == 2 and len(held_out(make_person(40), config)) == 4


# --- the choice ---


def verdicts(*scores: float | None) -> list[Verdict]:
    return [
        Verdict(
            100 * (n + 1), score or 0.0, 0 if score is None else 4, 4, 0.0, 0.0, NO_FACE if score is None else score
        )
        for n, score in enumerate(scores)
    ]


def test_the_best_is_chosen_or_the_better_half() -> None:
    assert chosen(verdicts(10, 60, 50, 40), "best")[0] == [1]
    assert chosen(verdicts(10, 60, 50, 40), "mean of best")[0] == [1, 2]
    assert chosen(verdicts(10, 60, 50, 40, 55), "mean of best")[0] == [1, 2, 4]
    assert chosen(verdicts(10, 60, 50, 40), "last")[0] == [3]
    assert chosen(verdicts(50, 50), "best")[0] == [1], "the later one of equals"


def test_snapshots_without_a_face_are_never_chosen_unless_there_is_no_other() -> None:
    assert chosen(verdicts(None, 5, None), "mean of best")[0] == [1]
    best, reason = chosen(verdicts(None, None, None), "best")
    assert best == [2] and "no portrait of any snapshot shows a face" in reason


def test_portraits_of_large_pictures_are_smaller_than_these() -> None:
    sizes = {64: 64, 192: 192, 384: 384, 448: 384, 512: 384, 768: 576, 1024: 768}
    assert {size: portrait_size(size) for size in sizes} == sizes
    assert portrait_shape((4, 64, 64), 512) == (4, 48, 48)
    assert portrait_shape((16, 1, 128, 128), 1024) == (16, 1, 96, 96), "of a VAE for videos"
