"""Things drawn before real faces: masks, a hand, a microphone, glasses."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

LOWER_FACE = [5, 50, 123, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 352, 280]
SKIN = (50, 280, 101, 330, 151)


def shape_of(mesh: np.ndarray) -> tuple[float, list[tuple[np.ndarray, float]]]:
    """Width of the face, and middle and width of each eye."""
    eyes = [
        ((mesh[a, :2] + mesh[b, :2]) / 2, float(np.linalg.norm(mesh[a, :2] - mesh[b, :2])))
        for a, b in ((33, 133), (362, 263))
    ]
    return float(np.ptp(mesh[:, 0])), eyes


def drawn(picture: np.ndarray, mesh: np.ndarray, what: str) -> np.ndarray:
    image = Image.fromarray(picture)
    pen, (width, eyes) = ImageDraw.Draw(image), shape_of(mesh)
    x, y = (float(v) for v in mesh[14, :2])
    if what.endswith("mask"):
        colour = {"blue mask": (150, 190, 215), "white mask": (235, 235, 235), "black mask": (28, 28, 30)}[what]
        pen.polygon([(float(p[0]), float(p[1])) for p in mesh[LOWER_FACE]], fill=colour)
    elif what == "hand":
        spots = np.array([picture[int(mesh[i, 1]), int(mesh[i, 0])] for i in SKIN])
        skin = np.median(spots, axis=0)
        for finger in range(4):
            top = y + (finger - 2) * 0.11 * width
            box = (x - 0.42 * width, top - 0.06 * width, x + 0.28 * width, top + 0.055 * width)
            fill, outline = (tuple(int(v * part) for v in skin) for part in (0.93, 0.7))
            pen.rounded_rectangle(box, radius=0.05 * width, fill=fill, outline=outline)
    elif what == "large hand":
        spots = np.array([picture[int(mesh[i, 1]), int(mesh[i, 0])] for i in SKIN])
        fill, outline = (tuple(int(v * part) for v in np.median(spots, axis=0)) for part in (0.93, 0.7))
        palm = (x - 0.1 * width, y - 0.25 * width, x + 0.5 * width, y + 0.6 * width)
        pen.rounded_rectangle(palm, 0.12 * width, fill, outline, 2)
        for finger in range(4):
            top = y + (finger - 2) * 0.15 * width
            box = (x - 0.5 * width, top - 0.075 * width, x + 0.2 * width, top + 0.07 * width)
            pen.rounded_rectangle(box, 0.07 * width, fill, outline, 2)
    elif what == "microphone":
        pen.ellipse((x - 0.24 * width, y - 0.16 * width, x + 0.24 * width, y + 0.32 * width), fill=(40, 40, 44))
    elif what == "spectacles":
        rim, thick = (30, 25, 25), max(2, round(0.02 * width))
        (ax, ay, aw), (bx, by, bw) = ((*middle, w) for middle, w in eyes)
        for ex, ey, w in ((ax, ay, aw), (bx, by, bw)):
            pen.rounded_rectangle(
                (ex - 0.85 * w, ey - 0.5 * w, ex + 0.85 * w, ey + 0.75 * w), 0.35 * w, None, rim, thick
            )
        pen.line((ax + 0.85 * aw, ay - 0.1 * aw, bx - 0.85 * bw, by - 0.1 * bw), rim, thick)
    else:
        fill, outline = ((18, 18, 22), None) if what == "dark glasses" else (None, (30, 25, 25))
        for (ex, ey), w in eyes:
            box = (ex - 0.85 * w, ey - 0.5 * w, ex + 0.85 * w, ey + 0.75 * w)
            pen.rounded_rectangle(box, 0.35 * w, fill, outline, width=2)
            if what == "reflections":
                corners = [(-0.6, -0.35), (0.3, -0.4), (0, 0.5), (-0.7, 0.4)]
                pen.polygon([(ex + a * w, ey + b * w) for a, b in corners], fill=(252, 253, 255))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(width * 0.004)))
