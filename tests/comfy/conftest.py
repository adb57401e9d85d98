"""A real ComfyUI server for the tests: one for all of them, or one's own where a test restarts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import comfy_host
import pytest
import standin
from comfy_client import ComfyClient


@pytest.fixture(scope="session")
def standin_models() -> dict[str, Path]:
    """Small random checkpoint and ControlNet, made once and kept in the host folder."""
    folder = comfy_host.HOST / "standin"
    files = {"checkpoints": folder / standin.CHECKPOINT_NAME, "controlnet": folder / standin.CONTROLNET_NAME}
    standin.make_checkpoint(files["checkpoints"])
    standin.make_controlnet(files["controlnet"])
    return files


@pytest.fixture(scope="session")
def comfy_base_factory(tmp_path_factory: pytest.TempPathFactory, standin_models: dict[str, Path]) -> Callable[[], Path]:
    """Makes an empty base directory with the pack and the stand-in models in it."""

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
    base = comfy_base_factory()
    with comfy_host.Server(comfy_host.prepare(), log=base / "server.log", base=base) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: comfy_host.Server) -> ComfyClient:
    return ComfyClient(server.url)


@pytest.fixture(scope="session")
def upload_folder(client: ComfyClient) -> Callable[[str, list[Path]], str]:
    """Uploads pictures into input/<folder> through the API and returns the folder's name."""

    def upload(folder: str, pictures: list[Path]) -> str:
        for picture in pictures:
            client.upload(picture, folder)
        return folder

    return upload


@pytest.fixture()
def run(client: ComfyClient) -> Callable[[dict[str, Any]], Any]:
    """Queues a workflow in API format and waits; see ComfyClient.run."""
    return client.run
