"""Putting a finished crop back into its template."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import PhotoError
from ..images import warp
from .cut import cut, resized
from .record import TemplateFace

_CHANGED = 0.06  # a mean change of colour (of 0..1) that makes the template's fine detail meaningless
_RING = 0.08  # width of the ring along the mask's edge where colours are compared, in face sizes
_SMOOTH = 0.25  # how far a difference of colour at the edge reaches into the face, in face sizes
_OUTLIER = 0.1  # a difference of colour further than this from the usual one is a changed thing, not a cast
_CELLS = 48  # longer side of the small grid on which differences of colour are smoothed


def paste_face(
    template: torch.Tensor, crop: torch.Tensor, face: TemplateFace, *, feather: float = 0.08, match_colour: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Put a crop back where it was cut.

    template: [N, H, W, 3 or 4], the picture that the record was made from, or with other faces pasted into it.
    crop: [M, S, S, 3], any size; N and M are equal or one of them is 1.
    feather: width of the soft edge, in face sizes, inside the mask.
    Returns the pictures [max(N, M), H, W, C] and the mask [1, H, W] float32 of pixels that may differ;
    all others are the template's own, bit for bit.
    Raises RecordError for another template, PhotoError for a crop that cannot be used.
    """
    face.check(template)
    _check_crop(template, crop)
    rows, columns = face.region
    alpha = _soft(face.depth / max(1.0, feather * face.face_size))
    count = max(len(template), len(crop))
    pasted = template.expand(count, *template.shape[1:]).clone()
    for index in range(count):
        here = pasted[index, rows, columns, :3]
        old = here.float().cpu()
        new = _fitted(pasted[index : index + 1], crop[index % len(crop)].float().cpu(), face)
        if match_colour:
            new = new + _cast(old - new, face)
        mixed = old + alpha[..., None] * (new.clamp(0, 1) - old)
        here.copy_(torch.where(alpha[..., None] > 0, mixed.to(here.dtype).to(here.device), here))
    changed = torch.zeros(1, *face.template_size)
    changed[0, rows, columns] = (alpha > 0).float()
    return pasted, changed


def _check_crop(template: torch.Tensor, crop: torch.Tensor) -> None:
    if crop.ndim != 4 or crop.shape[-1] not in (3, 4) or 0 in crop.shape or crop.shape[1] != crop.shape[2]:
        raise PhotoError(
            f"the crop has the shape {tuple(crop.shape)}, but must be a square picture [batch, size, size, 3]",
            "Connect the crop of Template Face after inpainting, scaled evenly if at all",
        )
    if len(template) != len(crop) and 1 not in (len(template), len(crop)):
        raise PhotoError(
            f"{len(crop)} crops do not fit {len(template)} templates", "Connect one template, or one for each crop"
        )
    if not bool(torch.isfinite(crop).all()):
        raise PhotoError(
            "the crop holds values that are not numbers",
            "Mostly the VAE failed in half precision: start ComfyUI with --fp32-vae, or use another one",
        )


def _soft(depth: torch.Tensor) -> torch.Tensor:
    """Smooth step from 0 (depth 0 and less) to 1 (depth 1 and more)."""
    t = depth.clamp(0, 1)
    return t * t * (3 - 2 * t)


def _fitted(template: torch.Tensor, crop: torch.Tensor, face: TemplateFace) -> torch.Tensor:
    """The crop [S, S, C] at the template's scale, on the face's region: [h, w, 3].

    What resampling alone would lose of the template is added back wherever the crop still
    shows the same thing, so that an unchanged crop gives back the template itself.
    """
    crop = crop[..., :3]
    at_scale = _on_region(crop, face)
    if len(crop) == face.window.side:
        return at_scale
    rows, columns = face.region
    old = template[0, rows, columns, :3].float().cpu()
    unchanged = _on_region(resized(cut(template, face.window), len(crop))[0], face)
    change = _blurred((at_scale - unchanged).abs().mean(-1), max(1, round(0.02 * face.face_size)))
    new = (change / _CHANGED).clamp(0, 1)[..., None]
    # written as changes to the old pixels, so that an unchanged crop leaves them bit for bit
    return old + (at_scale - unchanged) + new * (unchanged - old)


def _on_region(crop: torch.Tensor, face: TemplateFace) -> torch.Tensor:
    rows, columns = face.region
    left, top = columns.start - face.window.x, rows.start - face.window.y
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if len(crop) == face.window.side:
        return crop[top : top + height, left : left + width]
    scale = len(crop) / face.window.side
    # pixel centres lie at whole numbers: (x + 0.5) * scale - 0.5
    matrix = np.array([[scale, 0, (left + 0.5) * scale - 0.5], [0, scale, (top + 0.5) * scale - 0.5]])
    return warp(crop, matrix, (height, width))


def _blurred(values: torch.Tensor, radius: int) -> torch.Tensor:
    """Mean of values [h, w] over squares of 2 radius + 1, clipped at the border."""
    return torch.nn.functional.avg_pool2d(
        values[None, None], 2 * radius + 1, stride=1, padding=radius, count_include_pad=False
    )[0, 0]


def _cast(difference: torch.Tensor, face: TemplateFace) -> torch.Tensor:
    """A smooth correction [h, w, 3] that carries the colour difference [h, w, 3] along the mask's edge inwards.

    Where the edge shows another thing than before (hair, a collar), the difference is not believed.
    """
    ring = (face.depth > 0) & (face.depth < max(2.0, _RING * face.face_size))
    if not bool(ring.any()):
        return torch.zeros_like(difference)
    usual = difference[ring].median(dim=0).values
    belief = ring / (1 + ((difference - usual).abs().mean(-1) / _OUTLIER) ** 2)
    weighted = torch.cat([difference * belief[..., None], belief[..., None]], -1).permute(2, 0, 1)[None]
    height, width = ring.shape
    cell = max(height, width) / _CELLS
    small = torch.nn.functional.adaptive_avg_pool2d(
        weighted, (max(1, round(height / cell)), max(1, round(width / cell)))
    )
    spread = _gaussian(small, _SMOOTH * face.face_size / cell)
    smooth = spread[:, :3] / spread[:, 3:].clamp(min=1e-8)
    return torch.nn.functional.interpolate(smooth, (height, width), mode="bilinear")[0].permute(1, 2, 0)


def _gaussian(values: torch.Tensor, sigma: float) -> torch.Tensor:
    """[1, C, h, w] smoothed with a Gaussian; nothing lies beyond the border."""
    _, _, height, width = values.shape

    def weights(length: int) -> torch.Tensor:
        places = torch.arange(length, dtype=torch.float32)
        return torch.exp(-0.5 * ((places[:, None] - places[None]) / sigma) ** 2)

    return weights(height) @ values @ weights(width)
