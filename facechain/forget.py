"""Deleting a person completely: the saved record, LoRAs with their portraits, unfinished trainings, previews."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import FaceChainError, RecordError, UnusableNameError
from .files import json_object, metadata_of
from .names import checked_name

PICTURES = {".png", ".jpg", ".jpeg", ".webp"}  # what ComfyUI writes previews as
_PERSON_NODES = ("FaceChain_Preprocess", "FaceChain_LoadPerson")  # their widget `name` says who a job is about
RECORD = "Saved person"  # of the kinds of files the one that goes last
_WEIGHTS_OR_PICTURE = "(safetensors|png)"
_TEMPORARY = r"(\.[^.]+\.tmp)?"  # how files.write_atomically calls what a crash has left of a file


@dataclass(frozen=True)
class Places:
    """Where traces of people are. loras: folders that are looked through with all below them.

    kept: LoRAs of styles, as "facechain/ink-1f3c5a7b9d0e.safetensors": they may be called like a person.
    """

    people: Path
    loras: tuple[Path, ...]
    unfinished: Path
    previews: Path
    kept: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Traces:
    """What there is of a person. files: by kind, as people call it. also: other names that the same photos are saved under."""

    name: str
    files: Mapping[str, tuple[Path, ...]]
    also: tuple[str, ...]

    @property
    def count(self) -> int:
        return sum(len(files) for files in self.files.values())

    def lines(self, done: bool) -> list[str]:
        """For people: what was found, whether it is gone, and what is left to them."""
        verb = "deleted" if done else "would be deleted. To delete them, write the name into confirm and run it again"
        said = [f"{self.name}: {self.count} {'file' if self.count == 1 else 'files'} {verb}."]
        for kind in sorted(self.files, key=lambda kind: kind != RECORD):  # what matters most first, previews last
            said += [f"{kind}: {len(self.files[kind])}", *(f"  {path}" for path in self.files[kind])]
        said += [f"The same photos are saved as {other!r} too: delete that as well" for other in self.also]
        links = [path for files in self.files.values() for path in files if path.is_symlink()]
        said += [f"{path} is a link; the file it leads to stays: {path.resolve()}" for path in links]
        said.append("Photos in the input folder and portraits in the output folder are yours: delete them there.")
        return said


def find_traces(name: str, places: Places, check: Callable[[], None] = lambda: None) -> Traces:
    """All files of the person of that name. check: called before each file is looked into; may raise to cancel.

    Raises UnusableNameError for what is no name, RecordError where there is nothing.
    """
    name = checked_name(name, "person name")
    record = places.people / f"{name}.safetensors"
    files = {
        "Unfinished trainings": tuple(path for path in _each(places.unfinished, check) if _may_be_of(path, name)),
        "LoRAs": tuple(_loras(name, places, check)),
        "Previews": tuple(path for path in _each(places.previews, check) if _shows(path, name)),
        RECORD: tuple(path for path in _files(places.people) if _called(path, re.escape(name))),
    }
    found = Traces(name, files, tuple(_same_photos(record)) if record.is_file() else ())
    if not files["LoRAs"] and not files[RECORD]:  # others may be of somebody else
        raise RecordError(
            f"nothing is saved of a person called {name!r}", "Choose a name from the list; it is spelt exactly as there"
        )
    return found


def confirm(name: str, repeated: str) -> None:
    """Raise UnusableNameError unless the name was repeated exactly."""
    if repeated != name:
        raise UnusableNameError(
            f"confirm says {repeated!r}, but the person is called {name!r}",
            "Write the name into confirm exactly as it stands in name, or leave confirm empty to see what would go",
        )


def erase(traces: Traces) -> Traces:
    """Delete the files and return the traces. Files are removed, not overwritten.

    Raises RecordError naming what could not be deleted, after everything else is gone but the saved person:
    while that is there the name stays in the lists, and it can be tried again.
    """
    left: list[str] = []
    for kind, files in traces.files.items():
        for path in files if kind != RECORD or not left else ():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                left.append(f"{path} ({error.strerror})")
    if left:
        raise RecordError(f"not everything could be deleted: {', '.join(left)}", "Free these files, then run it again")
    return traces


def names_person(prompt: Any, name: str) -> bool:
    """Whether a workflow in API format is about that person, or may be: the name comes through a link."""
    nodes = prompt.values() if isinstance(prompt, Mapping) else ()
    makers = [node for node in nodes if isinstance(node, Mapping) and node.get("class_type") in _PERSON_NODES]
    named = [node["inputs"].get("name") for node in makers if isinstance(node.get("inputs"), Mapping)]
    return any(not isinstance(each, str) or _canonical(each) == name for each in named)


def _canonical(name: str) -> str:
    try:
        return checked_name(name)
    except FaceChainError:
        return ""


def _files(folder: Path, below: bool = False) -> Iterator[Path]:
    """Sorted; links that lead nowhere among them."""
    found = folder.rglob("*") if below else folder.glob("*")
    return (path for path in sorted(found) if path.is_file() or path.is_symlink())


def _each(folder: Path, check: Callable[[], None], below: bool = False) -> Iterator[Path]:
    for path in _files(folder, below):
        check()
        yield path


def _called(path: Path, pattern: str) -> bool:
    return re.fullmatch(rf"\.?{pattern}\.safetensors{_TEMPORARY}", path.name) is not None


def _loras(name: str, places: Places, check: Callable[[], None]) -> Iterator[Path]:
    """LoRAs that say they are of this person, whatever they are called now, and what lies beside them under their name."""
    own = rf"\.?{re.escape(name)}-[0-9a-f]{{12}}(-step-\d+)?\.{_WEIGHTS_OR_PICTURE}{_TEMPORARY}"
    for folder in places.loras:
        for path in _each(folder, check, below=True):
            if path.relative_to(folder).with_suffix(".safetensors").as_posix() in places.kept:
                continue
            trained_here = path.parent.name == "facechain" and re.fullmatch(own, path.name)
            told = path.suffix in (".safetensors", ".png") and _says(path.with_suffix(".safetensors"), name)
            if trained_here or told:
                yield path


def _says(lora: Path, name: str) -> bool:
    from .training.lora_file import read_own

    return lora.is_file() and _canonical(str(read_own(lora).get("person", ""))) == name


def _may_be_of(state: Path, name: str) -> bool:
    """Whether an unfinished training is of this person; one that does not say (older ones, damaged ones) may be."""
    if state.suffix not in (".safetensors", ".tmp"):
        return False
    told = metadata_of(state).get("person")
    return told is None or _canonical(told) == name


def _shows(preview: Path, name: str) -> bool:
    """Whether a preview comes from a job about the person. One without its workflow may: ComfyUI deletes all at its start."""
    from PIL import Image, UnidentifiedImageError

    if preview.suffix.lower() not in PICTURES:
        return False
    try:
        with Image.open(preview) as file:
            prompt = json_object(str(file.info.get("prompt", "")))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        prompt = {}
    return not prompt or names_person(prompt, name)


def _same_photos(record: Path) -> Iterator[str]:
    own = _hash(record)
    for other in _files(record.parent):
        if other != record and other.suffix == ".safetensors" and own and _hash(other) == own:
            yield other.stem


def _hash(record: Path) -> str:
    return str(json_object(metadata_of(record).get("person", "")).get("hash", ""))
