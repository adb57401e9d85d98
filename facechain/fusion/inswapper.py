"""The engine inswapper: the face swap network of insightface, run by onnxruntime; its weights are non-commercial.

What it takes and gives is that of insightface's own class for it. The first input is the face, [1, 3, S, S] in
RGB from 0 to 1, aligned as for its embeddings; the second, [1, D], is the other person's embedding times the
last initialiser of the graph, brought to length 1. The output is the first face as the other person's.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import onnx
from ..errors import FaceChainError, ModelFileError
from ..faces.crops import fitted_region
from ..images import apply_affine, crop_matrix, invert, warp
from ..installing import download_command, install_command
from .sampling import sample

FILE = "inswapper_128.onnx"
LICENCE = "inswapper_128 is for non-commercial research only"
# Where ArcFace has eyes, nose tip and corners of the mouth in a square of 112 pixels.
_ARCFACE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
# Embeddings of these recognition networks mean nothing to inswapper, which was trained with buffalo_l's w600k_r50.
_FOREIGN = ("glintr100",)
_EDGE = 0.06  # part of the square's side along its border that fades out
_lock = threading.Lock()
_loaded: dict[tuple[Path, int, bool], Swapper] = {}


@dataclass(frozen=True, eq=False)
class Swapper:
    """A loaded swap network.

    emap: [D, D] float32.
    side: pixels of the square that it reads and draws.
    provider: what it runs on, in the words of onnxruntime.
    """

    net: Any
    emap: np.ndarray
    side: int
    provider: str

    def latent(self, embedding: np.ndarray) -> np.ndarray:
        """[1, D] float32 of unit length: the person as the network wants it, of an ArcFace embedding [D]."""
        row = (embedding.reshape(1, -1) / max(float(np.linalg.norm(embedding)), 1e-9)).astype(np.float32) @ self.emap
        return row / max(float(np.linalg.norm(row)), 1e-9)

    def swap(self, picture: np.ndarray, points: np.ndarray, latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The person's face over the one at points [5, 2] (see Face) of picture [H, W, 3] float32 0..1.

        Pixel centres lie at whole numbers. Returns the face [H, W, 3] float32 0..1 in place, and where the network
        drew [H, W] float32 0..1, soft at the border of its square.
        """
        matrix = _alignment(points, self.side)
        chip = warp(torch.from_numpy(picture), matrix, (self.side, self.side), fill=0.0).clamp(0, 1).numpy()
        names = [one.name for one in self.net.get_inputs()]
        feed = {names[0]: np.ascontiguousarray(chip.transpose(2, 0, 1)[None], np.float32), names[1]: latent}
        drawn = np.asarray(self.net.run(None, feed)[0])[0].transpose(1, 2, 0).clip(0, 1)
        rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
        places = apply_affine(invert(matrix), np.stack([columns, rows], -1)).astype(np.float32)
        to_border = np.minimum(places + 0.5, self.side - 0.5 - places).min(-1) / (_EDGE * self.side)
        inside = np.clip(to_border, 0, 1).astype(np.float32)
        return sample(drawn, places).clip(0, 1), inside * inside * (3 - 2 * inside)


def _alignment(points: np.ndarray, side: int) -> np.ndarray:
    """[2, 3] from pixels of the aligned square to pixels of the picture, as insightface aligns faces for this net."""
    wanted = _ARCFACE * (side / 112) if side % 112 == 0 else _ARCFACE * (side / 128) + [8 * side / 128, 0]
    # fitted_region has pixel edges at whole numbers
    region = fitted_region(points + 0.5, wanted + 0.5, side)
    return crop_matrix((region.cx - 0.5, region.cy - 0.5), region.size, side, np.degrees(region.angle))


def load_swapper(roots: Sequence[Path], gpu: bool) -> Swapper:
    """The swap network, loaded at the first call and kept until the file changes.

    roots: folders such as ComfyUI/models/insightface. gpu: run it with CUDA where onnxruntime can.
    Raises ModelFileError with the exact path where it is absent, damaged or another network.
    """
    path = _find(roots)
    key = (path, path.stat().st_mtime_ns, gpu)
    with _lock:
        if key not in _loaded:
            _loaded.clear()
            net = onnx.session(path, gpu=gpu)
            side, numbers = _sizes(path, net)
            _loaded[key] = Swapper(net, _emap(path, numbers), side, onnx.provider(path, gpu=gpu))
        return _loaded[key]


def check_embedder(embedder: str, numbers: int, swapper: Swapper) -> None:
    """Raise FaceChainError unless embeddings of this network (`numbers` long) can tell inswapper who is meant."""
    engine, name = embedder.split("/")[0], embedder.split("/")[-1]
    if engine != "insightface":
        raise FaceChainError(
            f"inswapper needs embeddings of insightface's recognition network, not those of {embedder}",
            "Set engine to 'insightface' on Face Fusion, or fusion to 'embedded'",
        )
    if name in _FOREIGN:
        raise FaceChainError(
            f"inswapper was trained with the recognition network of buffalo_l; with {name} it would draw a stranger",
            "Unpack buffalo_l.zip into models/insightface/models/buffalo_l, or set fusion to 'embedded'",
        )
    if numbers != len(swapper.emap):
        raise FaceChainError(
            f"inswapper wants embeddings of {len(swapper.emap)} numbers, {embedder} makes {numbers}",
            "Use insightface's buffalo_l, or set fusion to 'embedded'",
        )


def _find(roots: Sequence[Path]) -> Path:
    for root in roots:
        if (root / FILE).is_file():
            return root / FILE
    if not roots:
        raise ModelFileError("no folder for insightface's models is known", "Give the fusion its model folders")
    expected = roots[0] / FILE
    for root in roots:
        for found in sorted(root.glob(f"**/{FILE}")):
            raise ModelFileError(f"inswapper lies in {found}, where it is not looked for", f"Move it to {expected}")
    raise ModelFileError(
        f"the swap network is missing: {expected}",
        f"Run: {download_command('swap')} ({LICENCE}), or set fusion to 'embedded', which needs no download",
    )


def _sizes(path: Path, net: Any) -> tuple[int, int]:
    """(side, length of the embedding) that the network reads. Raises ModelFileError for another kind of network."""
    shapes = [one.shape for one in net.get_inputs()]
    fits = len(shapes) == 2 and len(net.get_outputs()) == 1 and [len(shape) for shape in shapes] == [4, 2]
    whole = fits and all(isinstance(n, int) for n in (shapes[0][2], shapes[0][3], shapes[1][1]))
    if not whole or shapes[0][2] != shapes[0][3]:
        raise ModelFileError(
            f"{path} is not a face swap network: it has the inputs {shapes}, not a square picture and an embedding",
            f"Put insightface's {FILE} there",
        )
    return shapes[0][2], shapes[1][1]


def _emap(path: Path, numbers: int) -> np.ndarray:
    try:
        import onnx as package  # pyright: ignore[reportMissingImports]
        from onnx import numpy_helper  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ModelFileError(
            f"the package onnx cannot be imported ({error})", f"Run: {install_command('--insightface')}"
        ) from error
    weights = package.load(str(path)).graph.initializer
    emap = np.asarray(numpy_helper.to_array(weights[-1]), np.float32) if len(weights) else np.zeros(0, np.float32)
    if emap.shape != (numbers, numbers):
        raise ModelFileError(
            f"{path} does not end with its embedding map [{numbers}, {numbers}], but with {list(emap.shape)}: "
            "it was changed by an optimiser or a converter",
            f"Use insightface's own {FILE}",
        )
    return emap
