"""A disk that really is full, and a folder that really is read-only: a clear error, and older files whole.

A file system of one megabyte is mounted in a namespace of its own, as any user of Linux may where that is allowed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNSHARE = ["unshare", "--mount", "--map-root-user"]
# 1: the checkout, 2: the disk. Prints what happened as JSON.
SAVE = """
import json, shutil, subprocess, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/tests/unit"]
from dataclasses import replace
from facechain.errors import FaceChainError
from facechain.own_style import save_style
from facechain.person import load_person, save_person
from facechain.training.lora_file import check_room, write
from tiny_training import make_person
import torch

disk = Path(sys.argv[2])
person, file = make_person("anna"), disk / "people" / "anna.safetensors"
save_person(person, file)
style = disk / "styles" / "ink.json"
save_style(style, lora="a.safetensors", trigger="ink", prompt="ink", size=512, family="SD 1.5")
before = {path.name: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
if sys.argv[3] == "full":
    (disk / "filler").write_bytes(b"x" * shutil.disk_usage(disk).free)
else:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
told = []
before_the_first_step = () if sys.argv[3] == "full" else (lambda: check_room(disk / "loras" / "facechain", []),)
for save in (
    *before_the_first_step,
    lambda: save_person(replace(person, quality=person.quality / 2), file),
    lambda: save_style(style, lora="b.safetensors", trigger="ink", prompt="ink", size=512, family="SD 1.5"),
    lambda: write(disk / "loras" / "anna.safetensors", {"x": torch.zeros(9000)}, {}),
):
    try:
        save()
        told.append("saved")
    except FaceChainError as error:
        told.append(str(error))
after = {path.name: path.read_bytes() for path in disk.rglob("*") if path.is_file() and path.name != "filler"}
print(json.dumps({"told": told, "same": after == before, "loads": load_person(file).hash == person.hash}))
"""


@pytest.mark.parametrize(("kind", "why"), [("full", "No space left on device"), ("read-only", "Read-only file system")])
def test_what_cannot_be_saved_is_told_and_older_files_stay(root: Path, tmp_path: Path, kind: str, why: str) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("unshare (util-linux) is absent: namespaces are Linux's")
    mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path}"
    allowed = subprocess.run([*UNSHARE, "sh", "-c", mount], capture_output=True, text=True)
    if allowed.returncode:
        pytest.skip(f"this machine lets its users mount nothing ({allowed.stderr.strip()})")
    script = tmp_path.parent / f"{kind}.py"
    script.write_text(SAVE, encoding="utf-8")
    inside = f'{mount} && exec "$0" "$@"'
    command = [*UNSHARE, "sh", "-c", inside, sys.executable, str(script), str(root), str(tmp_path), kind]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["same"] and said["loads"]
    assert all(why in message and "could not be written to" in message for message in said["told"]), said["told"]
    assert all("ree some space there" in message for message in said["told"])
