"""From rows to tasks: keys by content, needs, prompts; and the ledger of what is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.ledger import Ledger
from fleet.recipes import KINDS, prompt_of
from fleet.store import Store, StoreError, pictures_in, read_file
from fleet.table import TableError, read_table
from fleet.tasks import Studio, Task, plan

TABLE = """person,photos,styles,template,count,seed
Anna,photos/anna,armor; cheongsam,,5,7
Ben,photos/ben,armor,,2,
Anna; Ben,,,couple.jpg,,
"""


@pytest.fixture()
def home(tmp_path: Path) -> Path:
    for name, photos in (("anna", 3), ("ben", 2)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(photos):
            (folder / f"{number}.JPG").write_bytes(f"{name} {number}".encode())
        (folder / "notes.txt").write_text("no picture")
    (tmp_path / "couple.jpg").write_bytes(b"template")
    (tmp_path / "models" / "checkpoints").mkdir(parents=True)
    (tmp_path / "models" / "checkpoints" / "base.safetensors").write_bytes(b"weights")
    return tmp_path


@pytest.fixture()
def planned(home: Path, root: Path) -> Callable[..., dict[str, Task]]:
    """Tasks by title."""

    def make(table: str = TABLE, settings: dict[str, Any] | None = None) -> dict[str, Task]:
        styles = {path.stem: path for path in (root / "styles").glob("*.json")}
        rows = read_table("jobs.csv", table.encode(), styles, "base.safetensors")
        return {each.title: each for each in plan(rows, Studio(home / "models", styles, settings or {}), str(home))}

    return make


def test_a_table_becomes_tasks_in_their_order(planned: Callable[..., dict[str, Task]]) -> None:
    tasks = planned()
    assert [each.kind for each in tasks.values()] == ["intake"] * 2 + ["training"] * 2 + ["portraits"] * 5 + ["group"]
    anna, group = tasks["Anna: training"], tasks["Anna, Ben: couple.jpg"]
    assert anna.needs == (tasks["Anna: photos"].key,)
    assert group.needs == (anna.key, tasks["Ben: training"].key)
    assert [tasks[f"Anna: armor, seed {seed}"].what["count"] for seed in (7, 8)] == [4, 1]
    assert {each.needs for each in tasks.values() if each.title.startswith("Anna: armor")} == {(anna.key,)}
    assert len({each.key for each in tasks.values()}) == 10
    assert [name for name, _, _ in tasks["Anna: photos"].inputs] == ["001.jpg", "002.jpg", "003.jpg"]


def test_keys_are_of_the_content_alone(planned: Callable[..., dict[str, Task]], home: Path) -> None:
    before = {title: each.key for title, each in planned().items()}
    (home / "photos" / "anna").rename(home / "photos" / "a")
    moved = planned(TABLE.replace("photos/anna", "photos/a"))
    assert {title: each.key for title, each in moved.items()} == before
    (home / "photos" / "a" / "1.JPG").write_bytes(b"another photo")
    changed = {
        title for title, each in planned(TABLE.replace("photos/anna", "photos/a")).items() if each.key != before[title]
    }
    assert changed == {title for title in before if "Anna" in title}


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({"KSampler": {"steps": 8}}, {"portraits"}),
        ({"FaceChain_GroupPortrait": {"denoise": 0.3}}, {"group"}),
        ({"FaceChain_TrainPersonLoRA": {"steps": 8}}, {"training", "portraits", "group"}),
        ({"FaceChain_Preprocess": {"retouch": 0.0}}, set(KINDS)),
    ],
)
def test_a_setting_changes_the_tasks_it_acts_on_and_those_after(
    planned: Callable[..., dict[str, Task]], settings: dict[str, Any], changed: set[str]
) -> None:
    before = {title: each.key for title, each in planned().items()}
    assert {each.kind for title, each in planned(settings=settings).items() if each.key != before[title]} == changed


def test_the_base_models_bytes_count(planned: Callable[..., dict[str, Task]], home: Path) -> None:
    before = {each.key for each in planned().values()}
    (home / "models" / "checkpoints" / "base.safetensors").write_bytes(b"other weights of another size")
    assert before.isdisjoint(each.key for each in planned().values())


def test_equal_rows_are_one_task(planned: Callable[..., dict[str, Task]]) -> None:
    row = "Anna,photos/anna,armor; cheongsam,,5,7\n"
    assert list(planned(TABLE + row)) == list(planned())


def test_what_the_table_names_must_be_there(planned: Callable[..., dict[str, Task]], home: Path) -> None:
    with pytest.raises(TableError, match=r"row 2, column photos: there is no folder .*nowhere"):
        planned(TABLE.replace("photos/anna", "nowhere"))
    with pytest.raises(TableError, match=r"row 4, column template: .*none\.jpg cannot be read"):
        planned(TABLE.replace("couple.jpg", "none.jpg"))
    with pytest.raises(TableError, match=r"row 3: Cy and Anna have the very same photos"):
        planned("person,photos,styles\nAnna,photos/anna,armor\nCy,photos/anna,armor\n")
    for photo in (home / "photos" / "ben").glob("*.JPG"):
        photo.unlink()
    with pytest.raises(TableError, match=r"column photos: photos/ben holds 0 pictures"):
        planned()
    with pytest.raises(TableError, match=r"there is no widget step of KSampler\. Use one of: cfg"):
        planned(settings={"KSampler": {"step": 8}})
    with pytest.raises(TableError, match=r"there is no node of KSample\. Use one of"):
        planned(settings={"KSample": {"steps": 8}})


def test_prompts_are_our_workflows_with_the_choices_filled_in(planned: Callable[..., dict[str, Task]]) -> None:
    tasks = planned(settings={"KSampler": {"steps": 8}})

    def widgets(title: str) -> dict[str, dict[str, Any]]:
        task = tasks[title]
        return {node["class_type"]: node["inputs"] for node in prompt_of(task.kind, task.what, task.key).values()}

    intake = tasks["Anna: photos"]
    assert list(widgets("Anna: photos")) == ["FaceChain_LoadPhotos", "FaceChain_Preprocess"]
    name = widgets("Anna: photos")["FaceChain_Preprocess"]["name"]
    assert intake.key.startswith(name[1:]) and widgets("Anna: training")["FaceChain_LoadPerson"]["name"] == name
    drawn = widgets("Anna: armor, seed 8")
    assert (drawn["KSampler"]["seed"], drawn["KSampler"]["steps"], drawn["EmptyLatentImage"]["batch_size"]) == (8, 8, 1)
    assert drawn["FaceChain_LoadStyle"]["style"] == "armor" and drawn["FaceChain_LoadPerson"]["name"] == name
    assert "PreviewImage" not in drawn and drawn["CheckpointLoaderSimple"]["ckpt_name"] == "base.safetensors"
    group = tasks["Anna, Ben: couple.jpg"]
    prompt = prompt_of("group", group.what, group.key)
    seats = next(node["inputs"] for node in prompt.values() if node["class_type"] == "FaceChain_GroupPortrait")
    seated = [prompt[seats[f"person_{n}"][0]]["inputs"]["name"] for n in (1, 2)]
    assert seated[0] == name and seated[1] != name and "person_3" not in seats
    assert all("Anna" not in json.dumps(prompt_of(each.kind, each.what, each.key)) for each in tasks.values())


# --- the ledger ---


@pytest.fixture(params=["folder", "s3"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    """In a folder, and in a bucket."""
    s3 = request.getfixturevalue("s3") if request.param == "s3" else None
    return Ledger(Store(f"{s3.url}/{tmp_path.name}/out" if s3 else str(tmp_path / "out")))


def test_a_task_is_done_when_its_record_is_there(ledger: Ledger, planned: Callable[..., dict[str, Task]]) -> None:
    task = planned()["Ben: armor, seed 42"]
    assert ledger.done() == set() and ledger.record(task.key) is None
    record = ledger.commit(task, {"picture 1": ("portraits/Ben/x.png", b"pixels")}, {"worker": "one"})
    assert ledger.done() == {task.key} and ledger.record(task.key) == record
    assert ledger.store.read(record["files"]["picture 1"]["file"]) == b"pixels"
    again = ledger.commit(task, {"picture 1": ("portraits/Ben/x.png", b"others")}, {"worker": "two"})
    assert again["worker"] == "one" and ledger.store.read("portraits/Ben/x.png") == b"pixels", "the first one stays"


def test_the_manifest_tells_what_became_of_each(ledger: Ledger, planned: Callable[..., dict[str, Task]]) -> None:
    tasks = planned()
    done, failed = tasks["Anna: photos"], tasks["Ben: photos"]
    ledger.commit(done, {"report": ("people/Anna/r.json", b"{}")}, {"worker": "one"})
    for n in range(3):
        ledger.add_try(failed.key, {"error": f"no face {n}", "time": f"{n}"})
    assert ledger.tries() == {failed.key: 3}
    manifest = ledger.write_manifest(tasks.values(), {failed.key}, {}, {"begun": "now"})
    assert json.loads(ledger.store.read("manifest.json")) == manifest
    told = {entry["title"]: entry for entry in manifest["tasks"]}
    assert told["Anna: photos"]["files"]["report"]["file"] == "people/Anna/r.json"
    assert [why["error"] for why in told["Ben: photos"]["tries"]] == ["no face 0", "no face 1", "no face 2"]
    assert told["Ben: armor, seed 42"]["why"] == "failed before it: Ben: training"
    assert told["Anna, Ben: couple.jpg"]["state"] == "not begun" and told["Anna: training"]["state"] == "open"
    assert manifest["states"] == {"done": 1, "failed": 1, "not begun": 3, "open": 5}
    ledger.forget_tries([failed.key])
    assert ledger.tries() == {}


def test_places_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no folder"):
        pictures_in(str(tmp_path / "none"), {".jpg"})
    with pytest.raises(StoreError, match="cannot be read here"):
        read_file(str(tmp_path / "none.jpg"))
    with pytest.raises(StoreError, match=r"nothing://bucket/x cannot be opened"):
        Store("nothing://bucket/x")
