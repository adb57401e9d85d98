"""Reading photo files of every kind, and refusing the rest with words."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from facechain.errors import PhotoError
from facechain.photos.decode import read_photo

QUADRANTS = np.zeros((64, 96, 3), np.uint8)  # red, green / blue, white
QUADRANTS[:32, :48], QUADRANTS[:32, 48:], QUADRANTS[32:, :48], QUADRANTS[32:, 48:] = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
)


def corners(picture: np.ndarray) -> list[str]:
    """Names of the colours near the four corners, row by row."""
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white", (0, 0, 0): "black"}
    h, w = picture.shape[:2]
    spots = [(h // 6, w // 6), (h // 6, -w // 6), (-h // 6, w // 6), (-h // 6, -w // 6)]
    return [names.get(tuple((picture[s] > 127).astype(int).tolist()), "?") for s in spots]


# What each EXIF orientation did to the picture, as numpy does it.
EXIF = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 3),
}


@pytest.mark.parametrize("orientation", EXIF)
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_the_cameras_orientation_is_honoured(tmp_path: Path, orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind}"
    Image.fromarray(np.ascontiguousarray(EXIF[orientation](QUADRANTS))).save(path, exif=exif)
    picture = read_photo(path, 1024)
    assert picture.shape == (64, 96, 3) and corners(picture) == ["red", "green", "blue", "white"]


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "bmp", "tiff", "gif", "avif"])
def test_formats(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    Image.fromarray(QUADRANTS).save(path)
    assert corners(read_photo(path, 1024)) == ["red", "green", "blue", "white"]


@pytest.mark.parametrize("side", [48, 512])
def test_palette_with_transparency_lies_on_white(tmp_path: Path, side: int) -> None:
    image = Image.fromarray(QUADRANTS).quantize(8)
    image.save(tmp_path / "p.png", transparency=image.getpixel((2, 2)))
    picture = read_photo(tmp_path / "p.png", side)
    assert corners(picture) == ["white", "green", "blue", "white"] and max(picture.shape) == min(side, 96)


def test_alpha_lies_on_white(tmp_path: Path) -> None:
    alpha = np.full((64, 96, 1), 255, np.uint8)
    alpha[:32, :48] = 0
    alpha[32:, :48] = 128
    Image.fromarray(np.concatenate([QUADRANTS, alpha], 2)).save(tmp_path / "a.png")
    picture = read_photo(tmp_path / "a.png", 512)
    assert picture[5, 5].tolist() == [255, 255, 255] and np.abs(picture[60, 5].astype(int) - [127, 127, 255]).max() <= 1
    Image.fromarray(QUADRANTS).convert("LA").save(tmp_path / "la.png")
    assert read_photo(tmp_path / "la.png", 512).shape == (64, 96, 3)


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    for name in ("a.png", "a.tiff"):
        Image.fromarray(ramp).save(tmp_path / name)
        picture = read_photo(tmp_path / name, 512)
        assert np.abs(picture[0, :, 0].astype(int) - np.arange(256)).max() <= 1
    Image.fromarray((ramp / 65535).astype(np.float32)).save(tmp_path / "f.tiff")
    assert np.abs(read_photo(tmp_path / "f.tiff", 512)[0, :, 1].astype(int) - np.arange(256)).max() <= 1


def test_sixteen_bit_colour_png(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + struct.pack(">48H", *([65535, 32768, 0] * 16)) for _ in range(16))
    write_png(tmp_path / "rgb16.png", 16, 16, rows, depth=16)
    assert np.abs(read_photo(tmp_path / "rgb16.png", 512)[8, 8].astype(int) - [255, 128, 0]).max() <= 1


def test_print_colours_grey_and_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(QUADRANTS).convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    assert corners(read_photo(tmp_path / "c.jpg", 512)) == ["red", "green", "blue", "white"]
    Image.fromarray(QUADRANTS).convert("L").save(tmp_path / "l.jpg")
    Image.fromarray(QUADRANTS).convert("1").save(tmp_path / "one.png")
    assert (
        corners(read_photo(tmp_path / "l.jpg", 512))[3] == corners(read_photo(tmp_path / "one.png", 512))[3] == "white"
    )


def test_a_colour_profile_is_turned_into_srgb(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    Image.fromarray(QUADRANTS).save(tmp_path / "s.jpg", icc_profile=srgb.tobytes(), quality=95)
    Image.fromarray(QUADRANTS).save(tmp_path / "wrong.png", icc_profile=lab.tobytes())  # not for RGB: left alone
    Image.fromarray(QUADRANTS).save(tmp_path / "junk.png", icc_profile=b"no profile")
    for name in ("s.jpg", "wrong.png", "junk.png"):
        assert corners(read_photo(tmp_path / name, 512)) == ["red", "green", "blue", "white"]


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((20, 20, 3), v, np.uint8)) for v in (200, 100, 0)]
    for kind in ("gif", "webp", "png"):
        frames[0].save(tmp_path / f"a.{kind}", save_all=True, append_images=frames[1:])
        assert abs(int(read_photo(tmp_path / f"a.{kind}", 512).mean()) - 200) < 4


def test_large_photos_come_scaled(tmp_path: Path) -> None:
    big = Image.fromarray(QUADRANTS).resize((3000, 2000), Image.Resampling.NEAREST)
    for name in ("a.jpg", "a.png"):
        big.save(tmp_path / name)
        picture = read_photo(tmp_path / name, 600)
        assert picture.shape == (400, 600, 3) and corners(picture) == ["red", "green", "blue", "white"]
    assert read_photo(tmp_path / "a.jpg", 8192).shape == (2000, 3000, 3)


def test_one_pixel_and_thin_strips(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), "red").save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png", 512).tolist() == [[[255, 0, 0]]]
    Image.new("RGB", (5000, 1), "red").save(tmp_path / "b.png")
    assert read_photo(tmp_path / "b.png", 512).shape == (1, 512, 3)


def write_png(path: Path, width: int, height: int, rows: bytes, depth: int = 8) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize("side", [12_000, 30_000])
def test_decompression_bombs_are_refused_before_they_unpack(tmp_path: Path, side: int) -> None:
    write_png(tmp_path / "bomb.png", side, side, b"\0" * 100)
    with pytest.raises(PhotoError, match="pixels") as caught:
        read_photo(tmp_path / "bomb.png", 512)
    assert "smaller" in caught.value.remedy


def test_a_jpeg_of_12000_pixels_is_fine(tmp_path: Path) -> None:
    Image.new("RGB", (12_000, 9_000), (10, 200, 30)).save(tmp_path / "big.jpg")
    picture = read_photo(tmp_path / "big.jpg", 512)
    assert picture.shape == (384, 512, 3) and np.abs(picture.mean((0, 1)) - (10, 200, 30)).max() < 3


PEAK = """
import resource, sys
from pathlib import Path
from facechain.photos.folder import read_photos
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
for name in sys.argv[1:]:
    before = peak()
    pictures = read_photos([(name, Path(name))] * 3, 1024)
    print(max(picture.shape[0] for picture in pictures), peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the standard library does not tell the peak of memory there")
def test_memory_does_not_grow_with_the_photos_megapixels(tmp_path: Path, root: Path) -> None:
    """Read one after another in a process of its own: photos of 3 megapixels, then of 108, which are 324 MB as pixels."""
    for name, size in (("small.jpg", (2000, 1500)), ("large.jpg", (12_000, 9_000))):
        Image.new("RGB", size, (10, 200, 30)).save(tmp_path / name)
    command = [sys.executable, "-c", PEAK, "small.jpg", "large.jpg"]
    path = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=tmp_path, env=path, capture_output=True, text=True, check=True)
    (_, small), (side, more) = (map(float, line.split()) for line in done.stdout.splitlines())
    assert side == 768 and more < 60, (small, more)


