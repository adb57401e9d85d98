"""Does training make portraits look like the person? Asked of the whole chain, on a server, with the demo model.

For each of two people: portraits in the same styles from the same noise, without a person LoRA, with the person's
own and with the other's. What is compared is how far the faces lie from the person's photos.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from comfy_client import ComfyClient, Prompt
from demo_jobs import DEMO, training_options
from PIL import Image
from scipy.stats import wilcoxon

from facechain.faces import engine
from facechain.faces.base import Face, distance
from facechain.training.judge import enlarged

Embed = Callable[[np.ndarray, Face], np.ndarray]

SIZE = 192
# The base model knows men in few styles.
STYLES = {
    "man": ("men_suit", "gentleman", "cowboy", "west_cowboy"),
    "woman": ("working_suit", "armor", "wedding_dress", "hong_kong_night"),
}
KINDS = ("without", "own", "other")
NO_FACE = 2**0.5  # distance of a portrait without a face: that of unrelated embeddings


@dataclass(frozen=True)
class Settings:
    """steps: of training each person. styles: of each person's, that are drawn. seeds: portraits of each style and kind.

    choose: which snapshot, as the node has it.
    training: what Training Options says otherwise than by default.
    """

    steps: int = 300
    styles: int = 4
    seeds: int = 4
    choose: str = "best"
    rank: int = 16
    rate: float = 1e-3
    sampling_steps: int = 16
    cfg: float = 2.0
    training: Mapping[str, Any] = field(default_factory=lambda: DEMO.training)


@dataclass(frozen=True)
class Outcome:
    """distances[kind]: of each portrait of a person to the person's photos, NO_FACE where none was found."""

    distances: dict[str, list[float]]

    def median(self, kind: str) -> float:
        return float(np.median(self.distances[kind]))

    def nearer(self, kind: str, than: str) -> float:
        """The part of the portraits that lie nearer to the person than those of another kind from the same noise."""
        pairs = zip(self.distances[kind], self.distances[than], strict=True)
        return float(np.mean([one < other for one, other in pairs]))

    def chance(self, kind: str, than: str) -> float:
        """How likely so much nearer would be by chance: Wilcoxon's signed-rank test of the pairs, one-sided."""
        pairs = zip(self.distances[kind], self.distances[than], strict=True)
        differences = [one - other for one, other in pairs]
        if not any(differences):
            return 1.0
        found: Any = wilcoxon(differences, alternative="less")
        return float(found.pvalue)

    def faces(self, kind: str) -> int:
        return sum(away < NO_FACE for away in self.distances[kind])


def portraits(
    client: ComfyClient,
    checkpoint: str,
    photos: Mapping[str, Sequence[Path]],
    settings: Settings,
    kinds: Sequence[str] = KINDS,
) -> dict[str, dict[str, list[np.ndarray]]]:
    """Portraits of each person by kind, uint8 RGB [SIZE, SIZE, 3]: all seeds of the first style, then of the second.

    photos: of two people, or of one, for whom there is then no "other". kinds: those of KINDS that are drawn.
    """
    kinds = [kind for kind in kinds if kind != "other" or len(photos) > 1]
    uploads = {person: [client.upload(file, f"mission_{person}") for file in files] for person, files in photos.items()}
    drawn = {}
    for person in photos:
        prompt = _workflow(checkpoint, uploads, person, settings, kinds)
        result = client.run(prompt)
        drawn[person] = {
            kind: [
                np.asarray(Image.open(io.BytesIO(client.fetch(image))).convert("RGB"))
                for style in STYLES[person][: settings.styles]
                for image in result.outputs[f"show_{kind}_{style}"]["images"]
            ]
            for kind in kinds
        }
    return drawn


def judge(drawn: Mapping[str, Sequence[np.ndarray]], photos: Sequence[Path], embed: Embed) -> Outcome:
    """Distances to the mean of the photos' embeddings, in unit distance of the embedder."""
    found = [_embedding(_read(photo), embed) for photo in photos]
    mean = np.sum([one for one in found if one is not None], axis=0)
    mean /= np.linalg.norm(mean)
    distances = {kind: [_away(picture, mean, embed) for picture in pictures] for kind, pictures in drawn.items()}
    return Outcome(distances)


def embedded(picture: np.ndarray, face: Face) -> np.ndarray:
    """The embedder that the pack itself uses."""
    del picture
    if face.embedding is None:
        raise ValueError("analyze without embedding")
    return face.embedding


