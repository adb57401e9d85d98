"""The network that judges likeness in tests and benchmarks: it tells people apart, and the pack does not know it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Embed = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def embed() -> Embed:
    """The judge's embedding of the largest face."""
    import face_judge

    from facechain.faces.embedded import EmbeddedEngine

    engine = EmbeddedEngine()
    return lambda image: face_judge.judge_embedding(image, engine.analyze([image], embed=False)[0][0])


@pytest.fixture(scope="module")
def people(shared_data: Path, embed: Embed) -> dict[str, list[np.ndarray]]:
    """Four embeddings for the man and for the woman."""
    return {
        who: [embed(_picture(shared_data / "people" / who / f"pose{n}.png")) for n in (1, 2, 3, 4)]
        for who in ("man", "woman")
    }


def test_it_tells_people_apart(people: dict[str, list[np.ndarray]]) -> None:
    from face_judge import SAME, distance

    man, woman = people["man"], people["woman"]
    same = [distance(a, b) for one in (man, woman) for a, b in combinations(one, 2)]
    different = [distance(a, b) for a, b in product(man, woman)]
    assert max(same) < SAME < min(different)
    assert np.median(different) > 1.5 * np.median(same)
    assert all(v.shape == (1024,) and abs(np.linalg.norm(v) - 1) < 1e-5 for v in man)


def test_it_knows_enlarged_small_faces(shared_data: Path, people: dict[str, list[np.ndarray]], embed: Embed) -> None:
    """Faces of 45 pixels, as small models draw them, enlarged: still nearer to themselves than to the other person."""
    from face_judge import distance

    for who, other in (("man", "woman"), ("woman", "man")):
        picture = Image.fromarray(_picture(shared_data / "people" / who / "pose2.png"))
        small = picture.resize((96, 96), Image.Resampling.LANCZOS)  # the face fills half of the picture's width
        vector = embed(np.asarray(small.resize((512, 512), Image.Resampling.BICUBIC)))
        own = [distance(vector, photo) for photo in people[who]]
        assert max(own) < min(distance(vector, photo) for photo in people[other])


def test_a_tilted_head_is_the_same_person(shared_data: Path, people: dict[str, list[np.ndarray]], embed: Embed) -> None:
    from face_judge import distance

    picture = Image.fromarray(_picture(shared_data / "people" / "woman" / "pose1.png"))
    tilted = embed(np.asarray(picture.rotate(20, Image.Resampling.BICUBIC)))
    assert distance(tilted, people["woman"][0]) < min(distance(tilted, photo) for photo in people["woman"][1:])


def test_the_file_is_the_one_of_the_notice(root: Path) -> None:
    from face_judge import MODEL

    data = MODEL.read_bytes()
    assert len(data) < 8e6
    notice = (MODEL.parent / "NOTICE").read_text(encoding="utf-8")
    assert hashlib.sha256(data).hexdigest() in notice
    import convert_models

    mit = notice[notice.index("MIT License") :].strip()
    assert convert_models.judge_notice(MODEL.parent, mit) == notice


def test_the_pack_never_sees_it(root: Path) -> None:
    """Not shipped, and named by no code of the pack: a judge that the product knows is none."""
    from face_judge import MODEL

    assert "tests/" in (root / ".comfyignore").read_text().split()
    sources = [*(root / "facechain").rglob("*.py"), *(root / "nodes").rglob("*.py"), root / "models" / "catalog.json"]
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert MODEL.stem not in text and "face_judge" not in text, path


def _picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))
