"""What Pose Control draws: maps of the people in pictures, depth without heads, and which files of the user help."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..facechain.errors import FaceError, ModelFileError, RecordError
from . import _host

SOURCES = ["picture", "ready-made map"]
DETECTORS = ["auto", "embedded", "DWPose"]
DETAILS = ["body", "body and hands", "body and face", "body, hands and face"]
NO_MODEL = "(none)"
DEPTH_SPACE = 2**30  # bytes that a depth model works with, at most


@dataclass(frozen=True)
class Control:
    """A ControlNet and how it acts.

    net: the network, or None.
    pictures: an IMAGE, black where there is nothing to show.
    """

    what: str
    net: Any
    pictures: Any
    strength: float
    start: float
    end: float
    lacking: str = ""

    def apply(self, positive: Any, negative: Any, vae: Any) -> tuple[Any, Any, list[str]]:
        """Both CONDITIONINGs with it, or as they came, and what was done."""
        why = self.lacking or ("strength is 0" if self.strength <= 0 else "")
        why = why or ("its start is not before its end" if self.start >= self.end else "")
        if why:
            return positive, negative, [f"{self.what}: not applied, {why}"]
        span = (self.strength, self.start, self.end)
        positive, negative = _host.apply_controlnet(positive, negative, self.net, self.pictures, *span, vae)
        return (
            positive,
            negative,
            [f"{self.what}: strength {self.strength:g}, from {self.start:g} to {self.end:g} of the sampling"],
        )


class Poses:
    """The pictures of poses, and what is read of them. image: IMAGE or None. canvas: (height, width) of the maps.

    Raises RecordError for a choice that does not exist.
    """

    def __init__(self, image: Any, source: str, detector: str, details: str, canvas: tuple[int, int]) -> None:
        from ..facechain.faces.embedded import EmbeddedEngine
        from ..facechain.images import to_pixels

        for what, value, choices in (
            *(("source", source, SOURCES), ("detector", detector, DETECTORS)),
            ("details", details, DETAILS),
        ):
            if value not in choices:  # the server does not check choices
                raise RecordError(f"there is no {what} {value!r}", f"Choose one of: {', '.join(choices)}")
        self.canvas, self.notes = canvas, []
        self.pictures = [] if image is None else to_pixels(image)
        self._ready, self._detector, self._details = source == SOURCES[1], detector, details
        self._engine = EmbeddedEngine()

    @property
    def photos(self) -> list[Any]:
        """The pictures where they show people, not maps."""
        return [] if self._ready else self.pictures

    @cached_property
    def maps(self) -> Any:
        """IMAGE with the map of each picture, black without a picture. Raises FaceError where one has nobody."""
        from ..facechain import images, pose

        size = f"{self.canvas[1]}x{self.canvas[0]}"
        if not self.pictures:
            return images.from_pixels(pose.draw([], self.canvas))
        if self._ready:
            self.notes.append(f"Map: as it came, on {size}")
            return images.from_pixels(*(pose.letterbox(picture, self.canvas) for picture in self.pictures))
        people = self._people()
        hands, face = "hands" in self._details, "face" in self._details
        drawn = [
            pose.figure_map(found, picture.shape[:2], self.canvas, hands, face)
            for found, picture in zip(people, self.pictures, strict=True)
        ]
        self.notes.append(f"People found: {', '.join(str(len(found)) for found in people)}, drawn on {size}")
        return images.from_pixels(*drawn)

    def depth(self, image: Any, model: str, cut_head: bool) -> tuple[Any, bool]:
        """(IMAGE with a depth map for each picture, whether there is any). image: ready-made maps, or None.

        Raises RecordError where maps and pictures do not pair or there is no such model, ModelFileError for a bad one.
        """
        from ..facechain import depth, images, pose

        if image is None and model == NO_MODEL:
            return images.from_pixels(pose.draw([], self.canvas)), False
        made = self._estimated(model) if image is None else images.to_pixels(image)
        if cut_head and self.photos:
            if len(made) != len(self.photos):
                raise RecordError(
                    f"there are {len(made)} depth maps and {len(self.photos)} pictures in pose_image",
                    "Connect one depth map a picture, or set cut_head to off",
                )
            faces = self._engine.analyze(self.photos, embed=False)
            pairs = zip(made, self.photos, faces, strict=True)
            made = [depth.only_bodies(*each) for each in pairs]
        self.notes.append("Depth: " + self._cut(cut_head))
        return images.from_pixels(*(pose.letterbox(each, self.canvas) for each in made)), True

    def _cut(self, wanted: bool) -> str:
        if not wanted:
            return "the whole picture"
        if self.photos:
            return "bodies alone, heads and hair cut out"
        return "the whole picture; to cut heads out connect the picture it was made of to pose_image"

    def _estimated(self, model: str) -> list[Any]:
        from ..facechain import depth

        if not self.photos:
            raise RecordError(
                "depth_model needs a picture in pose_image", "Connect one, with source on 'picture', or a depth_image"
            )
        device, advance, made = _host.free_device(DEPTH_SPACE), _host.progress_bar(len(self.photos)), []
        try:
            for number, picture in enumerate(self.photos, 1):
                made.append(depth.as_map(depth.estimate(picture, depth_folder(model), device, _host.check_cancel)))
                advance(number)
        finally:
            depth.forget_models()
        return made

    def _people(self) -> list[list[Any]]:
        """The figures in each picture."""
        from ..facechain.skeletons import find_figures

        whole = whole_body_file() if self._detector != "embedded" else None
        if whole is None and self._detector == "DWPose":
            raise ModelFileError(
                f"DWPose's file is absent from {_host.own_folder('pose')}",
                f"Put {_whole_body_name()} there, or set detector to embedded",
            )
        if "hands" in self._details and whole is None:
            self.notes.append(f"Hands: not drawn, for them put {_whole_body_name()} into {_host.own_folder('pose')}")
        advance, found = _host.progress_bar(len(self.pictures)), []
        for number, picture in enumerate(self.pictures, 1):
            found.append(find_figures(picture, self._engine, whole, gpu=_host.on_nvidia()))
            if not found[-1]:
                raise FaceError(
                    f"pose picture {number} of {len(self.pictures)}: nobody found",
                    "Use a picture that shows head and shoulders, or set source to 'ready-made map' for a skeleton",
                )
            advance(number)
        self.notes.append(f"Detector: {'DWPose' if whole else 'embedded'}")
        return found


def portraits_of(latent: dict[str, Any]) -> tuple[int, tuple[int, int]]:
    """(how many, (height, width) in pixels) of the pictures that a latent becomes."""
    shape = latent["samples"].shape
    return shape[0], (shape[-2] * 8, shape[-1] * 8)


def pairs(maps: int, portraits: int | None) -> list[str]:
    """Core repeats maps where there are fewer than portraits in the batch, and leaves out those beyond."""
    if maps == 1 or maps == portraits:
        return []
    known = "" if portraits is None else f" of {portraits}"
    return [f"{maps} maps: each portrait of a batch{known} follows one, in order; set batch_size to {maps}"]


def absent(**sockets: Any) -> str:
    """Which sockets are to be connected; "" where all are."""
    missing = [name for name, value in sockets.items() if value is None or value is False]
    return f"connect {' and '.join(missing)}" if missing else ""


# --- the user's files ---


def depth_models() -> list[str]:
    """Folders of Transformers depth models in models/facechain/depth."""
    return sorted(path.parent.name for path in _host.own_folder("depth").glob("*/config.json"))


def depth_folder(name: str) -> Path:
    """Raises RecordError for a name that is not listed, which must not become a path."""
    if name not in depth_models():
        raise RecordError(
            f"there is no depth model {name!r} in {_host.own_folder('depth')}", f"Put it there, or choose {NO_MODEL}"
        )
    return _host.own_folder("depth") / name


def whole_body_file() -> Path | None:
    """DWPose's file in models/facechain/pose, or where comfyui_controlnet_aux keeps it; None where there is none."""
    name = _whole_body_name()
    places = [_host.own_folder("pose")]
    places += [path for folder in _host.custom_nodes() for path in sorted(folder.glob("*controlnet_aux*/ckpts"))]
    return next((file for place in places for file in sorted(place.glob(f"**/{name}")) if file.is_file()), None)


def _whole_body_name() -> str:
    from ..facechain.wholebody import FILE

    return FILE
