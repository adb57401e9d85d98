"""A Segment Anything model of the user's refines the head mask: package `segment-anything`, weights as safetensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import ModelFileError
from ..images import LUMA
from ..lack_of_memory import pass_on
from .align import Alignment
from .filters import guided_filter, polygon, steps
from .headmask import CHIN, OVAL

# Width of the image encoder: the name of that network in segment-anything's sam_model_registry.
TYPES = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
LEAST_AGREEMENT = 0.7  # IoU; below it the two speak of different things (SAM often takes the whole person)
_FACE_POINTS = (1, 151, 50, 280, 199)  # mesh: nose, forehead, cheeks, chin
_PICKLES = {".pth", ".pt", ".bin", ".ckpt"}


@dataclass(frozen=True, eq=False)
class Refined:
    """mask: [S, S] float32 0..1. agreement: IoU of SAM's mask and ours. note: what came of it, for the report."""

    mask: np.ndarray
    agreement: float
    note: str


class SamRefiner:
    """A loaded SAM; holds its memory until let go."""

    def __init__(self, model: Any, name: str) -> None:
        from segment_anything import SamPredictor  # pyright: ignore[reportMissingImports] - optional

        self.name = name
        self._predictor = SamPredictor(model)

    def refine(self, aligned: Alignment, ours: np.ndarray) -> Refined:
        """ours: the head mask [S, S] that asks the question and is kept where the answer makes no sense."""
        box, points, labels = prompts(aligned, ours)
        self._predictor.set_image(aligned.image)
        try:
            logits, _, _ = self._predictor.predict(
                points, labels, box, _as_logits(ours), multimask_output=False, return_logits=True
            )
        finally:
            self._predictor.reset_image()
        return combined(aligned, ours, 1 / (1 + np.exp(-np.clip(logits[0], -30, 30))))


def load_sam(path: Path, device: torch.device | str = "cpu", check: Callable[[], None] = lambda: None) -> SamRefiner:
    """The network whose weights lie at path. Raises ModelFileError, naming the file and the cure.

    check: called before each block of its image encoder, which takes seconds for a picture on a CPU; may raise to cancel.
    """
    if path.suffix.lower() in _PICKLES:
        raise ModelFileError(
            f"{path} is a pickle, which can run any program when it is opened",
            f'Convert it once, outside ComfyUI: python scripts/convert_sam.py "{path}"; then choose '
            f"{path.with_suffix('.safetensors').name}",
        )
    if not path.is_file():
        raise ModelFileError(f"the SAM model {path} is absent", "Put it there, or set sam_model to (none)")
    try:
        from segment_anything import sam_model_registry  # pyright: ignore[reportMissingImports] - optional
    except ImportError as error:
        raise ModelFileError(
            "refining head masks with SAM needs the package segment-anything, which is not installed",
            "Install it into ComfyUI's Python: pip install segment-anything; or set sam_model to (none)",
        ) from error
    weights = _read(path)
    name = type_of({key: tuple(value.shape) for key, value in weights.items()}, path)
    model = sam_model_registry[name]()
    try:
        model.load_state_dict({key: value.float() for key, value in weights.items()})
    except RuntimeError as error:
        pass_on(error)
        raise _wrong(path, f"its weights do not fit {name}") from error
    for block in model.image_encoder.blocks:
        block.register_forward_pre_hook(lambda *_: check())
    return SamRefiner(model.to(device).train(False), f"{path.name} ({name})")


def type_of(shapes: Mapping[str, tuple[int, ...]], path: Path) -> str:
    """vit_b, vit_l or vit_h, by the shapes of the weights. Raises ModelFileError for other networks."""
    position = shapes.get("image_encoder.pos_embed", ())
    if len(position) != 4 or "mask_decoder.iou_token.weight" not in shapes:
        raise _wrong(path, "it holds another network")
    if position[-1] not in TYPES:
        raise _wrong(path, f"its image encoder is {position[-1]} wide")
    return TYPES[position[-1]]


