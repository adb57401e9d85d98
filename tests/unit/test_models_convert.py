"""The converter's rules that need no download."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_another_archive_than_the_known_one_is_refused(tmp_path: Path) -> None:
    import convert_models

    archive = tmp_path / convert_models.MEDIAPIPE.archive
    archive.write_bytes(b"not the wheel")
    with pytest.raises(SystemExit, match=r"is not the known mediapipe 0\.10\.21"):
        convert_models.fetch(convert_models.MEDIAPIPE, tmp_path / "python", tmp_path)


def test_the_catalogue_keeps_the_files_that_users_download(tmp_path: Path, root: Path) -> None:
    import convert_models

    other = {"file": "x.safetensors", "folder": "checkpoints"}
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps({"version": 1, "files": [{"file": "old.onnx", "folder": "embedded"}, other]}))
    convert_models.write_catalog(path, root / "models" / "embedded")
    files = json.loads(path.read_text())["files"]
    assert files[-1] == other
    assert "old.onnx" not in {entry["file"] for entry in files}
    shipped = json.loads((root / "models" / "catalog.json").read_text(encoding="utf-8"))["files"]
    assert files[:-1] == [entry for entry in shipped if entry["folder"] == "embedded"]


def test_the_notice_is_what_the_script_writes(root: Path) -> None:
    import convert_models

    embedded = root / "models" / "embedded"
    written = (embedded / "NOTICE").read_text(encoding="utf-8")
    mit = written[written.index("MIT License") :].strip()
    assert convert_models.notice(embedded, mit) == written
