"""Training in a real server: the LoRA acts, the base stays, nothing is trained twice, a cancel works at once."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import comfy_host
import numpy as np
import pytest
import standin
import torch
from comfy_client import ComfyClient, JobError, Prompt, Result
from PIL import Image

from facechain.person import Attributes, Person, load_person, save_person

NAME = "training_test"
CAPTION = "<fcsks>, a beautiful woman"
SETTINGS = {
    "preset": "fast",
    "steps": 40,
    "resolution": 64,
    "batch_size": 4,
    "rank": 8,
    "learning_rate": 0.003,
    "seed": 42,
}

# of Training Options, none as it comes
OPTIONS = {
    "optimizer": "AdamW",
    "schedule": "linear",
    "warmup": 0.2,
    "accumulation": 2,
    "alpha": 4,
    "layers": "feed-forward too",
    "clip_rate": 0.0005,
    "head_focus": 0.5,
    "min_snr_gamma": 5.0,
    "noise_offset": 0.05,
    "caption_dropout": 0.2,
    "weight_decay": 0.0,
    "precision": "float32",
    "checkpointing": "on",
    "prior_weight": 0.0,
}


def make_person() -> Person:
    """Two pictures with a bright oval on white; nothing here looks for faces."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 512), torch.linspace(-1, 1, 512), indexing="ij")
    head = ((x / 0.35) ** 2 + ((y + 0.1) / 0.5) ** 2 < 1).float()
    images = [torch.stack([1 - head * part for part in parts], -1) for parts in ((0.2, 0.5, 0.7), (0.25, 0.55, 0.6))]
    return Person(
        name=NAME,
        images=torch.stack(images),
        masks=head.repeat(2, 1, 1),
        embeddings=torch.eye(2, 128),
        embedder="dlib-resnet-128",
        quality=torch.ones(2),
        poses=torch.zeros(2, 3),
        attributes=Attributes("woman", 30.0, "a beautiful woman"),
        caption=CAPTION,
    )


def train_prompt(**settings: Any) -> Prompt:
    person = {"class_type": "FaceChain_LoadPerson", "inputs": {"name": NAME, "weight": 1.0}}
    inputs = {"model": ["base", 0], "clip": ["base", 1], "vae": ["base", 2], "person": ["person", 2]}
    train = {"class_type": "FaceChain_TrainPersonLoRA", "inputs": {**inputs, **SETTINGS, **settings}}
    return {"base": _loader(), "person": person, "train": train}


