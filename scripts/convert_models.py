#!/usr/bin/env python3
"""Make models/embedded: the ONNX files that the pack ships, from published packages.

    python3 scripts/convert_models.py [--output models] [--work FOLDER] [--judge]

Downloads mediapipe and face-api with pip and npm, checks their sha256, converts the
networks in a throw-away virtual environment, compares each with its original, and writes
the files, NOTICE, and their entries in catalog.json. The same inputs give the same bytes. With --judge it makes
tests/models instead: the network with which tests and benchmarks judge likeness.
Needs Python 3.11 or later, Node.js with npm, 500 MB of disk for a minute or two.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
sys.path.insert(0, str(SCRIPTS))
from conversion.recipes import FACE_API, HUMAN, JUDGE, MEDIAPIPE, RECIPES, Package, Recipe  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=Path, default=SCRIPTS.parent / "models", help="the models folder to write into"
    )
    parser.add_argument("--work", type=Path, help="keep downloads and the environment here (default: thrown away)")
    parser.add_argument("--judge", action="store_true", help="make tests/models instead, from @vladmandic/human")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="convert_models_") as scratch:
        work = options.work.resolve() if options.work else Path(scratch)
        if options.judge:
            convert_judge(work, SCRIPTS.parent / "tests" / "models")
        else:
            convert(work, options.output)


def convert(work: Path, output: Path) -> None:
    """Everything: work is scratch, output gets embedded/*.onnx, embedded/NOTICE and catalog.json."""
    work.mkdir(parents=True, exist_ok=True)
    python = make_environment(work / "venv")
    fetch(MEDIAPIPE, python, work)
    fetch(FACE_API, python, work)
    unpack(work / MEDIAPIPE.archive, work / "mediapipe")
    unpack(work / FACE_API.archive, work / "face_api")
    fresh = work / "embedded"
    say("converting, and comparing with the originals")
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    subprocess.run([python, "-m", "conversion.build", work, fresh], check=True, env=environment)
    publish(fresh, output, (work / "face_api" / "package" / "LICENSE").read_text())


def convert_judge(work: Path, output: Path) -> None:
    """work is scratch, output gets the judge's network and its NOTICE."""
    work.mkdir(parents=True, exist_ok=True)
    python = make_environment(work / "venv")
    fetch(HUMAN, python, work)
    unpack(work / HUMAN.archive, work / "human")
    say("converting, and comparing with the original")
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    subprocess.run([python, "-m", "conversion.build_judge", work / "human", output], check=True, env=environment)
    mit_text = (work / "human" / "package" / "LICENSE").read_text()
    (output / "NOTICE").write_text(judge_notice(output, mit_text), encoding="utf-8")
    say(f"wrote {JUDGE.file} into {output}")


def make_environment(folder: Path) -> Path:
    """A virtual environment with the pinned converter; returns its Python."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        say("making the converter's environment")
        venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", SCRIPTS / "conversion/requirements.txt"], check=True)
    return python


def fetch(package: Package, python: Path, work: Path) -> None:
    """Download the package's archive into work, unless it lies there; stop when it is not the known one."""
    archive = work / package.archive
    if not archive.exists():
        say(f"downloading {package.title}")
        if package.manager == "npm":
            npm = shutil.which("npm")
            if npm is None:
                raise SystemExit("npm is not installed: install Node.js, which brings it")
            subprocess.run([npm, "pack", "--silent", f"{package.name}@{package.version}"], check=True, cwd=work)
        else:
            wanted = [f"{package.name}=={package.version}", "--python-version=3.11", "--platform=manylinux_2_28_x86_64"]
            pip = [python, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
            subprocess.run([*pip, "-d", work, *wanted], check=True)
    if sha256(archive) != package.sha256:
        raise SystemExit(f"{archive} is not the known {package.title}: its sha256 is {sha256(archive)}")


def unpack(archive: Path, folder: Path) -> None:
    """The files of the recipes, with what they refer to, from a wheel or an npm archive."""
    folder.mkdir(exist_ok=True)
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for recipe in RECIPES:
                if recipe.package is MEDIAPIPE:
                    wheel.extract(recipe.source, folder)
    else:
        with tarfile.open(archive) as package:
            package.extractall(folder, filter="data")


def publish(fresh: Path, output: Path, mit_text: str) -> None:
    """Copy the files into output/embedded, and write NOTICE and the catalogue's entries."""
    embedded = output / "embedded"
    embedded.mkdir(parents=True, exist_ok=True)
    for recipe in RECIPES:
        shutil.copyfile(fresh / recipe.file, embedded / recipe.file)
    (embedded / "NOTICE").write_text(notice(embedded, mit_text), encoding="utf-8")
    write_catalog(output / "catalog.json", embedded)
    total = sum((embedded / recipe.file).stat().st_size for recipe in RECIPES)
    say(f"wrote {len(RECIPES)} files, {total / 1e6:.1f} MB, into {embedded}")


def judge_notice(folder: Path, mit_text: str) -> str:
    return f"""\
For tests and benchmarks alone, not shipped with the pack: made by scripts/convert_models.py --judge.

  {JUDGE.file}
    {JUDGE.what}
    sha256 {sha256(folder / JUDGE.file)}
    from {HUMAN.title}, {JUDGE.source}; archive sha256 {HUMAN.sha256}
    The part that ends at "global_pooling/Mean"; the layers for age and gender are left out.

The weights are from HSE_FaceRec_tf by Andrey Savchenko (github.com/av-savchenko/HSE_FaceRec_tf, folder
age_gender_identity): a MobileNet trained on VGGFace2 to identify people, its kernels kept while layers for age and
gender were trained on top. Licensed under the Apache License, Version 2.0 (see LICENSE). Changes: stored as float16
and partly merged with the batch normalisation by @vladmandic/human, converted to ONNX here. The conversion to
TensorFlow.js:

{mit_text.strip()}
"""


def notice(embedded: Path, mit_text: str) -> str:
    parts = ["The neural networks in this folder, converted to ONNX by scripts/convert_models.py.\n"]
    for package in (MEDIAPIPE, FACE_API):
        parts.append(f"From {package.title}, {package.licence}; archive sha256 {package.sha256}:\n")
        parts.extend(
            f"  {recipe.file}\n    {recipe.what}\n    from {recipe.source}\n    sha256 {sha256(embedded / recipe.file)}\n"
            for recipe in RECIPES
            if recipe.package is package
        )
        parts.append(f"{package.notice or mit_text.strip()}\n")
    return "\n".join(parts)


def write_catalog(path: Path, embedded: Path) -> None:
    """Replace the embedded files' entries; those of files that users download stay as they are."""
    catalog = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"version": 1, "files": []}
    others = [entry for entry in catalog["files"] if entry["folder"] != "embedded"]
    catalog["files"] = [*(catalog_entry(recipe, embedded) for recipe in RECIPES), *others]
    path.write_text(json.dumps(catalog, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def catalog_entry(recipe: Recipe, embedded: Path) -> dict[str, object]:
    file = embedded / recipe.file
    return {
        "file": recipe.file,
        "folder": "embedded",
        "what": recipe.what,
        "source": recipe.package.title,
        "sha256": sha256(file),
        "size": file.stat().st_size,
        "licence": recipe.package.licence,
        "needed_by": list(recipe.needed_by),
    }


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
