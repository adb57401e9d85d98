"""A style of one's own: captions, what the trainer gets, and the file that comes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import TinyHost, ignore

from facechain.errors import PhotoError, RecordError
from facechain.faces.embedded import EmbeddedEngine
from facechain.own_style import (
    MOST_STEPS,
    captions_for,
    save_style,
    style_config,
    subject_of,
    trigger_of,
)
from facechain.photos.align import FACE_SHARE
from facechain.styles import load_style
from facechain.training import lora_file
from facechain.training.data import LatentBank, plan_crops
from facechain.training.loop import Captions, Trainee, train
from facechain.training.trainer import train_person

SIZE = 64


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine()


def pictures(count: int = 3) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [random.integers(0, 256, (80 + 10 * n, 100, 3), np.uint8) for n in range(count)]


def subject(*captions: str, name: str = "rain") -> Any:
    return subject_of(name, pictures(len(captions)), captions, "rain style", SIZE)


def test_captions_say_who_is_seen_or_what_the_user_wrote(shared_data: Path, engine: EmbeddedEngine) -> None:
    files = [shared_data / "people" / name / "pose1.png" for name in ("woman", "man")]
    seen = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    nobody = np.full((96, 96, 3), 120, np.uint8)
    several = np.concatenate([seen[0], seen[1]], axis=1)
    assert captions_for([*seen, nobody, several], "rain style", [], engine) == (
        "rain style, a woman",
        "rain style, a man",
        "rain style",
        "rain style, two people",
    )
    written = ["  a red  car", "", "my rain style of today"]
    assert captions_for([nobody, seen[0], nobody], "rain style", written, engine) == (
        "rain style, a red car",
        "rain style, a woman",
        "my rain style of today",
    )
    with pytest.raises(RecordError, match="there are 1 captions for 2 pictures"):
        captions_for(seen, "rain style", ["one"], engine)


def test_the_trigger() -> None:
    assert trigger_of("rain") == "rain style" and trigger_of("My Style") == "My Style"
    assert trigger_of("rain", " wet  streets ") == "wet streets"


def test_pictures_are_taken_whole() -> None:
    person = subject("a", "b", "c")
    assert person.images.shape == (3, SIZE, SIZE, 3) and person.masks.min() == 1
    config = style_config("fast", 3, None, steps=0, seed=1)
    for crop in plan_crops(3, 512, config, 2000):
        assert 512 * 0.79 <= crop.side <= 512
        assert crop.left >= 0 and crop.left + crop.side <= 512 and crop.top + crop.side <= 512
    assert max(config.face_share) > min(config.face_share) == FACE_SHARE
    with pytest.raises(PhotoError, match="no picture of the style"):
        subject_of("rain", [], [], "rain style", SIZE)


def test_steps_have_an_end_unless_they_are_given() -> None:
    assert style_config("fast", 5, None, seed=1).steps == 500
    assert style_config("best", 200, None, seed=1).steps == MOST_STEPS
    assert style_config("best", 200, None, steps=9000, seed=1).steps == 9000
    assert style_config("best", 2, {"choose": "best", "rank": 8}, seed=1).choose == "last"


def test_captions_count_for_the_hash_and_people_keep_theirs() -> None:
    assert subject("a", "b").hash != subject("a", "c").hash
    assert subject("a", "b").hash == subject("a", "b", name="other").hash


def test_each_picture_is_trained_with_its_own_caption() -> None:
    """Batches are of one picture, and every picture has its turn."""
    bank = LatentBank(torch.arange(12.0).view(12, 1, 1, 1).expand(12, 4, 2, 2), photos=torch.arange(12) % 3)
    met: list[tuple[int, float]] = []

    class Model:
        class model_sampling:
            percent_to_sigma = staticmethod(lambda percent: 1.0)
            noise_scaling = staticmethod(lambda sigma, noise, clean, _: clean + 0 * noise)
            calculate_denoised = staticmethod(lambda sigma, out, noisy: noisy - out)

        process_latent_in = staticmethod(lambda latents: latents)

        @staticmethod
        def apply_model(x: torch.Tensor, sigma: torch.Tensor, transformer_options: Any, caption: int) -> torch.Tensor:
            met.extend((caption, float(value)) for value in x[:, 0, 0, 0])
            return x * weight

    weight = torch.nn.Parameter(torch.ones(()))
    each = [lambda n=n: {"caption": n} for n in range(3)]
    captions = Captions(lambda: {"caption": -1}, each=each)
    from facechain.training.optimizers import Group

    trainee = Trainee(Model, [Group([weight], 1e-3)], captions, torch.device("cpu"))
    config = style_config("fast", 3, {"batch_size": 2}, steps=40, seed=3)
    train(trainee, bank, config, 40, ignore)
    assert {caption for caption, _ in met} == {0, 1, 2}
    shown = [(caption, value) for caption, value in met if value == int(value)]
    assert len(shown) == 80 and all(int(value) % 3 == caption for caption, value in shown)


def test_a_whole_training_and_its_file(tmp_path: Path) -> None:
    host, person = TinyHost(tmp_path), subject("rain style, a car", "rain style, a tree", "rain style, a car")
    config = style_config("fast", 3, {"rank": 2}, steps=6, seed=1)
    trained = train_person(person, config, host, ignore)
    assert {"rain style, a car", "rain style, a tree"} <= host.texts
    assert trained.path.is_file() and trained.name.startswith("facechain/rain-")
    assert train_person(person, config, host, ignore).found and host.loads == 1
    from safetensors import safe_open

    with safe_open(trained.path, "pt") as file:
        about = file.metadata()
    assert json.loads(about["ss_tag_frequency"]) == {
        lora_file.FOLDER: {"rain style, a car": 2, "rain style, a tree": 1}
    }


def test_the_style_file_keeps_what_its_owner_changed(tmp_path: Path) -> None:
    path = tmp_path / "rain.json"
    words = {"trigger": "rain style", "prompt": "", "family": "SD 1.5", "size": 512}
    save_style(path, lora="facechain/rain-1.safetensors", **words)
    style = load_style(path)
    assert (style.name, style.prompt, style.lora_words) == ("rain", "rain style", "rain style")
    assert (style.lora, style.family, style.settings.width) == ("facechain/rain-1.safetensors", "SD 1.5", 512)
    content = json.loads(path.read_text())
    content |= {
        "name_zh": "雨",
        "prompt": "wet street",
        "style_weight": 0.5,
        "base": {"checkpoint": "mine.safetensors"},
    }
    path.write_text(json.dumps(content))
    save_style(path, lora="facechain/rain-2.safetensors", **{**words, "prompt": "other", "family": "SDXL"})
    style = load_style(path)
    assert (style.name_zh, style.prompt, style.style_weight) == ("雨", "wet street", 0.5)
    assert (style.lora, style.family, style.checkpoint) == ("facechain/rain-2.safetensors", "SDXL", "mine.safetensors")
    path.write_text("{")
    with pytest.raises(RecordError, match="not valid JSON"):
        save_style(path, lora="facechain/rain-3.safetensors", **words)
    assert path.read_text() == "{", "a broken file is its owner's to mend"
