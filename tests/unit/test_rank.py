"""Similarity Rank: order, scale and reasons."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facechain.errors import FaceError, RecordError
from facechain.faces import engine
from facechain.images import from_pixels
from facechain.likeness import reference
from facechain.person import Attributes, Person
from facechain.rank import pictures_in, rank, report_of, sheet_of, small_pictures

EMBEDDED = engine("embedded")


def load(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def person_of(pictures: list[np.ndarray]) -> Person:
    faces = [found[0] for found in EMBEDDED.analyze(pictures)]
    count = len(faces)
    return Person(
        name="Test",
        images=torch.ones(count, 512, 512, 3),
        masks=torch.ones(count, 512, 512),
        embeddings=torch.from_numpy(np.stack([np.asarray(face.embedding) for face in faces])),
        embedder=EMBEDDED.embedder,
        quality=torch.ones(count),
        poses=torch.zeros(count, 3),
        attributes=Attributes("man", 30, "a handsome man"),
        caption="<fcsks>",
    )


@pytest.fixture(scope="module")
def poses(shared_data: Path) -> list[np.ndarray]:
    return [load(shared_data / f"people/man/pose{n}.png") for n in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def man(poses: list[np.ndarray]) -> Person:
    return person_of(poses[:2])


def cancel() -> None:
    raise KeyError("cancelled")


@pytest.fixture(scope="module")
def group(package_photos: dict[str, Path]) -> np.ndarray:
    return load(package_photos["group"])


def test_the_persons_own_pictures_come_first(man: Person, poses: list[np.ndarray], shared_data: Path) -> None:
    names = ("Armor", "Flowers", "Gentleman", "Soccer")
    others = [load(shared_data / f"styles_preview/{name}.jpg") for name in names]
    images = [from_pixels(others[0], others[1]), from_pixels(poses[2]), from_pixels(others[2]), from_pixels(others[3])]
    images.append(from_pixels(poses[3]))
    ranking = rank(images, man, EMBEDDED)
    assert {v.picture for v in ranking.judged[:2]} == {2, 5} and not ranking.rejected
    percents = [v.percent or 0 for v in ranking.judged]
    assert percents == sorted(percents, reverse=True)
    assert percents[1] > 85 and percents[2] < 75
    assert [v.picture for v in ranking.kept(3)] == [v.picture for v in ranking.judged[:3]]


def test_reasons_instead_of_drops(man: Person, poses: list[np.ndarray], group: np.ndarray) -> None:
    images = [
        from_pixels(np.full((64, 80, 3), 90, np.uint8)),
        from_pixels(group),
        from_pixels(poses[0]),
        torch.full((1, 1, 1, 3), float("nan")),
    ]
    ranking = rank(images, man, EMBEDDED)
    assert [v.picture for v in ranking.judged] == [2]
    assert [(v.picture, v.reason) for v in ranking.rejected] == [(0, "no face"), (1, "6 faces"), (3, "no face")]


def test_size_limits(man: Person, poses: list[np.ndarray]) -> None:
    part = 124 / 512
    for limits, word in (({"min_face": part + 0.1}, "too small"), ({"max_face": part - 0.1}, "too large")):
        ranking = rank([from_pixels(poses[0])], man, EMBEDDED, **limits)  # type: ignore[arg-type]
        assert not ranking.judged and word in ranking.rejected[0].reason
    face_part = rank([from_pixels(poses[0])], man, EMBEDDED).judged[0].face_part
    assert face_part == pytest.approx(part, abs=0.03)


def test_a_passer_by_does_not_count(man: Person, poses: list[np.ndarray]) -> None:
    small = np.asarray(Image.fromarray(poses[1]).resize((170, 170)))
    both = np.concatenate([poses[0], np.zeros((512, 170, 3), np.uint8)], axis=1)
    both[:170, 512:] = small
    assert len(EMBEDDED.analyze([both], embed=False)[0]) == 2
    ranking = rank([from_pixels(both)], man, EMBEDDED)
    assert ranking.judged and ranking.judged[0].faces == 2


def test_hundred_percent_is_the_persons_own_likeness(poses: list[np.ndarray]) -> None:
    person = person_of(poses)
    known = reference(person, EMBEDDED)
    rows = person.embeddings.numpy()
    assert known.baseline == pytest.approx(np.mean([rows[i] @ rows[j] for i in range(4) for j in range(4) if i != j]))
    middle = known.strangers + (known.baseline - known.strangers) / 2
    assert known.percent(rows[0]) == pytest.approx(100, abs=5)
    half = replace_cosine(known.embeddings, middle)
    assert known.percent(half) == pytest.approx(50, abs=0.5)
    assert known.percent(-rows[0]) == 0


def replace_cosine(rows: np.ndarray, cosine: float) -> np.ndarray:
    """A vector whose mean cosine to the rows is the given one."""
    mean = rows.mean(0)
    return mean * (cosine / float(mean @ mean))


def test_single_photo_uses_the_known_scale(poses: list[np.ndarray]) -> None:
    known = reference(person_of(poses[:1]), EMBEDDED)
    assert known.baseline == pytest.approx(0.96)


def test_a_person_of_another_network_is_read_anew(man: Person, poses: list[np.ndarray]) -> None:
    """Numbers of two networks are never compared: the person's pictures are, with the engine that was chosen."""
    images = from_pixels(*poses[:2])
    foreign = replace(man, images=images, embedder="arcface", embeddings=torch.eye(man.count, 512))
    pictures = [from_pixels(poses[0]), from_pixels(poses[1])]
    ranking, usual = rank(pictures, foreign, EMBEDDED), rank(pictures, man, EMBEDDED)
    for verdict, other in zip(ranking.judged, usual.judged, strict=True):
        assert verdict.picture == other.picture and abs((verdict.cosine or 0) - (other.cosine or 0)) < 0.01
    assert f"{man.count} of its {man.count} pictures were read anew with dlib-resnet-128" in ranking.note
    assert report_of(ranking, foreign, EMBEDDED)["note"] == ranking.note and usual.note == ""
    blank = replace(foreign, images=torch.ones_like(man.images))
    with pytest.raises(RecordError, match=r"finds the face in none of.*Choose the engine"):
        rank(pictures, blank, EMBEDDED)


