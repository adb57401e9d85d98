"""The catalogue of downloads: complete for the styles, honest about what is not known, safe as names and addresses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from facechain.errors import RecordError
from facechain.models import presence
from facechain.models.catalog import SAFE_SUFFIXES, ModelFile, catalog, chosen

SITES = {"huggingface.co", "www.modelscope.cn", "civitai.com", "dl.fbaipublicfiles.com"}
GROUPS = {"base", "style-bases", "styles", "sdxl", "fast", "pose", "depth", "canny", "inpaint"}
GROUPS |= {"insightface", "antelopev2", "swap", "sam", "upscale"}


@pytest.fixture(scope="module")
def fetched() -> list[ModelFile]:
    return presence.without_embedded(catalog())


def test_every_style_finds_its_base_and_its_lora(root: Path, fetched: list[ModelFile]) -> None:
    listed = {file.file: file for file in fetched}
    for path in (root / "styles").glob("*.json"):
        if path.stem == "schema":
            continue
        style = json.loads(path.read_text(encoding="utf-8"))
        for name, folder in ((style["base"]["checkpoint"], "checkpoints"), (style["lora"], "loras")):
            if name:
                assert listed[name].folder == folder, name
                assert path.stem in listed[name].styles, f"{name} does not name the style {path.stem}"


def test_no_file_names_a_style_that_does_not_use_it(root: Path, fetched: list[ModelFile]) -> None:
    for file in fetched:
        for name in file.styles:
            style = json.loads((root / "styles" / f"{name}.json").read_text(encoding="utf-8"))
            assert file.file in (style["lora"], style["base"]["checkpoint"])


def test_each_group_is_there_and_each_file_tells_what_it_is(fetched: list[ModelFile]) -> None:
    assert {file.group for file in fetched} == GROUPS
    assert len({(file.folder, file.file) for file in fetched}) == len(fetched)
    for file in fetched:
        assert file.what and file.licence and file.urls
        assert file.needed_by


@pytest.mark.parametrize("name", ["README.md", "README_zh.md"])
def test_both_readmes_list_every_group(root: Path, fetched: list[ModelFile], name: str) -> None:
    """And their sizes, as far as they are known."""
    rows = [line for line in (root / name).read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    for group in GROUPS:
        assert sum(f"`{group}`" in row.split(" | ")[0] for row in rows) == 1, group
    for group in ("fast", "upscale", "swap", "sam", "insightface", "antelopev2"):
        megabytes = sum(file.size or file.about_mb * 1e6 for file in fetched if file.group == group) / 1e6
        (row,) = [row for row in rows if f"`{group}`" in row.split(" | ")[0]]
        assert f"{megabytes:.0f} MB" in row, (group, megabytes)


def test_what_is_not_known_is_left_open_and_not_invented(fetched: list[ModelFile]) -> None:
    """A hash that stands for two files, or a length without one, would be a sign of guessing."""
    by_hash: dict[str, set[int]] = {}
    for file in fetched:
        if file.sha256:
            by_hash.setdefault(file.sha256, set()).add(file.size)
    assert all(len(sizes) == 1 for sizes in by_hash.values())
    unknown = [file for file in fetched if not file.sha256]
    assert {file.group for file in unknown} <= {"styles", "style-bases", "sdxl", "depth"}
    for file in fetched:
        assert not (file.commercial and "own" in file.licence), file.file
        assert not (file.size and abs(file.size / 1e6 - file.about_mb) > 1), file.file


def test_what_the_graphs_offer_to_download_is_the_catalogues(root: Path, fetched: list[ModelFile]) -> None:
    """The front end shows a button for each model that a graph names and the user lacks."""

    def offered(value: object) -> Iterator[dict[str, str]]:
        if isinstance(value, dict):
            if {"name", "url", "directory"} <= value.keys():
                yield value
            value = list(value.values())
        for inner in value if isinstance(value, list) else ():
            yield from offered(inner)

    known = {(file.folder, file.file): file for file in fetched}
    seen = set()
    for path in (root / "workflows").glob("*.json"):
        for model in offered(json.loads(path.read_text(encoding="utf-8"))):
            file = known[model["directory"], model["name"]]
            assert model["url"].removesuffix("?download=true") in file.urls, file.file
            assert model.get("hash") in (None, "", file.sha256)
            seen.add(file.file)
    assert len(seen) >= 3


def test_addresses_are_of_known_sites_and_end_in_a_file_of_that_kind(fetched: list[ModelFile]) -> None:
    for file in fetched:
        for url in file.urls:
            parts = urlsplit(url)
            assert parts.scheme == "https" and parts.netloc in SITES, url
            if parts.netloc in ("huggingface.co", "www.modelscope.cn"):
                assert "/resolve/" in parts.path
                assert Path(unquote(parts.path)).suffix == Path(file.file).suffix


def test_only_what_holds_no_program_is_fetched(fetched: list[ModelFile]) -> None:
    for file in fetched:
        assert (Path(file.file).suffix in SAFE_SUFFIXES) != bool(file.by_hand), file.file


def test_a_style_brings_its_lora_and_its_base(fetched: list[ModelFile]) -> None:
    files = catalog()
    assert [f.file for f in chosen(["cheongsam"], files)] == ["majicmixRealistic_v6.safetensors", "qipao2.safetensors"]
    assert chosen(["cheongsam", "cheongsam", "qipao2.safetensors"], files) == chosen(["cheongsam"], files)
    assert chosen(["all"], files) == fetched
    assert not chosen([], files)
    with pytest.raises(RecordError, match="neither a group nor a style nor a file"):
        chosen(["cheongsam", "nothing"], files)


def test_a_damaged_catalogue_is_told(tmp_path: Path) -> None:
    path = tmp_path / "catalog.json"
    for text in ("", "{}", '{"files": [{"file": "a.onnx"}]}', "[1]"):
        path.write_text(text)
        catalog.cache_clear()
        with pytest.raises(RecordError, match=r"cannot be read.*Install the pack again"):
            catalog(path)


# --- what of it is there ---

DATA = b"weights" * 100
FILE = ModelFile("a.safetensors", "loras", "a test", "MIT", (), hashlib.sha256(DATA).hexdigest(), len(DATA), "styles")


def test_a_file_is_found_in_any_folder_of_its_kind_and_below(tmp_path: Path) -> None:
    first, second = tmp_path / "loras", tmp_path / "elsewhere"
    assert presence.look(FILE, [first, second]).state == presence.MISSING
    (second / "faces").mkdir(parents=True)
    path = second / "faces" / "a.safetensors"
    path.write_bytes(DATA)
    found = presence.look(FILE, [first, second], read=True)
    assert (found.state, found.path) == (presence.THERE, path)


@pytest.mark.parametrize(
    ("data", "read", "state"),
    [
        (DATA, False, presence.THERE),
        (DATA[:-1], False, presence.DIFFERENT),
        (DATA[::-1], False, presence.THERE),  # only reading tells
        (DATA[::-1], True, presence.DIFFERENT),
    ],
)
def test_another_file_of_that_name_is_told(tmp_path: Path, data: bytes, read: bool, state: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(data)
    found = presence.look(FILE, [tmp_path], read)
    assert found.state == state
    assert bool(found.why) == (state == presence.DIFFERENT)


def test_what_nobody_has_published_is_there_but_not_verified(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(DATA)
    unknown = ModelFile("a.safetensors", "loras", "a test", "MIT", ())
    assert presence.look(unknown, [tmp_path], read=True).state == presence.UNVERIFIED
