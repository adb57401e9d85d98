"""SAM models on the real server: listed as they come, and refused with the cure where they cannot be read."""

from __future__ import annotations

import comfy_host
import numpy as np
import pytest
from comfy_client import ComfyClient, JobError
from PIL import Image

pytestmark = pytest.mark.comfy


def test_a_pickle_in_the_sam_folder_is_listed_and_refused_with_the_cure(
    server: comfy_host.Server, client: ComfyClient
) -> None:
    assert server.base
    folder = server.base / "models" / "sams"
    folder.mkdir(exist_ok=True)
    (folder / "sam_vit_b_01ec64.pth").write_bytes(b"never opened")
    try:
        error = _refusal(server, client, "sam_vit_b_01ec64.pth")
    finally:
        (folder / "sam_vit_b_01ec64.pth").unlink()
    assert str(folder / "sam_vit_b_01ec64.pth") in error and "scripts/convert_sam.py" in error


@pytest.mark.parametrize("name", ["../outside.safetensors", "/outside.safetensors", "absent.safetensors"])
def test_a_name_that_is_not_listed_never_becomes_a_path(
    server: comfy_host.Server, client: ComfyClient, name: str
) -> None:
    assert server.base
    outside = server.base / "models" / "outside.safetensors"
    outside.write_bytes(b"never opened")
    try:
        error = _refusal(server, client, str(outside) if name.startswith("/") else name)
    finally:
        outside.unlink()
    assert "there is no SAM model" in error


def _refusal(server: comfy_host.Server, client: ComfyClient, sam_model: str) -> str:
    """What Preprocess says to a picture with this sam_model."""
    assert server.base
    picture = server.base / "input" / "grey.png"
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(picture)
    widgets = {"name": "nobody", "size": "512", "background": "white", "retouch": 0.2, "engine": "embedded"}
    widgets |= {"gender": "auto", "age": 0, "caption": "", "save": False, "sam_model": sam_model}
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": picture.name}},
        "2": {"class_type": "FaceChain_Preprocess", "inputs": {"photos": ["1", 0], **widgets}},
    }
    try:
        with pytest.raises(JobError) as caught:
            client.run(graph)
    finally:
        picture.unlink()
    return str(caught.value)
