"""models/catalog.json: every model file, where it comes from, what it is for, under which licence."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import RecordError
from ..names import checked_name

CATALOG = Path(__file__).resolve().parents[2] / "models" / "catalog.json"
EMBEDDED = "embedded"
# What may be fetched: formats that hold numbers and no program. Pickles (.pth, .pt, .ckpt, .bin) can run any.
SAFE_SUFFIXES = {".safetensors", ".onnx", ".json"}
_SHA256 = r"[0-9a-f]{64}"


@dataclass(frozen=True)
class ModelFile:
    """One file of the catalogue.

    folder: below ComfyUI's models folder, such as "controlnet"; "embedded" for what comes with the pack.
    group: the name that a user downloads it under. urls: where it is fetched, first one first; () for embedded ones.
    sha256, size: of the file, hex and bytes; "" and 0 where nobody trustworthy has published them. about_mb: for people.
    commercial: whether the licence allows it; None where its author has to be asked.
    needed_by: ids of nodes (ours or core's), and "style:<file>" for styles.
    by_hand: why it is not fetched and what to do instead; "" for files that are.
    """

    file: str
    folder: str
    what: str
    licence: str
    needed_by: tuple[str, ...]
    sha256: str = ""
    size: int = 0
    group: str = EMBEDDED
    urls: tuple[str, ...] = ()
    about_mb: int = 0
    commercial: bool | None = True
    by_hand: str = ""

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles that use it, by file name without suffix."""
        return tuple(name.removeprefix("style:") for name in self.needed_by if name.startswith("style:"))


@cache
def catalog(path: Path = CATALOG) -> tuple[ModelFile, ...]:
    """All files, in the catalogue's order. Raises RecordError where the catalogue is damaged."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["files"]
        return tuple(model_file(entry) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecordError(f"the catalogue {path} cannot be read ({error!r})", "Install the pack again") from error


def model_file(entry: dict[str, Any]) -> ModelFile:
    """One entry of the catalogue, checked: a name or address in it never becomes anything else.

    Raises RecordError, UnusableNameError, KeyError, TypeError.
    """
    for part in (*str(entry["folder"]).split("/"), entry["file"]):
        if checked_name(part, "file name") != part:
            raise RecordError(f"the catalogue's name {part!r} is not spelt as it would be written", "Correct it")
    file = ModelFile(
        file=entry["file"],
        folder=entry["folder"],
        what=entry["what"],
        licence=entry["licence"],
        needed_by=tuple(entry["needed_by"]),
        sha256=entry["sha256"] or "",
        size=entry["size"] or 0,
        group=entry.get("group", EMBEDDED),
        urls=tuple(url for url in (entry.get("url"), *entry.get("mirrors", ())) if url),
        about_mb=entry.get("about_mb") or 0,
        commercial=entry.get("commercial", True),
        by_hand=entry.get("by_hand", ""),
    )
    if file.sha256 and not re.fullmatch(_SHA256, file.sha256):
        raise RecordError(f"the sha256 of {file.file} is no sha256", "Correct the catalogue")
    if any(urlsplit(url).scheme != "https" for url in file.urls):
        raise RecordError(f"an address of {file.file} is not https", "Correct the catalogue")
    if not file.by_hand and Path(file.file).suffix not in SAFE_SUFFIXES:
        raise RecordError(f"{file.file} is of a kind that is never fetched", "List it as by_hand")
    return file


def chosen(words: list[str], files: tuple[ModelFile, ...]) -> list[ModelFile]:
    """The files that the words ask for: groups, styles, file names or "all"; each once, in the catalogue's order.

    A style brings its LoRA and its base. Raises RecordError for a word that names nothing.
    """
    fetched = [file for file in files if file.group != EMBEDDED]
    wanted: set[ModelFile] = set()
    for word in words:
        found = {f for f in fetched if word in ("all", f.group, f.file) or word in f.styles}
        if not found:
            groups = ", ".join(dict.fromkeys(file.group for file in fetched))
            raise RecordError(
                f"{word!r} is neither a group nor a style nor a file of the catalogue",
                f"Name one of: {groups}; a style such as 'armor'; or a file",
            )
        wanted |= found
    return [file for file in fetched if file in wanted]
