"""The demo model's files: shipped small, put together whole, the same everywhere."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from demo_model import checkpoint
from demo_model.captions import styled
from demo_model.text import text_encoder

_words = functools.cache(text_encoder)


@pytest.fixture(autouse=True)
def words_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred million random numbers take seconds, and are the same every time."""
    monkeypatch.setattr(checkpoint, "text_encoder", _words)


@pytest.mark.skipif(not checkpoint.SHIPPED.is_file(), reason="the demo model is not in models/demo yet")
def test_the_shipped_file_is_small() -> None:
    assert checkpoint.SHIPPED.stat().st_size <= 30_000_000


def test_rounding_is_small_and_names_are_cores(tmp_path: Path) -> None:
    """Within half a step of 15 a block, also where one block is a thousand times the next; zeros stay zeros."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((4, 64, 3, 3)).astype(np.float32) * np.array([1, 1e-3, 1, 0])[:, None, None, None]
    bias = random.standard_normal(4).astype(np.float32)
    shipped, whole = tmp_path / "small.safetensors", tmp_path / "whole.safetensors"
    checkpoint.ship(shipped, {"out.2.weight": weight, "out.2.bias": bias}, {"taesd_encoder.0.bias": bias}, {})
    from safetensors.numpy import load_file

    found = load_file(checkpoint.assemble(shipped, whole))
    back = found["model.diffusion_model.out.2.weight"]
    assert back.dtype == np.float16
    for row, wanted in zip(back.reshape(-1, 64), weight.reshape(-1, 64), strict=True):
        assert np.abs(row - wanted).max() <= np.abs(wanted).max() / 29
    assert np.allclose(found["first_stage_model.taesd_encoder.0.bias"], bias, atol=2e-3)
    assert found["first_stage_model.vae_scale"] == np.float16(0.18215)
    assert "cond_stage_model.transformer.text_model.final_layer_norm.weight" in found


def test_training_sees_the_weights_that_are_shipped(tmp_path: Path) -> None:
    from demo_model.diffusion import as_shipped

    net = torch.nn.Conv2d(3, 7, 3)
    before = net.weight.detach().clone()
    checkpoint.ship(tmp_path / "small.safetensors", {"weight": before.numpy()}, {}, {})
    shipped = checkpoint.read_shipped(tmp_path / "small.safetensors")[0]["unet."]["weight"]
    with as_shipped(net):
        assert np.array_equal(net.weight.detach().numpy(), shipped)
        net(torch.ones(1, 3, 3, 3)).sum().backward()
    assert torch.equal(net.weight, before) and not torch.equal(torch.from_numpy(shipped), before)
    assert net.weight.grad is not None


def test_a_checkpoint_is_kept_until_the_shipped_file_changes(tmp_path: Path) -> None:
    shipped, whole = tmp_path / "small.safetensors", tmp_path / "whole.safetensors"
    checkpoint.ship(shipped, {"a.weight": np.ones((2, 2), np.float32)}, {}, {})
    first = checkpoint.assemble(shipped, whole).stat().st_mtime_ns
    assert checkpoint.assemble(shipped, whole).stat().st_mtime_ns == first
    checkpoint.ship(shipped, {"a.weight": np.zeros((2, 2), np.float32)}, {}, {})
    assert checkpoint.assemble(shipped, whole).stat().st_mtime_ns != first


def test_another_file_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.ones(2, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(SystemExit, match="not a demo model"):
        checkpoint.assemble(tmp_path / "other.safetensors", tmp_path / "whole.safetensors")


def test_the_text_encoder_is_the_same_on_every_machine() -> None:
    """The UNet has learnt to read these very weights."""
    weights = _words(checkpoint.TEXT_SEED)
    digest = hashlib.sha256(b"".join(np.float16(weights[key]).tobytes() for key in sorted(weights))).hexdigest()
    assert digest == "7b31e5ba3f5e71ae0bf28b37ee4437e5a6015ba3f2d0ef03865aa9e587bbbb95"


def test_every_caption_is_of_a_style_that_exists(root: Path) -> None:
    captions = json.loads((root / "scripts/demo_model/captions.json").read_text(encoding="utf-8"))
    styles = {about["style"] for about in captions.values() if "style" in about}
    assert len(styles) >= 70
    for name, about in captions.items():
        for phrase in about["phrases"]:
            said, without = styled(about.get("style", ""), phrase, about.get("prompt", ""))
            assert phrase in said[0] and "" in without, name
