"""Small jobs of every kind for one server: all shipped graphs, a refused one, a cancelled one, the housekeeping.

Used by test_leaks.py (a few of them) and benchmarks/leaks.py (200). No job is found in a cache or trained before:
each has a seed of its own.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import demo_jobs
import standin
from comfy_client import ComfyClient, JobError, Prompt
from PIL import Image
from small_models import write_users_models

SMALL: dict[str, dict[str, Any]] = {
    "EmptyLatentImage": {"width": 64, "height": 64, "batch_size": 2},
    "KSampler": {"steps": 2},
    "ControlNetLoader": {"control_net_name": standin.CONTROLNET_NAME},
    "FaceChain_TrainPersonLoRA": {
        "steps": 4,
        "resolution": 64,
        "rank": 4,
        "snapshots": 1,
        "choose_snapshot": "last",
    },
    "FaceChain_TrainStyleLoRA": {"steps": 4, "resolution": 64, "rank": 4},
    "FaceChain_LoadPerson": {"name": "person 1"},
    "FaceChain_GroupPortrait": {"denoise": 0.5, "steps": 1, "size": 256},
}
GRAPHS = (
    "train_person",  # first: others ask for the person
    "trained_portrait",
    "style_portrait",
    "style_portrait_fast",
    "pose_portrait",
    "style_portrait_hires",
    "train_style",
    "group_photo",
)
KINDS = (*GRAPHS, "refused", "cancelled", "housekeeping")


class MixedJobs:
    """Jobs for the server of that client, whose folders lie in base."""

    def __init__(self, client: ComfyClient, base: Path) -> None:
        self._client = client
        write_users_models(base / "models")
        pictures = demo_jobs.inputs(base / "mixed")
        self._uploads = {
            key: [client.upload(file, f"mixed_{key}") for file in files] for key, files in pictures.items()
        }
        nobody = base / "mixed" / "nobody.png"
        Image.new("RGB", (320, 240), (90, 120, 160)).save(nobody)
        self._nobody = client.upload(nobody, "mixed_nobody")

    def run(self, kind: str, number: int) -> None:
        """Queue the job of that kind and wait for its end; number makes it another job than those before.

        Raises JobError where it fails, and AssertionError where a job that must fail does not.
        """
        if kind == "refused":
            self._fails(self._preprocess(self._nobody, number), "No face found")
        elif kind == "cancelled":
            self._cancelled(number)
        else:
            self._client.run(self._housekeeping() if kind == "housekeeping" else self.graph(kind, number))

    def graph(self, name: str, number: int) -> Prompt:
        """A shipped graph, small, with seeds of its own."""
        prompt = demo_jobs.workflow(
            name, demo_jobs.Choices(standin.CHECKPOINT_NAME, SMALL, faces=demo_jobs.TEMPLATE_FACES), self._uploads
        )
        for node in prompt.values():
            if "seed" in node["inputs"]:
                node["inputs"]["seed"] = number
        return prompt

    def _preprocess(self, photo: str, number: int) -> Prompt:
        prompt = {key: value for key, value in self.graph("train_person", number).items() if _of_intake(value)}
        for node in prompt.values():
            if node["class_type"] == "FaceChain_LoadPhotos":
                node["inputs"] |= {"files": photo, "max_side": 512 + 64 * (number % 20)}
        return {**prompt, "show": {"class_type": "PreviewAny", "inputs": {"source": [_key(prompt), 3]}}}

    def _fails(self, prompt: Prompt, why: str) -> None:
        import re

        try:
            self._client.run(prompt)
        except JobError as error:
            if not re.search(why, str(error)):
                raise
            return
        raise AssertionError(f"the job should have failed with {why}")

    def _cancelled(self, number: int) -> None:
        prompt = self.graph("train_person", 10_000 + number)
        (train,) = [key for key, node in prompt.items() if node["class_type"] == "FaceChain_TrainPersonLoRA"]
        prompt[train]["inputs"]["steps"] = 500

        asked: list[int] = []

        def on_event(kind: str, data: dict[str, Any]) -> None:
            if kind == "progress" and data["node"] == train and data["value"] >= 3 and not asked:
                asked.append(data["value"])
                threading.Thread(target=self._client.interrupt).start()

        try:
            self._client.run(prompt, on_event)
        except JobError as error:
            assert error.details["type"] == "execution_interrupted", error
            return
        raise AssertionError("the training should have been cancelled")

    @staticmethod
    def _housekeeping() -> Prompt:
        return {
            "check": {"class_type": "FaceChain_SystemCheck", "inputs": {"read_files": False}},
            "delete": {"class_type": "FaceChain_DeletePerson", "inputs": {"name": "person 1", "confirm": ""}},
        }


def _of_intake(node: dict[str, Any]) -> bool:
    return node["class_type"] in ("FaceChain_LoadPhotos", "FaceChain_Preprocess")


def _key(prompt: Prompt) -> str:
    return next(key for key, node in prompt.items() if node["class_type"] == "FaceChain_Preprocess")
