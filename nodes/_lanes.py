"""Group Portrait's expansion: one lane of core nodes and ours for each person.

A lane starts from the template as it came, never from the lane before, so that a lane whose
inputs did not change is found in ComfyUI's cache; only its last node, the paste, continues
the picture. Inputs are linked to the nodes that made them, since the cache knows nodes and
plain values, but no pictures or models.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

from ..facechain.errors import ModelFileError, PhotoError
from ..facechain.person import Person
from . import _host

NO_STYLE = "(none)"
STYLE_WEIGHT = 0.05  # FaceChain's: the template keeps its own look
FACE_PART, GROW = 0.45, 0.1  # the defaults of Template Face
FEATHER = 0.08  # the default of Template Paste

Link = list[Any]


@dataclass(frozen=True)
class Settings:
    """Group Portrait's widgets."""

    style: str
    person_weight: float
    denoise: float
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    seed: int
    size: int
    identity: float
    engine: str


@dataclass(frozen=True, eq=False)
class Guest:
    """A person, and what lanes connect to: the node that made the person, or the person where it made several."""

    person: Person
    source: Link | Person


class KeyedPerson(Person):
    """A person that ComfyUI's cache can compare: it takes a mapping's items as its key.

    For people that come as a list through one socket. A link would hand the whole list to
    every lane; a plain object among a node's inputs would never be found in the cache again.
    """

    def items(self) -> list[tuple[str, str]]:
        return [("hash", self.hash), ("lora", self.lora), ("name", self.name)]


ABCMeta.register(cast(ABCMeta, Mapping), KeyedPerson)  # all that the cache asks; it calls items() alone


def settings_from(inputs: Mapping[str, list[Any]]) -> Settings:
    return Settings(**{field.name: inputs[field.name][0] for field in fields(Settings)})


def guests_from(inputs: Mapping[str, list[Any]], links: Mapping[str, Any], sockets: int) -> list[Guest]:
    """Everybody who came through person_1, person_2 and so on, in that order; each socket may carry several."""
    guests: list[Guest] = []
    for name in (f"person_{n}" for n in range(1, sockets + 1)):
        values = inputs.get(name, [])
        alone = len(values) == 1
        guests += [Guest(person, links[name] if alone else _keyed(person)) for person in values if person is not None]
    return guests


def check_loras(people: Sequence[Person], settings: Settings) -> None:
    """Raise ModelFileError now, not in the fifth lane, where a person's LoRA file is gone."""
    for person in people:
        if _uses_lora(person, settings) and _host.find_model("loras", person.lora) is None:
            raise ModelFileError(
                f"the LoRA of {person.name}, {person.lora}, is not in ComfyUI's loras folder",
                "Train the person again, put the file back, or set person_weight to 0",
            )


def take_seats(
    template: list[Any], people: Sequence[Person], faces: str, engine: Any, size: int
) -> tuple[list[int], Any]:
    """The face of each person, and the preview that shows who sits where.

    Raises PhotoError for more than one template, FaceError where people and faces do not fit.
    """
    from ..facechain import template as core

    if len(template) != 1:
        raise PhotoError(f"{len(template)} templates came in a list", "Connect one template picture")
    found = core.find_faces(template[0], engine)
    seats = core.seating(faces, len(people), len(found))
    names = {face: person.name for face, person in zip(seats, people, strict=True)}
    records = [core.place_face(template[0], found, face, size=size, face_part=FACE_PART, grow=GROW) for face in seats]
    return seats, core.numbered_faces(template[0], found, records, names)


def build(
    links: Mapping[str, Any], guests: Sequence[Guest], faces: Sequence[int], settings: Settings
) -> tuple[dict[str, Any], Link]:
    """The graph of all lanes, and the link to the finished picture. Node ids depend on the person's number alone."""
    from comfy_execution.graph_utils import GraphBuilder

    graph = GraphBuilder()
    picture: Link = links["template"]
    for number, (guest, face) in enumerate(zip(guests, faces, strict=True), 1):
        picture = _Lane(graph, links, settings, number, guest, face).add(picture)
    return graph.finalize(), picture


