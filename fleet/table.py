"""The table of jobs: CSV or JSONL in, checked rows out; each complaint names row, column and what to do."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from facechain.errors import FaceChainError
from facechain.names import checked_name
from facechain.training.config import CHOICES_OF

COLUMNS = {
    "person": "a name; for a group photo several, with ; between",
    "photos": "a folder of that person's photos, from the table's folder on, or a URL",
    "styles": "names of styles, with ; between",
    "template": "a picture to put the people into",
    "faces": "which faces of the template, such as 3, 1",
    "count": "pictures of each style",
    "seed": "seed of the first picture",
    "checkpoint": "file name of the base model",
    "preset": "how long to train: fast, balanced or best",
}
PRESETS = CHOICES_OF["preset"]
MOST_PEOPLE = 10  # faces that Group Portrait takes
MOST_PICTURES = 10_000
MOST_SEED = 2**63
SHOWN = 20  # complaints; after that the user has the idea


class TableError(FaceChainError):
    """The table cannot be used; all that is wrong with it stands in the message."""


@dataclass(frozen=True)
class Row:
    """One checked row. line: counted as an editor does, the header of a CSV being line 1. photos, template: as written."""

    line: int
    people: tuple[str, ...]
    photos: str
    styles: tuple[str, ...]
    template: str
    faces: str
    count: int
    seed: int
    checkpoint: str
    preset: str


def read_table(
    name: str, data: bytes, styles: Collection[str], checkpoint: str = "", preset: str = "balanced"
) -> list[Row]:
    """name: of the file; .jsonl is read as JSON lines, anything else as CSV. styles: which there are.

    checkpoint, preset: of rows that name none. Raises TableError with every complaint, up to SHOWN.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(f"{name} is not UTF-8 ({error})", "Save it as UTF-8") from error
    reader = _Reader(name, styles, checkpoint, preset)
    lines = _json_lines(text, reader) if name.lower().endswith((".jsonl", ".ndjson")) else _csv_lines(text, reader)
    rows = [row for line, values in lines if (row := reader.row(line, values)) is not None]
    if not rows and not reader.problems:
        raise TableError(f"{name} has no rows", f"Write one line for each person; columns: {', '.join(COLUMNS)}")
    reader.check_together(rows)
    if reader.problems:
        shown = reader.problems[:SHOWN]
        more = len(reader.problems) - len(shown)
        raise TableError("\n".join([*shown, f"and {more} more" if more else ""]).strip().rstrip("."))
    return rows


def _csv_lines(text: str, reader: _Reader) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = csv.reader(io.StringIO(text), strict=True)
    header: list[str] = []
    try:
        for cells in rows:
            line = rows.line_num
            if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
                continue
            if not header:
                header = [cell.strip().lower() for cell in cells]
                reader.check_columns(line, header)
            elif len(cells) > len(header):
                reader.wrong(
                    line,
                    header[-1],
                    f"has {len(cells) - len(header)} cell(s) too many",
                    "Put cells that hold a comma into quotation marks",
                )
            else:
                yield line, dict(zip(header, cells, strict=False))
    except csv.Error as error:
        reader.wrong(rows.line_num, "", f"is no CSV ({error})", "Save the table as CSV (UTF-8)")


def _json_lines(text: str, reader: _Reader) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, part in enumerate(text.split("\n"), 1):
        if not part.strip():
            continue
        try:
            values = json.loads(part)
        except (ValueError, RecursionError) as error:
            reader.wrong(line, "", f"is no JSON ({error})", "Write one object in braces on each line")
            continue
        if not isinstance(values, dict):
            reader.wrong(line, "", "is no object", 'Write one object in braces on each line: {"person": "Anna", ...}')
        elif reader.check_columns(line, list(values)):
            yield line, values


