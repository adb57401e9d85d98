"""Person: all that the pack knows about somebody, and its one-file form.

The record travels through the graph, is never changed in place, and is enough to
train, fuse and rank. On disk it is one safetensors file: tensors as they are, the rest
as JSON in the metadata.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import RecordError, UnusableNameError
from .files import keep
from .lack_of_memory import pass_on
from .names import checked_name

if TYPE_CHECKING:
    import torch

FORMAT = "facechain-person-1"
TRIGGER = "<fcsks>"  # FaceChain's trigger word; a token sequence CLIP has hardly met


@dataclass(frozen=True)
class Attributes:
    """Who this is, in words: age in years, gender, FaceChain's phrase.

    tags: further words for the prompt ("long hair"), never for training; "no glasses" asks for none of it.
    """

    gender: str
    age: float
    phrase: str  # "a beautiful woman"
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Person:
    """Immutable record of one person, with N photos of S pixels a side, which are 512 or 1024.

    images: [N, S, S, 3] float32 0..1, aligned crops of the head, in such steps that the file keeps them exactly (1/255).
    masks: [N, S, S] float32 0..1, where 1 is the head with hair and hat, in the same steps.
    embeddings: [N, D] float32, unit rows, made by the network that embedder names.
    quality: [N] float32 0..1.
    poses: [N, 3] float32, yaw, pitch and roll in degrees.
    caption: what each photo is trained with; the trigger comes first.
    best: the number of the photo that is best.
    captions: of each photo, where a training is to tell them apart; empty for one caption on all. Not kept in the file.
    lora: the file of the person's LoRA below the folder of all of them; empty before training.
    """

    name: str
    images: torch.Tensor
    masks: torch.Tensor
    embeddings: torch.Tensor
    embedder: str
    quality: torch.Tensor
    poses: torch.Tensor
    attributes: Attributes
    caption: str
    best: int = 0
    trigger: str = TRIGGER
    lora: str = ""
    photo_names: tuple[str, ...] = field(default=())
    captions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        n = shape[0] if shape else 0
        if n == 0:
            raise RecordError(f"person {self.name!r} has no photo")
        wrong = [] if len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3 else ["images"]
        wrong += [] if tuple(self.masks.shape) == shape[:3] else ["masks"]
        wrong += [] if self.embeddings.ndim == 2 and len(self.embeddings) == n else ["embeddings"]
        wrong += [] if tuple(self.quality.shape) == (n,) else ["quality"]
        wrong += [] if tuple(self.poses.shape) == (n, 3) else ["poses"]
        wrong += [] if 0 <= self.best < n else ["best"]
        wrong += [] if len(self.captions) in (0, n) else ["captions"]
        if wrong:
            raise RecordError(f"person {self.name!r} has parts that do not fit together ({', '.join(wrong)})")

    @property
    def count(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Pixels of a side of the aligned images."""
        return int(self.images.shape[1])

    @cached_property
    def hash(self) -> str:
        """sha256 (hex) over everything that a training depends on: not the name, not the LoRA, not the prompt's tags."""
        digest = hashlib.sha256(FORMAT.encode())
        for tensor in _to_file(self).values():
            digest.update(repr((tuple(tensor.shape), str(tensor.dtype))).encode())
            digest.update(tensor.numpy().tobytes())
        words = [self.embedder, self.caption, self.trigger, asdict(replace(self.attributes, tags=())), self.best]
        digest.update(json.dumps(words + list(self.captions), sort_keys=True).encode())
        return digest.hexdigest()

    def with_lora(self, lora: str) -> Person:
        return replace(self, lora=lora)


# what reading a file raises that save_person has not written
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, UnusableNameError)


def quantise(tensor: torch.Tensor) -> torch.Tensor:
    """float 0..1 rounded to the nearest 1/255, float32."""
    return (tensor.float().clamp(0, 1) * 255).round() / 255


def save_person(person: Person, path: Path) -> None:
    """Write atomically; an older file stays whole until the new one is complete.

    Raises UnusableNameError, and RecordError for a full disk or a folder that is not writable.
    """
    from safetensors.torch import save

    about = {
        "name": checked_name(person.name, "person name"),
        "embedder": person.embedder,
        "attributes": asdict(person.attributes),
        "caption": person.caption,
        "trigger": person.trigger,
        "best": person.best,
        "lora": person.lora,
        "photo_names": list(person.photo_names),
        "hash": person.hash,
    }
    metadata = {"format": FORMAT, "person": json.dumps(about, ensure_ascii=False)}
    keep(path, save(_to_file(person), metadata=metadata), "person file")


def load_person(path: Path) -> Person:
    """Read a person file. Raises RecordError when it is absent, damaged or not a person."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise RecordError(f"no saved person {path.stem!r} at {path}", "Run FaceChain Preprocess with 'save' on first")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        if metadata.get("format") != FORMAT:
            raise RecordError(f"{path.name} is not a FaceChain person file", "Choose a file from the people folder")
        return _from_file(tensors, json.loads(metadata["person"]))
    except (SafetensorError, OSError, *_DAMAGED) as error:
        pass_on(error)
        raise RecordError(f"person file {path.name} is damaged ({error})", "Preprocess the photos again") from error


def _to_file(person: Person) -> dict[str, torch.Tensor]:
    import torch

    def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
        return (tensor.detach().cpu() * 255).round().to(torch.uint8).contiguous()

    def as_floats(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().cpu().float().contiguous()

    return {
        "embeddings": as_floats(person.embeddings),
        "images": as_bytes(person.images),
        "masks": as_bytes(person.masks),
        "poses": as_floats(person.poses),
        "quality": as_floats(person.quality),
    }


def _checked_lora(name: Any) -> str:
    """The name of a LoRA that a file gave, which may come from anybody. Raises UnusableNameError and TypeError."""
    if not isinstance(name, str):
        raise TypeError("a LoRA whose name is no text")
    for part in name.split("/") if name else ():
        checked_name(part, "LoRA name")
    if name and not name.endswith(".safetensors"):  # never a pickle
        raise UnusableNameError(f"the LoRA {name!r} is no .safetensors file")
    return name


def _from_file(tensors: dict[str, torch.Tensor], about: dict[str, Any]) -> Person:
    """Raises KeyError, TypeError, ValueError or UnusableNameError for what save_person does not write."""
    words = about["attributes"]
    tags, photos = _texts(words["tags"]), _texts(about["photo_names"])
    gender, phrase, caption, trigger, embedder = _texts(
        [words["gender"], words["phrase"], about["caption"], about["trigger"], about["embedder"]]
    )
    return Person(
        name=checked_name(about["name"]),
        images=_bytes(tensors["images"]),
        masks=_bytes(tensors["masks"]),
        embeddings=_numbers(tensors["embeddings"]),
        embedder=embedder,
        quality=_numbers(tensors["quality"]),
        poses=_numbers(tensors["poses"]),
        attributes=Attributes(gender, _years(words["age"]), phrase, tags),
        caption=caption,
        best=operator.index(about["best"]),
        trigger=trigger,
        lora=_checked_lora(about["lora"]),
        photo_names=photos,
    )


def _years(value: Any) -> float:
    years = float(value)
    if not math.isfinite(years):
        raise ValueError("an age that is no number")
    return years


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("what should be text is something else")
    return tuple(values)


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    if tensor.dtype != torch.uint8:
        raise TypeError(f"pictures of {tensor.dtype} instead of bytes")
    return tensor.float() / 255


def _numbers(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    if tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
        raise TypeError("numbers that are none")
    return tensor
