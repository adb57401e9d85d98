"""Deleting a person: everything of theirs is found, and nothing of anybody else's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file
from tiny_training import make_person

from facechain.errors import RecordError, UnusableNameError
from facechain.forget import RECORD, Places, Traces, confirm, erase, find_traces, names_person
from facechain.person import Person, save_person
from facechain.training.lora_file import FORMAT

KEY = "0123456789ab"


@pytest.fixture()
def places(tmp_path: Path) -> Places:
    return Places(
        people=tmp_path / "people",
        loras=(tmp_path / "loras", tmp_path / "more loras"),
        unfinished=tmp_path / "unfinished",
        previews=tmp_path / "temp",
        kept=frozenset({f"facechain/anna-{KEY[::-1]}.safetensors"}),
    )


@pytest.fixture()
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a safetensors file with metadata below tmp_path."""

    def write(name: str, **about: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"x": torch.zeros(1)}, path, about)
        return path

    return write


def lora_of(name: str) -> dict[str, str]:
    return {"facechain": json.dumps({"format": FORMAT, "person": name})}


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    return path


def preview(path: Path, prompt: dict | None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    if prompt is not None:
        info.add_text("prompt", json.dumps(prompt))
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path, pnginfo=info)
    return path


def about(kind: str, name: object) -> dict:
    return {"1": {"class_type": f"FaceChain_{kind}", "inputs": {"name": name}}}


def save(person: Person, places: Places, name: str = "") -> Path:
    path = places.people / f"{name or person.name}.safetensors"
    save_person(replace(person, name=name or person.name), path)
    return path


def test_everything_of_the_person_goes_and_nothing_else(
    tmp_path: Path, places: Places, write: Callable[..., Path]
) -> None:
    anna, loras = make_person("anna"), tmp_path / "loras" / "facechain"
    gone = [
        save(anna, places),
        touch(places.people / ".anna.safetensors.k3x_9a2b.tmp"),  # a crash while it was saved
        write(f"loras/facechain/anna-{KEY}.safetensors", **lora_of("anna")),
        touch(loras / f"anna-{KEY}.png"),
        write(f"loras/facechain/anna-{KEY}-step-40.safetensors", **lora_of("anna")),
        touch(loras / f".anna-{KEY}.safetensors.k3x_9a2b.tmp"),
        touch(loras / f"anna-{'f' * 12}.safetensors"),  # damaged, but called so
        write("more loras/shared/renamed.safetensors", **lora_of("anna")),
        touch(tmp_path / "more loras" / "shared" / "renamed.png"),
        write("unfinished/0001.safetensors", person="anna"),
        write("unfinished/0002.safetensors"),  # an older version did not say whose
        preview(places.previews / "a.png", about("LoadPerson", "anna")),
        preview(places.previews / "sub.png", about("Preprocess", " anna ")),
        preview(places.previews / "linked.png", about("Preprocess", ["7", 0])),
        preview(places.previews / "unknown.png", None),
        touch(places.previews / "broken.jpg"),
    ]
    stays = [
        save(make_person("anna-maria", 0.7), places),
        save(make_person("Anna", 0.6), places),
        write(f"loras/facechain/anna-maria-{KEY}.safetensors", **lora_of("anna-maria")),
        touch(loras / f"anna-maria-{KEY}.png"),
        write(f"loras/facechain/anna-{KEY[::-1]}.safetensors", **lora_of("anna")),  # of the style called anna
        write("loras/anna.safetensors"),  # another tool's
        write("unfinished/0003.safetensors", person="anna-maria"),
        preview(places.previews / "b.png", about("LoadPerson", "anna-maria")),
        preview(places.previews / "other.png", {"1": {"class_type": "KSampler", "inputs": {"seed": 1}}}),
        touch(places.previews / "sound.flac"),
    ]
    traces = find_traces("anna", places)
    assert {path for files in traces.files.values() for path in files} == set(gone)
    said = traces.lines(done=False)
    assert "16 files would be deleted. To delete them, write the name into confirm" in said[0]
    assert said[1].startswith("Saved person: ")
    assert all(path.exists() for path in gone + stays), "looking deletes nothing"
    erase(traces)
    assert [path for path in gone if path.exists()] == [] and all(path.exists() for path in stays)
    with pytest.raises(RecordError, match="nothing is saved of a person called 'anna'"):
        find_traces("anna", places)


