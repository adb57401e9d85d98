"""Every place where a name from a widget, a file or a request becomes a path, against every kind of bad name.

The nodes' places are asked in a Python of their own with ComfyUI's real folders; the core's are asked here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import comfy_host
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from names_as_paths import SECRET, evil_names, lay_out

from facechain.errors import FaceChainError
from facechain.forget import Places, find_traces
from facechain.models.catalog import model_file
from facechain.names import checked_name
from facechain.photos.folder import caption_beside, list_photos

# What may be opened although it is a link: the list of models and styles is the machine's owner's, who may link files.
# So may folders inside the output folder, as core's Save Image allows.
LISTED = {"a style's file", "a SAM model", "a person's LoRA", "a person's LoRA, applied", "a style's LoRA"}
LISTED |= {"where pictures are saved"}


@pytest.fixture(scope="module")
def asked(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    host = comfy_host.prepare()
    script = Path(__file__).with_name("names_as_paths.py")
    command = [sys.executable, str(script), str(host.comfy), str(root), str(tmp_path_factory.mktemp("names"))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=host.comfy)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_place_is_asked_for_every_name(asked: dict[str, Any]) -> None:
    counted = Counter(place for place, *_ in asked["answers"])
    assert len(counted) >= 18 and set(counted.values()) == {len(evil_names(Path(asked["outside"])))}


def test_no_name_crashes_a_node_or_a_route(asked: dict[str, Any]) -> None:
    crashed = [(place, name[:40], answer) for place, name, answer in asked["answers"] if answer.startswith("crashed")]
    assert crashed == []


def test_no_name_leads_out_of_its_folder(asked: dict[str, Any]) -> None:
    base, outside = Path(asked["base"]), Path(asked["outside"])
    led: list[tuple[str, str, str]] = []
    for place, name, answer in asked["answers"]:
        if not answer.startswith("path: "):
            continue
        found = answer.removeprefix("path: ")
        if place == "where pictures are saved":  # a prefix below the output folder, not a path yet
            found = str(base / "output" / found)
        real = (base / found).resolve()
        pack = Path(__file__).resolve().parents[2]
        inside = base in real.parents or pack in real.parents
        if not inside and not (place in LISTED and outside in (real, *real.parents) and name.startswith("link")):
            led.append((place, name[:40], found))
    assert led == []


def test_nothing_is_written_or_deleted_outside(asked: dict[str, Any]) -> None:
    """Delete Person takes away links of that name that lie in its folders, and nothing else."""
    changed = {Path(name).relative_to(asked["base"]).as_posix() for name in asked["changed"]}
    folders = ("models/facechain/people", "models/facechain/unfinished")
    assert changed == {"temp/linked.png", *(f"{folder}/linked.safetensors" for folder in folders)}


def test_no_answer_tells_what_stands_in_a_file_outside(asked: dict[str, Any]) -> None:
    told = [
        (place, name)
        for place, name, answer in asked["answers"]
        if SECRET in answer.replace(name, "").replace(repr(name), "").replace(str(Path(asked["outside"])), "")
        and SECRET not in name
        and "link" not in name
    ]
    assert told == []


@pytest.fixture()
def folders(tmp_path: Path) -> tuple[Path, Path]:
    base, outside = tmp_path / "a" / "b" / "base", tmp_path / "outside"
    lay_out(base, outside)
    return base, outside


def test_the_cores_places_refuse_the_same_names(folders: tuple[Path, Path]) -> None:
    base, outside = folders
    entry = {"what": "w", "licence": "l", "needed_by": [], "sha256": None, "size": None}
    people = Places(base / "models/facechain/people", (base / "models/loras",), base / "unfinished", base / "temp")
    for name in evil_names(outside):
        whole = all(map(is_name, name.split("/")))
        for place, fine in (
            (lambda n: model_file({**entry, "folder": "loras", "file": n}), is_name(name)),
            (lambda n: model_file({**entry, "folder": n, "file": "a.safetensors"}), whole),
            (lambda n: find_traces(n, people), is_name(name)),
        ):
            try:
                place(name)
            except FaceChainError:
                continue
            assert fine, name
        for folder, files in ((name, ""), ("", name)):
            try:
                found = list_photos(base / "input", folder, files, {".png"})
            except FaceChainError:
                continue
            assert all((base / "input").resolve() in path.parents for _, path in found), name


def is_name(text: str) -> bool:
    try:
        return bool(checked_name(text))
    except FaceChainError:
        return False


def test_a_caption_that_is_a_link_out_of_the_folder_is_not_read(folders: tuple[Path, Path]) -> None:
    base, outside = folders
    photo = base / "input" / "photo.png"
    photo.write_bytes(b"x")
    photo.with_suffix(".txt").symlink_to(outside / f"{SECRET}.txt")
    with pytest.raises(FaceChainError, match="lies outside"):
        caption_beside(photo)
    photo.with_suffix(".txt").unlink()
    photo.with_suffix(".txt").write_text("a red hat")
    assert caption_beside(photo) == "a red hat"
