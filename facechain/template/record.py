"""The record of a template's face: which face it is, where its crop was cut, and which pixels may change."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..errors import RecordError
from .outline import distance_to

_GAP = 1.0  # pixels that stay untouched between the masks of two neighbours
_CELLS = 32  # a side of the signature
# Mean difference (of 0..1) in the signature above which a picture is another one. The same
# picture saved as JPEG differs by 0.002; another face in the same place by 0.05 and more.
_OTHER_PICTURE = 0.01


@dataclass(frozen=True)
class Window:
    """A square of template pixels: left, top, side, whole numbers. It may reach beyond the template."""

    x: int
    y: int
    side: int


@dataclass(frozen=True, eq=False)
class TemplateFace:
    """Immutable record of one face of a template. Coordinates are pixels of the template.

    number: counted from 1, left to right; count: how many faces the template shows.
    template_size: (height, width).
    box: x1, y1, x2, y2 of the face; points: [5, 2] as Face has them; roll: degrees.
    face_size: pixels of the face's longer side, hair line to chin.
    window: what the crop shows; crop_size: pixels of a side of the crop that was handed out.
    grow: how far the mask goes beyond the face's outline, in pixels.
    outline, neighbours: the face's own shape and those of all other faces (see outline.py).
    signature: [32, 32, 3] float32, coarse look of the pixels under the mask, to know the template again.
    """

    number: int
    count: int
    template_size: tuple[int, int]
    box: tuple[float, float, float, float]
    points: np.ndarray
    roll: float
    face_size: float
    window: Window
    crop_size: int
    grow: float
    outline: np.ndarray
    neighbours: tuple[np.ndarray, ...]
    signature: torch.Tensor | None = None

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the template that hold the whole mask."""
        height, width = self.template_size
        left, top = max(self.box[0] - self.grow, self.window.x, 0), max(self.box[1] - self.grow, self.window.y, 0)
        right = min(self.box[2] + self.grow + 1, self.window.x + self.window.side, width)
        bottom = min(self.box[3] + self.grow + 1, self.window.y + self.window.side, height)
        return slice(int(top), int(np.ceil(bottom))), slice(int(left), int(np.ceil(right)))

    @cached_property
    def depth(self) -> torch.Tensor:
        """How deep each pixel of `region` lies inside the mask: [h, w] float32, pixels; above 0 is inside."""
        rows, columns = self.region
        return torch.from_numpy(
            self._depth(np.arange(columns.start, columns.stop), np.arange(rows.start - 0.5, rows.stop - 0.5))
        )

    def crop_mask(self) -> torch.Tensor:
        """The mask as the crop sees it: [crop_size, crop_size] float32, 0..1, soft over one pixel at its edge."""
        scale = self.window.side / self.crop_size
        steps = (np.arange(self.crop_size) + 0.5) * scale - 0.5
        xs, ys = steps + self.window.x, steps + self.window.y
        rows, columns = self.region
        near_x = slice(*np.searchsorted(xs, (columns.start - 0.5, columns.stop - 0.5)))  # all else lies outside anyway
        near_y = slice(*np.searchsorted(ys, (rows.start - 0.5, rows.stop - 0.5)))
        mask = torch.zeros(self.crop_size, self.crop_size)
        mask[near_y, near_x] = torch.from_numpy(self._depth(xs[near_x], ys[near_y]) / scale).clamp(0, 1)
        return mask

    def check(self, template: torch.Tensor) -> None:
        """Raise RecordError unless template [N, H, W, C] shows this face as it was when the record was made."""
        size = tuple(template.shape[1:3])
        if size != self.template_size:
            raise RecordError(
                f"the template has {size[1]}x{size[0]} pixels, but face {self.number} was cut from one with "
                f"{self.template_size[1]}x{self.template_size[0]}",
                "Connect the picture that Template Face saw, or that picture with other people pasted into it; "
                "resize it before Template Face or after Template Paste",
            )
        if self.signature is None:
            return
        difference = max(float((look(picture, self) - self.signature).abs().mean()) for picture in template)
        if not difference <= _OTHER_PICTURE:
            raise RecordError(
                f"the template shows something else where face {self.number} was found",
                "Connect the picture that Template Face saw, or that picture with other people pasted into it; "
                "after any other change run Template Face on the changed picture",
            )

    def _depth(self, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        own = distance_to(self.outline, xs, ys)
        depth = self.grow - own
        for neighbour in self.neighbours:
            # Between two faces each pixel belongs to the nearer one, so masks never meet,
            # however far they are grown, and each face proper belongs to itself.
            np.minimum(depth, (distance_to(neighbour, xs, ys) - own - _GAP) / 2, out=depth)
        height, width = self.template_size
        np.minimum(depth, _to_border(xs, self.window.x, self.window.side, width)[None], out=depth)
        np.minimum(depth, _to_border(ys, self.window.y, self.window.side, height)[:, None], out=depth)
        return depth


def look(picture: torch.Tensor, face: TemplateFace) -> torch.Tensor:
    """Mean colours [32, 32, 3] of the pixels of picture [H, W, C] under the face's mask; 0 where there is no mask."""
    rows, columns = face.region
    mask = (face.depth > 0).float()[None]
    part = picture[rows, columns, :3].float().cpu().permute(2, 0, 1) * mask
    pooled = torch.nn.functional.adaptive_avg_pool2d(torch.cat([part, mask]), _CELLS)
    return (pooled[:3] / pooled[3:].clamp(min=1e-6)).permute(1, 2, 0)


def _to_border(places: np.ndarray, start: int, side: int, length: int) -> np.ndarray:
    """Pixels to the crop's border, for coordinates along one axis; below 0 outside the template.

    Where the crop ends with the template, or beyond it, there is no seam to hide and no border.
    """
    inside = (places >= -0.5) & (places <= length - 0.5)
    room = np.where(inside, np.float32(np.inf), np.float32(-1))
    if start > 0:
        room = np.minimum(room, places - start + 0.5)
    if start + side < length:
        room = np.minimum(room, start + side - 0.5 - places)
    return room.astype(np.float32)
