"""From rows to tasks: what is to be done, under which key, after what. Pure but for reading photos and models.

A task's key is the sha256 of all that decides its result: workflow, settings, the bytes of photos and template, the
base model's and the style's files, and the tasks before it. The same work has the same key in any run, on any machine,
in any table; a changed photo changes the keys of its person's tasks, and of nobody else's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import demo_jobs

from facechain.check import version
from facechain.errors import FaceChainError
from facechain.models.presence import sha256_of
from facechain.names import checked_name
from facechain.photos.folder import MAX_PHOTOS

from . import costs
from .recipes import (
    GROUP,
    INTAKE,
    KINDS,
    PORTRAITS,
    SOURCES,
    TRAINING,
    Settings,
    known_nodes,
    server_name,
    settings_for,
)
from .store import pictures_in, read_file, sha256
from .table import Row, TableError

READERS = 8  # photos read side by side


@dataclass(frozen=True, slots=True)
class Task:
    """One prompt of one ComfyUI. key: of its content. what: all that decides the prompt, besides the key.

    inputs: (name on the server, where it lies, sha256) of photos and templates. needs: keys of tasks that come first.
    people: their names, for folders and for users. learnt: keys of their intakes. seconds, memory: reckoned.
    folder: where its results go in the store. title: for people. label: the same with people by their keys, for places
    that outlive a run, such as Ray's logs.
    """

    key: str
    kind: str
    what: dict[str, Any]
    inputs: tuple[tuple[str, str, str], ...]
    needs: tuple[str, ...]
    people: tuple[str, ...]
    learnt: tuple[str, ...]
    checkpoint: str
    seconds: float
    memory: int
    folder: str
    title: str

    @property
    def label(self) -> str:
        who = " ".join(server_name(key)[:9] for key in self.learnt or (self.key,))
        return f"{who}: {self.title.removeprefix(', '.join(self.people) + ': ')}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Studio:
    """What the work is done with. models: a ComfyUI models folder; styles: id and file of each; batch: pictures at once."""

    models: Path
    styles: Mapping[str, Path]
    settings: Settings = field(default_factory=dict)
    batch: int = 4

    @cached_property
    def recipes(self) -> dict[str, dict[str, Any]]:
        """What all tasks of a kind share."""
        return {kind: {"settings": settings_for(kind, self.settings), "recipe": recipe_hash(kind)} for kind in KINDS}

    def check_settings(self) -> None:
        known = known_nodes()
        for node, values in self.settings.items():
            for name in values if node in known else [""]:
                if name not in known.get(node, ()):
                    have = ", ".join(sorted(known.get(node, known)))
                    raise TableError(
                        f"--settings: there is no {'widget ' + name if name else 'node'} of {node}",
                        f"Use one of: {have}",
                    )

    def checkpoint(self, name: str) -> tuple[str, str, int]:
        """(name, sha256, bytes). Raises TableError where it is absent."""
        path = self.models / "checkpoints" / name
        if not path.is_file():
            raise TableError(
                f"there is no base model {name!r} in {path.parent}", "Put it there on every machine, or name another"
            )
        return name, file_sha256(path, path.stat().st_mtime_ns), path.stat().st_size

    def style(self, name: str) -> list[str]:
        """[name, hash of its file and of its LoRA where that is there]."""
        path = self.styles[name]
        return [name, _style_hash(path, self.models)]


@lru_cache
def recipe_hash(kind: str) -> str:
    """Of the pack's version and of the workflow that this kind of task is cut from."""
    workflow = json.loads((demo_jobs.WORKFLOWS / f"{SOURCES[kind][0]}.json").read_bytes())
    return _hash([version(), SOURCES[kind], workflow])[:16]


@lru_cache
def file_sha256(path: Path, modified: int) -> str:
    """Of a large file, read once a run. modified: its time in ns, so that a changed file is read anew."""
    return sha256_of(path)


