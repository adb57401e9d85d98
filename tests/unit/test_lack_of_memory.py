"""A lack of memory is told from damage, whoever says it and however."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from facechain.lack_of_memory import is_lack_of_memory, pass_on


def test_torch_says_it_in_its_own_way() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert not isinstance(caught.value, MemoryError) and is_lack_of_memory(caught.value)
    assert is_lack_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))


def test_python_numpy_and_the_system_say_it() -> None:
    import numpy as np

    with pytest.raises(MemoryError) as caught:
        np.empty(2**62, np.uint8)
    assert is_lack_of_memory(caught.value)
    assert is_lack_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    with pytest.raises(MemoryError, match="not enough memory"):
        pass_on(RuntimeError("std::bad_alloc"))


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "No such file"), ValueError("cut off"), KeyError("x")])
def test_other_errors_are_none(error: Exception) -> None:
    assert not is_lack_of_memory(error)
    pass_on(error)


READ = """
import importlib.util, resource, sys
from pathlib import Path
root = Path(sys.argv[1])
spec = importlib.util.spec_from_file_location(
    "facechain", root / "facechain" / "__init__.py", submodule_search_locations=[str(root / "facechain")])
module = importlib.util.module_from_spec(spec); sys.modules["facechain"] = module; spec.loader.exec_module(module)
import torch
from safetensors import safe_open
from facechain.person import load_person
size = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize"))) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + 30 * 2**20, size + 30 * 2**20))
try:
    load_person(Path(sys.argv[2]))
except BaseException as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and limits the address space")
def test_a_person_file_that_memory_is_too_small_for_is_not_called_damaged(root: Path, tmp_path: Path) -> None:
    """For real: a process whose address space ends 30 MB above what it has."""
    from dataclasses import replace

    from tiny_training import make_person

    from facechain.person import save_person

    anna = make_person()
    count = 100  # of 768 KB
    parts = {"images": torch.zeros(count, 512, 512, 3), "masks": torch.zeros(count, 512, 512)}
    parts |= {"embeddings": torch.zeros(count, 4), "quality": torch.zeros(count), "poses": torch.zeros(count, 3)}
    save_person(replace(anna, **parts), tmp_path / "anna.safetensors")
    command = [sys.executable, "-c", READ, str(root), str(tmp_path / "anna.safetensors")]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.stdout, said.stderr
    assert "damaged" not in said.stdout and "emory" in said.stdout
