"""The fleet's store in a bucket: the real client against a real server of the protocol, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet.ledger import Ledger
from fleet.store import Store, StoreError, StoreOutOfReach, patiently, pictures_in, read_file
from fleet.table import read_table
from fleet.tasks import Studio, plan

if TYPE_CHECKING:
    from s3_server import S3


def every_way(store: Store) -> list[Callable[[], object]]:
    return [lambda: store.names("ledger"), lambda: store.read("a"), lambda: store.write("a", b"x")]


def test_table_and_photos_may_lie_in_a_bucket(s3: S3, root: Path, tmp_path: Path) -> None:
    home = f"{s3.url}/table"
    bucket = Store(home)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "base.safetensors").write_bytes(b"weights")
    styles = {path.stem: path for path in (root / "styles").glob("*.json")}
    bucket.write("jobs.csv", b"person,photos,styles\nAnna,photos/anna,armor\n")
    for name in ("2.PNG", "1.jpg", "notes.txt", ".1.jpg"):
        bucket.write(f"photos/anna/{name}", name.encode())
    rows = read_table("jobs.csv", read_file(f"{home}/jobs.csv"), styles, "base.safetensors")
    tasks = plan(rows, Studio(tmp_path, styles), home)
    assert [place for _, place, _ in tasks[0].inputs] == [f"{home}/photos/anna/1.jpg", f"{home}/photos/anna/2.PNG"]
    assert read_file(tasks[0].inputs[1][1]) == b"2.PNG"
    with pytest.raises(StoreError, match=f"there is no folder {home}/photos/ben"):
        pictures_in(f"{home}/photos/ben", {".jpg"})


def test_what_is_done_is_listed_past_one_answer(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")  # as many names in an answer; S3 itself has 1,000
    store = Store(f"{s3.url}/many")
    for n in range(7):
        store.write(f"ledger/done/{n % 2}/{n}.json", b"{}")
    assert Ledger(store).done() == set("0123456")


def test_what_another_machine_writes_is_seen_at_once(s3: S3) -> None:
    mine, other = Store(f"{s3.url}/shared"), newcomer(Store(f"{s3.url}/shared"))
    assert mine.names("ledger") == [] and Ledger(mine).record("aab") is None
    other.write("ledger/done/aa/aab.json", b'{"key": "aab"}')
    assert Ledger(mine).done() == {"aab"} and Ledger(mine).record("aab") == {"key": "aab"}


def newcomer(store: Store) -> Store:
    """The same place with a client of its own, which knows nothing yet and tries once."""
    store.fs = type(store.fs)(skip_instance_cache=True)
    store.fs.retries = 1
    return store


@pytest.fixture()
def down(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3.stop()
    yield
    s3.start()


def test_a_server_that_is_down_is_said(s3: S3, down: None) -> None:
    for way in every_way(newcomer(Store(f"{s3.url}/monday"))):
        with pytest.raises(
            StoreOutOfReach, match=r"s3://studio/monday \(Could not connect to the endpoint.*Look whether"
        ):
            way()


def test_a_bucket_or_credentials_that_are_absent_are_said(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Store("s3://nowhere/monday")
    for way in (lambda: nowhere.names("ledger"), lambda: nowhere.write("a", b"x")):
        with pytest.raises(StoreOutOfReach, match=r"s3://nowhere/monday is not there .* Make the bucket"):
            way()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for way in every_way(newcomer(Store(s3.url))):
        with pytest.raises(StoreOutOfReach, match=r"\(Unable to locate credentials\).*Look whether"):
            way()


def test_a_server_that_comes_back_is_waited_for(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("fleet.store.PAUSE", 0.1)
    store, tries = newcomer(Store(f"{s3.url}/later")), []

    def write() -> str:
        tries.append(len(tries))
        if len(tries) == 3:
            s3.start()
        store.write("a", b"x")
        return "written"

    s3.stop()
    assert patiently(write, lambda: False) == "written" and store.read("a") == b"x" and len(tries) == 3
    s3.stop()
    with pytest.raises(StoreOutOfReach):
        patiently(write, lambda: True)
    monkeypatch.setattr("fleet.store.PATIENCE", 0.0)
    with pytest.raises(StoreOutOfReach):
        patiently(write, lambda: False)
    s3.start()
