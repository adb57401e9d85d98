"""How many workers a machine gets, by the memory that it really has; and machines that are not fit for the work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fleet.ledger import Ledger
from fleet.local import local_workers
from fleet.store import Store
from fleet.tasks import Task, recipe_hash
from fleet.worker import UNFIT, HostError, Worker, WorkerSettings, attempt


@pytest.fixture()
def settings(tmp_path: Path) -> WorkerSettings:
    import torch

    if torch.cuda.is_available():
        pytest.skip("here it is one worker a GPU")
    return WorkerSettings("worker", str(tmp_path / "out"), "", str(tmp_path / "scratch"), str(tmp_path / "models"))


def test_no_more_workers_are_started_than_memory_holds(settings: WorkerSettings) -> None:
    free = psutil.virtual_memory().available
    assert [each.name for each in local_workers(settings, 3, free // 100)] == ["worker-1", "worker-2", "worker-3"]
    assert len(local_workers(settings, 8, int(free * 0.4))) == 2
    assert len(local_workers(settings, 8, 2 * free)) == 1, "one at least: it says what it has no memory for"
    assert len(local_workers(settings, 0, 1)) == 1, "one unless more are asked for"


def test_workers_share_no_folder(settings: WorkerSettings) -> None:
    assert len({each.scratch for each in local_workers(settings, 3, 1)}) == 3


def test_a_machine_that_sees_another_folder_under_that_name_does_not_start(tmp_path: Path) -> None:
    """As where NFS is not mounted: results would go to a disk of its own, and count as done."""
    store = Store(str(tmp_path / "out"))
    identity = Ledger(store).identity(make=True)
    assert identity and Ledger(store).identity() == Ledger(store).identity(make=True) == identity
    (tmp_path / "out").rename(tmp_path / "unmounted")
    worker = Worker(WorkerSettings("w", store.place, identity, str(tmp_path / "scratch"), str(tmp_path / "models")))
    with pytest.raises(HostError, match=r"another folder than where the run was begun\. Mount the same one"):
        worker.start()
    assert not (tmp_path / "out").exists()


def test_a_machine_with_another_base_model_or_version_is_unfit_and_no_task_is_blamed(settings: WorkerSettings) -> None:
    what = {"recipe": recipe_hash("training"), "checkpoint": ["base.safetensors", "0" * 64]}
    task = Task("k", "training", what, (), (), ("A",), ("i",), "base.safetensors", 1.0, 1, "people/A", "A: training")
    worker = Worker(settings)

    def refused(task: Task) -> str:
        answer = attempt(worker, task)
        assert not answer["ok"] and answer["kind"] == UNFIT and worker.ledger.tries() == {}
        return answer["error"]

    assert "has no base model" in refused(task)
    folder = Path(settings.models) / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "base.safetensors").write_bytes(b"other weights")
    assert "is another file than the plan's. Copy it there" in refused(task)
    assert "runs another version of the pack" in refused(replace(task, what={**what, "recipe": "of yesterday"}))
    assert worker.starts == 0