def prompts(aligned: Alignment, ours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What SAM is asked: box [4] x0 y0 x1 y1, points [N, 2] x y, labels [N], 1 head and 0 not, in pixels of the crop.

    Inside: the face, and the deepest places of our mask apart from it. Outside: throat and chest, and the
    deepest places near the head that are surely not it.
    """
    size = len(ours)
    face = polygon(aligned.mesh[OVAL, :2], size)
    ys, xs = np.nonzero(ours > 0.5)
    margin = 0.02 * size
    low, high = np.array([xs.min(), ys.min()]), np.array([xs.max(), ys.max()])
    box = np.clip(np.r_[low - margin, high + margin], 0, size - 1)
    hair = _deepest((ours > 0.95) & ~face, 4)
    y, x = np.mgrid[:size, :size]
    near = (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])
    beside = _deepest((ours < 0.05) & near & aligned.inside, 3)
    chin, height = aligned.mesh[CHIN, :2], float(np.ptp(aligned.mesh[OVAL, 1]))
    throat = [chin + np.array([0, down * height]) for down in (0.3, 0.7)]
    out = [p for p in throat if (p < size).all() and ours[round(p[1]), round(p[0])] < 0.05]
    inside = [*aligned.mesh[list(_FACE_POINTS), :2], *hair]
    outside = [*out, *beside]
    points = np.clip(np.array([*inside, *outside], np.float64), 0, size - 1)
    return box, points, np.r_[np.ones(len(inside), int), np.zeros(len(outside), int)]


def combined(aligned: Alignment, ours: np.ndarray, theirs: np.ndarray) -> Refined:
    """SAM's probability [S, S] where it makes sense, else our mask: a head has this face and about our outline."""
    size = len(ours)
    face = polygon(aligned.mesh[OVAL, :2], size)
    a, b = ours > 0.5, theirs > 0.5
    agreement = float((a & b).sum() / max((a | b).sum(), 1))
    if agreement < LEAST_AGREEMENT:
        return Refined(ours, agreement, f"SAM sees another shape (agreement {agreement:.2f}): own mask kept")
    if b[face].mean() < 0.9:
        return Refined(ours, agreement, f"SAM leaves out parts of the face (agreement {agreement:.2f}): own mask kept")
    grey = aligned.image.astype(np.float32) @ LUMA / 255
    soft = guided_filter(grey, theirs.astype(np.float32), max(2, size // 128), 1e-3)
    mask = np.maximum(steps(0.2, 0.8, soft), np.where(face, ours, 0)) * aligned.inside
    return Refined(mask.astype(np.float32), agreement, f"refined with SAM (agreement {agreement:.2f})")


def _deepest(where: np.ndarray, count: int) -> list[np.ndarray]:
    """Up to count points (x, y) deep inside where, far from each other."""
    from scipy.ndimage import distance_transform_edt

    found: list[np.ndarray] = []
    y, x = np.mgrid[: where.shape[0], : where.shape[1]]
    left = where.copy()
    for _ in range(count):
        depth = np.asarray(distance_transform_edt(np.pad(left, 1)))[1:-1, 1:-1]
        place = np.unravel_index(int(depth.argmax()), depth.shape)
        if depth[place] < 0.01 * len(where):
            break
        found.append(np.array([place[1], place[0]], np.float64))
        left &= np.hypot(x - place[1], y - place[0]) > max(1.5 * depth[place], 0.08 * len(where))
    return found


def _as_logits(mask: np.ndarray) -> np.ndarray:
    """Our mask in the form of the model's own coarse answer, which it then betters: [1, 256, 256] float32."""
    small = torch.nn.functional.interpolate(torch.from_numpy(mask)[None, None], (256, 256), mode="area")
    return ((small[0] - 0.5) * 16).numpy()


def _read(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        pass_on(error)
        raise _wrong(path, "the file is damaged or no safetensors file") from error


def _wrong(path: Path, why: str) -> ModelFileError:
    known: Sequence[str] = ("sam_vit_b_01ec64", "sam_vit_l_0b3195", "sam_vit_h_4b8939")
    return ModelFileError(
        f"{path} is no usable SAM model: {why}", f"Use one of Meta's first SAM ({', '.join(known)}), converted"
    )
