"""Several at once: two servers on one models folder, two trainings of a person, a person replaced in the midst of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import comfy_host
import pytest
from comfy_client import ComfyClient, Prompt, Result
from kept_weights import differing
from test_training import NAME, draw, make_person, picture, train_prompt

from facechain.person import load_person, save_person
from facechain.training.lora_file import read_own

pytestmark = pytest.mark.comfy


@pytest.fixture(scope="module")
def base(server: comfy_host.Server) -> Path:
    """The folders of both servers, with the person that all learn."""
    assert server.base
    return server.base


@pytest.fixture(scope="module")
def other(base: Path) -> Iterator[ComfyClient]:
    """A second server on the same folders."""
    with comfy_host.Server(comfy_host.prepare(), log=base / "other.log", base=base) as running:
        yield ComfyClient(running.url)


@pytest.fixture(autouse=True)
def saved(base: Path) -> Path:
    """The saved person, as new."""
    path = base / "models" / "facechain" / "people" / f"{NAME}.safetensors"
    save_person(make_person(), path)
    return path


def report(result: Result) -> dict[str, Any]:
    return json.loads(result.texts("train")[0])


def drawn(seed: int) -> Prompt:
    return train_prompt(seed=seed, steps=10, snapshots=1) | draw("picture", ["train", 0], ["train", 1])


def test_two_servers_train_the_same_person_once(base: Path, client: ComfyClient, other: ComfyClient) -> None:
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda one: one.run(train_prompt(seed=71, steps=40, snapshots=1)), (client, other)))
    first, second = sorted((report(result) for result in both), key=lambda told: told["found"])
    assert [first["found"], second["found"]] == [False, True], "one trained, the other waited and found it"
    assert first["lora"] == second["lora"] and first["losses"] == second["losses"]
    unfinished = base / "models" / "facechain" / "unfinished"
    assert not list(unfinished.glob("*.lock")) and not list((base / "models" / "loras").rglob("*.tmp"))


def test_the_same_seed_gives_the_same_lora_and_portraits_in_two_processes(
    base: Path, client: ComfyClient, other: ComfyClient
) -> None:
    one = client.run(drawn(72))
    lora = base / "models" / "loras" / report(one)["lora"]
    kept = lora.rename(base / "of_the_first.safetensors")  # nobody finds it any more
    two = other.run(drawn(72))
    assert not report(two)["found"] and report(one)["losses"] == report(two)["losses"]
    assert differing(kept, lora) == [], "the same to the bit"
    assert (picture(client, one, "picture") == picture(other, two, "picture")).all()


def test_a_person_that_is_replaced_in_the_midst_of_a_training(base: Path, saved: Path, client: ComfyClient) -> None:
    """The training is of the person that was read; the record that took its place is left alone."""
    older = make_person()
    newer = replace(older, quality=older.quality / 2)

    def replace_it(kind: str, data: dict[str, Any]) -> None:
        if kind == "progress" and data["node"] == "train" and data["value"] >= 3:
            save_person(newer, saved)

    told = report(client.run(train_prompt(seed=73, steps=8, snapshots=1), replace_it))
    assert read_own(base / "models" / "loras" / told["lora"])["person_hash"] == older.hash != newer.hash
    there = load_person(saved)
    assert there.hash == newer.hash and there.lora == ""


def test_two_trainings_of_a_person_that_are_queued_together(base: Path, saved: Path, client: ComfyClient) -> None:
    begun = threading.Event()

    def first() -> Result:
        return client.run(train_prompt(seed=74, steps=8, snapshots=1), lambda *_: begun.set())

    def second() -> Result:
        assert begun.wait(60)
        return client.run(train_prompt(seed=75, steps=8, snapshots=1))

    with ThreadPoolExecutor() as pool:
        told = [report(job.result()) for job in [pool.submit(first), pool.submit(second)]]
    names = [one["lora"] for one in told]
    assert len(set(names)) == 2 and not any(one["found"] for one in told)
    assert all((base / "models" / "loras" / name).is_file() for name in names)
    assert load_person(saved).lora == names[1], "the one that was trained last"
