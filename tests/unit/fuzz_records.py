"""Hostile and broken files of ours, texts, settings and graphs; see fuzzing.py."""

from __future__ import annotations

import json
import math
import struct
from functools import cache
from typing import Any

import torch
from fuzz_base import ROOT, answered, scratch, somebody
from hypothesis import strategies as st
from safetensors.torch import save

from facechain import forget, provenance
from facechain.blending import Blend, parse_blend
from facechain.models.catalog import catalog
from facechain.names import checked_name, inside
from facechain.person import load_person, save_person
from facechain.photos.captions import caption_of, wanted_tags
from facechain.prompts import compose
from facechain.styles import Style, load_style
from facechain.template.seating import seating
from facechain.training import lora_file
from facechain.training.config import config_from

# --- JSON ------------------------------------------------------------------------------

TEXT = st.one_of(
    st.text(max_size=30), st.sampled_from(("", "(a:1.2)", "BREAK", "((", "a, b\nc", "<fcsks>", "\0", "(x:nan)"))
)
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def changed_json(draw: st.DrawFn, whole: Any) -> Any:
    """A valid document with some values replaced, left out or added, at any depth."""
    if isinstance(whole, dict):
        found = {}
        for key, value in whole.items():
            fate = draw(st.integers(0, 49))
            if fate == 0:
                continue
            found[key] = draw(VALUE) if fate == 1 else draw(changed_json(value))
        if draw(st.integers(0, 29)) == 0:
            found[draw(TEXT)] = draw(VALUE)
        return found
    return whole if draw(st.integers(0, 49)) else draw(VALUE)


@cache
def a_style() -> dict[str, Any]:
    return json.loads((ROOT / "styles" / "armor.json").read_text(encoding="utf-8"))


@st.composite
def style_files(draw: st.DrawFn) -> bytes:
    whole = json.dumps(draw(changed_json(a_style()))).encode()
    damage = draw(st.sampled_from(("none", "none", "none", "cut", "deep", "coded", "noise", "large")))
    if damage == "cut":
        return whole[: draw(st.integers(0, len(whole)))]
    if damage == "deep":
        return b'{"prompt":' + b"[" * draw(st.integers(1, 50_000))
    if damage == "coded":
        return whole.decode("utf-8", "replace").encode(draw(st.sampled_from(("utf-16", "utf-8-sig", "utf-32"))))
    if damage == "large":
        return whole + b" " * 70_000
    return draw(st.binary(max_size=200)) if damage == "noise" else whole


def check_style(given: bytes) -> str:
    path = scratch() / "style.json"
    path.write_bytes(given)

    def use() -> None:
        style = load_style(path)
        words = compose(style, somebody(), blends=[Blend(style, 0.3)])
        assert isinstance(words.positive, str) and isinstance(words.negative, str)
        assert 0 <= style.style_weight <= 2 and 0 <= style.person_weight <= 2

    return answered(use)


@cache
def an_entry() -> dict[str, Any]:
    return json.loads((ROOT / "models" / "catalog.json").read_text(encoding="utf-8"))["files"][7]


@st.composite
def catalogues(draw: st.DrawFn) -> bytes:
    files = draw(st.lists(changed_json(an_entry()), max_size=3))
    whole = json.dumps(draw(st.one_of(st.just({"files": files}), VALUE))).encode()
    return whole if draw(st.integers(0, 5)) else whole[: draw(st.integers(0, len(whole)))]


def check_catalogue(given: bytes) -> str:
    path = scratch() / "catalog.json"
    path.write_bytes(given)

    def read() -> None:
        catalog.cache_clear()
        try:
            for file in catalog(path):
                assert checked_name(file.file) == file.file and all(url.startswith("https:") for url in file.urls)
        finally:
            catalog.cache_clear()

    return answered(read)


GRAPH = {
    "1": {"class_type": "FaceChain_LoadPerson", "inputs": {"name": "anna", "engine": "embedded"}},
    "2": {"class_type": "FaceChain_FaceFusion", "inputs": {"images": ["1", 0], "fusion": "inswapper"}},
    "3": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors", "loop": ["2", 0]}},
}


def check_graph(given: Any) -> str:
    """What a request to queue a job may hold, as the statement in saved pictures and Delete Person read it."""
    graph = given if isinstance(given, dict) else {}
    provenance.uses_facechain(graph)
    for node in (None, "2", next(iter(graph), "")):
        json.dumps(provenance.statement(graph, node))
    forget.names_person(given, "anna")
    return "answer"


# --- safetensors files -----------------------------------------------------------------


@cache
def a_person_file() -> tuple[dict[str, Any], dict[str, Any]]:
    """(tensors, what stands in the metadata) of a valid person file."""
    from safetensors import safe_open

    path = scratch() / "valid.safetensors"
    save_person(somebody(), path)
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {})["person"])
        return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118 - not a dict


KINDS = (torch.uint8, torch.float32, torch.float16, torch.int64, torch.bool)
SHAPES = st.lists(st.integers(0, 4), max_size=5)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """A safetensors file with damage in its header or its length."""
    fate = draw(st.integers(0, 24))
    if fate == 0:
        return data[: draw(st.integers(0, len(data)))]
    if fate == 1:
        return struct.pack("<Q", draw(st.integers(0, 2**64 - 1))) + data[8:]
    if fate == 2:
        changed = bytearray(data)
        for _ in range(draw(st.integers(1, 8))):
            changed[draw(st.integers(0, min(len(data), 1500) - 1))] = draw(st.integers(0, 255))
        return bytes(changed)
    return draw(st.binary(max_size=100)) if fate == 3 else data


