"""How good and how fast Face Fusion is: likeness, expression, seam, time; and a sheet to look at.

    python benchmarks/fusion.py [--data ../shared/data] [--out fusion.png] [--shape 0.5] [--identity 1.0] [--no-times]

Pairs of a person (of one photo, or of four) and a target picture, easy and hard ones: alike pose and light, 30 degrees
of yaw, glasses, sunglasses, closed eyes, a smile on closed lips. Distances are Euclidean between unit embeddings of
the embedded engine; in dlib's own scale (vectors of length 1.45) they are 1.45 times as large. Photos of one person lie
0.28 apart on average, of two people 0.59.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

import comfy_host  # noqa: E402

# person: (pictures, which face counted from the left). "@" names a photo that a PyPI package carries.
PEOPLE = {
    "astronaut": (["@astronaut"], 0),
    "man": ([f"people/man/pose{n}.png" for n in (1, 2, 3, 4)], 0),
    "man, 1 photo": (["people/man/portrait.png"], 0),
    "woman": ([f"people/woman/pose{n}.png" for n in (1, 2, 3, 4)], 0),
    "woman, 1 photo": (["people/woman/portrait.png"], 0),
    "group 1, eyes shut": (["@group"], 0),
    "group 3, head down": (["@group"], 2),
}
PAIRS = [
    ("astronaut", "styles_preview/Working_suit.jpg"),
    ("astronaut", "styles_preview/European_fields.jpg"),
    ("astronaut", "styles_preview/Flowers.jpg"),
    ("man", "styles_preview/Gentleman.jpg"),
    ("man", "styles_preview/Men_suit.jpg"),
    ("man", "templates/4.jpg"),
    ("man, 1 photo", "styles_preview/Soccer.jpg"),
    ("man, 1 photo", "styles_preview/Cybernetics_punk.jpg"),
    ("woman", "styles_preview/Hong_Kong_night_style.jpg"),
    ("woman", "styles_preview/Casual_Lifestyle.jpg"),
    ("woman", "templates/3.jpg"),
    ("woman", "styles_preview/Wizard_of_Oz.jpg"),
    ("woman", "styles_preview/Fashion_glasses.jpg"),
    ("woman, 1 photo", "styles_preview/Armor.jpg"),
    ("woman, 1 photo", "styles_preview/Street_style.jpg"),
    ("group 1, eyes shut", "styles_preview/Model_style.jpg"),
    ("group 3, head down", "people/man/pose4.png"),
    ("astronaut", "@group"),
]


@dataclass(frozen=True)
class Row:
    """before, after: distance to the person. gaze: largest change, eye widths. mouth: change of the lips' gap, mouth
    widths. seam: gradient at the mask's edge by that beside it, relative to the same in the target."""

    person: str
    target: str
    before: float
    after: float
    gaze: float | None
    mouth: float
    seam: float
    yaw: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=Path("fusion.png"))
    parser.add_argument("--shape", type=float, default=0.5)
    parser.add_argument("--identity", type=float, default=1.0)
    parser.add_argument("--no-times", action="store_true")
    arguments = parser.parse_args()
    comfy_host.reenter(comfy_host.prepare())
    bench = Bench(arguments.data)
    rows, tiles = [], []
    for person, target in PAIRS:
        row, pictures = bench.measure(person, target, arguments.identity, arguments.shape)
        rows.append(row)
        tiles.extend(pictures)
        print(_line(row), flush=True)
    _summary(rows)
    bench.draw(tiles, arguments.out)
    print(f"sheet: {arguments.out}")
    if not arguments.no_times:
        bench.times()


def _line(row: Row) -> str:
    gaze = "   - " if row.gaze is None else f"{row.gaze:5.2f}"
    return (
        f"{row.person:20} {Path(row.target).stem:22} yaw {row.yaw:4.0f}  distance {row.before:.3f} -> {row.after:.3f}  "
        f"gaze {gaze}  mouth {row.mouth:5.2f}  seam {row.seam:.2f}"
    )


def _summary(rows: list[Row]) -> None:
    before, after = (statistics.mean(getattr(row, name) for row in rows) for name in ("before", "after"))
    gazes = [row.gaze for row in rows if row.gaze is not None]
    print(
        f"{len(rows)} pairs: distance {before:.3f} -> {after:.3f} (dlib's scale {before * 1.45:.2f} -> {after * 1.45:.2f}), "
        f"gaze {statistics.mean(gazes):.3f}, mouth {statistics.mean(abs(r.mouth) for r in rows):.3f}, "
        f"seam {statistics.mean(r.seam for r in rows):.2f}, worst {max(r.seam for r in rows):.2f}"
    )


