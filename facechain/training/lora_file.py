"""A person LoRA as a file: kohya's key names, so that every tool loads it, with what it was made from as metadata."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import TrainingError
from ..files import json_object, metadata_of, write_atomically
from ..lack_of_memory import pass_on
from ..names import checked_name
from ..person import Person
from .config import TrainConfig
from .fingerprint import settings_hash
from .network import Adapter

FORMAT = "facechain-lora-1"
FOLDER = "facechain"
DTYPE = torch.float16
BESIDE = 16 * 2**20  # bytes: the state between snapshots is optional, the portraits and the metadata are small


@dataclass(frozen=True)
class Base:
    """What a LoRA is trained on. model, clip, vae: hashes of their weights. family: as "SD15"."""

    model: str
    clip: str
    vae: str
    family: str = ""


def training_hash(person: Person, base: Base, config: TrainConfig, others: str = "") -> str:
    """sha256 (hex) over all that decides the result: equal hash, equal LoRA. others: hash of class pictures, or ""."""
    settings = config.decisive(person.count, person.size) | ({"class_pictures": others} if others else {})
    return settings_hash(FORMAT, person.hash, base.model, base.clip, base.vae, settings)


def lora_name(person: Person, key: str) -> str:
    """The file's name below a loras folder: "facechain/anna-1f3c5a7b9d0e.safetensors"."""
    return f"{FOLDER}/{checked_name(person.name, 'person name')}-{key[:12]}.safetensors"


def to_tensors(adapters: Sequence[Adapter], names: Mapping[str, str], alpha: float) -> dict[str, torch.Tensor]:
    """Kohya's three tensors a layer, float16. names: "lora_unet_..." by the layer's path.

    Raises TrainingError when a weight does not fit into float16.
    """
    tensors = {}
    for adapter in adapters:
        name = names[adapter.path]
        tensors[f"{name}.lora_down.weight"] = adapter.down.detach().to("cpu", DTYPE).contiguous()
        tensors[f"{name}.lora_up.weight"] = adapter.up.detach().to("cpu", DTYPE).contiguous()
        tensors[f"{name}.alpha"] = torch.tensor(alpha, dtype=DTYPE)
    broken = [key for key, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise TrainingError(
            f"the trained weights have grown beyond all bounds ({broken[0]})", "Set learning_rate lower"
        )
    return tensors


def metadata(person: Person, base: Base, config: TrainConfig, key: str, report: Mapping[str, Any]) -> dict[str, str]:
    """Our own record as one JSON text, and kohya's ss_* keys that other tools show."""
    own = {
        "format": FORMAT,
        "training_hash": key,
        "person": person.name,
        "person_hash": person.hash,
        "base": {"model": base.model, "clip": base.clip, "vae": base.vae, "family": base.family},
        "settings": config.as_dict(),
        "trigger": person.trigger,
        "phrase": person.attributes.phrase,
        "caption": person.caption,
        "report": report,
    }
    steps, resolution = config.steps_for(person.count), config.resolution_for(person.size)
    return {
        "format": "pt",
        "facechain": json.dumps(own, ensure_ascii=False),
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(config.rank),
        "ss_network_alpha": str(config.scale_alpha),
        "ss_learning_rate": str(config.learning_rate),
        "ss_lr_scheduler": config.schedule,
        "ss_optimizer": config.optimizer,
        "ss_max_train_steps": str(steps),
        "ss_steps": str(steps),
        "ss_batch_size_per_device": str(config.batch_size),
        "ss_resolution": f"({resolution}, {resolution})",
        "ss_seed": str(config.seed),
        "ss_num_train_images": str(person.count),
        "ss_output_name": checked_name(person.name, "person name"),
        "ss_sd_model_name": base.family,
        "ss_sd_model_hash": base.model,
        "ss_tag_frequency": json.dumps({FOLDER: _captions(person)}, ensure_ascii=False),
        "modelspec.title": person.name,
        "modelspec.trigger_phrase": f"{person.trigger}, {person.attributes.phrase}",
    }


def _captions(person: Person) -> dict[str, int]:
    """How often each caption was given."""
    return dict(Counter(person.captions or [person.caption] * person.count))


def check_room(folder: Path, adapters: Sequence[Adapter]) -> None:
    """Raises TrainingError where the folder is not writable, or its disk has no room for the adapters' file.

    A little more is asked for, for its portraits.
    """
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise TrainingError(
            f"the LoRA could not be written to {there} ({error.strerror})",
            "Free some space there, or let ComfyUI write into that folder; then queue again",
        ) from error
    needed = sum(adapter.down.numel() + adapter.up.numel() for adapter in adapters) * DTYPE.itemsize + BESIDE
    free = shutil.disk_usage(there).free
    if free < needed:
        raise TrainingError(
            f"the disk of {there} is full ({free / 2**20:.0f} MB left, {needed / 2**20:.0f} MB needed for the LoRA)",
            "Free some space there, then queue again",
        )


def write(path: Path, tensors: dict[str, torch.Tensor], about: dict[str, str]) -> None:
    """Write atomically, then read it back and compare.

    Raises TrainingError when the disk is full (nothing is left over), or gives back something else.
    """
    from safetensors.torch import save

    try:
        write_atomically(path, save(tensors, metadata=about))
    except OSError as error:
        raise TrainingError(
            f"the LoRA {path.name} could not be written to {path.parent} ({error.strerror})",
            "Free some space there, or let ComfyUI write into that folder; then queue again: the training goes on "
            "from the last snapshot before its end",
        ) from error
    kept = _read(path)
    if (
        kept is None
        or kept[0].keys() != tensors.keys()
        or any(not torch.equal(kept[0][k], tensors[k]) for k in tensors)
    ):
        path.unlink(missing_ok=True)
        raise TrainingError(f"the LoRA {path.name} could not be read back", "Check the disk that holds models/loras")


def read_report(path: Path, key: str) -> dict[str, Any] | None:
    """The report of a finished training, or None when the file is absent, damaged or of another training."""
    kept = _read(path) if path.is_file() else None
    own = _own(kept[1]) if kept else {}
    report = own.get("report")
    return report if own.get("training_hash") == key and isinstance(report, dict) else None


def read_own(path: Path) -> dict[str, Any]:
    """Our own record of a LoRA file; {} for LoRAs of other tools and for damaged files."""
    return _own(metadata_of(path))


def read_base(path: Path) -> Base | None:
    """What a LoRA was trained on; None where it does not say so, as LoRAs of other tools."""
    try:
        return Base(**read_own(path)["base"])
    except (KeyError, TypeError):
        return None


def _own(about: Mapping[str, str]) -> dict[str, Any]:
    own = json_object(about.get("facechain", ""))
    return own if own.get("format") == FORMAT else {}


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]] | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        pass_on(error)
        return None
