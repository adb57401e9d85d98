"""Which files are loaded, in what order, and when a queue runs again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facechain.errors import PhotoError, UnusableNameError
from facechain.photos.folder import fingerprint, list_photos, read_photos, thumbnail

SUFFIXES = {".jpg", ".png"}


@pytest.fixture()
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "input" / "anna"
    folder.mkdir(parents=True)
    for number in (1, 2, 10):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"IMG {number}.png")
    Image.new("RGB", (8, 8), (50, 0, 0)).save(tmp_path / "input" / "single.JPG", "PNG")
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.png").write_bytes(b"x")
    (folder / "deeper").mkdir()
    return tmp_path / "input"


def names(root: Path, folder: str, files: str) -> list[str]:
    return [name for name, _ in list_photos(root, folder, files, SUFFIXES)]


def test_a_folder_is_read_in_counting_order_and_files_are_added(root: Path) -> None:
    assert names(root, "anna", "") == ["IMG 1.png", "IMG 2.png", "IMG 10.png"]
    assert names(root, "anna", '\n  single.JPG \n"anna/IMG 2.png"\n') == [*names(root, "anna", ""), "single.JPG"]
    assert names(root, "", "anna/IMG 10.png\nsingle.JPG") == ["anna/IMG 10.png", "single.JPG"]


def test_nothing_and_too_much(root: Path) -> None:
    for folder, files in (("", ""), ("", " \n \n"), ("anna/deeper", "")):
        with pytest.raises(PhotoError, match="no photo to load"):
            list_photos(root, folder, files, SUFFIXES)
    for number in range(201):
        (root / "anna" / f"{number}.jpg").touch()
    with pytest.raises(PhotoError, match="204 photos are too many"):
        list_photos(root, "anna", "", SUFFIXES)


def test_absent_files_and_folders_are_named(root: Path) -> None:
    with pytest.raises(PhotoError, match=r"no file 'bob/1\.png'"):
        list_photos(root, "", "bob/1.png", SUFFIXES)
    with pytest.raises(PhotoError, match="no folder 'bob'"):
        list_photos(root, "bob", "", SUFFIXES)


@pytest.mark.parametrize("name", ["../secret.png", "anna/../../secret.png", "/etc/passwd", "link.png", "outside/s.png"])
def test_nothing_outside_the_input_folder_is_read(root: Path, name: str) -> None:
    Image.new("RGB", (8, 8)).save(root.parent / "secret.png")
    (root.parent / "other").mkdir()
    Image.new("RGB", (8, 8)).save(root.parent / "other" / "s.png")
    (root / "link.png").symlink_to(root.parent / "secret.png")
    (root / "outside").symlink_to(root.parent / "other")
    with pytest.raises(UnusableNameError, match="outside"):
        list_photos(root, "", name, SUFFIXES)
    with pytest.raises(UnusableNameError, match="outside"):
        list_photos(root, "outside", "", SUFFIXES)
    with pytest.raises(UnusableNameError, match="outside"):
        list_photos(root, "..", "", SUFFIXES)


def test_the_fingerprint_follows_every_change_and_nothing_else(root: Path) -> None:
    def now() -> str:
        return fingerprint(list_photos(root, "anna", "", SUFFIXES))

    seen = [now()]
    assert now() == seen[0]
    (root / "anna" / "notes.txt").write_text("other")
    assert now() == seen[0]
    photo = root / "anna" / "IMG 2.png"
    os.utime(photo, ns=(1, photo.stat().st_mtime_ns + 1))
    seen.append(now())
    photo.rename(photo.with_name("IMG 3.png"))
    seen.append(now())
    (root / "anna" / "IMG 3.png").unlink()
    seen.append(now())
    assert len(set(seen)) == 4


def test_broken_photos_are_all_named_at_once(root: Path) -> None:
    (root / "anna" / "IMG 2.png").write_bytes(b"junk")
    done: list[int] = []
    with pytest.raises(PhotoError, match=r"photo 2 of 3 \(IMG 2\.png\): the file is"):
        read_photos(list_photos(root, "anna", "", SUFFIXES), 512, done.append)
    assert done == [1, 2, 3]
    (root / "anna" / "IMG 10.png").write_bytes(b"")
    with pytest.raises(PhotoError, match=r"2 of 3 photos cannot be read") as caught:
        read_photos(list_photos(root, "anna", "", SUFFIXES), 512)
    assert "IMG 2.png" in caught.value.message and "IMG 10.png" in caught.value.message


def test_good_photos_come_in_order(root: Path) -> None:
    pictures = read_photos(list_photos(root, "anna", "single.JPG", SUFFIXES), 512)
    assert [int(p[0, 0, 0]) for p in pictures] == [1, 2, 10, 50]


def test_a_cancel_while_reading_passes_through(root: Path) -> None:
    class Interrupted(Exception):
        pass

    def cancel(done: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        read_photos(list_photos(root, "anna", "", SUFFIXES), 512, cancel)


@pytest.mark.parametrize("shape", [(10, 300), (300, 10), (1, 1), (100, 100)])
def test_thumbnails_are_square(shape: tuple[int, int]) -> None:
    small = thumbnail(np.zeros((*shape, 3), np.uint8), 64)
    assert small.shape == (64, 64, 3) and (small == 0).any()
