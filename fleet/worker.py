"""A worker: one ComfyUI server of its own, and one task after another through its API.

It reads photos and earlier results from where they lie, and writes what it makes to the store itself, record last. So
whoever gave it the task need not live to see it done. Several threads may call `execute`: ComfyUI's queue orders them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import aiohttp
import comfy_host
from comfy_client import ComfyClient, JobError, Result
from comfy_install import HostError

from facechain.files import write_atomically

from .ledger import Ledger, Record
from .lifeline import Lifeline
from .recipes import GROUP, INTAKE, PORTRAITS, SOURCES, TRAINING, node_of, prompt_of, server_name
from .store import Store, StoreError, StoreOutOfReach, patiently, read_file, sha256
from .tasks import Task, file_sha256, recipe_hash

T = TypeVar("T")
KEPT_PEOPLE = 64  # whose files stay on the worker's disk
PEOPLE, LORAS = "models/facechain/people", "models/loras"
CRASH, JOB, NOT_BEGUN, UNFIT = "crash", "job", "not begun", "unfit"


class TaskError(RuntimeError):
    """A task that came to nothing. kind: JOB (its own fault), CRASH (ComfyUI died under it), NOT_BEGUN (it died before
    the task's turn), UNFIT (this machine is not fit for any: ComfyUI does not start, the store is out of reach, the
    base model is another one). Only the first two count as tries.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class WorkerSettings:
    """name: unlike any other's in the fleet. store: folder or URL. store_id: see Ledger.identity. scratch: a local folder of the worker's own.
    models: a ComfyUI models folder with the base models. threads: of the CPU's mathematics. stall: seconds without a
    word from ComfyUI after which it counts as hung. keep: leave the scratch folder at the end.
    environment: of ComfyUI, such as CUDA_VISIBLE_DEVICES.
    """

    name: str
    store: str
    store_id: str
    scratch: str
    models: str
    threads: int = 1
    stall: float = 1800.0
    keep: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Worker:
    """Use as a context manager, or call start and stop."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self.base = Path(settings.scratch)
        self.ledger = Ledger(Store(settings.store))
        self.host: comfy_host.ComfyHost | None = None
        self.server: comfy_host.Server | None = None
        self.starts = 0
        self._lifeline: Lifeline | None = None
        self._lock = threading.Lock()
        self._staging = threading.Lock()
        self._heard = time.monotonic()
        self._stopping = False

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Record:
        """Start ComfyUI; what there is: {"host", "memory" (bytes of the device), "device"}.

        Raises HostError, StoreOutOfReach.
        """
        if self.ledger.identity() != self.settings.store_id:
            raise HostError(
                f"{self.settings.store} is on {socket.gethostname()} another folder than where the run was begun. "
                "Mount the same one there."
            )
        self.host = comfy_host.prepare()
        comfy_host.lay_out(self.base)
        own_styles = Path(self.settings.models) / "facechain" / "styles"
        link = self.base / "models" / "facechain" / "styles"
        if own_styles.is_dir() and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(own_styles, target_is_directory=True)
        self._ready_server()
        about = self._client().get("/system_stats")
        device = about["devices"][0]
        return {"host": socket.gethostname(), "memory": device["vram_total"], "device": device["name"]}

    def stop(self) -> None:
        """End ComfyUI at once, also one that is starting; tasks in hand end as not begun."""
        self._stopping = True
        self._kill_server()
        with self._lock:
            self._kill_server()
            self._end_server()
        if not self.settings.keep:
            shutil.rmtree(self.base, ignore_errors=True)

    def execute(self, task: Task) -> Record:
        """Do a task unless it is done; its record. Raises TaskError."""
        laps = [time.monotonic()]
        try:
            done = self._patiently(lambda: self.ledger.record(task.key))
            if done is not None:
                return done
            self._check_recipe(task)
            server = self._ready_server()
            with self._staging:
                self._patiently(lambda: self._stage(task))
            laps.append(time.monotonic())
            result, waited = self._run(task, server)
            laps.append(time.monotonic())
            files, told = self._collect(task, result)
            about = {"told": told, "worker": self.settings.name, "host": socket.gethostname(), "time": now()}
            spent = [later - before for before, later in itertools.pairwise(laps)]
            about["seconds"] = {
                "stage": round(spent[0], 3),
                "wait": round(waited, 3),
                "run": round(spent[1] - waited, 3),
            }
            about["seconds"]["collect"] = round(time.monotonic() - laps[-1], 3)
            record = self._patiently(lambda: self.ledger.commit(task, files, about))
        except (HostError, StoreOutOfReach) as error:
            raise TaskError(str(error), UNFIT) from error
        except StoreError as error:
            raise TaskError(str(error), JOB) from error
        except (aiohttp.ClientError, OSError) as error:  # ComfyUI died while its pictures were fetched
            raise TaskError(f"{type(error).__name__}: {error}", NOT_BEGUN if self._stopping else CRASH) from error
        self._clear(task)
        return record

    def _patiently(self, work: Callable[[], T]) -> T:
        return patiently(work, lambda: self._stopping)

    # --- the server ---

    def _client(self) -> ComfyClient:
        assert self.server
        return ComfyClient(self.server.url)

    def _ready_server(self) -> comfy_host.Server:
        """The running server, started anew where it has died. Raises HostError."""
        with self._lock:
            if self._stopping:
                raise HostError("this worker has been stopped")
            if self.server is None or self.server.process is None or self.server.process.poll() is not None:
                self._end_server()
                self._start_server()
            assert self.server
            return self.server

    def _start_server(self) -> None:
        assert self.host
        self.starts += 1
        config = self.base / "fleet_models.yaml"
        folders = ("checkpoints", "loras", "controlnet", "vae")
        config.write_text(
            json.dumps({"fleet": {"base_path": self.settings.models, **{name: name for name in folders}}})
        )
        # ComfyUI must not find, on a path that the fleet was started with, other modules before its own
        threads = {"OMP_NUM_THREADS": str(self.settings.threads), "PYTHONPATH": ""}
        self.server = comfy_host.Server(
            self.host,
            log=self.base / "logs" / f"server-{self.starts}.log",
            base=self.base,
            extra_args=("--extra-model-paths-config", str(config)),
            environment={**threads, **self.settings.environment},
        )
        self.server.launch()
        assert self.server.process
        self._lifeline = Lifeline(self.server.process.pid)  # before it answers: it is to die with us then, too
        if self._stopping:
            self._kill_server()
        self.server.wait_for_answer()
        self._heard = time.monotonic()

    def _kill_server(self) -> None:
        """It holds nothing that is not in the store or made again."""
        if self.server is not None and self.server.process is not None:
            self.server.process.kill()

    def _end_server(self) -> None:
        if self._lifeline is not None:
            self._lifeline.cut()
        if self.server is not None:
            self.server.stop()
        self.server = self._lifeline = None

    # --- a task ---

    def _check_recipe(self, task: Task) -> None:
        """Raises TaskError where this machine would make another thing of the task than the plan says."""
        if task.what["recipe"] != recipe_hash(task.kind):
            raise TaskError(
                f"{socket.gethostname()} runs another version of the pack. Bring all machines to one version.", UNFIT
            )
        if task.checkpoint:
            path = Path(self.settings.models) / "checkpoints" / task.checkpoint
            if not path.is_file():
                raise TaskError(f"{socket.gethostname()} has no base model {path}. Put it there.", UNFIT)
            if file_sha256(path, path.stat().st_mtime_ns) != task.what["checkpoint"][1]:
                raise TaskError(
                    f"{path} on {socket.gethostname()} is another file than the plan's. Copy it there.", UNFIT
                )

    def _stage(self, task: Task) -> None:
        """Bring photos, template and what was learnt before to where the server reads them."""
        for name, place, expected in task.inputs:
            data = read_file(place)
            if sha256(data) != expected:
                raise TaskError(f"{place} has changed since the run began. Start the same command again.", JOB)
            target = self.base / "input" / task.key / name
            write_atomically(target, data)
            _date(target, expected)
        for need in task.needs:
            record = self.ledger.record(need)
            if record is None:
                raise StoreError(
                    f"the record of {need} is gone from {self.settings.store}", "Start the same command again"
                )
            self._bring(record, "person", self._person_file(record["told"]["name"]))
            if "lora" in record["files"]:
                self._bring(record, "lora", self.base / LORAS / record["told"]["lora"])

    def _bring(self, record: Record, role: str, target: Path) -> None:
        about = record["files"][role]
        if not target.is_file() or sha256(target.read_bytes()) != about["sha256"]:
            self._fetch(about, target)
        _date(target, record["key"])

    def _fetch(self, about: Record, target: Path) -> None:
        data = self.ledger.store.read(about["file"])
        if sha256(data) != about["sha256"]:
            raise StoreError(
                f"{about['file']} in {self.settings.store} is damaged", "Delete it with its record, and start again"
            )
        write_atomically(target, data)

    def _run(self, task: Task, server: comfy_host.Server) -> tuple[Result, float]:
        """The result, and how long others were before it in the queue. Raises TaskError."""
        queued = time.monotonic()
        begun: list[float] = []

        def on_event(kind: str, data: dict[str, Any]) -> None:
            self._heard = time.monotonic()
            if kind == "execution_start":
                begun.append(self._heard)

        finished = threading.Event()
        threading.Thread(target=self._watch, args=(server, finished), daemon=True).start()
        try:
            result = ComfyClient(server.url).run(prompt_of(task.kind, task.what, task.key), on_event)
        except JobError as error:
            if error.details.get("type") == "closed":
                raise self._crash(server, bool(begun)) from error
            raise TaskError(str(error), JOB) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._crash(server, bool(begun)) from error
        finally:
            finished.set()
        return result, (begun[0] if begun else queued) - queued

    def _watch(self, server: comfy_host.Server, finished: threading.Event) -> None:
        """Kill a ComfyUI that has said nothing for too long: the task then ends as one of a ComfyUI that died."""
        while not finished.wait(min(1.0, self.settings.stall / 4)):
            if time.monotonic() - self._heard > self.settings.stall and server.process is not None:
                server.process.kill()
                return

    def _crash(self, server: comfy_host.Server, begun: bool) -> TaskError:
        code = None
        if server.process:
            with contextlib.suppress(subprocess.TimeoutExpired):  # what it leaves behind is read after its end
                server.process.wait(5)
            code = server.process.poll()
        message = f"ComfyUI ended (code {code}) on {socket.gethostname()}. The end of its log:\n{server.log_tail(12)}"
        return TaskError(message, CRASH if begun and not self._stopping else NOT_BEGUN)

    # --- what comes out ---

    def _collect(self, task: Task, result: Result) -> tuple[dict[str, tuple[str, bytes]], Record]:
        """({role: (place in the store, data)}, what the nodes told) of a finished prompt."""
        prompt = prompt_of(task.kind, task.what, task.key)
        wanted = node_of(prompt, SOURCES[task.kind][1])
        stem = f"{task.folder}/{task.key[:10]}"
        if task.kind in (PORTRAITS, GROUP):
            pictures = self._pictures(result, wanted, "output")
            if not pictures:
                raise TaskError("ComfyUI saved no picture", JOB)
            names = {f"picture {n}": (f"{stem}_{n:02}.png", data) for n, data in enumerate(pictures, 1)}
            return names, self._told_of_pictures(task, prompt, result)
        report = result.texts(wanted)[0]
        told: Record = {"name": server_name(task.key if task.kind == INTAKE else task.learnt[0])}
        files = {"report": (f"{stem}_{task.kind}.json", report.encode())}
        for number, data in enumerate(self._pictures(result, wanted, "temp"), 1):
            files[f"sheet {number}"] = (f"{stem}_{task.kind}_{number}.png", data)
        files["person"] = (f"{stem}_{task.kind}.safetensors", self._person_file(told["name"]).read_bytes())
        if task.kind == TRAINING:
            told["lora"] = json.loads(report)["lora"]
            files["lora"] = (f"{stem}_lora.safetensors", (self.base / LORAS / told["lora"]).read_bytes())
        return files, told

    def _pictures(self, result: Result, node: str, kind: str) -> list[bytes]:
        shown = result.outputs.get(node, {}).get("images", [])
        client = self._client()
        return [client.fetch(picture) for picture in shown if picture["type"] == kind]

    def _told_of_pictures(self, task: Task, prompt: dict[str, Any], result: Result) -> Record:
        if task.kind == GROUP:
            return {}
        ranking = json.loads(result.texts(node_of(prompt, "FaceChain_SimilarityRank"))[0])
        return {"likeness": [entry["percent"] for entry in ranking["ranked"]], "rejected": ranking["rejected"]}

    def _clear(self, task: Task) -> None:
        """Take away what the server no longer needs; only after the commit, as a second try may find it in the cache."""
        shutil.rmtree(self.base / "input" / task.key, ignore_errors=True)
        for picture in (self.base / "output" / "fleet").glob(f"{task.key}_*"):
            picture.unlink(missing_ok=True)
        for folder in (self.base / PEOPLE, self.base / LORAS / "facechain"):
            files = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_atime, reverse=True)
            for old in files[KEPT_PEOPLE:]:
                old.unlink(missing_ok=True)

    def _person_file(self, name: str) -> Path:
        return self.base / PEOPLE / f"{PurePosixPath(name).name}.safetensors"


def _date(file: Path, key: str) -> None:
    """Give a file a time of change that comes from a hash, and the present one as its last use.

    ComfyUI writes the time of change of what a node reads into the prompt that pictures carry: so they are the same
    files wherever and whenever they are drawn. The hash of a task before, not of its files: a LoRA tells in its header
    how long it took, and two headers can have their entries in another order.
    """
    os.utime(file, (time.time(), int(key[:7], 16)))


def attempt(worker: Worker, task: Task) -> Record:
    """{"ok": True, "record": ...}, or {"ok": False, "kind": ..., "error": ...}: an answer that travels between machines.

    An own failure is written down by the worker, so that it counts even where nobody hears of it.
    """
    try:
        return {"ok": True, "record": worker.execute(task)}
    except TaskError as error:
        answer = {"ok": False, "kind": error.kind, "error": str(error)}
    if answer["kind"] in (JOB, CRASH):
        try:
            worker.ledger.add_try(task.key, why(answer["error"], answer["kind"], worker.settings.name))
        except StoreOutOfReach as error:
            return {"ok": False, "kind": UNFIT, "error": str(error)}
    return answer


def why(error: str, kind: str, worker: str) -> Record:
    """A failed try, as the ledger keeps it."""
    return {"error": error, "kind": kind, "worker": worker, "host": socket.gethostname(), "time": now()}


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
