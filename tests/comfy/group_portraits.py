"""What tests of the template nodes share: saved people, a Group Portrait workflow, and who ran."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import standin
import torch
from comfy_client import ComfyClient, Prompt, Result
from PIL import Image

from facechain.faces import engine
from facechain.images import from_pixels
from facechain.person import Attributes, Person, quantise, save_person
from facechain.template import crop_of, find_faces, place_face

LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_v"
LORA = "facechain/template_test.safetensors"


def picture(path: Path) -> torch.Tensor:
    return from_pixels(np.asarray(Image.open(path).convert("RGB")))


def person_of(name: str, photos: list[Path], *, lora: str = "") -> Person:
    """A PERSON made by hand, so that these tests do not depend on Preprocess."""
    crops, embeddings, poses = [], [], []
    for photo in photos:
        image = picture(photo)
        faces = find_faces(image, engine())
        crop = crop_of(image, place_face(image, faces, 1, size=512, face_part=0.35, grow=0.1))
        face = engine().analyze([(crop[0] * 255).round().byte().numpy()])[0][0]
        crops.append(crop[0])
        embeddings.append(torch.from_numpy(np.asarray(face.embedding)))
        poses.append(torch.tensor([face.yaw, face.pitch, face.roll]))
    gender = "man" if "man/" in str(photos[0]).replace("woman/", "") else "woman"
    phrase = "a handsome man" if gender == "man" else "a beautiful woman"
    return Person(
        name=name,
        images=quantise(torch.stack(crops)),
        masks=torch.ones(len(crops), 512, 512),
        embeddings=torch.stack(embeddings).float(),
        embedder=engine().embedder,
        quality=torch.full((len(crops),), 0.9),
        poses=torch.stack(poses).float(),
        attributes=Attributes(gender, 30.0, phrase),
        caption=f"<fcsks>, {phrase}",
        lora=lora,
    )


def write_lora(path: Path) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    random = torch.Generator().manual_seed(3)
    up, down = torch.randn(320, 4, generator=random), torch.randn(4, 320, generator=random)
    save_file({f"{LAYER}.lora_up.weight": up * 0.3, f"{LAYER}.lora_down.weight": down * 0.3}, path)


def save_people(base: Path, shared_data: Path) -> dict[str, Person]:
    """Four saved persons, one with a LoRA and one whose LoRA is lost."""
    man, woman = shared_data / "people" / "man", shared_data / "people" / "woman"
    found = {
        "Adam": person_of("Adam", [man / "pose1.png", man / "pose2.png"]),
        "Eve": person_of("Eve", [woman / "pose1.png", woman / "pose2.png"]),
        "Noah": person_of("Noah", [man / "portrait.png"], lora=LORA),
        "Lost": person_of("Lost", [woman / "portrait.png"], lora="facechain/gone.safetensors"),
    }
    for name, person in found.items():
        save_person(person, base / "models" / "facechain" / "people" / f"{name}.safetensors")
    write_lora(base / "models" / "loras" / LORA)
    return found


class Watched:
    """Queues workflows and notes which nodes really ran."""

    def __init__(self, client: ComfyClient) -> None:
        self.client = client
        self.ran: list[str] = []

    def __call__(self, prompt: Prompt) -> Result:
        self.ran = []
        return self.client.run(prompt, self._note)

    def _note(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "executing" and data.get("node"):
            self.ran.append(data["node"])

    def lanes(self) -> dict[str, set[str]]:
        """{"person1": {"face", "sample", ...}} of the nodes that ran."""
        found: dict[str, set[str]] = {}
        for node in self.ran:
            lane, _, name = node.rpartition(".")[2].partition("_")
            if lane.startswith("person"):
                found.setdefault(lane, set()).add(name)
        return found


def group_portrait(template: str, *names: str, **settings: Any) -> Prompt:
    graph: Prompt = {
        "model": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": standin.CHECKPOINT_NAME}},
        "template": {"class_type": "LoadImage", "inputs": {"image": template}},
        "group": {
            "class_type": "FaceChain_GroupPortrait",
            "inputs": {
                "model": ["model", 0],
                "clip": ["model", 1],
                "vae": ["model", 2],
                "template": ["template", 0],
                "style": "(none)",
                "person_weight": 0.95,
                "denoise": 0.5,
                "steps": 1,
                "cfg": 1.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "seed": 1,
                "size": 256,
                "identity": 0.0,
                "faces": "",
                "engine": "embedded",
                **settings,
            },
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["group", 0], "filename_prefix": "group"}},
        "look": {"class_type": "PreviewImage", "inputs": {"images": ["group", 1]}},
    }
    for number, name in enumerate(names, 1):
        graph[f"p{number}"] = {"class_type": "FaceChain_LoadPerson", "inputs": {"name": name, "weight": 1.0}}
        graph["group"]["inputs"][f"person_{number}"] = [f"p{number}", 2]
    return graph


def saved(client: ComfyClient, result: Result, node: str = "save") -> np.ndarray:
    image = Image.open(io.BytesIO(client.fetch(result.outputs[node]["images"][0])))
    return np.asarray(image.convert("RGB"))


def masks(path: Path, grow: float = 0.1) -> list[np.ndarray]:
    """Where each face of a template may change, left to right: [H, W] bool; grow: beyond the face, in face sizes."""
    image = picture(path)
    faces = find_faces(image, engine())
    found = []
    for number in range(1, len(faces) + 1):
        record = place_face(image, faces, number, size=256, face_part=0.45, grow=grow)
        mask = np.zeros(record.template_size, bool)
        mask[record.region] = (record.depth > 0).numpy()
        found.append(mask)
    return found
