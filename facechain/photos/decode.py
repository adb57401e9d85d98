"""Reading photo files: upright, sRGB, no larger than asked for, whatever the camera wrote."""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from ..errors import PhotoError

# JPEG is scaled down while it is decoded; other formats need their full size in memory for a moment.
MAX_PIXELS = 120_000_000
_HEIF = {".heic", ".heif"}
# What Pillow's readers raise for files that are cut off or garbled.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, struct.error, zlib.error)


def read_photo(path: Path, max_side: int) -> np.ndarray:
    """The photo as uint8 RGB [H, W, 3], turned as its EXIF says, its longer side at most max_side.

    Animations give their first frame; transparency is laid over white.
    Pictures of 16 bits, in grey, with a palette or in the colours of a press become RGB, and where they carry a colour
    profile, they are brought to the standard one.
    Raises PhotoError, without the file's name, when it cannot be read.
    """
    if not path.is_file():
        raise PhotoError("there is no such file", "Choose a picture inside ComfyUI's input folder")
    if path.suffix.lower() in _HEIF:
        _enable_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's bomb warning and remarks on odd EXIF data
            with Image.open(path) as image:
                return _decoded(image, max_side)
    except Image.DecompressionBombError as error:
        raise _too_large("it has more pixels than can be read safely") from error
    except UnidentifiedImageError as error:
        raise PhotoError("the file is not a picture or is damaged", "Save it again as JPEG or PNG") from error
    except _DAMAGED as error:
        raise PhotoError("the file is damaged", "Copy it again from the camera, or leave it out") from error


def _decoded(image: Image.Image, max_side: int) -> np.ndarray:
    if image.format != "JPEG" and image.width * image.height > MAX_PIXELS:
        raise _too_large(f"{image.width} x {image.height} pixels are too many for a {image.format} file")
    image.draft(None, (max_side, max_side))  # JPEG alone: decodes at 1/2, 1/4 or 1/8, still not below max_side
    image.load()
    picture = _eight_bit(image)
    if max(picture.size) > max_side:
        scale = max_side / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        has_palette = picture.mode in ("P", "PA", "1")
        if has_palette:  # palette numbers cannot be averaged
            picture = picture.convert("RGBA")
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    picture.info.update(image.info)
    picture = ImageOps.exif_transpose(_in_srgb(picture))
    return np.asarray(_over_white(picture)).copy()


def _eight_bit(image: Image.Image) -> Image.Image:
    """Modes with more than 8 bits a channel (I;16, I, F), scaled to 8-bit grey; others unchanged."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image).astype(np.float32)
    top = 1.0 if image.mode == "F" and float(np.nanmax(values, initial=0.0)) <= 1.0 else 65535.0
    if image.mode == "F" and 1.0 < float(np.nanmax(values, initial=0.0)) <= 255.0:
        top = 255.0
    grey = Image.fromarray((np.clip(np.nan_to_num(values) / top, 0, 1) * 255).round().astype(np.uint8))
    grey.info["exif"] = image.info.get("exif", b"")
    return grey


def _in_srgb(picture: Image.Image) -> Image.Image:
    """Colours of an embedded profile, be it of a display or of a press, brought to sRGB."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "CMYK", "RGBA"):
        return picture
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
    plain = picture.convert("RGB") if alpha else picture
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        converted = ImageCms.profileToProfile(plain, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # a profile for another mode, or a broken one: the numbers as they are
        return picture
    if converted is None:
        return picture
    if alpha:
        converted.putalpha(alpha)
    converted.info.update(picture.info)
    return converted


def _over_white(picture: Image.Image) -> Image.Image:
    see_through = picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
    if not see_through:
        return picture.convert("RGB")
    if picture.mode in ("La", "RGBa"):
        picture = picture.convert("LA" if picture.mode == "La" else "RGBA")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _enable_heif() -> None:
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports] - optional
    except ImportError as error:
        raise PhotoError(
            "HEIC photos need the Python package pillow-heif",
            "Install it into ComfyUI's Python (python -m pip install pillow-heif), or save the photo as JPEG",
        ) from error
    pillow_heif.register_heif_opener()


def _too_large(message: str) -> PhotoError:
    return PhotoError(message, f"Save it smaller than {MAX_PIXELS // 1_000_000} million pixels, or as JPEG")
