"""The shipped networks are the catalogue's: same bytes, licences named, small."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

FIELDS = {"file", "folder", "what", "source", "sha256", "size", "licence", "needed_by"}


@pytest.fixture(scope="module")
def embedded(root: Path) -> Path:
    return root / "models" / "embedded"


@pytest.fixture(scope="module")
def entries(root: Path) -> list[dict[str, Any]]:
    catalog = json.loads((root / "models" / "catalog.json").read_text(encoding="utf-8"))
    return [entry for entry in catalog["files"] if entry["folder"] == "embedded"]


def test_the_catalogue_lists_every_network(embedded: Path, entries: list[dict[str, Any]]) -> None:
    assert {entry["file"] for entry in entries} == {path.name for path in embedded.glob("*.onnx")}
    assert len(entries) == 7
    assert all(set(entry) == FIELDS and all(entry.values()) for entry in entries)


def test_the_files_are_those_of_the_catalogue(embedded: Path, entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        data = (embedded / entry["file"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["size"], entry["sha256"]), entry["file"]


def test_the_notice_names_every_file_with_source_and_licence(embedded: Path, entries: list[dict[str, Any]]) -> None:
    notice = (embedded / "NOTICE").read_text(encoding="utf-8")
    for entry in entries:
        for words in (entry["file"], entry["sha256"], entry["source"], entry["licence"]):
            assert words in notice, f"{entry['file']}: {words}"
    assert "Permission is hereby granted, free of charge" in notice  # the MIT text itself must travel along


def test_only_permissive_licences_are_shipped(entries: list[dict[str, Any]]) -> None:
    assert {entry["licence"] for entry in entries} <= {"Apache-2.0", "MIT"}


def test_the_networks_stay_small(embedded: Path) -> None:
    assert sum(path.stat().st_size for path in embedded.iterdir()) < 30e6


def test_the_catalogue_names_nodes_that_exist(root: Path, entries: list[dict[str, Any]]) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (root / "nodes").glob("*.py"))
    for name in {name for entry in entries for name in entry["needed_by"]}:
        assert f'"{name}"' in sources, name


def test_the_recipes_are_the_catalogue(entries: list[dict[str, Any]]) -> None:
    """What convert_models.py would make is what is listed, packages and licences included."""
    from conversion.recipes import RECIPES

    made = [(r.file, r.package.title, r.package.licence, list(r.needed_by)) for r in RECIPES]
    assert made == [(e["file"], e["source"], e["licence"], e["needed_by"]) for e in entries]