class _Reader:
    """Checks rows and collects what is wrong with them."""

    def __init__(self, name: str, styles: Collection[str], checkpoint: str, preset: str) -> None:
        self.name, self.styles, self.checkpoint, self.preset = name, styles, checkpoint, preset
        self.problems: list[str] = []

    def wrong(self, line: int, column: str, problem: str, remedy: str) -> None:
        where = f"{self.name}, row {line}" + (f", column {column}" if column else "")
        self.problems.append(f"{where}: {problem}. {remedy}.")

    def check_columns(self, line: int, names: list[str]) -> bool:
        found = len(self.problems)
        for name in names:
            if name not in COLUMNS:
                near = get_close_matches(name, COLUMNS, 1)
                hint = f"Did you mean {near[0]!r}" if near else f"Columns are: {', '.join(COLUMNS)}"
                self.wrong(line, name, "is unknown", hint)
            elif names.count(name) > 1:
                self.wrong(line, name, "is there twice", "Leave one of them")
        if "person" not in names:
            self.wrong(line, "person", "is absent", "Each row needs a person")
        return len(self.problems) == found

    def row(self, line: int, values: dict[str, Any]) -> Row | None:
        """None, with the complaints collected, where a value is wrong."""
        found = len(self.problems)
        texts = {key: self.text(line, key, values.get(key)) for key in ("photos", "template", "faces")}
        people = tuple(self.person(line, name) for name in self.several(line, "person", values.get("person")))
        styles = tuple(
            dict.fromkeys(self.style(line, name) for name in self.several(line, "styles", values.get("styles")))
        )
        row = Row(
            line=line,
            people=people,
            styles=styles,
            count=self.number(line, "count", values.get("count"), 4, 1, MOST_PICTURES),
            seed=self.number(line, "seed", values.get("seed"), 42, 0, MOST_SEED),
            checkpoint=self.text(line, "checkpoint", values.get("checkpoint")) or self.checkpoint,
            preset=self.text(line, "preset", values.get("preset")) or self.preset,
            **texts,
        )
        self.check_row(row)
        return row if len(self.problems) == found else None

    def check_row(self, row: Row) -> None:
        line, template = row.line, bool(row.template)
        if not row.people:
            self.wrong(line, "person", "is empty", "Write who is portrayed, such as Anna")
        elif len(row.people) > 1 and not template:
            self.wrong(
                line,
                "template",
                "is empty, though the row has several people",
                "Name a picture, or give each person a row",
            )
        elif len(row.people) > MOST_PEOPLE:
            self.wrong(line, "person", f"has {len(row.people)} people", f"A template takes at most {MOST_PEOPLE}")
        elif len(set(row.people)) < len(row.people):
            self.wrong(line, "person", "names somebody twice", "Name each once")
        if len(row.people) > 1 and row.photos:
            self.wrong(
                line,
                "photos",
                "is not empty, though the row has several people",
                "Give each person a row with their photos",
            )
        if len(row.people) > 1 and row.styles:
            self.wrong(
                line, "styles", "is not empty, though the row has several people", "Portraits are of one person each"
            )
        if not row.styles and not template:
            self.wrong(line, "styles", "is empty", "Name at least one style, or a template")
        if row.faces and not template:
            self.wrong(line, "faces", "is not empty, though there is no template", "Name the template, or empty it")
        if row.faces and not all(part.strip().isdigit() for part in row.faces.split(",")):
            self.wrong(
                line, "faces", f"{row.faces!r} is no list of numbers", "Write such as 3, 1, counted from the left"
            )
        if row.preset not in PRESETS:
            self.wrong(line, "preset", f"{row.preset!r} is unknown", f"Use one of: {', '.join(PRESETS)}")
        if not row.checkpoint:
            self.wrong(
                line, "checkpoint", "is empty", "Name the base model's file here, or all rows' with --checkpoint"
            )

    def check_together(self, rows: list[Row]) -> None:
        """What only several rows show: people without photos, or with two folders of them, or in two spellings."""
        photos: dict[str, tuple[str, int]] = {}
        spelt: dict[str, str] = {}
        for row in rows:
            for person in row.people:
                first = spelt.setdefault(person.casefold(), person)
                if first != person:
                    self.wrong(
                        row.line,
                        "person",
                        f"{person!r} differs from {first!r} by capitals alone",
                        "Spell them alike, or rename one",
                    )
            if row.photos:
                folder, line = photos.setdefault(row.people[0], (row.photos, row.line))
                if folder != row.photos:
                    self.wrong(
                        row.line,
                        "photos",
                        f"{row.people[0]} has other photos in row {line} ({folder})",
                        "Name one folder, or give the two people different names",
                    )
        for row in rows:
            for person in row.people:
                if person not in photos:
                    self.wrong(
                        row.line,
                        "photos",
                        f"{person} has none in any row",
                        "Name the folder of their photos in a row of theirs",
                    )

    # --- single values ---

    def text(self, line: int, column: str, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return str(value).strip()
        self.wrong(line, column, f"{value!r} is no text", f"Write {COLUMNS[column]}")
        return ""

    def several(self, line: int, column: str, value: Any) -> list[str]:
        if isinstance(value, list):
            parts = [self.text(line, column, part) for part in value]
        else:
            parts = self.text(line, column, value).split(";")
        return [part.strip() for part in parts if part.strip()]

    def number(self, line: int, column: str, value: Any, default: int, least: int, most: int) -> int:
        text = self.text(line, column, value)
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or not least <= int(text[:20]) <= most:
            self.wrong(
                line,
                column,
                f"{text[:40]!r} is no whole number from {least} to {most}",
                f"Write one, or empty it for {default}",
            )
            return default
        return int(text)

    def person(self, line: int, name: str) -> str:
        try:
            return checked_name(name, "person name")
        except FaceChainError as error:
            self.wrong(line, "person", error.message, error.remedy)
            return name

    def style(self, line: int, name: str) -> str:
        if name not in self.styles:
            near = get_close_matches(name, self.styles, 1)
            hint = f"Did you mean {near[0]!r}" if near else f"There are: {', '.join(sorted(self.styles))}"
            self.wrong(line, "styles", f"there is no style {name!r}", hint)
        return name
