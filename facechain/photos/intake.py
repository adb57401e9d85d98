"""Photos to a Person: look at all, judge, then cut, mask and retouch the accepted ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch

from ..errors import FaceError, PhotoError, RecordError
from ..faces.base import EngineInfo, Face, FaceEngine, Gender
from ..images import from_pixels
from ..names import checked_name
from ..person import Attributes, Person, load_person, quantise, save_person
from ..threads import side_by_side
from .align import Alignment, align
from .background import Background, with_background
from .captions import age_class, caption_of, describe, phrase_zh_of, wanted_tags
from .folder import MAX_PHOTOS
from .headmask import head_mask
from .judge import Judged, judge
from .look import Photos, Seen, look, look_at_all
from .occlusion import Openness
from .retouch import retouched
from .sam import SamRefiner
from .tags import Tag, common_tags, tags_of
from .verdict import Verdict

SIZES = ("512", "1024")
_LISTED = 12  # reasons that an error message spells out


@dataclass(frozen=True)
class IntakeOptions:
    """name: of the person. size: pixels of the crops. retouch: 0..1. gender, age, caption: None or "" to judge by the photos.

    tags: for the prompt, between commas; "" for those found in the photos, "none" for none.
    """

    name: str = "person"
    size: int = 512
    background: Background = "white"
    retouch: float = 0.2
    gender: Gender | None = None
    age: float | None = None
    caption: str = ""
    tags: str = ""


def options_of(
    name: str, size: str, background: str, retouch: float, gender: str, age: int, caption: str, tags: str = ""
) -> IntakeOptions:
    """The options as the node's widgets spell them. Raises PhotoError for a choice that does not exist."""
    for what, value, choices in (
        ("size", size, SIZES),
        ("background", background, get_args(Background)),
        ("gender", gender, ("auto", *get_args(Gender))),
    ):
        if value not in choices:
            raise PhotoError(f"{value!r} is no choice for {what}", f"Choose one of: {', '.join(choices)}")
    return IntakeOptions(
        name=name,
        size=int(size),
        background=cast(Background, background),
        retouch=min(max(float(retouch), 0.0), 1.0),
        gender=None if gender == "auto" else cast(Gender, gender),
        age=age or None,
        caption=caption,
        tags=tags,
    )


@dataclass(frozen=True, eq=False)
class Intake:
    """person: of the accepted photos.  verdicts: of all, in their order.  engine: what looked at them.

    crops: for each accepted photo its place in verdicts, the crop as cut, and its mask, for the report.
    seen: what each photo showed. mask_notes: what SAM did to the masks of accepted photos, by place in verdicts.
    tags: found in more than half of the accepted photos, whatever the user wrote.
    age_guessed: the age was read from the photos, not given.
    """

    person: Person
    verdicts: list[Verdict]
    engine: EngineInfo
    crops: dict[int, tuple[Alignment, np.ndarray]] = field(repr=False)
    seen: list[Seen] = field(repr=False)
    mask_notes: dict[int, str] = field(default_factory=dict)
    tags: list[Tag] = field(default_factory=list)
    age_guessed: bool = False

    def as_json(self) -> str:
        """The verdicts and what was made of the person, for API clients."""
        attributes = self.person.attributes
        about = {
            "person": self.person.name,
            "accepted": self.person.count,
            "caption": self.person.caption,
            "gender": attributes.gender,
            "age": attributes.age,
            "age_class": age_class(attributes.age),
            "age_guessed": self.age_guessed,
            "phrase": attributes.phrase,
            "phrase_zh": phrase_zh_of(attributes),
            "tags": list(attributes.tags),
            "found_tags": [{"tag": t.english, "zh": t.chinese, "confidence": t.confidence} for t in self.tags],
            "engine": self.engine.as_dict(),
            "photos": [
                verdict.as_dict() | ({"mask": self.mask_notes[place]} if place in self.mask_notes else {})
                for place, verdict in enumerate(self.verdicts)
            ],
        }
        return json.dumps(about, ensure_ascii=False, indent=1)


