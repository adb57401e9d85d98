"""Works off a table of people and styles with several ComfyUI servers, here or on a Ray cluster.

    python3 scripts/fleet.py jobs.csv --out results --models ~/ComfyUI/models --checkpoint v1-5-pruned-emaonly-fp16.safetensors
    python3 scripts/fleet.py jobs.csv --out s3://studio/monday ... --ray auto

The table has the columns person, photos, styles, template, faces, count, seed, checkpoint, preset (docs/fleet.md). What
is done stays done: a run that was stopped or killed goes on by the same command. Without --ray all workers are of this
machine, and Ray is not needed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import comfy_host

sys.path.insert(0, str(comfy_host.ROOT))  # before this folder, where this file has the package's name

from fleet.table import PRESETS

if TYPE_CHECKING:
    from fleet.ledger import Ledger
    from fleet.local import LocalCrew
    from fleet.on_ray import RayCrew
    from fleet.tasks import Task
    from fleet.worker import WorkerSettings


def main() -> None:
    arguments = _arguments()
    try:
        comfy_host.reenter(comfy_host.prepare())
        raise SystemExit(_run(arguments))
    except comfy_host.HostError as error:
        raise SystemExit(f"error: {error}") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", help="CSV or JSONL, a file or a URL")
    parser.add_argument("--out", required=True, help="folder or URL of results, reports and manifest.json")
    parser.add_argument("--models", type=Path, help="ComfyUI's models folder, at this place on every machine")
    parser.add_argument("--checkpoint", default="", metavar="NAME", help="base model of rows that name none")
    parser.add_argument("--preset", default="balanced", choices=PRESETS, help="training of rows that name none")
    parser.add_argument("--settings", type=Path, metavar="JSON", help='widgets by node: {"KSampler": {"steps": 20}}')
    parser.add_argument("--batch", type=int, default=4, help="pictures that are drawn at once (default 4)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--local", action="store_true", help="workers of this machine, without Ray (the default)")
    where.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster: auto, host:port, or local to begin one")
    parser.add_argument(
        "--workers", type=int, default=0, help="of each machine without a GPU (default 1); else one a GPU"
    )
    parser.add_argument("--threads", type=int, default=1, help="of each worker's mathematics on the CPU (default 1)")
    parser.add_argument("--tries", type=int, default=3, help="after which a task is given up (default 3)")
    parser.add_argument("--retry-failed", action="store_true", help="try again what earlier runs have given up")
    parser.add_argument(
        "--stall", type=float, default=1800, metavar="S", help="silence after which a ComfyUI counts as hung"
    )
    parser.add_argument("--scratch", type=Path, help="local folder for the servers' files (default: the system's)")
    parser.add_argument("--plan", action="store_true", help="only check the table and say what would be done")
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> int:
    """The exit code: 0 where all is done, 1 where something has failed or is left."""
    from facechain.errors import FaceChainError
    from fleet.ledger import Ledger
    from fleet.store import Store

    signal.signal(signal.SIGTERM, _stop)
    try:
        tasks = _plan(arguments)
        ledger = Ledger(Store(arguments.out if "://" in arguments.out else str(Path(arguments.out).absolute())))
        if arguments.retry_failed:
            ledger.forget_tries(task.key for task in tasks)
        done = ledger.done()
        left = [task for task in tasks if task.key not in done]
        hours = sum(task.seconds for task in left) / 3600
        share = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours + 0.5:.0f} min"
        print(
            f"{len(tasks)} tasks, {len(tasks) - len(left)} done before; about {share} of a GPU's time left", flush=True
        )
        if arguments.plan:
            return 0
        manifest = _work(arguments, tasks, ledger, len(tasks) - len(left))
    except (FaceChainError, RuntimeError) as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on") from None
    print(
        f"{ledger.store.place}/manifest.json: " + ", ".join(f"{n} {state}" for state, n in manifest["states"].items())
    )
    return 0 if set(manifest["states"]) <= {"done"} else 1


def _plan(arguments: argparse.Namespace) -> list[Task]:
    from fleet.store import read_file
    from fleet.table import read_table
    from fleet.tasks import Studio, plan

    folders = [comfy_host.ROOT / "styles", _models(arguments) / "facechain" / "styles"]
    styles = {path.stem: path for folder in folders for path in folder.glob("*.json") if path.stem != "schema"}
    studio = Studio(_models(arguments), styles, _settings(arguments.settings), arguments.batch)
    data = read_file(arguments.table)
    rows = read_table(Path(arguments.table).name, data, styles, arguments.checkpoint, arguments.preset)
    home = (
        arguments.table.rpartition("/")[0] if "://" in arguments.table else str(Path(arguments.table).absolute().parent)
    )
    return plan(rows, studio, home)


def _settings(path: Path | None) -> dict[str, dict[str, Any]]:
    """Raises RuntimeError."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError) as error:
        raise RuntimeError(f"--settings {path} cannot be read as JSON: {error}") from None
    if not isinstance(settings, dict) or not all(isinstance(values, dict) for values in settings.values()):
        raise RuntimeError(f'--settings {path}: write widgets by node, such as {{"KSampler": {{"steps": 20}}}}')
    return settings