def _loader() -> dict[str, Any]:
    return {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": standin.CHECKPOINT_NAME}}


def draw(name: str, model: list[Any], clip: list[Any], *, advanced: bool = False) -> Prompt:
    """Nodes that draw one 64x64 picture with a fixed seed. advanced: the same by another node, past the cache."""
    common = {"steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal"}
    common |= {"model": model, "positive": [f"{name}_text", 0], "negative": [f"{name}_text", 0]}
    common |= {"latent_image": [f"{name}_empty", 0]}
    if advanced:
        span = {"start_at_step": 0, "end_at_step": 10000, "return_with_leftover_noise": "disable", "noise_seed": 5}
        sampler = {"class_type": "KSamplerAdvanced", "inputs": {**common, **span, "add_noise": "enable"}}
    else:
        sampler = {"class_type": "KSampler", "inputs": {**common, "seed": 5, "denoise": 1.0}}
    empty = {"width": 64, "height": 64, "batch_size": 1}
    return {
        f"{name}_text": {"class_type": "CLIPTextEncode", "inputs": {"text": CAPTION, "clip": clip}},
        f"{name}_empty": {"class_type": "EmptyLatentImage", "inputs": empty},
        f"{name}_sampler": sampler,
        f"{name}_decode": {
            "class_type": "VAEDecode",
            "inputs": {"samples": [f"{name}_sampler", 0], "vae": ["base", 2]},
        },
        name: {
            "class_type": "SaveImage",
            "inputs": {"images": [f"{name}_decode", 0], "filename_prefix": "training_test"},
        },
    }


def picture(client: ComfyClient, result: Result, node: str) -> np.ndarray:
    image = Image.open(io.BytesIO(client.fetch(result.outputs[node]["images"][0])))
    return np.asarray(image.convert("RGB")).astype(int)


def loras(base: Path) -> dict[str, int]:
    """Every file below models/loras that is about this person, half-written ones too, with its time; no pictures."""
    found = (base / "models" / "loras").rglob("*")
    return {p.name: p.stat().st_mtime_ns for p in found if p.is_file() and NAME in p.name and p.suffix != ".png"}


@dataclass
class Trained:
    """One training, and what the base model drew before it."""

    before: np.ndarray
    result: Result
    report: dict[str, Any]
    base: Path

    @property
    def lora(self) -> str:
        return self.report["lora"]


@pytest.fixture(scope="module")
def trained(server: comfy_host.Server, client: ComfyClient) -> Trained:
    assert server.base
    save_person(make_person(), server.base / "models" / "facechain" / "people" / f"{NAME}.safetensors")
    before = client.run({"base": _loader(), **draw("before", ["base", 0], ["base", 1])})
    result = client.run(train_prompt())
    report = json.loads(result.texts("train")[0])
    return Trained(picture(client, before, "before"), result, report, server.base)


def test_the_loss_falls_and_progress_and_curve_are_shown(trained: Trained, client: ComfyClient) -> None:
    losses = trained.report["losses"]
    assert len(losses) == 40 and np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    steps = [value for node, value, _ in trained.result.progress if node == "train"]
    assert steps[-1] == 40 and len(set(steps)) >= 40
    curve = picture(client, trained.result, "train")
    assert curve.shape == (432, 768, 3) and curve.mean() > 220
    assert ((curve[..., 2] > 180) & (curve[..., 0] < 90)).sum() > 200, "a blue line"


def test_the_lora_changes_the_output_the_same_by_every_way_and_the_base_stays(
    trained: Trained, client: ComfyClient, server: comfy_host.Server
) -> None:
    prompt = train_prompt()
    strengths = {"strength_model": 1.0, "strength_clip": 1.0, "lora_name": trained.lora}
    prompt["core"] = {"class_type": "LoraLoader", "inputs": {"model": ["base", 0], "clip": ["base", 1], **strengths}}
    for name, weight in (("full", 1.0), ("half", 0.5)):
        inputs = {"name": NAME, "weight": weight, "model": ["base", 0], "clip": ["base", 1]}
        prompt[f"{name}_person"] = {"class_type": "FaceChain_LoadPerson", "inputs": inputs}
        prompt |= draw(name, [f"{name}_person", 0], [f"{name}_person", 1])
    prompt |= draw("trained", ["train", 0], ["train", 1]) | draw("by_core", ["core", 0], ["core", 1])
    prompt |= draw("after", ["base", 0], ["base", 1], advanced=True)
    logged = len(server.log.read_text(errors="replace"))
    result = client.run(prompt)
    drawn = {name: picture(client, result, name) for name in ("trained", "by_core", "full", "half", "after")}
    assert "after_sampler" in result.seconds, "drawn anew, not cached"
    assert np.array_equal(drawn["after"], trained.before), "the base model is as it was"
    assert np.abs(drawn["trained"] - drawn["after"]).mean() > 3, "the LoRA acts"
    assert np.abs(drawn["trained"] - drawn["by_core"]).max() <= 1
    assert np.abs(drawn["trained"] - drawn["full"]).max() <= 1
    assert np.abs(drawn["half"] - drawn["full"]).mean() > 1 and np.abs(drawn["half"] - drawn["after"]).mean() > 1
    log = server.log.read_text(errors="replace")[logged:]
    assert "lora key not loaded" not in log and "NOT LOADED" not in log


def test_nothing_is_trained_twice_not_even_by_another_server(
    trained: Trained, client: ComfyClient, tmp_path: Path
) -> None:
    files = loras(trained.base)
    assert list(files) == [Path(trained.lora).name]
    assert (trained.base / "models" / "loras" / trained.lora).with_suffix(".png").is_file(), "its portraits"
    assert "train" not in client.run(train_prompt()).seconds, "ComfyUI's cache"
    by_other_settings = client.run(train_prompt(preset="best"))  # which the number of steps overrules
    assert json.loads(by_other_settings.texts("train")[0])["found"], "also while a LoRA is patched into the weights"
    host = comfy_host.prepare()
    with comfy_host.Server(host, log=tmp_path / "again.log", base=trained.base) as again:
        result = ComfyClient(again.url).run(train_prompt())
    report = json.loads(result.texts("train")[0])
    assert report["found"] and report["lora"] == trained.lora and report["losses"] == trained.report["losses"]
    assert not any(node == "train" for node, _, _ in result.progress)
    assert loras(trained.base) == files


def test_the_saved_person_knows_the_lora(trained: Trained) -> None:
    saved = load_person(trained.base / "models" / "facechain" / "people" / f"{NAME}.safetensors")
    assert saved.lora == trained.lora and saved.hash == make_person().hash


@pytest.fixture()
def interrupted(client: ComfyClient, trained: Trained) -> Iterator[tuple[float, JobError]]:
    """Seconds from the interrupt, in the midst of a training, to the end of the job; and how it ended."""
    moments: list[float] = []
    files = loras(trained.base)

    def on_event(kind: str, data: dict[str, Any]) -> None:
        if kind == "progress" and data["node"] == "train" and data["value"] >= 3 and not moments:
            moments.append(time.monotonic())
            threading.Thread(target=client.interrupt).start()

    with pytest.raises(JobError) as caught:
        client.run(train_prompt(steps=5000, resolution=128), on_event)
    assert loras(trained.base) == files
    yield time.monotonic() - moments[0], caught.value


@pytest.fixture(scope="module")
def compared(trained: Trained, client: ComfyClient) -> Result:
    """A training that takes two snapshots and learns by nearly every option."""
    prompt = train_prompt(choose_snapshot="mean of best", snapshots=2, steps=2, batch_size=1)
    given = {**OPTIONS, "prior_weight": 0.5, "class_images": ["class", 0]}
    prompt["class"] = {"class_type": "EmptyImage", "inputs": {"width": 80, "height": 64, "batch_size": 2, "color": 90}}
    prompt["options"] = {"class_type": "FaceChain_TrainingOptions", "inputs": given}
    prompt["train"]["inputs"]["options"] = ["options", 0]
    prompt["samples"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["train", 6], "filename_prefix": "training_samples"},
    }
    prompt |= draw("with_clip", ["train", 0], ["train", 1]) | draw("base_clip", ["train", 0], ["base", 1])
    prompt |= draw("after", ["base", 0], ["base", 1])
    return client.run(prompt)


