"""Styles: one JSON file a style, checked field by field when it is read.

A style says which base model it was made for, which LoRA draws its look and how strongly,
and what to write in the prompts. `styles/schema.json` describes the same for editors.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import RecordError

FAMILIES = ("SD 1.5", "SDXL", "SD3", "Flux", "other")
WEARERS = ("woman", "man", "girl", "boy", "child")  # "child" serves girls and boys alike
MAX_WEIGHT = 2.0  # of words in a prompt and of LoRAs; beyond it pictures break
MAX_BYTES = 64 * 1024  # a style is a page of text; anything larger is some other file

_WEIGHT = r":\s*(-?[0-9]*\.?[0-9]+)\s*\)"


@dataclass(frozen=True)
class Settings:
    """What the style was written for; the user sets them on core's nodes. Sizes in pixels."""

    steps: int = 30
    cfg: float = 7.0
    sampler: str = "dpmpp_2m"
    scheduler: str = "karras"
    width: int = 512
    height: int = 512


@dataclass(frozen=True)
class Style:
    """A checked style; load_style makes it.

    id: the file's name without its suffix.
    name, name_zh: for people.
    family: one of FAMILIES.
    checkpoint: file name of the base model it was made for, "" for any.
    lora: file name of the style LoRA, "" for none.
    lora_words: what the LoRA was trained with; only used with it.
    style_weight, person_weight: strengths of the two LoRAs.
    prompt: place, light and look.
    outfit: clothes and hair, by who wears them.
    quality: replaces the usual quality words where the style is no photograph.
    """

    id: str
    name: str
    prompt: str
    name_zh: str = ""
    family: str = "SD 1.5"
    checkpoint: str = ""
    lora: str = ""
    lora_words: str = ""
    style_weight: float = 0.35
    person_weight: float = 0.95
    outfit: dict[str, str] = field(default_factory=dict)
    quality: str = ""
    negative: str = ""
    settings: Settings = field(default_factory=Settings)

    def outfit_for(self, wearer: str) -> str:
        """Clothes and hair for "woman", "man", "girl" or "boy"; "" where the style has none for them.

        A child never gets an adult's outfit.
        """
        fallback = "child" if wearer in ("girl", "boy") else ""
        return self.outfit.get(wearer) or self.outfit.get(fallback, "")


def load_style(path: Path) -> Style:
    """Read and check a style file. Raises RecordError that names the file and the key that is wrong."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(f"style file {path} cannot be read ({error.strerror})", "Choose another style") from error
    if len(data) > MAX_BYTES:
        raise RecordError(f"style file {path.name} is larger than {MAX_BYTES // 1024} KB", "It is no style")
    try:
        content = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a key twice
        raise RecordError(f"style file {path.name} is not valid JSON ({error})", "Mend it in a text editor") from error
    return _Reader(path.name).style(path.stem, content)


def file_hash(path: Path) -> str:
    """sha256 (hex) of a file; "" where it is absent."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