def _models(arguments: argparse.Namespace) -> Path:
    if arguments.models:
        return arguments.models.expanduser().absolute()
    own = os.environ.get("COMFYUI_PATH")
    return Path(own).expanduser().absolute() / "models" if own else comfy_host.HOST / "base" / "models"


def _work(arguments: argparse.Namespace, tasks: list[Task], ledger: Ledger, found: int) -> dict[str, Any]:
    """The manifest. found: tasks that were done before."""
    from tqdm import tqdm

    from fleet.drive import Run, Told
    from fleet.worker import WorkerSettings

    scratch = arguments.scratch or Path(tempfile.gettempdir()) / "facechain-fleet"
    if not arguments.scratch:
        _clear_killed(scratch)
    settings = WorkerSettings(
        name="worker",
        store=ledger.store.place,
        store_id=ledger.identity(make=True),
        scratch=str(scratch.absolute() / f"{socket.gethostname()}-{os.getpid()}"),
        models=str(_models(arguments)),
        threads=arguments.threads,
        stall=arguments.stall,
        keep=arguments.scratch is not None,
    )
    need = max(task.memory for task in tasks)
    every = 0.5 if sys.stderr.isatty() else 30.0  # seconds; a log needs no more
    with tqdm(total=len(tasks), initial=found, unit="task", smoothing=0.05, mininterval=every) as bar:

        def show(told: Told) -> None:
            words = f"{told.pictures} pictures, {told.hands} workers, {told.running} running, {told.failed} failed"
            bar.set_postfix_str(words, refresh=False)
            bar.update(told.done - bar.n)

        run = Run(tasks, ledger, arguments.tries, show, tqdm.write)
        if not run.is_open():
            return run.manifest()
        make_crew = _ray_crew if arguments.ray else _local_crew
        try:
            with make_crew(arguments, settings, need) as crew:
                manifest = run.work(crew)
        except BaseException:
            run.manifest()
            raise
        # it is not empty where it is to be kept, and not there where the workers are elsewhere
        with contextlib.suppress(OSError):
            Path(settings.scratch).rmdir()
        return manifest


def _clear_killed(scratch: Path) -> None:
    """Delete what runs begun on this machine left that were killed: people's photos and LoRAs lie there."""
    import psutil

    for folder in scratch.glob(f"{socket.gethostname()}-*"):
        number = folder.name.rpartition("-")[2]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _local_crew(arguments: argparse.Namespace, settings: WorkerSettings, need: int) -> LocalCrew:
    from tqdm import tqdm

    from fleet.local import LocalCrew, local_workers

    workers = local_workers(settings, arguments.workers, need)
    few = (
        f", not {arguments.workers}: the largest task takes {need / 2**30:.1f} GB"
        if len(workers) < arguments.workers
        else ""
    )
    tqdm.write(f"starting {len(workers)} ComfyUI{few}")
    return LocalCrew(workers, tqdm.write)


def _ray_crew(arguments: argparse.Namespace, settings: WorkerSettings, need: int) -> RayCrew:
    from tqdm import tqdm

    from fleet import on_ray

    try:
        dashboard, token = on_ray.join(arguments.ray)
    except ImportError:
        raise RuntimeError("Ray is absent. Install it on every machine: pip install 'ray[default]'") from None
    except ConnectionError as error:
        remedy = "Start it with `ray start --head`, and with `ray start --address=...` on the others"
        raise RuntimeError(f"there is no Ray cluster at {arguments.ray} ({error}). {remedy}.") from None
    if dashboard:
        tqdm.write(f"Ray's dashboard: http://{dashboard}{f' (its token: {token})' if token else ''}")
    return on_ray.RayCrew(settings, arguments.workers or 1, need, tqdm.write)


def _stop(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl+C does: the servers go, the manifest is written."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
