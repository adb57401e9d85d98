"""Classes of hostile and broken input, what is done with each, and what counts as a right answer.

Used by test_fuzz.py (a few examples in CI) and by benchmarks/fuzz.py (as many as one likes). A check returns what came
out ("answer", or the message of an error of ours) and raises anything else: that is a finding.
"""

from __future__ import annotations

from fuzz_base import UNHURRIED, Kind
from fuzz_pictures import check_nodes, check_picture, check_tensor, odd_pictures, picture_files, tensors
from fuzz_records import (
    GRAPH,
    WIDGET,
    catalogues,
    changed_json,
    check_catalogue,
    check_graph,
    check_lora,
    check_person,
    check_settings,
    check_style,
    check_text,
    lora_files,
    person_files,
    settings,
    style_files,
)

__all__ = ["KINDS_OF_INPUT", "UNHURRIED", "Kind"]

KINDS_OF_INPUT = (
    Kind("picture files", picture_files(), check_picture, 30),
    Kind("IMAGE tensors, made into pixels", tensors(), check_tensor, 20),
    Kind("IMAGE tensors, through the nodes' core", odd_pictures(), check_nodes, 1),
    Kind("style files", style_files(), check_style, 15),
    Kind("person files", person_files(), check_person, 12),
    Kind("LoRA files", lora_files(), check_lora, 12),
    Kind("catalogues", catalogues(), check_catalogue, 8),
    Kind("texts of widgets, names", WIDGET, check_text, 15),
    Kind("settings of a training", settings(), check_settings, 12),
    Kind("queued graphs", changed_json(GRAPH), check_graph, 8),
)
