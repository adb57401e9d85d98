"""Classes of hostile and broken input, what is done with each, and what counts as a right answer.

Used by test_fuzz.py (a few examples in CI) and by benchmarks/fuzz.py (as many as one likes). A check returns what came
out ("an answer", or the message of an error of ours) and raises anything else: that is a finding.
"""

from __future__ import annotations

import io
import json
import math
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save
from tiny_training import make_person

from facechain import forget, provenance
from facechain.blending import Blend, parse_blend
from facechain.errors import FaceChainError
from facechain.images import from_pixels, to_pixels
from facechain.models.catalog import catalog
from facechain.names import checked_name, inside
from facechain.person import Person, load_person, save_person
from facechain.photos.captions import caption_of, wanted_tags
from facechain.photos.decode import read_photo
from facechain.prompts import compose
from facechain.styles import Style, load_style
from facechain.template.seating import seating
from facechain.training import lora_file
from facechain.training.config import config_from

# of hypothesis, about its own pace
UNHURRIED = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
)
SIDE = 256  # pixels that photos are scaled down to here
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Kind:
    """A class of input. share: of all tries, relative to the others; slow ones get less."""

    name: str
    strategy: st.SearchStrategy[Any]
    check: Callable[[Any], str]
    share: int = 10


def answered(ask: Callable[[], object]) -> str:
    """ "answer", or the message of an error of ours; anything else is raised."""
    try:
        ask()
    except FaceChainError as error:
        assert error.message, "an error without a word"
        return str(error)
    return "answer"


@cache
def scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="facechain-fuzz-"))


# --- picture files ---------------------------------------------------------------------


@cache
def pictures() -> tuple[tuple[str, bytes], ...]:
    """(suffix, bytes) of small valid files of every format and mode that is read."""
    noise = np.random.default_rng(0).integers(0, 256, (21, 34, 4), np.uint8)
    rgba = Image.fromarray(noise)
    wanted = [("PNG", m) for m in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")] + [
        ("JPEG", m) for m in ("L", "RGB", "CMYK")
    ]
    wanted += [("WEBP", "RGB"), ("WEBP", "RGBA"), ("GIF", "P"), ("BMP", "RGB"), ("BMP", "1")]
    wanted += [("TIFF", m) for m in ("1", "L", "RGB", "RGBA", "CMYK", "F", "I;16", "LAB", "YCbCr")]
    made = []
    for kind, mode in wanted:
        plain = rgba.convert("RGB")
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257) if mode == "I;16" else _as(plain, rgba, mode)
        file = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = 6  # turned
        options = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}
        image.save(file, kind, **options)
        made.append((f".{kind.lower()}", file.getvalue()))
    return tuple(made)


def _as(plain: Image.Image, rgba: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        changed = ImageCms.profileToProfile(plain, *profiles, outputMode="LAB")
        assert changed
        return changed
    return (rgba if mode in ("RGBA", "LA") else plain).convert(mode)


def bomb(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that says it is so large, and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 10_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@st.composite
def picture_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """(suffix, bytes): a valid file with some damage, under its own suffix or another's."""
    known = pictures()
    suffix, data = draw(st.sampled_from(known))
    damage = draw(st.sampled_from(("none", "cut", "flip", "insert", "head", "swap", "bomb", "noise")))
    if damage == "cut":
        data = data[: draw(st.integers(0, len(data)))]
    elif damage == "flip":
        changed = bytearray(data)
        for place, value in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=12)):
            changed[place] = value
        data = bytes(changed)
    elif damage == "insert":
        place = draw(st.integers(0, len(data)))
        data = data[:place] + draw(st.binary(max_size=64)) + data[place:]
    elif damage == "head":
        data = draw(st.binary(min_size=1, max_size=32)) + data[draw(st.integers(0, 32)) :]
    elif damage == "swap":
        other = draw(st.sampled_from(known))[1]
        data = data[: draw(st.integers(0, len(data)))] + other[draw(st.integers(0, len(other))) :]
    elif damage == "bomb":
        sides = st.one_of(st.integers(0, 4), st.integers(0, 2**31 - 1), st.sampled_from((65_500, 20_000, 9_000)))
        data = bomb(draw(sides), draw(sides), draw(st.sampled_from((1, 8, 16))), draw(st.sampled_from((0, 2, 3, 4, 6))))
    elif damage == "noise":
        data = draw(st.binary(max_size=400))
    return (suffix if draw(st.booleans()) else draw(st.sampled_from(known))[0]), data


def check_picture(given: tuple[str, bytes]) -> str:
    suffix, data = given
    path = scratch() / f"photo{suffix}"
    path.write_bytes(data)

    def read() -> None:
        picture = read_photo(path, SIDE)
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
        assert min(picture.shape[:2]) >= 1 and max(picture.shape[:2]) <= SIDE

    return answered(read)


# --- IMAGE tensors ---------------------------------------------------------------------