def take_in(
    photos: Photos,
    names: Sequence[str],
    engine: FaceEngine,
    options: IntakeOptions,
    reference: np.ndarray | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    refiner: SamRefiner | None = None,
) -> Intake:
    """The way of photos to a Person.

    names: for the verdicts; missing ones are numbered. reference: uint8 RGB picture of the person alone.
    progress: called with (done, total); may raise to cancel. refiner: refines the head masks.
    Raises PhotoError when no photo can be used, with every photo's reason; FaceError when the reference shows no face.
    """
    name = checked_name(options.name, "person name")
    if not 1 <= len(photos) <= MAX_PHOTOS:
        raise PhotoError(f"{len(photos)} photos were given", f"Give 1 to {MAX_PHOTOS}")
    names = [*names, *(f"photo {i + 1}" for i in range(len(names), len(photos)))][: len(photos)]
    guide = _reference_face(reference, engine) if reference is not None else None
    seen = look_at_all(photos, engine, lambda done: progress(done, 2 * len(photos)))
    judged = judge(seen, names, options.size, engine.embedder, guide)
    accepted = [i for i, j in enumerate(judged) if j.verdict.accepted]
    if not accepted:
        raise _nothing_usable([j.verdict for j in judged])
    kept = [judged[i] for i in accepted]
    attributes = _attributes(kept, options)
    crops, images, notes, words = {}, [], {}, []
    cut = side_by_side(lambda i: _crop(photos[i], seen[i], judged[i], options), accepted)
    for done, (place, (aligned, mask, smooth)) in enumerate(zip(accepted, cut, strict=True)):
        progress(len(photos) + done * len(photos) // len(accepted), 2 * len(photos))
        if refiner is not None:
            refined = refiner.refine(aligned, mask)
            mask, notes[place] = refined.mask, refined.note
        crops[place] = (aligned, mask)
        words.append(_tags(aligned, mask, judged[place], attributes.gender))
        images.append(with_background(smooth, mask, options.background))
    progress(2 * len(photos), 2 * len(photos))
    masks = [crops[place][1] for place in accepted]
    tags = common_tags(words)
    attributes = replace(attributes, tags=wanted_tags(options.tags, tags))
    person = _person(name, kept, images, masks, engine.embedder, attributes, options.caption)
    verdicts = [j.verdict for j in judged]
    return Intake(person, verdicts, engine.info(), crops, seen, notes, tags, age_guessed=options.age is None)


def save_new(person: Person, path: Path) -> Person:
    """Save the person; the LoRA of an older file stays with it when nothing that was trained on has changed."""
    if path.is_file():
        try:
            older = load_person(path)
        except RecordError:  # damaged, or written by another version: it is being replaced
            older = None
        if older is not None and older.hash == person.hash and older.lora:
            person = person.with_lora(older.lora)
    save_person(person, path)
    return person


def _crop(
    photo: np.ndarray, seen: Seen, judged: Judged, options: IntakeOptions
) -> tuple[Alignment, np.ndarray, np.ndarray]:
    """The crop as cut, the head's mask, and the crop with its skin retouched."""
    if judged.face is None:
        raise ValueError("an accepted photo has a face")
    upright = np.ascontiguousarray(np.rot90(photo, seen.turns))
    aligned = align(upright, judged.face, options.size)
    mask = head_mask(aligned, upright, [f for f in seen.faces if f is not judged.face])
    return aligned, mask, retouched(aligned.image, aligned.mesh, options.retouch)


def _attributes(judged: Sequence[Judged], options: IntakeOptions) -> Attributes:
    faces = [j.face for j in judged if j.face is not None]
    quality = [j.verdict.numbers.quality if j.verdict.numbers else 0.0 for j in judged]
    return describe(faces, quality, options.gender, options.age)


def _tags(aligned: Alignment, mask: np.ndarray, judged: Judged, gender: str) -> list[Tag]:
    """Of one photo."""
    numbers = judged.verdict.numbers
    return tags_of(aligned, mask, Openness(numbers.mouth, numbers.eyes), gender) if numbers else []


def _person(
    name: str,
    judged: Sequence[Judged],
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    embedder: str,
    attributes: Attributes,
    caption: str,
) -> Person:
    faces = [j.face for j in judged if j.face is not None]
    verdicts = [j.verdict for j in judged]
    quality = [v.numbers.quality if v.numbers else 0.0 for v in verdicts]
    return Person(
        name=name,
        images=from_pixels(*images),
        masks=quantise(torch.from_numpy(np.stack(masks))),
        embeddings=torch.from_numpy(np.stack([f.embedding for f in faces if f.embedding is not None])).float(),
        embedder=embedder,
        quality=torch.tensor(quality, dtype=torch.float32),
        poses=torch.tensor([(f.yaw, f.pitch, f.roll) for f in faces], dtype=torch.float32),
        attributes=attributes,
        caption=caption_of(attributes, caption),
        best=next(i for i, v in enumerate(verdicts) if v.best),
        photo_names=tuple(v.name for v in verdicts),
    )


def _reference_face(reference: np.ndarray, engine: FaceEngine) -> Face:
    faces = look(reference, engine).faces
    if not faces:
        raise FaceError("the reference picture shows no face", "Connect a clear picture of the person's face")
    if len(faces) > 1 and faces[0].area < 1.5 * faces[1].area:
        raise FaceError(f"the reference picture shows {len(faces)} people", "Connect a picture of the person alone")
    return faces[0]


def _nothing_usable(verdicts: Sequence[Verdict]) -> PhotoError:
    many = len(verdicts)
    lines = [f"photo {v.index} of {many} ({v.name}): {v.text}" for v in verdicts[:_LISTED]]
    if many > _LISTED:
        lines.append(f"and {many - _LISTED} more")
    if many == 1:
        return PhotoError(lines[0].rstrip("."))
    listed = "\n".join(lines)
    return PhotoError(f"none of the {many} photos can be used:\n{listed.rstrip('.')}")
