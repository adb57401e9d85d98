"""Jobs in which one node of ours has much to do, for cancelling it; used by test_interrupts.py and benchmarks/interrupts.py.

Each job differs from those before by its number, so that the node runs again; what comes before it stays in the cache.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import standin
import torch
from comfy_client import ComfyClient, JobError, Prompt
from meter import taken
from PIL import Image, ImageEnhance
from sample_photos import fetch_photos

from facechain.models.catalog import catalog
from facechain.person import Attributes, Person, quantise, save_person

NAME = "long"
LOADER: Prompt = {"base": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": standin.CHECKPOINT_NAME}}}
MODEL = {"model": ["base", 0], "clip": ["base", 1]}
TRAIN = {"preset": "fast", "steps": 60, "resolution": 128, "batch_size": 2, "rank": 8, "learning_rate": 0.001}
NETWORKS = {"engine": "embedded"}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


class LongJobs:
    """For the server of that client, whose folders lie in base. much: 1 for seconds of work in each node, less for a test."""

    def __init__(self, client: ComfyClient, base: Path, much: float = 1.0) -> None:
        self._much = much
        self._photos = [client.upload(photo, NAME) for photo in self._make_photos(base)]
        self._group = client.upload(fetch_photos()["group"], f"{NAME}_group")
        save_person(self._somebody(), base / "models" / "facechain" / "people" / f"{NAME}.safetensors")
        self._make_model_file(base)

    def many(self, count: int) -> int:
        return max(1, round(count * self._much))

    @property
    def jobs(self) -> dict[str, Callable[[int], Prompt]]:
        """By node id: the job with that number, in which the node "long" is the one of that id."""
        return {
            "FaceChain_LoadPhotos": self._load_photos,
            "FaceChain_Preprocess": self._preprocess,
            "FaceChain_TrainPersonLoRA": self._train_person,
            "FaceChain_TrainStyleLoRA": self._train_style,
            "FaceChain_LoadPerson": self._load_person,
            "FaceChain_LoadStyle": self._load_style,
            "FaceChain_PoseControl": self._pose,
            "FaceChain_FaceFusion": self._fusion,
            "FaceChain_SimilarityRank": self._rank,
            "FaceChain_TemplateFace": self._template_face,
            "FaceChain_TemplatePaste": self._template_paste,
            "FaceChain_GroupPortrait": self._group_portrait,
            "FaceChain_SavePortraits": self._save,
            "FaceChain_DeletePerson": self._delete,
            "FaceChain_SystemCheck": self._check,
        }

    # --- jobs ---

    def _load_photos(self, number: int) -> Prompt:
        files = "\n".join(self._photos)
        return self._shown(node("FaceChain_LoadPhotos", folder="(none)", files=files, max_side=1536 + 64 * number), 0)

    def _preprocess(self, number: int) -> Prompt:
        choices = {"size": "512", "background": "white", "retouch": 0.2, "gender": "auto", "age": 20 + number}
        choices |= {"caption": "", "save": False, **NETWORKS, "name": f"{NAME} {number}"}
        return {**self._pictures(), **self._shown(node("FaceChain_Preprocess", photos=["photos", 0], **choices), 1)}

    def _train_person(self, number: int) -> Prompt:
        inputs = {**MODEL, "vae": ["base", 2], "person": ["person", 2], **TRAIN, "seed": number, "snapshots": 3}
        return {**LOADER, **self._person(), "long": node("FaceChain_TrainPersonLoRA", **inputs)}

    def _train_style(self, number: int) -> Prompt:
        inputs = {**MODEL, "vae": ["base", 2], "pictures": ["photos", 0], **TRAIN, "seed": number}
        inputs |= {"name": f"{NAME} look", "trigger": "", "look": "soft light"}
        return {**LOADER, **self._pictures(), "long": node("FaceChain_TrainStyleLoRA", **inputs)}

    def _load_person(self, number: int) -> Prompt:
        return self._shown(node("FaceChain_LoadPerson", name=NAME, weight=1 + number / 1000), 2, look="PreviewAny")

    def _load_style(self, number: int) -> Prompt:
        words = ", ".join(f"word {number} {place} of a long prompt" for place in range(self.many(100)))
        inputs = {"style": "armor", "style_weight": -1, "person_weight": -1, "frame": "upper body"}
        inputs |= {"extra_prompt": words, "extra_negative": words, "blend": "", "leave_out": "", **MODEL}
        return {**LOADER, **self._shown(node("FaceChain_LoadStyle", **inputs), 4, look="PreviewAny")}

    def _pose(self, number: int) -> Prompt:
        words = node("CLIPTextEncode", clip=["base", 1], text="portrait")
        inputs = {"positive": ["words", 0], "negative": ["words", 0], "source": "picture", "strength": 1.0}
        inputs |= {"width": 512 + 8 * number, "height": 512, "start_percent": 0.0, "end_percent": 1.0}
        long = node("FaceChain_PoseControl", **inputs, pose_image=["batch", 0])
        return {**LOADER, "words": words, **self._batch(32), **self._shown(long, 2)}

    def _fusion(self, number: int) -> Prompt:
        inputs = {"images": ["batch", 0], "person": ["person", 2], "fusion": "embedded", "faces": "all"}
        inputs |= {"face_index": 1, "identity": 1.0, "shape": 0.5, "skin_tone": number / 1000, **NETWORKS}
        return {**self._person(), **self._batch(8, 1536), **self._shown(node("FaceChain_FaceFusion", **inputs), 0)}

    def _rank(self, number: int) -> Prompt:
        inputs = {"images": ["batch", 0], "person": ["person", 2], "keep": 1 + number, "min_face": 0.05}
        inputs |= {"max_face": 1.0, "when_none": "give all unranked", **NETWORKS}
        return {**self._person(), **self._batch(24), "long": node("FaceChain_SimilarityRank", **inputs)}

    def _template_face(self, number: int) -> Prompt:
        return {**self._template(), **self._shown(self._cut(number), 0)}

    def _template_paste(self, number: int) -> Prompt:
        inputs = {"template": ["big", 0], "crop": ["cut", 0], "template_face": ["cut", 2], "match_colour": True}
        long = node("FaceChain_TemplatePaste", **inputs, feather=0.1 + number / 1000)
        return {**self._template(), "cut": self._cut(0), **self._shown(long, 0)}

    def _group_portrait(self, number: int) -> Prompt:
        drawing = {"denoise": 0.5, "steps": self.many(8), "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal"}
        inputs = {**MODEL, "vae": ["base", 2], "template": ["big", 0], "style": "(none)", "person_weight": 0.0}
        inputs |= {**drawing, "seed": number, "size": 512, "identity": 1.0, "faces": "1, 3, 5", **NETWORKS}
        people = {f"person_{place}": ["person", 2] for place in (1, 2, 3)}
        long = node("FaceChain_GroupPortrait", **inputs, **people)
        return {**LOADER, **self._person(), **self._template(), **self._shown(long, 0)}

    def _save(self, number: int) -> Prompt:
        long = node("FaceChain_SavePortraits", images=["batch", 0], filename_prefix=f"long/{number}", mark=True)
        return {**self._batch(16, 1024), "long": long}

    def _delete(self, number: int) -> Prompt:
        return {"long": node("FaceChain_DeletePerson", name=NAME, confirm="")}

    def _check(self, number: int) -> Prompt:
        return {"long": node("FaceChain_SystemCheck", read_files=True)}

    # --- parts ---

    def _shown(self, long: dict[str, Any], output: int, look: str = "PreviewImage") -> Prompt:
        wanted = "source" if look == "PreviewAny" else "images"
        return {"long": long, "look": node(look, **{wanted: ["long", output]})}

    def _pictures(self) -> Prompt:
        files = "\n".join(self._photos)
        return {"photos": node("FaceChain_LoadPhotos", folder="(none)", files=files, max_side=1024)}

    def _person(self) -> Prompt:
        return {"person": node("FaceChain_LoadPerson", name=NAME, weight=1.0)}

    def _batch(self, count: int, side: int = 768) -> Prompt:
        size = {"width": side, "height": side, "upscale_method": "bilinear", "crop": "center"}
        return {
            "one": node("LoadImage", image=self._photos[0]),
            "sized": node("ImageScale", image=["one", 0], **size),
            "batch": node("RepeatImageBatch", image=["sized", 0], amount=self.many(count)),
        }

    def _template(self) -> Prompt:
        side = max(1024, round(4096 * self._much))
        size = {"width": side, "height": side * 3 // 4, "upscale_method": "bilinear", "crop": "disabled"}
        return {"group": node("LoadImage", image=self._group), "big": node("ImageScale", image=["group", 0], **size)}

    def _cut(self, number: int) -> dict[str, Any]:
        inputs = {"template": ["big", 0], "face": 1, "size": 512, "face_part": 0.45}
        return node("FaceChain_TemplateFace", **inputs, grow=0.1 + number / 1000, **NETWORKS)

    # --- files ---

    def _make_photos(self, base: Path) -> list[Path]:
        """The photo of one woman, large, lighter and darker and from nearer and farther."""
        folder = base / NAME
        folder.mkdir(exist_ok=True)
        made = []
        with Image.open(fetch_photos()["astronaut"]) as file:
            photo = file.convert("RGB")
        for place in range(self.many(16)):
            side = photo.width - 12 * (place % 5)
            cut = ImageEnhance.Brightness(photo.crop((0, 0, side, side))).enhance(0.8 + 0.03 * place)
            made.append(folder / f"{place}.jpg")
            cut.resize((3000, 3000)).save(made[-1], quality=90)
        return made

    def _somebody(self) -> Person:
        """A person of many crops; what stands in them need not be a face, but one is."""
        with Image.open(fetch_photos()["astronaut"]) as file:
            crop = np.asarray(file.convert("RGB").crop((120, 0, 440, 320)).resize((512, 512)))
        count = self.many(30)
        embedding = _embedding(crop)
        return Person(
            name=NAME,
            images=quantise(torch.from_numpy(crop.copy()).float()[None] / 255).repeat(count, 1, 1, 1),
            masks=torch.ones(count, 512, 512),
            embeddings=embedding[None].repeat(count, 1),
            embedder="dlib-resnet-128",
            quality=torch.ones(count),
            poses=torch.zeros(count, 3),
            attributes=Attributes("woman", 30.0, "a beautiful woman"),
            caption="<fcsks>, a beautiful woman",
        )

    def _make_model_file(self, base: Path) -> None:
        """A file that System Check reads through: of the catalogue, as large as published, full of zeros (and sparse)."""
        entry = max((file for file in catalog() if file.sha256 and file.size), key=lambda file: file.size)
        entry = (
            entry if self._much >= 1 else next(f for f in catalog() if f.file.startswith("control_v11p_sd15_openpose"))
        )
        path = base / "models" / entry.folder / entry.file
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(entry.size)


def _embedding(picture: np.ndarray) -> torch.Tensor:
    from facechain.faces import engine

    face = engine("embedded").analyze([picture])[0][0]
    assert face.embedding is not None
    return torch.from_numpy(np.asarray(face.embedding)).float()


# --- cancelling ---


@dataclass(frozen=True)
class Cancelled:
    """seconds: from the request to interrupt until the job's end reached the client; computing: of the server's in them.

    how: the job's last event. Where it was done before the request, both are 0.
    """

    seconds: float
    computing: float
    how: str


def run_time(client: ComfyClient, prompt: Prompt) -> float:
    """Seconds that the node "long" runs, with the nodes it expands into."""
    result = client.run(prompt)
    return sum(seconds for name, seconds in result.seconds.items() if name == "long" or name.startswith("long."))


def cancel(client: ComfyClient, prompt: Prompt, after: float, pid: int) -> Cancelled:
    """Run the job and interrupt it so many seconds after its node "long" began. pid: of the server."""
    asked: list[tuple[float, float]] = []

    def interrupt() -> None:
        asked.append((time.monotonic(), taken(pid).computing))
        client.interrupt()

    timer = threading.Timer(after, interrupt)

    def on_event(kind: str, data: dict[str, Any]) -> None:
        if kind == "executing" and data["node"] == "long" and not timer.is_alive() and not asked:
            timer.start()

    how = "finished"
    try:
        client.run(prompt, on_event)
    except JobError as error:
        how = error.details["type"]
    ended, computed = time.monotonic(), taken(pid).computing
    timer.cancel()
    if timer.ident is not None:
        timer.join()
    if not asked or asked[0][0] > ended:
        return Cancelled(0.0, 0.0, how)
    return Cancelled(ended - asked[0][0], computed - asked[0][1], how)


def drawn(client: ComfyClient) -> bytes:
    """The pixels that the loaded base model draws for a fixed seed, made anew each time."""
    inputs = {"steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, "seed": 5}
    inputs |= {"model": ["base", 0], "positive": ["words", 0], "negative": ["words", 0], "latent_image": ["empty", 0]}
    prompt = {
        **LOADER,
        "words": node("CLIPTextEncode", clip=["base", 1], text="a portrait"),
        "empty": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "sampler": node("KSampler", **inputs),
        "decode": node("VAEDecode", samples=["sampler", 0], vae=["base", 2]),
        "out": node("PreviewImage", images=["decode", 0]),
    }
    result = client.run(prompt)
    assert "sampler" in result.seconds, "drawn anew, not found in the cache"
    return np.asarray(Image.open(io.BytesIO(client.fetch(result.outputs["out"]["images"][0])))).tobytes()
