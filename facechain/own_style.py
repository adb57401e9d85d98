"""A style of one's own: pictures in one look become a style LoRA, by the person's trainer, and a style file.

There is no face to keep here, so the pictures are taken whole, each with a caption of its own: what a caption names
(a woman, a beach) is not learnt as part of the look, what all of them share (the trigger) is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .errors import PhotoError, RecordError
from .faces.base import FaceEngine
from .files import keep
from .images import from_pixels
from .person import Attributes, Person, quantise
from .photos.align import FACE_SHARE
from .photos.captions import CHILD_BELOW
from .styles import load_style
from .training.config import STEPS_PER_PHOTO, TrainConfig, config_from

MOST_STEPS = 3000  # beyond which a look is learnt as single pictures
SHARES = (FACE_SHARE, 1.25 * FACE_SHARE)  # crops from the whole picture down to 80 % of its side
STYLE_WEIGHT = 0.7  # of a LoRA that carries the look alone; FaceChain's own lie from 0.15 to 0.8
_PEOPLE = {"woman": ("a woman", "a girl"), "man": ("a man", "a boy")}  # adult, child


def trigger_of(name: str, wanted: str = "") -> str:
    """The words that stand for the look: the user's, or "<name> style", where the name does not end so by itself."""
    return " ".join(wanted.split()) or (name if name.lower().endswith("style") else f"{name} style")


def captions_for(
    pictures: Sequence[np.ndarray], trigger: str, written: Sequence[str], engine: FaceEngine
) -> tuple[str, ...]:
    """A caption of each uint8 RGB picture, the trigger first: the user's words, or who is seen.

    written: one text a picture, "" where there is none; [] for none at all.
    Raises RecordError where their number is another.
    """
    if written and len(written) != len(pictures):
        raise RecordError(
            f"there are {len(written)} captions for {len(pictures)} pictures",
            "Write one line a picture, in their order, or none at all",
        )
    texts = [" ".join(text.split()) for text in written] or [""] * len(pictures)
    missing = [n for n, text in enumerate(texts) if not text]
    for n in missing:
        texts[n] = _seen(pictures[n], engine)
    return tuple(text if trigger in text else ", ".join(filter(None, (trigger, text))) for text in texts)


def subject_of(name: str, pictures: Sequence[np.ndarray], captions: Sequence[str], trigger: str, size: int) -> Person:
    """The pictures as the trainer takes them: squares of `size` pixels from their middles. Raises PhotoError for none."""
    if not pictures:
        raise PhotoError("there is no picture of the style", "Connect pictures, for example from Load Photos")
    squares = quantise(from_pixels(*(_square(picture, size) for picture in pictures)))
    count = len(pictures)
    return Person(
        name=name,
        images=squares,
        masks=torch.ones(count, size, size),
        embeddings=torch.zeros(count, 1),
        embedder="none: a style",
        quality=torch.ones(count),
        poses=torch.zeros(count, 3),
        attributes=Attributes("", 0.0, ""),
        caption=trigger,
        trigger=trigger,
        captions=tuple(captions),
    )


def style_config(preset: str, pictures: int, options: dict[str, Any] | None, **chosen: Any) -> TrainConfig:
    """The person's settings for a look: whole pictures, the last snapshot, at most MOST_STEPS unless steps are given."""
    steps = min(STEPS_PER_PHOTO.get(preset, 0) * pictures, MOST_STEPS)
    kept = {"face_share": SHARES, **(options or {}), "choose": "last"}
    return config_from(preset, kept, **{**chosen, "steps": chosen.get("steps") or steps})


def save_style(path: Path, *, lora: str, trigger: str, prompt: str, family: str, size: int) -> dict[str, Any]:
    """Write the style's file and give its content; in one that is there only LoRA, trigger and family are changed.

    prompt: place, light and look; "" for the trigger alone. Raises RecordError where the file is there but no style.
    """
    fresh = {
        "name": path.stem,
        "base": {"family": family},
        "style_weight": STYLE_WEIGHT,
        "prompt": " ".join(prompt.split()) or trigger,
        "settings": {"width": size, "height": size},
    }
    content = fresh
    if path.is_file():
        load_style(path)  # a broken one is the user's to mend
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        content["base"] = {**content.get("base", {}), "family": family}
    content |= {"lora": lora, "lora_words": trigger}
    keep(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode(), "style file")
    load_style(path)
    return content


def _square(picture: np.ndarray, size: int) -> np.ndarray:
    from PIL import Image

    side = min(picture.shape[:2])
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    middle = Image.fromarray(np.ascontiguousarray(picture[top : top + side, left : left + side]))
    return np.asarray(middle.resize((size, size), Image.Resampling.LANCZOS))


def _seen(picture: np.ndarray, engine: FaceEngine) -> str:
    """Who is in a picture: "a woman", "two people", "" for nobody."""
    faces = engine.analyze([picture], embed=False, attributes=True)[0]
    if len(faces) != 1:
        return "" if not faces else "two people" if len(faces) == 2 else "several people"
    adult, child = _PEOPLE[faces[0].gender or "woman"]
    return child if (faces[0].age or 30.0) < CHILD_BELOW else adult