def sheet(drawn: Mapping[str, Mapping[str, Sequence[np.ndarray]]], photos: Mapping[str, Sequence[Path]]) -> Image.Image:
    """A row for each person and kind, behind the person's first photo."""
    rows = [(person, kind) for person in drawn for kind in drawn[person]]
    columns = 1 + max(len(drawn[person][kind]) for person, kind in rows)
    page = Image.new("RGB", (columns * SIZE, len(rows) * SIZE), "white")
    for row, (person, kind) in enumerate(rows):
        first = Image.fromarray(_read(photos[person][0])).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
        for column, picture in enumerate([first, *map(Image.fromarray, drawn[person][kind])]):
            page.paste(picture, (column * SIZE, row * SIZE))
    return page


def _read(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"))


def _embedding(picture: np.ndarray, embed: Embed) -> np.ndarray | None:
    larger = enlarged(picture)
    faces = engine().analyze([larger])[0]
    return embed(larger, faces[0]) if faces else None


def _away(picture: np.ndarray, mean: np.ndarray, embed: Embed) -> float:
    found = _embedding(picture, embed)
    return NO_FACE if found is None else distance(found, mean)


# --- the workflow ----------------------------------------------------------------------


def _workflow(
    checkpoint: str, uploads: Mapping[str, Sequence[str]], person: str, settings: Settings, kinds: Sequence[str]
) -> Prompt:
    """Portraits of one person of every kind; both people are trained, or found again."""
    nodes: Prompt = {"base": _node("CheckpointLoaderSimple", ckpt_name=checkpoint)}
    nodes["options"] = training_options(**settings.training)
    nodes["latent"] = _node("EmptyLatentImage", width=SIZE, height=SIZE, batch_size=settings.seeds)
    for name, files in uploads.items():
        nodes |= _training(name, files, settings)
    other = next((name for name in uploads if name != person), None)
    plain = {"person": [f"person_{person}", 0], "person_weight": 0.0}
    sources = {
        "without": {"model": ["base", 0], "clip": ["base", 1], **plain},
        "own": {
            "model": [f"lora_{person}", 0],
            "clip": [f"lora_{person}", 1],
            "person": [f"lora_{person}", 2],
            "person_weight": -1.0,
        },
    }
    if other is not None:
        sources["other"] = {"model": [f"lora_{other}", 0], "clip": [f"lora_{other}", 1], **plain}
    for kind in kinds:
        for number, style in enumerate(STYLES[person][: settings.styles]):
            nodes |= drawing(f"{kind}_{style}", style, sources[kind], settings, seed=7 + number)
    return nodes


def _training(name: str, files: Sequence[str], settings: Settings) -> Prompt:
    return {
        f"photos_{name}": _node("FaceChain_LoadPhotos", folder="(none)", files="\n".join(files), max_side=1536),
        f"person_{name}": _node(
            "FaceChain_Preprocess",
            photos=[f"photos_{name}", 0],
            names=[f"photos_{name}", 1],
            name=f"mission {name}",
            size="512",
            background="white",
            retouch=0.2,
            engine="embedded",
            gender="auto",
            age=0,
            caption="",
            save=False,
        ),
        f"lora_{name}": _node(
            "FaceChain_TrainPersonLoRA",
            model=["base", 0],
            clip=["base", 1],
            vae=["base", 2],
            person=[f"person_{name}", 0],
            preset="balanced",
            steps=settings.steps,
            resolution=SIZE,
            batch_size=1,
            rank=settings.rank,
            learning_rate=settings.rate,
            seed=42,
            choose_snapshot=settings.choose,
            options=["options", 0],
        ),
    }


def drawing(name: str, style: str, source: dict[str, Any], settings: Settings, seed: int = 7) -> Prompt:
    return {
        f"style_{name}": _node(
            "FaceChain_LoadStyle",
            style=style,
            style_weight=-1.0,
            frame="upper body",
            extra_prompt="",
            extra_negative="",
            **source,
        ),
        f"sample_{name}": _node(
            "KSampler",
            model=[f"style_{name}", 0],
            positive=[f"style_{name}", 2],
            negative=[f"style_{name}", 3],
            latent_image=["latent", 0],
            seed=seed,
            steps=settings.sampling_steps,
            cfg=settings.cfg,
            sampler_name="dpmpp_2m",
            scheduler="karras",
            denoise=1.0,
        ),
        f"decode_{name}": _node("VAEDecode", samples=[f"sample_{name}", 0], vae=["base", 2]),
        f"show_{name}": _node("PreviewImage", images=[f"decode_{name}", 0]),
    }


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}
