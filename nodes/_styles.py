"""The styles' files: which there are, in which order the lists show them, and which one a name means."""

from __future__ import annotations

import json
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..facechain.errors import RecordError
from ..facechain.names import checked_name, inside
from . import _host

if TYPE_CHECKING:
    from ..facechain.prompts import Prompts
    from ..facechain.styles import Style

_FIRST_FAMILY = "SD 1.5"  # also what a style that names none was made for
_UNREADABLE = "~"  # sorts after every family


def style_files() -> list[Path]:
    """JSON files of styles: the pack's own, then the user's, which replace those of the same name."""
    folders = (_host.PACK / "styles", _host.own_folder("styles"))
    files = {path.stem: path for folder in folders for path in folder.glob("*.json")}
    files.pop("schema", None)
    return [files[name] for name in sorted(files)]


def style_names() -> list[str]:
    """Names as the lists show them: those for SD 1.5 first, then family by family, each by the alphabet."""

    def place(path: Path) -> tuple[bool, str, str]:
        family = str(_base(path, _host.file_stamp(path)))
        return family != _FIRST_FAMILY, family, path.stem

    return [path.stem for path in sorted(style_files(), key=place)]


def style_file(name: str) -> Path:
    """The file of a style, by its id or its English or Chinese name. Raises RecordError for a name that no style has."""
    files = {path.stem: path for path in style_files()}
    if name in files:
        return files[name]
    called = _called(name, files)
    if called is not None:
        return called
    near = get_close_matches(str(name), files, 1)
    folder = _host.own_folder("styles")
    raise RecordError(
        f"there is no style {name!r}",
        f"Did you mean {near[0]!r}" if near else f"Choose one from the list, or put {name}.json into {folder}",
    )


def own_style_file(name: str) -> Path:
    """Where a style of the user's own is kept. Raises UnusableNameError, and RecordError for a name of the pack's."""
    stem = checked_name(name, "style name")
    if (_host.PACK / "styles" / f"{stem}.json").is_file():
        raise RecordError(f"the pack has a style that is called {stem!r}", "Give yours another name")
    return inside(_host.own_folder("styles"), f"{stem}.json")


def about_styles() -> list[dict[str, Any]]:
    """What the front end shows of each style, in the order of style_names; a file that cannot be read by its id alone."""
    from ..facechain.styles import load_style

    files = {path.stem: path for path in style_files()}
    about = []
    for name in style_names():
        try:
            style = load_style(files[name])
        except RecordError as error:  # the list is for everybody; the node says so to whoever chooses it
            about.append({"id": name, "name": name, "name_zh": "", "family": "", "problem": str(error)})
            continue
        lora = {"lora": style.lora, "lora_found": bool(style.lora and _host.find_lora(style.lora))}
        words = {"place": style.prompt, "outfit": style.outfit_for("woman")}
        about.append(
            {"id": name, "name": style.name, "name_zh": style.name_zh, "family": style.family, **lora, **words}
        )
    return about


def load_named(name: str) -> Style:
    """The style of that name. Raises RecordError for an unknown name or a broken file."""
    from ..facechain.styles import load_style

    return load_style(style_file(name))


def stamp(name: str) -> str:
    """Changes with the file of a style, and when its LoRA comes, goes or is replaced."""
    from ..facechain.styles import file_hash, load_style

    try:
        file = style_file(name)
        lora = _host.find_lora(load_style(file).lora)
    except RecordError as error:  # execute tells the user
        return str(error)
    path = _host.find_model("loras", lora) if lora else None
    return f"{file_hash(file)} {lora} {_host.file_stamp(path) if path else ''}"


def about(style: Style) -> str:
    """The first line of the notes: the style's names, and what it was written for."""
    s = style.settings
    name = " ".join(filter(None, (style.name, style.name_zh)))
    base = ", ".join(filter(None, (style.family, style.checkpoint)))
    return f"Style: {name}, made for {base}, {s.width}x{s.height}, {s.steps} steps, CFG {s.cfg:g}, {s.sampler} {s.scheduler}"


def lora_note(style: Style) -> str:
    """What is said of a style's LoRA where it is not applied because there is none."""
    if not style.lora:
        return "Style LoRA: this style needs none"
    folder = _host.model_folder("loras")
    return f"Style LoRA: prompt only, put {style.lora} into {folder} for the full look"


def fitted(clip: Any, words: Prompts) -> tuple[Prompts, list[str]]:
    """The prompts with their pieces kept whole between CLIP's windows, and a line on the length of each."""
    from ..facechain.windows import describe, keep_whole

    texts, lines = [], []
    for what, text in (("Prompt", words.positive), ("Negative prompt", words.negative)):
        whole, cut = keep_whole(text, lambda part: _host.tokens_of(clip, part))
        texts.append(whole)
        lines.append(f"{what}: {describe(_host.tokens_of(clip, whole))}")
        lines += [f"{what}: {piece!r} is cut between two windows; write it shorter" for piece in cut]
    return replace(words, positive=texts[0], negative=texts[1]), lines


def _called(name: str, files: dict[str, Path]) -> Path | None:
    """The file of the style that people call so in either language, whatever the case."""
    from ..facechain.styles import load_style

    wanted = str(name).strip().casefold()
    for path in files.values() if wanted else ():
        try:
            style = load_style(path)
        except RecordError:  # somebody else's broken file is not what was asked for
            continue
        if wanted in (style.name.casefold(), style.name_zh.casefold()):
            return path
    return None


@lru_cache(maxsize=1024)
def _base(path: Path, stamp: str) -> str:
    """The family that a style's file names; stamp: of the file, which is read again when it changes.

    Read without the checks of facechain.styles: ComfyUI asks while it starts, and whenever a graph is queued.
    """
    try:
        return str(json.loads(path.read_bytes().decode("utf-8-sig")).get("base", {}).get("family", _FIRST_FAMILY))
    except (OSError, ValueError, AttributeError, RecursionError):
        return _UNREADABLE
