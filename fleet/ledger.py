"""What is done, what was tried in vain, and the manifest: all of it files in the store, so that any process may die.

A task is done when its record is there. The record is written after the files it names, by the worker itself, so that
neither losing the worker nor losing whoever gave it the work loses a finished picture.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from facechain.files import json_object

from .store import Store, sha256
from .tasks import Task

DONE, TRIES, IDENTITY, MANIFEST = "ledger/done", "ledger/tries", "ledger/identity", "manifest.json"
READERS = 16
Record = dict[str, Any]


class Ledger:
    """Records below `ledger/` of the store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def identity(self, make: bool = False) -> str:
        """What tells this store from another one under the same name, such as a folder that is not mounted; "" where it
        has none yet and none is to be made.
        """
        try:
            return self.store.read(IDENTITY).decode()
        except FileNotFoundError:
            if not make:
                return ""
        self.store.write(IDENTITY, uuid.uuid4().hex.encode())
        return self.identity()

    def done(self) -> set[str]:
        """Keys of all that is done, of whatever table."""
        return {name.rsplit("/", 1)[-1].removesuffix(".json") for name in self.store.names(DONE)}

    def record(self, key: str) -> Record | None:
        """What a finished task left; None where it is not done."""
        try:
            return json_object(self.store.read(_place(key)).decode()) or None
        except FileNotFoundError:
            return None

    def commit(self, task: Task, files: Mapping[str, tuple[str, bytes]], about: Record) -> Record:
        """Write a task's files, then its record; the record. files: role: (place in the store, data).

        Where another worker was first, its record stays: nothing is counted twice.
        """
        before = self.record(task.key)
        if before is not None:
            return before
        for place, data in files.values():
            self.store.write(place, data)
        kept = {
            role: {"file": place, "sha256": sha256(data), "bytes": len(data)} for role, (place, data) in files.items()
        }
        record = {
            "key": task.key,
            "kind": task.kind,
            "people": list(task.people),
            "title": task.title,
            "files": kept,
            **about,
        }
        self.store.write(_place(task.key), _json(record))
        return record

    def tries(self) -> dict[str, int]:
        """How often each unfinished task has failed so far."""
        return dict(Counter(name.split("/")[0] for name in self.store.names(TRIES)))

    def add_try(self, key: str, why: Record) -> None:
        self.store.write(f"{TRIES}/{key}/{uuid.uuid4().hex}.json", _json(why))

    def failures(self, key: str) -> list[Record]:
        """What each try of a task ended with, in order of time."""
        names = self.store.names(f"{TRIES}/{key}")
        found = [json_object(self.store.read(f"{TRIES}/{key}/{name}").decode()) for name in names]
        return sorted(found, key=lambda why: why.get("time", ""))

    def forget_tries(self, keys: Iterable[str]) -> None:
        """So that tasks which had failed are tried anew."""
        for key in keys:
            for name in self.store.names(f"{TRIES}/{key}"):
                self.store.remove(f"{TRIES}/{key}/{name}")

    def write_manifest(
        self, tasks: Iterable[Task], failed: Iterable[str], known: Mapping[str, Record], about: Record
    ) -> Record:
        """`manifest.json`: every task of the table with its files and their hashes, or why it has none; the manifest.

        failed: keys given up. known: records that need not be read again. about: of the run.
        """
        listed, given_up = list(tasks), set(failed)
        with ThreadPoolExecutor(READERS) as pool:
            records = dict(
                zip(
                    (task.key for task in listed),
                    pool.map(lambda task: known.get(task.key) or self.record(task.key), listed),
                    strict=True,
                )
            )
        titles = {task.key: task.title for task in listed}
        lost = set(given_up)
        entries = []
        for task in listed:  # those before others come first
            entry: Record = {"key": task.key, "kind": task.kind, "people": list(task.people), "title": task.title}
            record = records[task.key]
            without = [key for key in task.needs if key in lost]
            if record is not None:
                entry |= {
                    "state": "done",
                    **{name: record[name] for name in ("files", "seconds", "worker") if name in record},
                }
            elif task.key in given_up:
                entry |= {"state": "failed", "tries": self.failures(task.key)}
            elif without:
                lost.add(task.key)
                entry |= {"state": "not begun", "why": f"failed before it: {', '.join(titles[key] for key in without)}"}
            else:
                entry |= {"state": "open"}
            entries.append(entry)
        states = dict(Counter(entry["state"] for entry in entries))
        manifest = {"format": "facechain-fleet-1", **about, "states": states, "tasks": entries}
        self.store.write(MANIFEST, _json(manifest))
        return manifest


def _place(key: str) -> str:
    return f"{DONE}/{key[:2]}/{key}.json"


def _json(content: Record) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=1).encode()
