"""The demo model draws people, in styles that differ, and a person LoRA makes them the person.

The last in small: one man, two styles, few steps. benchmarks/mission.py asks it of sixteen portraits of two people, and
whether another's LoRA does it too.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import comfy_host
import demo_jobs
import numpy as np
import pytest
from comfy_client import ComfyClient
from demo_model import mission
from demo_model.checkpoint import CHECKPOINT_NAME, SHIPPED, assemble
from face_judge import judge_embedding
from PIL import Image

from facechain.faces import engine
from facechain.training.judge import enlarged

SAMPLING_STEPS = 10  # of portraits; the demo takes twice as many
STYLES = [style for style in demo_jobs.DEMO.styles if style]
pytestmark = pytest.mark.skipif(not SHIPPED.is_file(), reason="the demo model is not in models/demo yet")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[comfy_host.Server]:
    """A server whose only base model is the demo model."""
    base = tmp_path_factory.mktemp("studio")
    comfy_host.lay_out(base)
    whole = assemble(SHIPPED, comfy_host.HOST / "standin" / CHECKPOINT_NAME)
    (base / "models" / "checkpoints" / CHECKPOINT_NAME).symlink_to(whole)
    with comfy_host.Server(comfy_host.prepare(), log=base / "server.log", base=base) as running:
        yield running


@pytest.fixture(scope="module")
def portraits(studio: comfy_host.Server) -> dict[str, np.ndarray]:
    """One portrait in each of the demo's styles, of nobody in particular, uint8 RGB."""
    prompt = {
        "base": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT_NAME}},
        "latent": {"class_type": "EmptyLatentImage", "inputs": {"width": 192, "height": 192, "batch_size": 1}},
    }
    plain = {"model": ["base", 0], "clip": ["base", 1], "person_weight": -1.0}
    for style in STYLES:
        prompt |= mission.drawing(style, style, plain, mission.Settings(sampling_steps=SAMPLING_STEPS))
    client = ComfyClient(studio.url)
    outputs = client.run(prompt).outputs
    images = {style: outputs[f"show_{style}"]["images"][0] for style in STYLES}
    return {
        style: np.asarray(Image.open(io.BytesIO(client.fetch(image))).convert("RGB")) for style, image in images.items()
    }


def test_core_loads_it_without_a_warning(studio: comfy_host.Server, portraits: dict[str, np.ndarray]) -> None:
    log = Path(studio.log).read_text(encoding="utf-8")
    loading = log[log.index("got prompt") :]
    assert "WARNING" not in loading and "missing" not in loading.lower() and "unet unexpected" not in loading


def test_nine_portraits_of_ten_show_one_face(portraits: dict[str, np.ndarray]) -> None:
    assert len(portraits) >= 10
    found = engine().analyze([enlarged(picture) for picture in portraits.values()], embed=False)
    assert sum(len(faces) == 1 for faces in found) >= 0.9 * len(portraits)


def test_styles_can_be_told_apart(portraits: dict[str, np.ndarray], shared_data: Path) -> None:
    """Each portrait is nearer to a picture of its own style than to those of most others, in soft colours."""
    names = {"roaming_astronaut": "Roaming_Astronaut", "hong_kong_night": "Hong_Kong_night_style", "t_shirt": "T-shirt"}
    files = {style: f"{names.get(style, style.capitalize())}.jpg" for style in portraits}
    wanted = {style: _soft(Image.open(shared_data / "styles_preview" / file)) for style, file in files.items()}
    ranks = []
    for style, picture in portraits.items():
        away = {other: float(np.abs(_soft(Image.fromarray(picture)) - look).mean()) for other, look in wanted.items()}
        ranks.append(sorted(away, key=lambda other: away[other]).index(style))
    assert sum(rank == 0 for rank in ranks) >= 0.75 * len(ranks), dict(zip(portraits, ranks, strict=True))


def _soft(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB").resize((12, 12), Image.Resampling.BOX), np.float32)


def test_a_persons_lora_makes_portraits_more_like_the_person(studio: comfy_host.Server, shared_data: Path) -> None:
    """By the pack's own embedder and by one that it never sees."""
    photos = [shared_data / f"people/man/pose{n}.png" for n in (1, 2, 3)]
    settings = mission.Settings(steps=120, styles=2, seeds=2, choose="last", sampling_steps=SAMPLING_STEPS)
    drawn = mission.portraits(ComfyClient(studio.url), CHECKPOINT_NAME, {"man": photos}, settings)
    for embed in (mission.embedded, judge_embedding):
        outcome = mission.judge(drawn["man"], photos, embed)
        assert outcome.faces("own") == len(outcome.distances["own"]) == 4
        assert outcome.median("own") < outcome.median("without"), outcome.distances