def test_snapshots_are_judged_and_every_option_is_taken(compared: Result, client: ComfyClient) -> None:
    report = json.loads(compared.texts("train")[0])
    assert report["settings"]["clip_rate"] == 0.0005 and report["settings"]["layers"] == "feed-forward too"
    assert report["settings"]["weight_decay"] == 0.0
    assert [snapshot["step"] for snapshot in report["snapshots"]] == [1, 2]
    assert all(0 <= snapshot["faces"] <= snapshot["portraits"] == 4 for snapshot in report["snapshots"])
    if not any(snapshot["faces"] for snapshot in report["snapshots"]):  # the stand-in draws noise
        assert report["chosen"] == [2] and "no portrait of any snapshot shows a face" in report["choice"]
    pictures = [client.fetch(file) for file in compared.outputs["samples"]["images"]]
    assert len(pictures) == 4 * report["samples"]["columns"] and len(set(pictures)) == len(pictures)


def test_the_text_encoder_learns_too_and_the_base_stays(
    compared: Result, trained: Trained, client: ComfyClient
) -> None:
    drawn = {name: picture(client, compared, name) for name in ("with_clip", "base_clip", "after")}
    assert np.abs(drawn["with_clip"] - drawn["base_clip"]).mean() > 0.2
    assert np.array_equal(drawn["after"], trained.before)


def test_a_training_that_was_cut_off_goes_on_from_its_last_snapshot(trained: Trained, client: ComfyClient) -> None:
    prompt = train_prompt(seed=5, steps=60, snapshots=2)

    asked: list[int] = []

    def cut_off(kind: str, data: dict[str, Any]) -> None:
        if kind == "progress" and data["node"] == "train" and data["value"] >= 31 and not asked:
            asked.append(data["value"])
            threading.Thread(target=client.interrupt).start()

    with pytest.raises(JobError):
        client.run(prompt, cut_off)
    states = list((trained.base / "models" / "facechain" / "unfinished").glob("*.safetensors"))
    assert len(states) == 1
    result = client.run(prompt)
    report = json.loads(result.texts("train")[0])
    assert report["resumed_after"] == 30 and len(report["losses"]) == 60
    assert min(value for node, value, _ in result.progress if node == "train") >= 30
    assert not states[0].exists()


