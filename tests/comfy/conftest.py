"""What several test files share; helpers that they import by name lie beside them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    import comfy_host
    from comfy_client import ComfyClient
    from group_portraits import Watched

    from facechain.person import Person


@pytest.fixture(scope="module")
def seated(server: comfy_host.Server, shared_data: Path) -> dict[str, Person]:
    """Four people saved on the server, for the seats of a template."""
    from group_portraits import save_people

    assert server.base
    return save_people(server.base, shared_data)


@pytest.fixture(scope="module")
def couple(shared_data: Path) -> Path:
    return shared_data / "templates" / "5.jpg"


@pytest.fixture()
def watched(client: ComfyClient) -> Watched:
    from group_portraits import Watched

    return Watched(client)