class Bench:
    """Loads people and pictures, fuses and measures. Everything heavy is imported here, in the host's Python."""

    def __init__(self, data: Path) -> None:
        from sample_photos import fetch_photos

        from facechain.faces import engine

        self.data, self.package, self.engine = data, fetch_photos(), engine()
        self.people = {}

    def load(self, name: str):
        import numpy as np
        from PIL import Image

        path = self.package[name[1:]] if name.startswith("@") else self.data / name
        return np.asarray(Image.open(path).convert("RGB"))

    def person(self, name: str):
        """The Person that Preprocess makes of the photos, each cut around its face first."""
        from facechain.images import from_pixels
        from facechain.photos.intake import IntakeOptions, take_in
        from facechain.photos.look import Photos

        if name not in self.people:
            files, index = PEOPLE[name]
            photos = [from_pixels(self._around(self.load(file), index)) for file in files]
            self.people[name] = take_in(
                Photos(photos), files, self.engine, IntakeOptions(name=name, retouch=0.0)
            ).person
        return self.people[name]

    def _around(self, picture, index: int):
        import numpy as np

        faces = sorted(self.engine.analyze([picture], embed=False)[0], key=lambda face: face.center[0])
        if len(faces) == 1:
            return picture
        face = faces[index]
        reach = 0.95 * max(face.width, face.height)
        low = np.maximum(np.array(face.center) - reach, 0).astype(int)
        high = (np.array(face.center) + reach).astype(int)
        return np.ascontiguousarray(picture[low[1] : high[1], low[0] : high[0]])

    def measure(self, who: str, target_name: str, identity: float, shape: float):
        import numpy as np

        from facechain.faces.base import distance
        from facechain.fusion import Strength, fuse_pictures
        from facechain.fusion.masks import mouth_gap
        from facechain.images import from_pixels, to_pixels

        person, target = self.person(who), self.load(target_name)
        old = self.engine.analyze([target])[0][0]
        done = fuse_pictures(from_pixels(target), person, self.engine, Strength(identity, shape))
        edge = fuse_pictures(from_pixels(target), person, self.engine, Strength(identity, 0.0)).masks[0].numpy()
        new_picture = to_pixels(done.images)[0]
        found = self.engine.analyze([new_picture])[0]
        new = min(found, key=lambda face: float(np.hypot(*np.subtract(face.center, old.center))))
        near = [
            float(np.mean([distance(row, np.asarray(face.embedding)) for row in person.embeddings.numpy()]))
            for face in (old, new)
        ]
        assert new.mesh is not None and old.mesh is not None
        mouth = mouth_gap(new.mesh) - mouth_gap(old.mesh)
        gaze = self._gaze_change(target, old, new_picture, new)
        row = Row(who, target_name, near[0], near[1], gaze, mouth, _seam(target, new_picture, edge, old), old.yaw)
        return row, self._tiles(person, done.reports[0], row, target, new_picture, old)

    def _gaze_change(self, target, old, new_picture, new) -> float | None:
        from facechain.fusion.eyes import look_at_eyes
        from facechain.fusion.sources import HALF_PIXEL

        eyes = [
            look_at_eyes(p.astype("float32") / 255, f.mesh - HALF_PIXEL) for p, f in ((target, old), (new_picture, new))
        ]
        changes = [
            abs(a - b)
            for a, b in ((eyes[0][side].gaze, eyes[1][side].gaze) for side in ("left", "right"))
            if a is not None and b is not None
        ]
        return max(changes) if changes else None

    def _tiles(self, person, report, row: Row, target, fused, face) -> list:
        import numpy as np
        from PIL import Image

        from facechain import sheets
        from facechain.images import to_pixels

        photo = report["changed"][0]["photo"]
        number = list(person.photo_names).index(photo) if photo in person.photo_names else int(photo) - 1
        x, y = face.center
        reach = 0.95 * max(face.width, face.height)
        box = (int(x - reach), int(y - reach), int(x + reach), int(y + reach))
        cut = [np.asarray(Image.fromarray(p).crop(box)) for p in (target, fused)]
        source = to_pixels(person.images[number])[0][60:400, 86:426]
        colour = sheets.GOOD if row.after < 0.28 else sheets.FAIR if row.after < 0.38 else sheets.BAD
        words = [
            (row.person, f"photo {number + 1} of {person.count}"),
            (f"{Path(row.target).stem}  {row.before:.2f}", f"yaw {row.yaw:.0f}"),
            (f"{row.after:.2f}", f"mouth {row.mouth:+.2f}, seam {row.seam:.2f}"),
        ]
        return [sheets.tile(p, w, colour, side=300) for p, w in zip([source, *cut], words, strict=True)]

    def draw(self, tiles: list, out: Path) -> None:
        from PIL import Image

        from facechain import sheets

        Image.fromarray(sheets.contact_sheet(tiles, title="photo, target, fused", side=300, columns=6)).save(out)

    def times(self) -> None:
        """CPU time a face, best of five, at two sizes of picture with the same face and with the picture scaled."""
        import numpy as np
        from PIL import Image

        from facechain.fusion.face import Strength, fuse_face, work_area
        from facechain.fusion.sources import HALF_PIXEL, photos_of

        source = photos_of(self.person("man"))[0].source
        small = self.load("styles_preview/Gentleman.jpg")
        framed = np.zeros((2048, 2048, 3), np.uint8)
        framed[:512, :512] = small
        large = np.asarray(Image.fromarray(small).resize((2048, 2048), Image.Resampling.BICUBIC))
        for name, picture in (("512 px", small), ("2048 px, same face", framed), ("2048 px, face four times", large)):
            face = self.engine.analyze([picture], embed=False)[0][0]
            assert face.mesh is not None
            rows, columns = work_area(face.mesh, picture.shape[:2])
            crop = picture[rows, columns].astype(np.float32) / 255
            mesh = face.mesh - HALF_PIXEL - [columns.start, rows.start, 0]
            taken = []
            for _ in range(5):
                started = time.process_time()
                fuse_face(crop, mesh, source, Strength())
                taken.append(time.process_time() - started)
            print(f"{name:26} face {face.width:.0f} px: {min(taken) * 1000:.0f} ms CPU time a face")


def _seam(target, fused, mask, face) -> float:
    import numpy as np

    def gradient(picture):
        luma = picture.astype(np.float32).mean(-1)
        return np.hypot(*np.gradient(luma))

    band = (mask > 0.25) & (mask < 0.75)
    beside = ((mask > 0.02) & (mask <= 0.25)) | ((mask >= 0.75) & (mask < 0.98))
    ratios = [float(g[band].mean() / g[beside].mean()) for g in (gradient(fused), gradient(target))]
    return ratios[0] / ratios[1]


if __name__ == "__main__":
    main()