@dataclass(frozen=True, eq=False)
class _Lane:
    """The nodes of one person. number: of the person, from 1; face: of the template, from 1."""

    graph: Any
    links: Mapping[str, Any]
    settings: Settings
    number: int
    guest: Guest
    face: int

    def add(self, picture: Link) -> Link:
        """Add the lane's nodes; returns the link to the picture with this person pasted into it."""
        face = self.node(
            "FaceChain_TemplateFace",
            "face",
            template=self.links["template"],
            face=self.face,
            size=self.settings.size,
            face_part=FACE_PART,
            grow=GROW,
            engine=self.settings.engine,
        )
        original, mask, record = face.out(0), face.out(1), face.out(2)
        crop = self.inpaint(original, mask) if self.settings.denoise > 0 else original
        if self.settings.identity > 0:
            crop = self.fuse(crop, mask, original)
        paste = self.node(
            "FaceChain_TemplatePaste",
            "paste",
            template=picture,
            crop=crop,
            template_face=record,
            feather=FEATHER,
            match_colour=True,
        )
        return paste.out(0)

    def inpaint(self, crop: Link, mask: Link) -> Link:
        s = self.settings
        model, positive, negative = self.styled() if s.style != NO_STYLE else self.plain()
        latent = self.node("VAEEncode", "encode", pixels=crop, vae=self.links["vae"])
        masked = self.node("SetLatentNoiseMask", "mask", samples=latent.out(0), mask=mask)
        drawn = self.node(
            "KSampler",
            "sample",
            model=model,
            seed=(s.seed + self.number - 1) % 2**64,
            steps=s.steps,
            cfg=s.cfg,
            sampler_name=s.sampler_name,
            scheduler=s.scheduler,
            positive=positive,
            negative=negative,
            latent_image=masked.out(0),
            denoise=s.denoise,
        )
        return self.node("VAEDecode", "decode", samples=drawn.out(0), vae=self.links["vae"]).out(0)

    def styled(self) -> tuple[Link, Link, Link]:
        style = self.node(
            "FaceChain_LoadStyle",
            "style",
            model=self.links["model"],
            clip=self.links["clip"],
            style=self.settings.style,
            style_weight=STYLE_WEIGHT,
            person_weight=self.settings.person_weight,
            frame="close-up",
            extra_prompt="",
            extra_negative="",
            person=self.guest.source,
        )
        return style.out(0), style.out(2), style.out(3)

    def plain(self) -> tuple[Link, Link, Link]:
        """The person's own words in a style without any of its own; the LoRA by core's loader."""
        from ..facechain.prompts import compose
        from ..facechain.styles import Style

        person, weight = self.guest.person, self.settings.person_weight
        model, clip = self.links["model"], self.links["clip"]
        if _uses_lora(person, self.settings):
            lora = self.node(
                "LoraLoader",
                "lora",
                model=model,
                clip=clip,
                lora_name=person.lora,
                strength_model=weight,
                strength_clip=weight,
            )
            model, clip = lora.out(0), lora.out(1)
        prompts = compose(Style(id="", name="", prompt=""), person, frame="close-up")
        positive = self.node("CLIPTextEncode", "positive", clip=clip, text=prompts.positive)
        negative = self.node("CLIPTextEncode", "negative", clip=clip, text=prompts.negative)
        return model, positive.out(0), negative.out(0)

    def fuse(self, crop: Link, mask: Link, original: Link) -> Link:
        fused = self.node(
            "FaceChain_FaceFusion",
            "fuse",
            images=crop,
            person=self.guest.source,
            fusion="embedded",
            faces="largest",
            face_index=1,
            identity=self.settings.identity,
            shape=0.5,
            skin_tone=0.0,
            engine=self.settings.engine,
            region=mask,
            fallback=original,  # where drawing anew lost the face, the person must not be left out
        )
        return fused.out(0)

    def node(self, kind: str, name: str, **inputs: Any) -> Any:
        return self.graph.node(kind, f"person{self.number}_{name}", **inputs)


def _uses_lora(person: Person, settings: Settings) -> bool:
    return bool(person.lora) and settings.denoise > 0 and settings.person_weight > 0


def _keyed(person: Person) -> KeyedPerson:
    return KeyedPerson(**{field.name: getattr(person, field.name) for field in fields(person)})
