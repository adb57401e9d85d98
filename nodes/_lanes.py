"""Group Portrait's expansion: one lane of core nodes and ours for each person.

A lane starts from the template as it came, never from the lane before, so that a lane whose
inputs did not change is found in ComfyUI's cache; only its last node, the paste, continues
the picture. Inputs are linked to the nodes that made them, since the cache knows nodes and
plain values, but no pictures or models.
"""

from __future__ import annotations

import json
from abc import ABCMeta
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, cast

from ..facechain.errors import ModelFileError, PhotoError
from ..facechain.person import Person
from . import _host

NO_STYLE = "(none)"
STYLE_WEIGHT = 0.05  # FaceChain's: the template keeps its own look
FACE_PART, GROW = 0.45, 0.1  # the defaults of Template Face
FEATHER = 0.08  # the default of Template Paste
EDGES = 0.4, 0.8  # Canny's thresholds of 0..1, FaceChain's 100 and 200 of 255
# FaceChain's second stage: the mask is close around the face, and all ControlNets are of one strength.
REFINE_GROW, REFINE_STRENGTH = 0.02, 0.8

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
    assign: str = "left to right"
    fusion: str = "embedded"
    refine: float = 0.0
    edge_strength: float = 0.2
    pose_strength: float = 1.0


class Drawing(NamedTuple):
    """What a sampler of a lane needs: a model with the person's LoRA, and both conditionings."""

    model: Link
    positive: Link
    negative: Link


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
    """Widgets that came; those of a graph from an older version keep their defaults."""
    return Settings(**{field.name: inputs[field.name][0] for field in fields(Settings) if inputs.get(field.name)})


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
    template: list[Any], people: Sequence[Person], faces: str, engine: Any, settings: Settings
) -> tuple[list[int], Any, str]:
    """The face of each person, the preview that shows who sits where, and the same as JSON.

    Raises PhotoError for more than one template, FaceError where people and faces do not fit.
    """
    from ..facechain import template as core

    if len(template) != 1:
        raise PhotoError(f"{len(template)} templates came in a list", "Connect one template picture")
    described = settings.assign != core.WAYS[0] and not faces.strip()
    found = core.find_faces(template[0], engine, described=described)
    seats = core.seated(settings.assign, faces, people, found, engine)
    names = {face: person.name for face, person in zip(seats, people, strict=True)}
    records = [
        core.place_face(template[0], found, face, size=settings.size, face_part=FACE_PART, grow=GROW) for face in seats
    ]
    report = {
        "template_faces": core.faces_report(found),
        "assigned": "by hand" if faces.strip() else settings.assign,
        "people": [{"person": names[face], "face": face} for face in seats],
    }
    preview = core.numbered_faces(template[0], found, records, names)
    return seats, preview, json.dumps(report, ensure_ascii=False, indent=1)


def build(
    links: Mapping[str, Any], guests: Sequence[Guest], faces: Sequence[int], settings: Settings
) -> tuple[dict[str, Any], Link, Link]:
    """The graph of all lanes, the link to the finished picture, and the link to what was done to each face.

    Node ids depend on the person's number alone.
    """
    from comfy_execution.graph_utils import GraphBuilder

    graph = GraphBuilder()
    picture: Link = links["template"]
    looks: list[Link] = []
    for number, (guest, face) in enumerate(zip(guests, faces, strict=True), 1):
        picture, look = _Lane(graph, links, settings, number, guest, face).add(picture)
        looks.append(look)
    inspect = looks[0]
    for number, look in enumerate(looks[1:], 2):
        inspect = graph.node("ImageBatch", f"person{number}_look", image1=inspect, image2=look).out(0)
    return graph.finalize(), picture, inspect


