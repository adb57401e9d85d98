"""The arithmetic of a large day, by hand on round numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fleet.capacity import CONSTANTS, HOWS, Capacity, Demand, Unmeasured, load_constants, report

ROUND: dict[str, float | None] = {
    "photo_bytes": 1e6,
    "intake_core_seconds_a_photo": 1.0,
    "training_steps_a_second": 10.0,
    "training_fixed_seconds": 3.6,
    "snapshot_steps": 16,
    "portrait_seconds": 0.9,
    "switch_seconds": 1.0,
    "fleet_seconds_a_task": 0.1,
    "decision_seconds": 0.001,
    "person_bytes": 1e6,
    "lora_bytes": 10e6,
    "portrait_bytes": 5e5,
    "record_bytes": 1000.0,
}


def test_hours_of_gpus_add_up() -> None:
    capacity = Capacity(Demand(people=3600), ROUND)
    assert (capacity.demand.portraits, capacity.demand.tasks, capacity.demand.steps) == (144_000, 43_200, 1000)
    assert capacity.training_seconds() == pytest.approx((1000 + 4 * 16) / 10 + 3.6)  # 110
    assert capacity.drawing_seconds() == pytest.approx(40 * 0.9 + 1)  # 37
    assert capacity.gpu_hours() == pytest.approx(5 + 110 + 37 + 1.2)  # intake, training, drawing, between 12 tasks
    assert capacity.gpus() == 8  # 153.2 / 24 / 0.85 = 7.5


def test_bytes_add_up() -> None:
    capacity = Capacity(Demand(people=86_400), ROUND)
    assert capacity.photo_bytes() == 86_400 * 5e6
    assert capacity.picture_bytes() == 86_400 * 20e6
    assert capacity.person_bytes() == 86_400 * (10e6 + 10e6)
    assert capacity.network_bits_a_second() == pytest.approx(8 * (10e6 + 20e6 + 40e6 + 36_000))
    assert capacity.tasks_a_second() == 12 and capacity.driver_share() == pytest.approx(0.012)


def test_what_is_not_measured_is_said_and_not_guessed() -> None:
    with pytest.raises(Unmeasured, match="portrait_seconds"):
        Capacity(Demand(1), ROUND | {"portrait_seconds": None}).gpu_hours()
    told = dict(report(Demand(1000), ROUND | {"portrait_seconds": None}, price=2.0))
    assert told["GPU hours"] == told["cost of the GPUs"] == "not known without portrait_seconds"
    assert told["steps of training, GPU hours"] == "30 (1000 steps a person)"
    assert told["training in all, GPU hours"] == "31"
    assert not any("not known" in amount for _, amount in report(Demand(1000), ROUND, price=2.0))


def test_each_constant_says_where_it_comes_from(root: Path) -> None:
    listed = json.loads(CONSTANTS.read_text(encoding="utf-8"))
    assert set(listed) == set(ROUND) == set(load_constants())
    assert all(about["source"] and about["unit"] and about["how"] in HOWS for about in listed.values())
    assert all((about["value"] is None) == (about["how"] == "not measured") for about in listed.values())
    script = [sys.executable, str(root / "scripts" / "fleet_plan.py"), "--people", "1000"]
    done = subprocess.run([*script, "--set", "photo_bytes=1e6"], capture_output=True, text=True)
    assert done.returncode == 0 and ["photos", "in", "0.01", "TB"] in [
        line.split() for line in done.stdout.splitlines()
    ], done.stdout + done.stderr
    said = {line[:30].strip(): line[30:].strip() for line in done.stdout.splitlines()}
    assert "portrait_seconds" in said["measured"] and "not measured" not in said
    assert said["set by you"] == "photo_bytes" and said["assumed"] == "snapshot_steps"
    wrong = subprocess.run([*script, "--set", "photos=1"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "there is no constant 'photos'" in wrong.stderr
