"""Names from users never become paths unchecked."""

from __future__ import annotations

from pathlib import Path

import pytest

from facechain.errors import UnusableNameError
from facechain.names import MAX_LENGTH, checked_name, complaint, inside


@pytest.mark.parametrize("name", ["Anna", "小明", "José-María 2", "anna_v1.2", "می‌نا", "O'Neil", "-x"])
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert checked_name(name) == name


def test_spellings_of_one_name_become_the_same() -> None:
    assert checked_name(" Jose\u0301 ") == checked_name("Jos\u00e9") == "Jos\u00e9"
    assert checked_name("\uff21\uff4e\uff4e\uff41") == "Anna"


BAD = ["", " ", ".", "..", "../x", "a/b", "a\\b", "/etc/passwd", "C:x", ".hidden", "dot.", "a\0b", "a\nb", "con"]
BAD += [
    "NUL.txt",
    "com1",
    "Lpt9.x",
    "a*b",
    "a?b",
    'a"b',
    "a|b",
    "a<b",
    "\u202eabc",
    "\uff0e\uff0e\uff0fx",
    "\u2028",
    "a\u200bb",
]


@pytest.mark.parametrize("name", BAD)
def test_dangerous_names_are_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(UnusableNameError) as caught:
        checked_name(name, "person name")
    assert "person name" in caught.value.message and caught.value.remedy


def test_length_counts_bytes() -> None:
    assert checked_name("a" * MAX_LENGTH)
    assert checked_name("明" * (MAX_LENGTH // 3))
    for name in ("a" * (MAX_LENGTH + 1), "明" * (MAX_LENGTH // 3 + 1), "x" * 100_000):
        with pytest.raises(UnusableNameError, match="too long"):
            checked_name(name)


def test_inside_follows_links_before_it_decides(tmp_path: Path) -> None:
    root = tmp_path / "input"
    (root / "anna").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "within.jpg").symlink_to(root / "anna")
    assert inside(root, "anna", "1.jpg") == root.resolve() / "anna" / "1.jpg"
    assert inside(root, "anna/../anna/1.jpg") == root.resolve() / "anna" / "1.jpg"
    assert inside(root, "within.jpg") == root.resolve() / "anna"
    for name in ("link.jpg", "../secret.jpg", str(tmp_path / "secret.jpg"), "anna/../../secret.jpg", "/"):
        with pytest.raises(UnusableNameError, match="outside"):
            inside(root, name)


def test_a_root_that_is_a_link_itself_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "input").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "input", "a.jpg") == tmp_path.resolve() / "real" / "a.jpg"


@pytest.mark.parametrize("name", ["a\0b", "circle"])
def test_names_that_the_file_system_refuses_are_explained(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    if name == "circle":  # some Python versions resolve a circle to itself: then it is simply no file
        try:
            assert not inside(tmp_path, name).is_file()
        except UnusableNameError:
            return
    else:
        with pytest.raises(UnusableNameError, match="not a file name"):
            inside(tmp_path, name)


def test_the_first_name_that_cannot_be_used_is_complained_of() -> None:
    assert complaint([], "person name") == complaint(["anna", "小明"], "person name") == ""
    assert "the style name 'a/b' cannot be used" in complaint(["anna", "a/b", ""], "style name")
