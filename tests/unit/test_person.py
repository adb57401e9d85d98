"""The Person record: its checks, its hash, its file."""

from __future__ import annotations

import itertools
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from facechain.errors import RecordError, UnusableNameError
from facechain.person import Attributes, Person, load_person, quantise, save_person


@pytest.fixture()
def anna() -> Person:
    draw = torch.Generator().manual_seed(1)
    rows = torch.randn(3, 128, generator=draw)
    return Person(
        name="Anna 小明",
        images=quantise(torch.rand(3, 16, 16, 3, generator=draw)),
        masks=quantise(torch.rand(3, 16, 16, generator=draw)),
        embeddings=rows / rows.norm(dim=1, keepdim=True),
        embedder="dlib-resnet-128",
        quality=torch.tensor([0.5, 0.9, 0.7]),
        poses=torch.tensor([[0.0, 1, 2], [3, 4, 5], [6, 7, 8]]),
        attributes=Attributes("woman", 31.5, "a beautiful woman", ("glasses",)),
        caption="<fcsks>, a beautiful woman",
        best=1,
        photo_names=("1.jpg", "写真.jpg", "3.jpg"),
    )


def test_the_file_gives_back_exactly_the_same_person(anna: Person, tmp_path: Path) -> None:
    path = tmp_path / "people" / "anna.safetensors"
    save_person(anna.with_lora("facechain/anna-1.safetensors"), path)
    back = load_person(path)
    assert torch.equal(back.images, anna.images) and torch.equal(back.masks, anna.masks)
    assert torch.equal(back.embeddings, anna.embeddings) and torch.equal(back.poses, anna.poses)
    assert back.hash == anna.hash
    assert (back.name, back.attributes, back.caption, back.best) == (anna.name, anna.attributes, anna.caption, 1)
    assert (back.photo_names, back.lora, back.size) == (anna.photo_names, "facechain/anna-1.safetensors", 16)
    assert [p.name for p in path.parent.iterdir()] == ["anna.safetensors"]  # nothing left over


def test_the_hash_speaks_of_what_training_depends_on(anna: Person) -> None:
    assert replace(anna, name="Bea").hash == anna.hash == anna.with_lora("x").hash
    tagged = replace(anna, attributes=replace(anna.attributes, tags=("long hair",)))
    assert tagged.hash == anna.hash  # words for the prompt train nothing
    changed = anna.images.clone()
    changed[2, 3, 4, 1] = 1 - changed[2, 3, 4, 1].round()
    others = [replace(anna, images=quantise(changed)), replace(anna, caption="c"), replace(anna, best=0)]
    others += [replace(anna, embedder="x"), replace(anna, masks=1 - anna.masks)]
    assert len({anna.hash, *(other.hash for other in others)}) == 6


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("images", torch.zeros(0, 16, 16, 3)),
        ("images", torch.zeros(3, 16, 16, 4)),
        ("images", torch.zeros(3, 16, 8, 3)),
        ("masks", torch.zeros(3, 8, 8)),
        ("embeddings", torch.zeros(2, 128)),
        ("quality", torch.zeros(3, 1)),
        ("poses", torch.zeros(3, 2)),
        ("best", 3),
        ("best", -1),
    ],
)
def test_parts_that_do_not_fit_are_refused(anna: Person, part: str, value: object) -> None:
    with pytest.raises(RecordError):
        replace(anna, **{part: value})


def test_quantise_is_exact_and_idempotent() -> None:
    values = torch.tensor([-1.0, 0.0, 0.4999 / 255, 0.5001 / 255, 0.5, 1.0, 7.0])
    once = quantise(values)
    assert torch.equal(once * 255, torch.tensor([0.0, 0, 0, 1, 128, 255, 255]))
    assert torch.equal(quantise(once), once)


def test_a_file_that_is_replaced_while_it_is_read_is_one_or_the_other(anna: Person, tmp_path: Path) -> None:
    """Another server, or another job, saves the same name."""
    path, other = tmp_path / "anna.safetensors", replace(anna, quality=anna.quality / 2)
    save_person(anna, path)
    stop = threading.Event()

    def keep_writing() -> None:
        for person in itertools.cycle((other, anna)):
            save_person(person, path)
            if stop.is_set():
                return

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        found = {load_person(path).hash for _ in range(60)}
    finally:
        stop.set()
        writer.join()
    assert found <= {anna.hash, other.hash}
    assert [each.name for each in tmp_path.iterdir()] == ["anna.safetensors"]


def test_what_strangers_put_into_a_file_is_refused(anna: Person, tmp_path: Path) -> None:
    path = tmp_path / "anna.safetensors"
    save_person(anna, path)
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        about = json.loads((file.metadata() or {})["person"])
    for change in (
        *(
            {"lora": "../../x.safetensors"},
            {"lora": "/x.safetensors"},
            {"lora": "facechain/x.pt"},
            {"lora": 3},
            {"lora": None},
        ),
        *({"name": "../x"}, {"name": None}, {"best": 0.5}, {"caption": 7}, {"photo_names": "1.jpg"}),
        {"attributes": {**about["attributes"], "age": "old"}},
    ):
        metadata = {"format": "facechain-person-1", "person": json.dumps({**about, **change})}
        save_file(tensors, path, metadata)
        with pytest.raises(RecordError, match="is damaged"):
            load_person(path)
    for key, tensor in (("images", tensors["images"].float()), ("embeddings", tensors["embeddings"] * torch.nan)):
        save_file({**tensors, key: tensor}, path, {"format": "facechain-person-1", "person": json.dumps(about)})
        with pytest.raises(RecordError, match="is damaged"):
            load_person(path)


def test_reading_what_is_no_person_says_so(anna: Person, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(RecordError, match="no saved person 'bob'"):
        load_person(tmp_path / "bob.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"not a safetensors file at all")
    save_file({"a": torch.zeros(1)}, tmp_path / "lora.safetensors")
    good = tmp_path / "good.safetensors"
    save_person(anna, good)
    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:-100])
    for name, words in (("junk", "damaged"), ("lora", "not a FaceChain person"), ("cut", "damaged")):
        with pytest.raises(RecordError, match=words):
            load_person(tmp_path / f"{name}.safetensors")


def test_metadata_that_lacks_parts_counts_as_damaged(anna: Person, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    for about in ({}, {"name": "x", "attributes": None}, [], "x"):
        path = tmp_path / "odd.safetensors"
        metadata = {"format": "facechain-person-1", "person": json.dumps(about)}
        save_file({"images": torch.zeros(1, 4, 4, 3, dtype=torch.uint8)}, path, metadata=metadata)
        with pytest.raises(RecordError, match="damaged"):
            load_person(path)


def test_a_failed_save_leaves_the_older_file_whole(anna: Person, tmp_path: Path) -> None:
    path = tmp_path / "anna.safetensors"
    save_person(anna, path)
    before = path.read_bytes()
    with pytest.raises(UnusableNameError):
        save_person(replace(anna, name="../x"), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["anna.safetensors"]