def test_none_can_be_judged(man: Person) -> None:
    images = [torch.zeros(2, 64, 64, 3)]
    ranking = rank(images, man, EMBEDDED)
    assert not ranking.judged and [v.picture for v in ranking.kept(1)] == [0, 1]
    with pytest.raises(FaceError, match="2 x no face"):
        rank(images, man, EMBEDDED, must_judge=True)


def test_equal_pictures_keep_their_order(man: Person, poses: list[np.ndarray]) -> None:
    ranking = rank([from_pixels(poses[0], poses[0], poses[0])], man, EMBEDDED)
    assert [v.picture for v in ranking.judged] == [0, 1, 2]


def test_pictures_are_views(poses: list[np.ndarray]) -> None:
    batch = from_pixels(poses[0], poses[1])
    views = list(pictures_in([batch, batch[:1]]))
    assert [tuple(v.shape) for v in views] == [(1, 512, 512, 3)] * 3
    assert views[1].data_ptr() == batch[1].data_ptr()


def test_sheet_and_report(man: Person, poses: list[np.ndarray], group: np.ndarray) -> None:
    images = [from_pixels(group), from_pixels(poses[0])]
    ranking = rank(images, man, EMBEDDED)
    small = small_pictures(ranking, images)
    sheet = sheet_of(ranking, small, man, 4)
    for draw in (partial(small_pictures, ranking, images), partial(sheet_of, ranking, small, man, 4)):
        with pytest.raises(KeyError, match="cancelled"):  # hundreds of pictures take seconds
            draw(check=cancel)
    assert sheet.dtype == np.uint8 and sheet.shape[0] > 192 and sheet.shape[1] > 2 * 192
    # the ranked portrait comes first, although the group was put in first
    thumbnail = np.asarray(Image.fromarray(poses[0]).resize((192, 192), Image.Resampling.BOX)).astype(int)
    tile = next(
        sheet[y : y + 192, 8:200].astype(int)
        for y in range(20, 50)
        if (sheet[y - 1, 8:200] == 250).all() and (sheet[y, 8:200] != 250).any()
    )
    assert np.abs(tile - thumbnail).mean() < 12
    report = report_of(ranking, man, EMBEDDED)
    assert report["ranked"][0]["picture"] == 2 and report["ranked"][0]["place"] == 1
    assert report["rejected"] == [{"picture": 1, "faces": 6, "reason": "6 faces"}]


def test_progress_counts_every_picture(man: Person) -> None:
    seen: list[int] = []
    rank([torch.zeros(2, 32, 32, 3), torch.zeros(1, 16, 16, 3)], man, EMBEDDED, progress=seen.append)
    assert seen == [1, 2, 3]


class Drawn(Sequence[torch.Tensor]):
    """Pictures that are made when they are asked for; knows how many of them are alive, and how many were at most."""

    def __init__(self, first: np.ndarray, count: int) -> None:
        self.first, self.total, self.alive, self.most = first, count, 0, 0

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, number: int | slice) -> torch.Tensor:  # type: ignore[override]
        assert isinstance(number, int)
        if number >= self.total:
            raise IndexError(number)
        made = from_pixels(self.first) if number == 0 else torch.rand(1, 96, 96, 3)
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(made, self._gone)
        return made

    def _gone(self) -> None:
        self.alive -= 1


def test_a_stream_of_pictures_is_never_held_together(man: Person, poses: list[np.ndarray]) -> None:
    """benchmarks/likeness.py measures the same with 10,000 pictures."""
    most = []
    for count in (20, 60):
        pictures, told = Drawn(poses[0], count), []
        ranking = rank(pictures, man, EMBEDDED, progress=told.append)
        sheet_of(ranking, small_pictures(ranking, pictures), man, 4)
        assert told == list(range(1, count + 1))  # what moves the node's progress bar
        assert len(ranking.judged) + len(ranking.rejected) == count and ranking.judged[0].picture == 0
        most.append(pictures.most)
    assert max(most) <= 12 and most[1] <= most[0] + 2, most
