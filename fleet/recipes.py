"""What each kind of task queues: our API workflows, cut to the part that the task does, with its choices filled in.

A task's `what` decides the whole prompt, and nothing else does; so equal tasks draw equal pictures wherever they run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import demo_jobs

Prompt = dict[str, dict[str, Any]]
Settings = Mapping[str, Mapping[str, Any]]

INTAKE, TRAINING, PORTRAITS, GROUP = KINDS = ("intake", "training", "portraits", "group")
# the workflow, and the node whose results are wanted
SOURCES = {
    INTAKE: ("train_person", "FaceChain_Preprocess"),
    TRAINING: ("train_person", "FaceChain_TrainPersonLoRA"),
    PORTRAITS: ("trained_portrait", "FaceChain_SavePortraits"),
    GROUP: ("group_photo", "FaceChain_SavePortraits"),
}
PERSON_OUT = 2  # of Load Person: the record, after model and clip


def prompt_of(kind: str, what: Mapping[str, Any], key: str) -> Prompt:
    """The prompt of a task. what: see fleet.tasks; key: the task's, which names the files on the server."""
    return {INTAKE: _intake, TRAINING: _training, PORTRAITS: _portraits, GROUP: _group}[kind](what, key)


def settings_for(kind: str, settings: Settings) -> dict[str, dict[str, Any]]:
    """The settings of those nodes that this kind of task has: others do not change its result."""
    kinds = {node["class_type"] for node in _part(kind).values()}
    return {name: dict(values) for name, values in settings.items() if name in kinds}


def known_nodes() -> dict[str, set[str]]:
    """Node class: its widgets, of all nodes that tasks have."""
    found: dict[str, set[str]] = {}
    for kind in KINDS:
        for node in _part(kind).values():
            found.setdefault(node["class_type"], set()).update(
                name for name, value in node["inputs"].items() if not isinstance(value, list)
            )
    return found


def node_of(prompt: Prompt, kind: str) -> str:
    """The id of the node of that class."""
    return next(node for node, content in prompt.items() if content["class_type"] == kind)


def _intake(what: Mapping[str, Any], key: str) -> Prompt:
    values = {
        "FaceChain_LoadPhotos": {"folder": "(none)", "files": "\n".join(f"{key}/{name}" for name, _ in what["photos"])},
        "FaceChain_Preprocess": {"name": server_name(key), "save": True},
    }
    return _filled(INTAKE, what, values)


def _training(what: Mapping[str, Any], key: str) -> Prompt:
    values = {
        "CheckpointLoaderSimple": {"ckpt_name": what["checkpoint"][0]},
        "FaceChain_TrainPersonLoRA": {"preset": what["preset"]},
        "FaceChain_LoadPerson": {"name": server_name(what["people"][0])},
    }
    return _filled(TRAINING, what, values)


def _portraits(what: Mapping[str, Any], key: str) -> Prompt:
    values = {
        "CheckpointLoaderSimple": {"ckpt_name": what["checkpoint"][0]},
        "FaceChain_LoadPerson": {"name": server_name(what["people"][0])},
        "FaceChain_LoadStyle": {"style": what["style"][0]},
        "EmptyLatentImage": {"batch_size": what["count"]},
        "KSampler": {"seed": what["seed"]},
        "FaceChain_SimilarityRank": {"keep": what["count"]},
        "FaceChain_SavePortraits": {"filename_prefix": f"fleet/{key}"},
    }
    return _filled(PORTRAITS, what, values)


def _group(what: Mapping[str, Any], key: str) -> Prompt:
    values = {
        "CheckpointLoaderSimple": {"ckpt_name": what["checkpoint"][0]},
        "LoadImage": {"image": f"{key}/{what['template'][0]}"},
        "FaceChain_GroupPortrait": {"faces": what["faces"], "seed": what["seed"]},
        "FaceChain_SavePortraits": {"filename_prefix": f"fleet/{key}"},
    }
    prompt = _filled(GROUP, what, values)
    seats = prompt[node_of(prompt, "FaceChain_GroupPortrait")]["inputs"]
    for number, person in enumerate(what["people"], 1):
        seats[f"person_{number}"] = [f"person {number}", PERSON_OUT]
        prompt[f"person {number}"] = _load_person(server_name(person))
    return prompt


def server_name(intake: str) -> str:
    """What a person is called on the servers, and so in the pictures' metadata: never by their own name."""
    return f"p{intake[:20]}"


def _filled(kind: str, what: Mapping[str, Any], values: Settings) -> Prompt:
    prompt = {node: {**content, "inputs": dict(content["inputs"])} for node, content in _part(kind).items()}
    for node in prompt.values():
        node["inputs"] |= {**what["settings"].get(node["class_type"], {}), **values.get(node["class_type"], {})}
    return prompt


@lru_cache
def _part(kind: str) -> Prompt:
    """The workflow's nodes that the wanted one depends on; a person who was learnt before comes from Load Person."""
    name, wanted = SOURCES[kind]
    prompt: Prompt = json.loads((demo_jobs.WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    end = node_of(prompt, wanted)
    if kind == TRAINING:
        link = prompt[end]["inputs"]["person"]
        prompt[link[0]] = _load_person("")
        prompt[end]["inputs"]["person"] = [link[0], PERSON_OUT]
    elif kind == GROUP:
        seats = prompt[node_of(prompt, "FaceChain_GroupPortrait")]["inputs"]
        for name in [name for name in seats if name.startswith("person_") and isinstance(seats[name], list)]:
            del seats[name]
    return {node: prompt[node] for node in sorted(_before(prompt, end))}


def _before(prompt: Prompt, node: str) -> set[str]:
    links = (value[0] for value in prompt[node]["inputs"].values() if isinstance(value, list))
    return {node}.union(*(_before(prompt, link) for link in links))


def _load_person(name: str) -> dict[str, Any]:
    return {"class_type": "FaceChain_LoadPerson", "inputs": {"name": name, "weight": 1.0}}