@dataclass(frozen=True, eq=False)
class _Lane:
    """The nodes of one person. number: of the person, from 1; face: of the template, from 1."""

    graph: Any
    links: Mapping[str, Any]
    settings: Settings
    number: int
    guest: Guest
    face: int

    def add(self, picture: Link) -> tuple[Link, Link]:
        """Add the lane's nodes: links to the picture with this person pasted into it, and to what was done."""
        s = self.settings
        face = self.cut_out("face", GROW)
        original, mask, record = face.out(0), face.out(1), face.out(2)
        bare = self.bare() if s.denoise > 0 or s.refine > 0 else None
        crop = look = original
        if bare and s.denoise > 0:
            steered = self.steered(bare, original, mask, s.edge_strength, s.pose_strength)
            crop = look = self.drawn(steered, original, mask, s.denoise)
        if s.identity > 0:
            crop, look = self.fuse(crop, mask, original)
        if bare and s.refine > 0:
            near = self.cut_out("refine_face", REFINE_GROW).out(1)
            steered = self.steered(bare, crop, near, REFINE_STRENGTH, REFINE_STRENGTH, "refine_")
            crop = self.drawn(steered, crop, near, s.refine, "refine_")
        paste = self.node(
            "FaceChain_TemplatePaste",
            "paste",
            template=picture,
            crop=crop,
            template_face=record,
            feather=FEATHER,
            match_colour=True,
        )
        return paste.out(0), look

    def cut_out(self, name: str, grow: float) -> Any:
        """The face of the template: its crop, the mask that reaches so far beyond it, and its record."""
        return self.node(
            "FaceChain_TemplateFace",
            name,
            template=self.links["template"],
            face=self.face,
            size=self.settings.size,
            face_part=FACE_PART,
            grow=grow,
            engine=self.settings.engine,
        )

    def bare(self) -> Drawing:
        return self.styled() if self.settings.style != NO_STYLE else self.plain()

    def steered(self, drawing: Drawing, crop: Link, mask: Link, edges: float, pose: float, name: str = "") -> Drawing:
        """The drawing with the ControlNets that are connected, at these strengths."""
        if "pose_control_net" in self.links:
            drawing = self.posed(drawing, crop, pose, name)
        return self.edged(drawing, crop, mask, edges, name) if "edge_control_net" in self.links else drawing

    def drawn(self, drawing: Drawing, crop: Link, mask: Link, denoise: float, name: str = "") -> Link:
        """The crop drawn anew inside the mask, by core's nodes."""
        s = self.settings
        latent = self.node("VAEEncode", f"{name}encode", pixels=crop, vae=self.links["vae"])
        masked = self.node("SetLatentNoiseMask", f"{name}mask", samples=latent.out(0), mask=mask)
        drawn = self.node(
            "KSampler",
            f"{name}sample",
            model=drawing.model,
            seed=(s.seed + self.number - 1) % 2**64,
            steps=s.steps,
            cfg=s.cfg,
            sampler_name=s.sampler_name,
            scheduler=s.scheduler,
            positive=drawing.positive,
            negative=drawing.negative,
            latent_image=masked.out(0),
            denoise=denoise,
        )
        return self.node("VAEDecode", f"{name}decode", samples=drawn.out(0), vae=self.links["vae"]).out(0)

    def posed(self, drawing: Drawing, crop: Link, strength: float, name: str) -> Drawing:
        """The pose that the crop shows, by Pose Control."""
        pose = self.node(
            "FaceChain_PoseControl",
            f"{name}pose",
            positive=drawing.positive,
            negative=drawing.negative,
            source="picture",
            width=self.settings.size,
            height=self.settings.size,
            strength=strength,
            start_percent=0.0,
            end_percent=1.0,
            pose_image=crop,
            control_net=self.links["pose_control_net"],
            vae=self.links["vae"],
        )
        return Drawing(drawing.model, pose.out(0), pose.out(1))

    def edged(self, drawing: Drawing, crop: Link, mask: Link, strength: float, name: str) -> Drawing:
        """The edges of hair, clothes and background; those of the face are somebody else's and are cut out."""
        side = self.settings.size
        edges = self.node("Canny", f"{name}edges", image=crop, low_threshold=EDGES[0], high_threshold=EDGES[1])
        black = self.node("EmptyImage", f"{name}black", width=side, height=side, batch_size=1, color=0)
        cut = self.node(
            "ImageCompositeMasked",
            f"{name}cut",
            destination=edges.out(0),
            source=black.out(0),
            x=0,
            y=0,
            resize_source=False,
            mask=mask,
        )
        applied = self.node(
            "ControlNetApplyAdvanced",
            f"{name}edged",
            positive=drawing.positive,
            negative=drawing.negative,
            control_net=self.links["edge_control_net"],
            image=cut.out(0),
            strength=strength,
            start_percent=0.0,
            end_percent=1.0,
            vae=self.links["vae"],
        )
        return Drawing(drawing.model, applied.out(0), applied.out(1))

    def styled(self) -> Drawing:
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
        return Drawing(style.out(0), style.out(2), style.out(3))

    def plain(self) -> Drawing:
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
        return Drawing(model, positive.out(0), negative.out(0))

    def fuse(self, crop: Link, mask: Link, original: Link) -> tuple[Link, Link]:
        fused = self.node(
            "FaceChain_FaceFusion",
            "fuse",
            images=crop,
            person=self.guest.source,
            fusion=self.settings.fusion,
            faces="largest",
            face_index=1,
            identity=self.settings.identity,
            shape=0.5,
            skin_tone=0.0,
            engine=self.settings.engine,
            region=mask,
            fallback=original,  # where drawing anew lost the face, the person must not be left out
        )
        return fused.out(0), fused.out(3)

    def node(self, kind: str, name: str, **inputs: Any) -> Any:
        return self.graph.node(kind, f"person{self.number}_{name}", **inputs)


def _uses_lora(person: Person, settings: Settings) -> bool:
    draws = settings.denoise > 0 or settings.refine > 0
    return bool(person.lora) and draws and settings.person_weight > 0


def _keyed(person: Person) -> KeyedPerson:
    return KeyedPerson(**{field.name: vars(person)[field.name] for field in fields(person)})
