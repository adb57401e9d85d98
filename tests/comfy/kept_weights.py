"""Whether the weights of a loaded model stay as they were: the server itself writes them out, before and after."""

from __future__ import annotations

from pathlib import Path

import standin
from comfy_client import ComfyClient, Prompt

LOADER: Prompt = {"1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": standin.CHECKPOINT_NAME}}}


def write_out(client: ComfyClient, base: Path, name: str) -> tuple[Path, bool]:
    """(file, whether the checkpoint was read from the disk for it): the loaded checkpoint as core's CheckpointSave has it.

    base: the server's folder. The loader is the node "1" of the shipped graphs, so that ComfyUI keeps it between them.
    """
    save = {
        "class_type": "CheckpointSave",
        "inputs": {"model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2], "filename_prefix": name},
    }
    result = client.run({**LOADER, "save": save})
    (file,) = (base / "output").glob(f"{name}_*.safetensors")
    return file, "1" in result.seconds


def differing(one: Path, other: Path) -> list[str]:
    """Names of the tensors that are not the same to the bit, or are in one of the files alone."""
    from safetensors import safe_open

    with safe_open(one, framework="pt") as first, safe_open(other, framework="pt") as second:
        names, others = set(first.keys()), set(second.keys())
        changed = [name for name in names & others if _bytes(first.get_tensor(name)) != _bytes(second.get_tensor(name))]
    return sorted(changed + list(names ^ others))


def _bytes(tensor: object) -> bytes:
    import torch

    assert isinstance(tensor, torch.Tensor)
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
