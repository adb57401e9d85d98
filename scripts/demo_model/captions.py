"""What a training picture may be called: as Load Style would compose it, and in fewer words."""

from __future__ import annotations

from facechain.person import TRIGGER, Attributes
from facechain.prompts import NEGATIVE, Sitter, compose
from facechain.styles import Style, load_style

from . import ROOT

MATURE = {"a beautiful woman": "a mature woman", "a handsome man": "a mature man"}


def sitter(phrase: str) -> Sitter:
    """Somebody of whom a caption knows no more than this."""
    gender = "man" if phrase.split()[-1] == "man" else "woman"
    return Sitter(phrase, Attributes(gender=gender, age=45.0 if "mature" in phrase else 25.0, phrase=phrase))


def styled(style: str, phrase: str, prompt: str) -> tuple[list[str], list[str]]:
    """(captions, negatives) of a picture in a style; prompt stands in where the picture is of no style."""
    own = load_style(ROOT / "styles" / f"{style}.json") if style else Style("own", "own", prompt)
    both = [compose(own, sitter(phrase)), compose(own, None)]
    captions = [one.positive for one in both]
    if style:
        captions += [f"{phrase}, {own.name}", f"{own.prompt}, {own.outfit_for(phrase.split()[-1])}"]
    return list(dict.fromkeys(captions)), ["", NEGATIVE, both[0].negative]


def plain(phrase: str) -> list[str]:
    """Captions of a head on white, as a person LoRA's training pictures are called, with and without the trigger."""
    return [f"{TRIGGER}, {phrase}", f"{TRIGGER}, {MATURE[phrase]}", phrase, f"{phrase}, white background"]
