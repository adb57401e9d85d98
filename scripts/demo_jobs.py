"""What the demo queues: the pictures that go in, and the shipped workflows with the choices filled in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import comfy_host
from comfy_install import HostError

Prompt = dict[str, dict[str, Any]]

WORKFLOWS = comfy_host.ROOT / "workflows" / "api"
# Widgets of Training Options.
OPTIONS = (
    *("optimizer", "schedule", "warmup", "accumulation", "alpha", "layers", "clip_rate", "head_focus", "min_snr_gamma"),
    *("noise_offset", "caption_dropout", "weight_decay", "precision", "checkpointing", "prior_weight"),
)
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic"}

# Parts of the six-people photo (left, top, right, bottom): three people as the template,
# whose faces 3 and 1 are replaced, and a fourth person as the second person's photo.
TEMPLATE_PART = (580, 0, 1280, 700)
SECOND_PERSON_PART = (385, 200, 700, 560)
TEMPLATE_FACES = "3, 1"


@dataclass(frozen=True)
class Small:
    """How the demo uses a base model: settings of widgets by node, styles (None: the workflow's), a note for the end.

    training: what Training Options says otherwise than by default.
    """

    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    styles: tuple[str | None, ...] = (None,)
    note: str = ""


USERS = Small()
# With both small models the group photo's faces are fused as the template has them, not drawn anew: one draws noise,
# the other has learnt whole portraits, not parts of pictures. The tests draw them anew all the same.
STANDIN = Small(
    {
        "FaceChain_TrainPersonLoRA": {"steps": 20, "resolution": 128},
        "EmptyLatentImage": {"width": 256, "height": 256},
        "KSampler": {"steps": 8},
        "FaceChain_GroupPortrait": {"denoise": 0.0},
    },
    note="the stand-in base model draws coloured noise, so the portraits are noise and the group photo's faces are fused "
    "without being drawn anew",
)
DEMO = Small(
    {
        "FaceChain_TrainPersonLoRA": {"steps": 240, "resolution": 192, "rank": 16, "learning_rate": 1e-3},
        "EmptyLatentImage": {"width": 192, "height": 192, "batch_size": 2},
        "KSampler": {"steps": 20, "cfg": 2.0},
        "FaceChain_GroupPortrait": {"denoise": 0.0},
    },
    # A small network has little attention: the person has to be learnt in its convolutions too.
    training={"layers": "all", "head_focus": 1.0},
    # different from each other in light, clothes and place
    styles=(
        *("working_suit", "armor", "chinese_winter_hanfu", "wedding_dress", "snow_white"),
        *("hong_kong_night", "t_shirt", "autumn_populus", "cheongsam", "science_fiction"),
    ),
    note="these portraits come from a small model made for trying things out (192 pixels, our styles and nothing else), "
    "and the group photo's faces are fused without being drawn anew",
)


@dataclass(frozen=True)
class Choices:
    """What to put into a workflow as shipped. settings, training: as in Small."""

    checkpoint: str
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    faces: str = ""
    style: str | None = None
    preset: str | None = None


def workflow(name: str, choices: Choices, uploads: dict[str, list[str]]) -> Prompt:
    """A shipped workflow in API format, with the choices and the uploaded pictures' names filled in."""
    prompt: Prompt = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    people = iter((uploads["person1"], uploads["person2"]))
    names = iter(("person 1", "person 2"))
    for node in prompt.values():
        kind, values = node["class_type"], node["inputs"]
        if kind == "CheckpointLoaderSimple":
            values["ckpt_name"] = choices.checkpoint
        elif kind == "FaceChain_LoadPhotos":
            values |= {"folder": "(none)", "files": "\n".join(next(people))}
        elif kind == "FaceChain_Preprocess":
            values["name"] = next(names)
        elif kind == "LoadImage":
            values["image"] = uploads["template"][0]
        elif kind == "FaceChain_GroupPortrait":
            values["faces"] = choices.faces
        elif kind == "FaceChain_TrainPersonLoRA" and choices.preset:
            values["preset"] = choices.preset
        elif kind == "FaceChain_LoadStyle" and choices.style:
            values["style"] = choices.style
        if kind == "FaceChain_TrainPersonLoRA" and choices.training:
            values["options"] = ["training_options", 0]
        values |= choices.settings.get(kind, {})
    _train_nobody_in_vain(prompt)
    if choices.training:
        prompt["training_options"] = training_options(**choices.training)
    return prompt


def _train_nobody_in_vain(prompt: Prompt) -> None:
    """Where Group Portrait draws nothing anew, it gets its people from before their training, which then is left out."""
    groups = [node["inputs"] for node in prompt.values() if node["class_type"] == "FaceChain_GroupPortrait"]
    for values in groups:
        if values["denoise"] > 0 or values["refine"] > 0:
            continue
        for name in [name for name in values if name.startswith("person_") and isinstance(values[name], list)]:
            training = prompt.get(values[name][0], {})
            if training.get("class_type") == "FaceChain_TrainPersonLoRA":
                values[name] = training["inputs"]["person"]
    linked = {value[0] for node in prompt.values() for value in node["inputs"].values() if isinstance(value, list)}
    for number in [n for n, node in prompt.items() if node["class_type"] == "FaceChain_TrainPersonLoRA"]:
        if number not in linked:
            del prompt[number]


def training_options(**chosen: Any) -> dict[str, Any]:
    """The node Training Options with these settings, all others as they are by default."""
    from facechain.training.config import TrainConfig

    defaults = TrainConfig()
    values = {name: getattr(defaults, name) for name in OPTIONS}
    return {"class_type": "FaceChain_TrainingOptions", "inputs": values | chosen}


def inputs(
    folder: Path, photos: Path | None = None, photos2: Path | None = None, template: Path | None = None
) -> dict[str, list[Path]]:
    """The pictures: {"person1": [...], "person2": [...], "template": [one]}.

    folder: where parts cut out of the packages' photos are written. photos, photos2: the user's folders.
    Raises HostError for a folder without pictures or an absent template.
    """
    found = {name: _pictures_in(own) for name, own in (("person1", photos), ("person2", photos2)) if own}
    if template:
        if not template.is_file():
            raise HostError(f"--template {template}: no such file.")
        found["template"] = [template]
    return {name: found.get(name) or [_package_picture(name, folder)] for name in ("person1", "person2", "template")}


def _pictures_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise HostError(f"{folder} is not a folder; name the folder that holds the photos.")
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not pictures:
        raise HostError(f"{folder} holds no pictures ({', '.join(sorted(PICTURES))}).")
    return pictures


def _package_picture(name: str, folder: Path) -> Path:
    from PIL import Image
    from sample_photos import fetch_photos

    photos = fetch_photos()
    if name == "person1":
        return photos["astronaut"]
    part = {"person2": SECOND_PERSON_PART, "template": TEMPLATE_PART}[name]
    path = folder / f"{name}.png"
    folder.mkdir(parents=True, exist_ok=True)
    Image.open(photos["group"]).crop(part).save(path)
    return path