ODD = st.sampled_from((0.0, 1.0, 0.5, -1.0, 2.0, math.nan, math.inf, -math.inf, 1e30, -1e-30))
SIDES = st.one_of(st.integers(0, 5), st.sampled_from((1, 16, 33, 200)))


@st.composite
def tensors(draw: st.DrawFn, sides: st.SearchStrategy[int] = SIDES) -> torch.Tensor:
    """Of any size, batch, number of channels and kind of number; values outside 0..1 and none at all among them."""
    shape = [draw(st.integers(0, 3)), draw(sides), draw(sides), draw(st.sampled_from((3, 3, 3, 1, 4, 2, 0, 5)))]
    shape = shape[draw(st.sampled_from((0, 0, 0, 0, 1, 2))) :]
    kind = draw(st.sampled_from((torch.float32, torch.float32, torch.float16, torch.float64, torch.bfloat16)))
    tensor = torch.full(shape, draw(ODD)).to(kind)
    if tensor.numel():
        flat = tensor.view(-1)
        for value in draw(st.lists(ODD, max_size=6)):
            flat[draw(st.integers(0, tensor.numel() - 1))] = torch.tensor(value).to(kind)
    return tensor


def check_tensor(given: torch.Tensor) -> str:
    def convert() -> None:
        found = to_pixels(given)
        assert all(p.dtype == np.uint8 and p.ndim == 3 and p.shape[2] == 3 for p in found)
        again = from_pixels(*found)
        assert float(again.min()) >= 0 and float(again.max()) <= 1

    return answered(convert)


@st.composite
def odd_pictures(draw: st.DrawFn) -> torch.Tensor:
    """IMAGE of shapes that networks and warps dislike: one pixel, long strips, single colours, no numbers."""
    side = st.sampled_from((1, 2, 7, 64, 300))
    height, width = (
        draw(st.sampled_from(((1, 4000), (4000, 1), (2, 900), (3, 3))))
        if draw(st.booleans())
        else (draw(side), draw(side))
    )
    image = torch.full((draw(st.integers(1, 2)), height, width, 3), draw(ODD))
    content = draw(st.sampled_from(("flat", "noise", "face", "face", "spoilt face")))
    if content == "noise":
        image += torch.rand(image.shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    elif content != "flat":
        seen = a_photo().resize((width, height))
        image[:] = torch.from_numpy(np.array(seen)).float() / 255
    if content == "spoilt face":
        image[..., : max(1, width // draw(st.integers(1, 8))), draw(st.integers(0, 2))] = draw(ODD)
    return image


@cache
def a_photo() -> Image.Image:
    """One face, of a photo that a Python package carries."""
    from sample_photos import fetch_photos

    with Image.open(fetch_photos()["astronaut"]) as photo:
        return photo.convert("RGB")


@cache
def a_real_person() -> Person:
    from facechain.faces import engine
    from facechain.photos.intake import options_of, take_in
    from facechain.photos.look import Photos

    options = options_of("anna", "512", "white", 0.2, "auto", 0, "")
    photo = from_pixels(np.asarray(a_photo()))
    return take_in(Photos([photo]), [], engine("embedded"), options).person


@cache
def somebody() -> Person:
    return make_person("anna")


def check_nodes(given: torch.Tensor) -> str:
    """What the nodes do with an IMAGE: photos taken in, faces of a template, fusion, ranking, poses."""
    from facechain.faces import engine
    from facechain.fusion import Strength, fuse_pictures
    from facechain.photos.intake import options_of, take_in
    from facechain.photos.look import Photos
    from facechain.rank import rank, sheet_of
    from facechain.template import find_faces

    networks = engine("embedded")
    options = options_of("anna", "512", "white", 0.2, "auto", 0, "")
    said = [answered(lambda: take_in(Photos([given]), [], networks, options))]
    said.append(answered(lambda: find_faces(given, networks)))

    def fuse() -> None:
        done = fuse_pictures(given, a_real_person(), networks, Strength(1.0, 0.5, 0.0))
        assert done.images.shape == given.shape and bool(torch.isfinite(done.masks).all())

    def order() -> None:
        ranking = rank([given], a_real_person(), networks, min_face=0.1, max_face=0.8, must_judge=False)
        sheet_of(ranking, [given], a_real_person(), 4)

    said += [answered(fuse), answered(order)]
    return " | ".join(said)


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


KINDS_OF_INPUT = (
    Kind("picture files", picture_files(), check_picture, 30),
    Kind("IMAGE tensors, made into pixels", tensors(), check_tensor, 20),
    Kind("IMAGE tensors, through the nodes' core", odd_pictures(), check_nodes, 1),
    Kind("style files", style_files(), check_style, 15),
    Kind("person files", person_files(), check_person, 12),
    Kind("LoRA files", lora_files(), check_lora, 12),
    Kind("catalogues", catalogues(), check_catalogue, 8),
    Kind("texts of widgets, names", WIDGET, check_text, 15),
    Kind("settings of a training", settings(), check_settings, 12),
    Kind("queued graphs", changed_json(GRAPH), check_graph, 8),
)