class _Reader:
    """Checks the values of one style file; every error names the file and the key."""

    def __init__(self, file: str) -> None:
        self.file = file

    def style(self, stem: str, content: Any) -> Style:
        keys = [name for name in Style.__dataclass_fields__ if name not in ("id", "family", "checkpoint")]
        known = self.known(content, "", [*keys, "base", "$schema"])
        base = self.known(known.get("base", {}), "base", ["family", "checkpoint"])
        texts = {key: self.prompt(known, key) for key in ("prompt", "negative", "quality", "lora_words")}
        if not texts["prompt"]:
            raise self.wrong("prompt", "is missing or empty")
        return Style(
            id=stem,
            name=self.text(known, "name") or stem,
            name_zh=self.text(known, "name_zh"),
            family=self.one_of(base, "family", FAMILIES, "base."),
            checkpoint=self.text(base, "checkpoint", "base."),
            lora=self.lora(known),
            style_weight=self.number(known, "style_weight", 0.35, 0.0, MAX_WEIGHT),
            person_weight=self.number(known, "person_weight", 0.95, 0.0, MAX_WEIGHT),
            outfit=self.outfit(known.get("outfit", {})),
            settings=self.settings(known.get("settings", {})),
            **texts,
        )

    def outfit(self, content: Any) -> dict[str, str]:
        known = self.known(content, "outfit", list(WEARERS))
        return {wearer: self.prompt(known, wearer, "outfit.") for wearer in known}

    def settings(self, content: Any) -> Settings:
        known = self.known(content, "settings", list(Settings.__dataclass_fields__))
        return Settings(
            steps=int(self.number(known, "steps", 30, 1, 1000, whole=True, where="settings.")),
            cfg=self.number(known, "cfg", 7.0, 0.0, 100.0, where="settings."),
            sampler=self.text(known, "sampler", "settings.") or "dpmpp_2m",
            scheduler=self.text(known, "scheduler", "settings.") or "karras",
            width=int(self.number(known, "width", 512, 64, 8192, whole=True, where="settings.")),
            height=int(self.number(known, "height", 512, 64, 8192, whole=True, where="settings.")),
        )

    # --- single values ---

    def known(self, content: Any, where: str, keys: list[str]) -> dict[str, Any]:
        """content, if it is an object with no other keys than these."""
        if not isinstance(content, dict):
            raise self.wrong(where or "the file", "must be an object in braces { }")
        for key in content:
            if key not in keys:
                near = get_close_matches(key, keys, 1)
                path = f"{where}.{key}" if where else key
                hint = f"Did you mean {near[0]!r}" if near else f"Known keys: {', '.join(keys)}"
                raise RecordError(f"style file {self.file}: unknown key {path!r}", hint)
        return content

    def text(self, content: dict[str, Any], key: str, where: str = "") -> str:
        value = content.get(key, "")
        if value is None and key == "lora":
            return ""
        if not isinstance(value, str):
            raise self.wrong(where + key, f"must be text in quotes, not {json.dumps(value)[:40]}")
        return value.strip()

    def one_of(self, content: dict[str, Any], key: str, choices: tuple[str, ...], where: str = "") -> str:
        value = self.text(content, key, where) or choices[0]
        if value not in choices:
            raise self.wrong(where + key, f"is {value!r}; it must be one of {', '.join(choices)}")
        return value

    def number(
        self,
        content: dict[str, Any],
        key: str,
        default: float,
        low: float,
        high: float,
        whole: bool = False,
        where: str = "",
    ) -> float:
        value = content.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise self.wrong(where + key, f"must be a {'whole ' if whole else ''}number")
        if not math.isfinite(value) or not low <= value <= high:
            raise self.wrong(where + key, f"is {value}; it must lie between {low:g} and {high:g}")
        return value

    def prompt(self, content: dict[str, Any], key: str, where: str = "") -> str:
        """Text with weights as ComfyUI has them: brackets in pairs, no weight above the limit."""
        text = self.text(content, key, where)
        bare = re.sub(r"\\[()]", "", text)
        depth = 0
        for character in bare:
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth < 0:
                break
        if depth:
            raise self.wrong(where + key, "has brackets that do not pair; write \\( for a literal one")
        for weight in re.findall(_WEIGHT, bare):
            if not 0 <= float(weight) <= MAX_WEIGHT:
                raise self.wrong(where + key, f"has the weight {weight}; ComfyUI applies it, keep it within 0 to 2")
        return text

    def lora(self, content: dict[str, Any]) -> str:
        name = self.text(content, "lora").replace("\\", "/")
        parts = PurePosixPath(name)
        if name and (parts.is_absolute() or ".." in parts.parts or ":" in name or parts.suffix != ".safetensors"):
            raise self.wrong("lora", f"is {name!r}; it must be a .safetensors file inside ComfyUI's loras folder")
        return name

    def wrong(self, key: str, what: str) -> RecordError:
        return RecordError(f"style file {self.file}: {key} {what}", "Compare it with styles/schema.json")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} stands there twice")
        result[key] = value
    return result