def test_load_person_tells_of_another_model(trained: Trained, client: ComfyClient) -> None:
    person = {"name": NAME, "weight": 1.0}
    prompt = {
        "base": _loader(),
        "other": {
            "class_type": "ModelMergeSimple",
            "inputs": {"model1": ["base", 0], "model2": ["base", 0], "ratio": 0.5},
        },
        "same": {"class_type": "FaceChain_LoadPerson", "inputs": {**person, "model": ["base", 0]}},
        "differs": {"class_type": "FaceChain_LoadPerson", "inputs": {**person, "model": ["other", 0]}},
        "no_note": {"class_type": "PreviewAny", "inputs": {"source": ["same", 3]}},
        "note": {"class_type": "PreviewAny", "inputs": {"source": ["differs", 3]}},
    }
    result = client.run(prompt)
    assert result.texts("no_note") == [""]
    assert "trained on another SD15 model than this one" in result.texts("note")[0]


def test_a_cancel_ends_the_training_within_two_seconds_and_leaves_no_file(
    interrupted: tuple[float, JobError], trained: Trained, client: ComfyClient
) -> None:
    seconds, error = interrupted
    assert error.details["type"] == "execution_interrupted"
    assert seconds < 2
    again = client.run({"base": _loader(), **draw("again", ["base", 0], ["base", 1])})
    assert np.array_equal(picture(client, again, "again"), trained.before), "the base model is as it was"


def test_wrong_settings_fail_with_a_remedy_and_leave_no_file(trained: Trained, client: ComfyClient) -> None:
    files = loras(trained.base)
    with pytest.raises(JobError, match="multiple of 64") as caught:
        client.run(train_prompt(resolution=32))
    assert "FaceChain_TrainPersonLoRA" in str(caught.value)
    with pytest.raises(JobError, match="bitsandbytes"):
        prompt = train_prompt(seed=77)
        prompt["options"] = {
            "class_type": "FaceChain_TrainingOptions",
            "inputs": {**OPTIONS, "optimizer": "AdamW 8-bit", "clip_rate": 0.0},
        }
        prompt["train"]["inputs"]["options"] = ["options", 0]
        client.run(prompt)
    assert loras(trained.base) == files


def test_a_model_with_a_person_in_it_is_refused(trained: Trained, client: ComfyClient) -> None:
    prompt = train_prompt(seed=9)
    inputs = {"name": NAME, "weight": 1.0, "model": ["base", 0], "clip": ["base", 1]}
    prompt["taken"] = {"class_type": "FaceChain_LoadPerson", "inputs": inputs}
    prompt["train"]["inputs"]["model"] = ["taken", 0]
    with pytest.raises(JobError, match="already carries the person LoRA"):
        client.run(prompt)


def test_an_unknown_person_is_refused_before_anything_runs(client: ComfyClient) -> None:
    with pytest.raises(JobError, match="no saved person is called"):
        client.run(
            {
                "person": {"class_type": "FaceChain_LoadPerson", "inputs": {"name": "../x", "weight": 1.0}},
                "show": {"class_type": "PreviewAny", "inputs": {"source": ["person", 2]}},
            }
        )


def test_a_lora_that_was_damaged_is_told_and_trained_anew(trained: Trained, client: ComfyClient) -> None:
    people = trained.base / "models" / "facechain" / "people"
    save_person(replace(make_person(), name="lost"), people / "lost.safetensors")
    training = train_prompt(steps=2, batch_size=1)
    training["person"]["inputs"]["name"] = "lost"
    client.run(training)
    first = client.run(training)  # the person, who knows the LoRA now, was loaded anew
    report = json.loads(first.texts("train")[0])
    path = trained.base / "models" / "loras" / report["lora"]
    whole = path.read_bytes()
    assert report["found"] and "train" not in client.run(training).seconds, "ComfyUI's cache"
    path.write_bytes(whole[:1000])
    again = client.run(training)
    assert not json.loads(again.texts("train")[0])["found"] and path.stat().st_size == len(whole)
    assert "train" not in client.run(training).seconds
    path.write_bytes(whole[:1000])
    given = {"name": "lost", "weight": 0.5, "model": ["base", 0], "clip": ["base", 1]}
    loading = {"base": _loader(), "load": {"class_type": "FaceChain_LoadPerson", "inputs": given}}
    loading["show"] = {"class_type": "PreviewAny", "inputs": {"source": ["load", 3]}}
    with pytest.raises(JobError, match=r"LoRA facechain/lost-\w+.safetensors cannot be read .* Train the person again"):
        client.run(loading)