@st.composite
def person_files(draw: st.DrawFn) -> bytes:
    tensors_, about = a_person_file()
    kept = dict(tensors_)
    for key in tensors_:
        fate = draw(st.integers(0, 24))
        if fate == 0:
            del kept[key]
        elif fate == 1:
            value = draw(st.sampled_from((0.0, 1.0, math.nan, math.inf)))
            kind = draw(st.sampled_from(KINDS))
            kept[key] = torch.full(draw(SHAPES), value if kind.is_floating_point else 1, dtype=kind)
        elif fate == 2:
            kept[key] = tensors_[key].to(draw(st.sampled_from(KINDS)))
    words = json.dumps(draw(changed_json(about)))
    form = "facechain-person-1" if draw(st.integers(0, 9)) else draw(TEXT)
    metadata = {
        "format": form,
        "person": words if draw(st.integers(0, 9)) else words[: draw(st.integers(0, len(words)))],
    }
    return draw(damaged(save(kept, metadata if draw(st.integers(0, 19)) else None)))


def check_person(given: bytes) -> str:
    path = scratch() / "person.safetensors"
    path.write_bytes(given)

    def use() -> None:
        person = load_person(path)
        assert float(person.images.min()) >= 0 and float(person.images.max()) <= 1
        assert bool(torch.isfinite(person.embeddings).all()) and len(person.hash) == 64
        assert checked_name(person.name) and ".." not in person.lora
        lora_file.lora_name(person, "0" * 64)
        compose(Style(id="", name="", prompt="x"), person)

    return answered(use)


@cache
def a_lora_record() -> dict[str, Any]:
    base = {"model": "m", "clip": "c", "vae": "v", "family": "SD15"}
    return {
        "format": lora_file.FORMAT,
        "training_hash": "k",
        "person": "anna",
        "base": base,
        "report": {"losses": [1.0]},
    }


@st.composite
def lora_files(draw: st.DrawFn) -> bytes:
    words = json.dumps(draw(changed_json(a_lora_record())))
    words = words if draw(st.integers(0, 9)) else "[" * 20_000
    kept = {"lora_unet_x.alpha": torch.zeros(draw(SHAPES))}
    return draw(damaged(save(kept, {"facechain": words} if draw(st.integers(0, 9)) else draw(st.none()))))


def check_lora(given: bytes) -> str:
    path = scratch() / "loras" / "facechain" / "some.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(given)
    places = forget.Places(scratch() / "nobody", (scratch() / "loras",), scratch() / "nobody", scratch() / "nobody")

    def use() -> None:
        lora_file.read_own(path)
        lora_file.read_base(path)
        lora_file.read_report(path, "k")
        forget.find_traces("anna", places)

    return answered(use)


# --- widgets ---------------------------------------------------------------------------

WIDGET = st.one_of(
    st.text(max_size=60),
    st.text(st.characters(categories=["Nd", "No", "Nl", "P", "Z"]), max_size=20),
    st.sampled_from(
        ("9" * 5000, "1,", "1 2 3", "²", "٣", "1e5", "armor 0.4", "armor: 1e9", "a" * 100_000, "(((", ":1.2)", "nan")
    ),
)


def check_text(given: str) -> str:
    style = Style(id="x", name="x", prompt="a, b", outfit={"woman": "red dress"})
    said = [
        answered(lambda: parse_blend(given)),
        answered(lambda: seating(given, 2, 3)),
        answered(lambda: compose(style, somebody(), extra=given, extra_negative=given, leave_out=given)),
        answered(lambda: inside(scratch(), checked_name(given))),
        answered(lambda: inside(scratch(), given)),
        answered(lambda: caption_of(somebody().attributes, given)),
        answered(lambda: wanted_tags(given, [])),
    ]
    return " | ".join(said)


WHOLE, PART = st.integers(-5, 2**64), st.floats()  # what the server makes of a number that a request holds


@st.composite
def settings(draw: st.DrawFn) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """(preset, widgets of Train Person LoRA, settings of Training Options): any numbers, and any words for choices."""
    preset = draw(st.one_of(st.sampled_from(("fast", "balanced", "best")), TEXT))
    widgets = {
        "steps": WHOLE,
        "resolution": WHOLE,
        "batch_size": WHOLE,
        "rank": WHOLE,
        "seed": WHOLE,
        "snapshots": WHOLE,
    }
    widgets |= {"learning_rate": PART, "choose": TEXT}
    more = dict.fromkeys(("optimizer", "schedule", "layers", "precision", "checkpointing"), TEXT)
    more |= dict.fromkeys(("accumulation", "alpha"), WHOLE)
    more |= dict.fromkeys(("warmup", "clip_rate", "head_focus", "ema", "min_snr_gamma", "noise_offset"), PART)
    more |= dict.fromkeys(("caption_dropout", "weight_decay", "prior_weight"), PART)
    chosen = {name: draw(values) for name, values in widgets.items() if draw(st.integers(0, 3)) == 0}
    return preset, chosen, {name: draw(values) for name, values in more.items() if draw(st.integers(0, 5)) == 0}


def check_settings(given: tuple[Any, dict[str, Any], dict[str, Any]]) -> str:
    preset, chosen, more = given

    def use() -> None:
        config = config_from(preset, more, **chosen)
        config.check_steps(3)
        assert config.steps_for(3) >= 1 and config.resolution_for(512) >= 8 and config.decisive(3, 512)

    return answered(use)