def broken_files(folder: Path) -> dict[str, bytes]:
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    found = {"text.jpg": b"hello, this is no picture", "empty.png": b""}
    for kind in ("jpg", "png", "webp", "gif", "tiff", "bmp"):
        path = folder / f"whole.{kind}"
        Image.fromarray(noise).save(path)
        data = path.read_bytes()
        found[f"half.{kind}"] = data[: len(data) // 2]
        found[f"head.{kind}"] = data[:12]
    png = bytearray((folder / "whole.png").read_bytes())
    png[60:90] = b"\xff" * 30
    found["garbled.png"] = bytes(png)
    return found


def test_broken_files_are_named_as_damaged(tmp_path: Path) -> None:
    for name, data in broken_files(tmp_path).items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PhotoError, match=r"damaged|not a picture") as caught:
            read_photo(tmp_path / name, 512)
        assert caught.value.remedy, name


def test_heic_without_its_reader_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(PhotoError, match="pillow-heif") as caught:
        read_photo(tmp_path / "a.HEIC", 512)
    assert "pip install pillow-heif" in caught.value.remedy


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_with_its_reader(tmp_path: Path, orientation: int) -> None:
    pytest.importorskip("pillow_heif", reason="pillow-heif is optional").register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.ascontiguousarray(EXIF[orientation](QUADRANTS)))
    picture.save(tmp_path / "a.heic", exif=exif.tobytes(), quality=95)
    assert corners(read_photo(tmp_path / "a.heic", 1024)) == ["red", "green", "blue", "white"]
    assert read_photo(tmp_path / "a.heic", 48).shape == (32, 48, 3)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no such file"):
        read_photo(tmp_path / "a.jpg", 512)