def test_looking_for_files_can_be_cancelled(places: Places, write: Callable[..., Path]) -> None:
    """A folder of thousands of LoRAs takes a while."""
    save(make_person("anna"), places)
    many = [write(f"loras/{number}.safetensors", **lora_of("anna")) for number in range(5)]
    asked = []

    def cancel_at_the_third() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise KeyError("cancelled")

    with pytest.raises(KeyError, match="cancelled"):
        find_traces("anna", places, cancel_at_the_third)
    assert all(path.is_file() for path in many)
    assert len(find_traces("anna", places).files["LoRAs"]) == 5


def test_the_name_must_be_repeated_exactly() -> None:
    confirm("小明", "小明")
    for wrong in ("anna", "Anna ", "ANNA"):
        with pytest.raises(UnusableNameError, match="confirm says"):
            confirm("Anna", wrong)


@pytest.mark.parametrize("name", ["../anna", "/etc/passwd", "..", "", "a\0b", "con", "*", "anna/../anna"])
def test_what_is_no_name_finds_nothing(places: Places, name: str) -> None:
    save(make_person("anna"), places)
    with pytest.raises(UnusableNameError):
        find_traces(name, places)


def test_a_name_is_no_pattern(tmp_path: Path, places: Places, write: Callable[..., Path]) -> None:
    save(make_person("a.c"), places)
    other = save(make_person("abc"), places)
    lora = write(f"loras/facechain/abc-{KEY}.safetensors", **lora_of("abc"))
    erase(find_traces("a.c", places))
    assert other.exists() and lora.exists()


def test_the_same_photos_under_another_name_are_told_but_stay(places: Places) -> None:
    save(make_person("anna"), places)
    twin = save(make_person("anna"), places, "anni")
    traces = find_traces("anna", places)
    assert traces.also == ("anni",)
    assert any("'anni' too" in line for line in traces.lines(done=True))
    erase(traces)
    assert twin.exists()


def test_of_a_link_the_link_goes_and_where_it_leads_is_told(tmp_path: Path, places: Places) -> None:
    elsewhere = save(make_person("anna"), Places(tmp_path / "elsewhere", (), tmp_path, tmp_path))
    places.people.mkdir()
    (places.people / "anna.safetensors").symlink_to(elsewhere)
    traces = erase(find_traces("anna", places))
    assert elsewhere.exists() and not (places.people / "anna.safetensors").is_symlink()
    (places.people / "anna.safetensors").symlink_to(elsewhere)
    assert any(str(elsewhere) in line for line in find_traces("anna", places).lines(done=False))
    assert traces.count == 1


def test_what_cannot_be_deleted_is_named_and_the_record_stays_for_another_try(tmp_path: Path) -> None:
    folder = tmp_path / "a folder cannot be unlinked"
    folder.mkdir()
    other, record = touch(tmp_path / "a.png"), touch(tmp_path / "anna.safetensors")
    with pytest.raises(RecordError, match="a folder cannot be unlinked"):
        erase(Traces("anna", {"LoRAs": (folder,), "Previews": (other,), RECORD: (record,)}, ()))
    assert record.exists() and not other.exists()


def test_prompts_of_any_shape_are_read() -> None:
    for prompt in (None, [], {"1": None}, {"1": {"class_type": "FaceChain_LoadPerson"}}, "text", {"1": {"inputs": 3}}):
        assert names_person(prompt, "anna") is False
    assert names_person(about("LoadPerson", "Ａnna"), "Anna")  # the same name in another spelling
