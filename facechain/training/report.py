"""What a training tells: numbers as JSON takes them, and a picture of its validation portraits beside the LoRA file."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..files import write_atomically
from ..images import from_pixels, to_pixels
from ..person import Person
from .config import TrainConfig
from .loop import Run, smoothed
from .validation import Result, Validation

log = logging.getLogger(__name__)

MAX_LOSSES = 2000  # kept in a report, evenly thinned


def report_of(
    person: Person,
    config: TrainConfig,
    device: str,
    run: Run,
    validation: Validation,
    result: Result,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """seconds: by phase."""
    mean = [round(value, 5) for value in smoothed(run.losses)]
    stride = max(1, -(-len(run.losses) // MAX_LOSSES))
    measured = validation.judge is not None
    return {
        "person": person.name,
        "photos": person.count,
        "steps": len(run.losses),
        "resumed_after": len(run.losses) - run.new_steps,
        "resolution": config.resolution_for(person.size),
        "steps_per_second": round(run.new_steps / max(run.seconds, 1e-9), 4),
        "loss_at_first": mean[min(len(mean), 20) - 1] if mean else None,
        "loss_at_last": mean[-1] if mean else None,
        "loss_stride": stride,
        "losses": [round(loss, 5) for loss in run.losses[::stride]],
        "chosen": result.chosen,
        "choice": result.reason,
        "snapshots": [verdict.as_dict() for verdict in validation.verdicts] if measured else [],
        "base_likeness": round(validation.base.likeness, 2) if validation.base else None,
        "merged": result.merged.as_dict() if result.merged else None,
        "samples": _counts(validation),
        "settings": config.as_dict(),
        "device": device,
        "seconds": dict(seconds),
    }


def time_split(seconds: Mapping[str, float]) -> str:
    """Where the time of a training went: "trained in 600.0 s: steps 88 %, validation 12 %"."""
    whole = sum(seconds.values())
    parts = sorted(seconds.items(), key=lambda part: part[1], reverse=True)
    told = [f"{phase} {round(100 * part / whole)} %" for phase, part in parts if part >= 0.005 * whole]
    return f"trained in {whole:.1f} s: {', '.join(told)}"


def recent_loss(losses: Sequence[float]) -> float:
    """The running mean of the losses at their end."""
    return smoothed(list(losses))[-1]


def _counts(validation: Validation) -> dict[str, int]:
    """How the picture of the portraits is laid out."""
    return {"columns": len(validation.portraits), "rows": len(validation.portraits[0]) if validation.portraits else 0}


def write_samples(lora: Path, portraits: Sequence[torch.Tensor]) -> None:
    """One column a snapshot, one row a portrait, as a PNG of the LoRA's name, which other tools show as its preview.

    portraits: [P, H, W, 3] of each snapshot. A full disk is told in the log: the LoRA itself is there.
    """
    from PIL import Image

    columns = [np.concatenate(to_pixels(pictures.float()), 0) for pictures in portraits]
    file = io.BytesIO()
    sheet = Image.fromarray(np.concatenate(columns, 1))
    sheet.save(file, "PNG", compress_level=3)  # in half the time of the default, a fifth larger
    try:
        write_atomically(lora.with_suffix(".png"), file.getvalue())
    except OSError as error:
        log.warning("FaceChain: the sample portraits could not be written (%s)", error)


def read_samples(lora: Path, report: Mapping[str, Any]) -> torch.Tensor | None:
    """The portraits, snapshot by snapshot, as [P, H, W, 3] float32 0..1.

    None where there are none, as in older files.
    """
    from PIL import Image, UnidentifiedImageError

    layout = report.get("samples") or {"columns": 0, "rows": 0}
    path = lora.with_suffix(".png")
    if not path.is_file() or not layout["columns"]:
        return None
    try:
        with Image.open(path) as file:
            sheet = np.asarray(file.convert("RGB"))
    except (UnidentifiedImageError, OSError):
        return None
    if sheet.shape[0] % layout["rows"] or sheet.shape[1] % layout["columns"]:
        return None  # another picture has taken its place
    columns = np.split(sheet, layout["columns"], 1)
    return from_pixels(*(picture for column in columns for picture in np.split(column, layout["rows"], 0)))
