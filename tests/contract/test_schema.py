"""Graphs that people have saved store widgets and sockets by position: neither may move unnoticed.

After an intended change (new inputs and outputs go last), write the snapshot anew:

    UPDATE_SCHEMA=1 python3 scripts/test.py tests/contract/test_schema.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

SNAPSHOT = Path(__file__).with_name("schema.json")


def _as_text(declared: dict[str, Any]) -> str:
    lines = []
    for node_id, parts in declared.items():
        rows = [
            f"    {json.dumps(part)}: " + "[\n" + ",\n".join(f"      {json.dumps(row)}" for row in rows) + "\n    ]"
            for part, rows in parts.items()
        ]
        lines.append(f"  {json.dumps(node_id)}: " + "{\n" + ",\n".join(rows) + "\n  }")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def test_nodes_are_as_the_snapshot_says(declared: dict[str, Any]) -> None:
    if os.environ.get("UPDATE_SCHEMA"):
        SNAPSHOT.write_text(_as_text(declared), encoding="utf-8")
    assert declared == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_no_output_is_called_like_an_input(declared: dict[str, Any]) -> None:
    """ComfyUI takes such a pair for one thing."""
    for node_id, parts in declared.items():
        shared = {row[0] for row in parts["inputs"]} & {row[0] for row in parts["outputs"]}
        assert not shared, node_id


def test_the_training_seed_stays_by_itself(declared: dict[str, Any]) -> None:
    """A seed that changes after each run would train the same person anew each time."""
    assert "control_after_generate" not in declared["FaceChain_TrainPersonLoRA"]["widgets"]
    assert "control_after_generate" in declared["FaceChain_GroupPortrait"]["widgets"]


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_own_sockets_are_only_ours(declared: dict[str, Any], part: str) -> None:
    """Everything but a person, a template face and training options travels in core's own types."""
    core = {"IMAGE", "MASK", "MODEL", "CLIP", "VAE", "CONDITIONING", "LATENT", "CONTROL_NET"}
    core |= {"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"}
    types = {row[1] for parts in declared.values() for row in parts[part]}
    assert types - core <= {"FACECHAIN_PERSON", "FACECHAIN_TEMPLATE_FACE", "FACECHAIN_TRAIN_OPTIONS"}