@lru_cache
def _style_hash(path: Path, models: Path) -> str:
    from facechain.styles import load_style

    lora = load_style(path).lora
    found = next(iter(sorted((models / "loras").rglob(lora))), None) if lora else None
    return _hash([sha256(path.read_bytes()), file_sha256(found, found.stat().st_mtime_ns) if found else ""])[:16]


def plan(rows: Sequence[Row], studio: Studio, home: str) -> list[Task]:
    """All tasks, each once, those before others first. home: the table's folder, from which its paths go.

    Raises TableError for photos, templates or base models that are absent.
    """
    studio.check_settings()
    return _Planner(rows, studio, home).tasks()


class _Planner:
    def __init__(self, rows: Sequence[Row], studio: Studio, home: str) -> None:
        self.rows, self.studio, self.home = rows, studio, home
        self.found: dict[str, Task] = {}
        self.problems: list[str] = []

    def tasks(self) -> list[Task]:
        photos = self.read_photos()
        templates = self.read_templates()
        models = {name: self.attempt(name, self.studio.checkpoint) for name in {row.checkpoint for row in self.rows}}
        if self.problems:
            raise TableError("\n".join(self.problems).rstrip("."))
        for row in self.rows:
            trained = [self.learn(row, person, photos[person], models[row.checkpoint]) for person in row.people]
            for style in row.styles:
                for first in range(0, row.count, self.studio.batch):
                    count = min(self.studio.batch, row.count - first)
                    seed = row.seed + first // self.studio.batch
                    self.draw(row, trained[0], style, seed, count, models[row.checkpoint])
            if row.template:
                self.seat(row, trained, templates[row.template], models[row.checkpoint])
        order = {kind: number for number, kind in enumerate(KINDS)}
        return sorted(self.found.values(), key=lambda task: order[task.kind])

    # --- what the table names ---

    def read_photos(self) -> dict[str, list[tuple[str, str, str]]]:
        """By person: (name on the server, place, sha256) of each photo."""
        folders = {row.people[0]: (row.photos, row.line) for row in self.rows if row.photos}
        found: dict[str, list[str]] = {}
        for person, (folder, line) in folders.items():
            listed = self.attempt(
                self.place(folder), lambda place: pictures_in(place, demo_jobs.PICTURES), f"row {line}, column photos: "
            )
            if listed is not None and not 0 < len(listed) <= MAX_PHOTOS:
                self.problems.append(
                    f"row {line}, column photos: {folder} holds {len(listed)} pictures. Put 1 to {MAX_PHOTOS} there."
                )
            found[person] = listed or []
        places = [place for listed in found.values() for place in listed]
        with ThreadPoolExecutor(READERS) as pool:
            hashes = dict(zip(places, pool.map(lambda place: sha256(read_file(place)), places), strict=True))
        return {
            person: [
                (f"{number:03}{PurePosixPath(place).suffix.lower()}", place, hashes[place])
                for number, place in enumerate(listed, 1)
            ]
            for person, listed in found.items()
        }

    def read_templates(self) -> dict[str, tuple[str, str, str]]:
        found = {}
        for row in self.rows:
            if row.template and row.template not in found:
                place = self.place(row.template)
                data = self.attempt(place, read_file, f"row {row.line}, column template: ")
                found[row.template] = (f"template{PurePosixPath(place).suffix.lower()}", place, sha256(data or b""))
        return found

    def place(self, written: str) -> str:
        if "://" in written:
            return written
        return f"{self.home}/{written}" if "://" in self.home else str(Path(self.home, written).absolute())

    def attempt(self, argument: Any, work: Any, where: str = "") -> Any:
        """work(argument), or None with the complaint collected."""
        try:
            return work(argument)
        except FaceChainError as error:
            self.problems.append(f"{where}{error}")
            return None

    # --- tasks ---

    def learn(self, row: Row, person: str, photos: list[tuple[str, str, str]], model: tuple[str, str, int]) -> Task:
        """Intake and training of a person for a base model; the training."""
        # the base model is part of the intake's key too: a person's file knows one LoRA
        shared = {"checkpoint": list(model[:2]), "preset": row.preset}
        folder = f"people/{person}"
        settings = self.studio.settings
        intake = self.add(
            INTAKE,
            {"photos": [[name, sha] for name, _, sha in photos], **shared},
            inputs=tuple(photos),
            people=(person,),
            seconds=costs.SECONDS_A_PHOTO * len(photos),
            memory=costs.SERVER_BYTES,
            folder=folder,
            title=f"{person}: photos",
        )
        if intake.people != (person,):
            raise TableError(
                f"row {row.line}: {person} and {intake.people[0]} have the very same photos",
                "Give them one name, or their own photos",
            )
        return self.add(
            TRAINING,
            {"people": [intake.key], **shared},
            needs=(intake.key,),
            people=(person,),
            learnt=(intake.key,),
            checkpoint=model[0],
            seconds=costs.SECONDS_A_STEP * costs.training_steps(row.preset, len(photos), settings),
            memory=costs.training_bytes(model[2], settings),
            folder=folder,
            title=f"{person}: training",
        )

    def draw(self, row: Row, trained: Task, style: str, seed: int, count: int, model: tuple[str, str, int]) -> None:
        area = costs.area(self.studio.settings)
        self.add(
            PORTRAITS,
            {
                "people": list(trained.learnt),
                "checkpoint": list(model[:2]),
                "style": self.studio.style(style),
                "seed": seed,
                "count": count,
            },
            needs=(trained.key,),
            people=trained.people,
            learnt=trained.learnt,
            checkpoint=model[0],
            seconds=costs.SECONDS_A_PICTURE * area * count,
            memory=costs.sampling_bytes(model[2], area * count),
            folder=f"portraits/{trained.people[0]}/{style}",
            title=f"{trained.people[0]}: {style}, seed {seed}",
        )

    def seat(self, row: Row, trained: list[Task], template: tuple[str, str, str], model: tuple[str, str, int]) -> None:
        people = tuple(name for task in trained for name in task.people)
        learnt = tuple(key for task in trained for key in task.learnt)
        what = {"people": list(learnt), "checkpoint": list(model[:2]), "template": [template[0], template[2]]}
        self.add(
            GROUP,
            {**what, "faces": row.faces, "seed": row.seed},
            inputs=(template,),
            needs=tuple(task.key for task in trained),
            people=people,
            learnt=learnt,
            checkpoint=model[0],
            seconds=costs.SECONDS_A_LANE * len(people),
            memory=costs.sampling_bytes(model[2], 1),
            folder=f"groups/{_folder_of(people)}",
            title=f"{', '.join(people)}: {PurePosixPath(row.template).name}",
        )

    def add(self, kind: str, what: dict[str, Any], needs: tuple[str, ...] = (), **about: Any) -> Task:
        what = {**what, **self.studio.recipes[kind]}
        key = _hash([kind, what, needs])
        defaults: dict[str, Any] = {"inputs": (), "learnt": (), "checkpoint": ""}
        task = Task(key=key, kind=kind, what=what, needs=needs, **{**defaults, **about})
        return self.found.setdefault(key, task)


def _folder_of(people: Iterable[str]) -> str:
    """The people's names, as far as a folder's name has room; which task a picture is of, its file's name says."""
    names = list(people)
    for shown in range(len(names), 0, -1):
        left = f" and {len(names) - shown} more" if shown < len(names) else ""
        name = f"{', '.join(names[:shown])}{left}"
        if len(name.encode()) <= 80 or shown == 1:
            return checked_name(name) if len(name.encode()) <= 80 else names[0]
    return names[0]


def _hash(content: Any) -> str:
    return sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode())[:40]
