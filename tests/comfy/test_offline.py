"""The portrait job in a place without a network: nothing is fetched, asked or reported while a graph runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.comfy
UNSHARE = ["unshare", "--net", "--map-root-user"]


def test_the_portrait_graph_runs_where_there_is_no_network(
    tmp_path: Path, standin_models: dict[str, Path], package_photos: dict[str, Path]
) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("unshare (util-linux) is absent: network namespaces are Linux's")
    allowed = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    if allowed.returncode:
        pytest.skip(f"this machine allows no network namespaces to its users ({allowed.stderr.strip()})")
    script = Path(__file__).with_name("offline_run.py")
    done = subprocess.run([*UNSHARE, sys.executable, str(script), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert len(said["outside"]) == 2 and not any("connected" in answer for answer in said["outside"])
    ours = {node.removeprefix("FaceChain_") for node in said["nodes"] if node.startswith("FaceChain_")}
    assert ours >= {"LoadPhotos", "Preprocess", "TrainPersonLoRA", "LoadStyle", "FaceFusion", "SimilarityRank"}
    assert said["pictures"] > 0 and said["ready"] is True
    assert said["log"] == [], "nobody tried to connect"
