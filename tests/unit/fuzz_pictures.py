"""Hostile and broken pictures: files of every kind, and IMAGE tensors; see fuzzing.py."""

from __future__ import annotations

import io
import math
import struct
import zlib
from functools import cache

import numpy as np
import torch
from fuzz_base import answered, scratch
from hypothesis import strategies as st
from PIL import Image

from facechain.images import from_pixels, to_pixels
from facechain.person import Person
from facechain.photos.decode import read_photo

SIDE = 256  # pixels that photos are scaled down to here

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


def check_nodes(given: torch.Tensor) -> str:
    """What the nodes do with an IMAGE: photos taken in, faces of a template, fusion, ranking, poses."""
    from facechain.faces import engine
    from facechain.fusion import Strength, fuse_pictures
    from facechain.photos.intake import options_of, take_in
    from facechain.photos.look import Photos
    from facechain.rank import rank, sheet_of, small_pictures
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
        sheet_of(ranking, small_pictures(ranking, [given]), a_real_person(), 4)

    said += [answered(fuse), answered(order)]
    return " | ".join(said)
