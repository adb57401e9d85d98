"""How much of everything a day of so many people takes: plain arithmetic on constants, each with where it comes from.

The constants lie in constants.json, each with how it was come by (HOWS); what is not measured yet is null there, and
what depends on it is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facechain.training.config import SNAPSHOTS, STEPS_PER_PHOTO

CONSTANTS = Path(__file__).with_name("constants.json")
HOWS = ("measured", "counted", "assumed", "not measured")
DAY = 86_400.0
BUSY = 0.85  # part of a GPU's day that is work: the rest is starting, failing, and the uneven end


class Unmeasured(ValueError):
    """A constant that nobody has measured yet."""


@dataclass(frozen=True)
class Demand:
    """What is asked for in a day. count: pictures of each style; batch: of them at once."""

    people: int
    photos: int = 5
    styles: int = 10
    count: int = 4
    batch: int = 4
    preset: str = "balanced"

    @property
    def portraits(self) -> int:
        return self.people * self.styles * self.count

    @property
    def tasks(self) -> int:
        """Intake, training, and portraits by the batch."""
        return self.people * (2 + self.styles * math.ceil(self.count / self.batch))

    @property
    def steps(self) -> int:
        """Of training a person."""
        return STEPS_PER_PHOTO[self.preset] * self.photos


class Capacity:
    """constants: by name, in the units of constants.json; None for one that is not measured."""

    def __init__(self, demand: Demand, constants: Mapping[str, float | None]) -> None:
        self.demand, self._constants = demand, constants

    def constant(self, name: str) -> float:
        value = self._constants[name]
        if value is None:
            raise Unmeasured(name)
        return value

    # --- the GPUs ---

    def step_seconds(self) -> float:
        """Of one GPU, for a person's steps and snapshots."""
        snapshots = SNAPSHOTS[self.demand.preset] if self.demand.preset != "fast" else 0
        steps = self.demand.steps + snapshots * self.constant("snapshot_steps")
        return steps / self.constant("training_steps_a_second")

    def training_seconds(self) -> float:
        """Of one GPU, a person: steps, and encoding, starting and saving besides."""
        return self.step_seconds() + self.constant("training_fixed_seconds")

    def drawing_seconds(self) -> float:
        """Of one GPU, a person."""
        each = self.constant("portrait_seconds") * self.demand.styles * self.demand.count
        return each + self.constant("switch_seconds")

    def intake_seconds(self) -> float:
        """Of one worker, whose GPU waits meanwhile, a person."""
        return self.demand.photos * self.constant("intake_core_seconds_a_photo")

    def idle_seconds(self) -> float:
        """Between tasks, a person."""
        return self.constant("fleet_seconds_a_task") * self.demand.tasks / self.demand.people

    def gpu_hours(self) -> float:
        each = self.intake_seconds() + self.training_seconds() + self.drawing_seconds() + self.idle_seconds()
        return self.demand.people * each / 3600

    def gpus(self) -> int:
        """That work around the clock, BUSY of it."""
        return math.ceil(self.gpu_hours() / 24 / BUSY)

    # --- everything else ---

    def intake_cores(self) -> float:
        """Cores that are busy with photos around the clock."""
        return self.demand.people * self.intake_seconds() / DAY

    def photo_bytes(self) -> float:
        return self.demand.people * self.demand.photos * self.constant("photo_bytes")

    def picture_bytes(self) -> float:
        return self.demand.portraits * self.constant("portrait_bytes")

    def person_bytes(self) -> float:
        """Records before and after training, and LoRAs: what may be deleted when the pictures are handed over."""
        each = 2 * self.demand.photos * self.constant("person_bytes") + self.constant("lora_bytes")
        return self.demand.people * each

    def record_bytes(self) -> float:
        return self.demand.tasks * self.constant("record_bytes")

    def network_bits_a_second(self) -> float:
        """Mean over the day. Photos are read twice, for their hashes and by the worker; what was learnt once more."""
        moved = 2 * self.photo_bytes() + self.picture_bytes() + 2 * self.person_bytes() + 3 * self.record_bytes()
        return 8 * moved / DAY

    def tasks_a_second(self) -> float:
        return self.demand.tasks / DAY

    def driver_share(self) -> float:
        """Of one core that decides which task goes where."""
        return self.tasks_a_second() * self.constant("decision_seconds")


def load_constants(path: Path = CONSTANTS) -> dict[str, float | None]:
    return {name: about["value"] for name, about in json.loads(path.read_text(encoding="utf-8")).items()}


def load_hows(path: Path = CONSTANTS) -> dict[str, str]:
    """By name, one of HOWS."""
    return {name: about["how"] for name, about in json.loads(path.read_text(encoding="utf-8")).items()}


def report(demand: Demand, constants: Mapping[str, float | None], price: float = 0.0) -> list[tuple[str, str]]:
    """(what, how much) in the order of a plan; "not known without ..." for what needs an unmeasured constant.

    price: of a GPU hour, in whatever money; 0 leaves costs out.
    """
    capacity = Capacity(demand, constants)
    hour, terabyte = 3600.0, 1e12

    def cost() -> str:
        whole = capacity.gpu_hours() / BUSY * price
        return f"{whole:,.0f}, {whole / demand.people:.3f} a person"

    lines = [
        ("people", lambda: f"{demand.people:,} with {demand.photos} photos each"),
        ("portraits", lambda: f"{demand.portraits:,} ({demand.styles} styles x {demand.count})"),
        ("tasks", lambda: f"{demand.tasks:,}, {capacity.tasks_a_second():.1f} a second"),
        ("intake, GPU hours that wait", lambda: f"{demand.people * capacity.intake_seconds() / hour:,.0f}"),
        (
            "steps of training, GPU hours",
            lambda: f"{demand.people * capacity.step_seconds() / hour:,.0f} ({demand.steps} steps a person)",
        ),
        ("training in all, GPU hours", lambda: f"{demand.people * capacity.training_seconds() / hour:,.0f}"),
        ("drawing, GPU hours", lambda: f"{demand.people * capacity.drawing_seconds() / hour:,.0f}"),
        ("between tasks, GPU hours", lambda: f"{demand.people * capacity.idle_seconds() / hour:,.1f}"),
        ("GPU hours", lambda: f"{capacity.gpu_hours():,.0f}"),
        (f"GPUs, {BUSY:.0%} busy", lambda: f"{capacity.gpus():,}"),
        *([("cost of the GPUs", cost)] if price else []),
        ("cores for intake", lambda: f"{capacity.intake_cores():.1f}"),
        ("photos in", lambda: f"{capacity.photo_bytes() / terabyte:.2f} TB"),
        ("pictures out", lambda: f"{capacity.picture_bytes() / terabyte:.2f} TB"),
        ("people and LoRAs", lambda: f"{capacity.person_bytes() / terabyte:.2f} TB"),
        ("records", lambda: f"{capacity.record_bytes() / 1e9:.1f} GB"),
        ("network, mean", lambda: f"{capacity.network_bits_a_second() / 1e9:.2f} Gbit/s"),
        ("cores for the order of work", lambda: f"{capacity.driver_share():.2f}"),
    ]
    found = []
    for what, amount in lines:
        try:
            found.append((what, amount()))
        except Unmeasured as missing:
            found.append((what, f"not known without {missing}"))
    return found
