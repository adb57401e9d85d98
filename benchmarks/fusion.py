"""How good and how fast Face Fusion is: likeness, expression, seam, time, memory; and a sheet to look at.

    python benchmarks/fusion.py [--data ../shared/data] [--out fusion.png] [--shape 0.5] [--identity 1.0] [--only quality]
    python benchmarks/fusion.py --held-out --only quality      # pairs that no constant was chosen on (fusion_pairs.py)

Pairs of a person (of one photo, or of four) and a target picture, easy and hard ones: alike pose and light, 30 degrees
of yaw, glasses, sunglasses, closed eyes, a smile on closed lips. Two networks judge: the embedded engine's, which also
chooses what is tried, and one that the pack never uses (scripts/face_judge.py). Distances are Euclidean between unit
embeddings; in dlib's own scale (vectors of length 1.45) the first is 1.45 times as large, and the goal there is 0.34.
Photos of one person lie 0.28 apart on average (judge: 0.43), of two people 0.59 (judge: 1.03).

The peers in the same run (fusion_peer.py, needs OpenCV): a plain triangle warp, feathered, and the same blended by
OpenCV's seamlessClone.

Measured on 2 cores of an AMD EPYC, CPU only, beside other work, at the default strength: 11 pairs of the goal 0.40 ->
0.23 (0.334 in dlib's scale, goal 0.34), judge 0.95 -> 0.66, gaze at worst 0.07 of an eye, mouth 0.05 of its width. All
18 pairs: 0.425, judge 0.78. The plain warp comes nearer by both judges (0.16, 0.54), since it brings the photo's eyes,
lips and light along: its gaze moves by 0.14 on average, 0.25 at worst, and glasses vanish.
Seams: none of 18 lies outside 0.85 to 1.15, the worst at 1.10. All constants were chosen on these same pairs.
Held out (fusion_pairs.py), first run: people of four photos on 18 new pictures 0.362, judge 0.73, 2 seams outside; new
people, of one photo or two, mostly small faces turned aside, on 20 new pictures 0.446, judge 0.72, 4 seams outside, the
worst at 1.37; gaze at worst 0.09, mouth 0.05 everywhere. So the goal of 0.34 is met on its pairs alone, and a seam may be
seen where hair lies over the face of the photo, or where a small photo is turned aside. That run's sheet showed three
faults: a dark line down the nose and a dotted one on the far cheek of photos turned by more than 20 degrees, and brows
drawn over the picture's hair. With them mended, by eye, these pairs are no longer wholly held out: 0.363 and 0.457, 1
and 4 seams outside. Up to 35 degrees between photo and picture the distance falls by the same part as at 0 to 10: 0.3.
A face of 130 pixels takes 0.9 to 1.3 times as long as the plain warp (0.10 to 0.14 s) and no longer in a picture of 2048
pixels, where it takes 0.3 of the plain warp's time; a face four times as wide 0.6 s, 0.75 to 1.07 of it. numpy's peak is
24 MB, and 95 MB. Lanes of two, six and ten people cost alike (0.4 to 0.5 s of processor time each); all pixels outside
the masks are identical.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

import comfy_host  # noqa: E402
from fusion_pairs import COVERED, GOAL, HELD_OUT, PAIRS, PEOPLE  # noqa: E402
from fusion_rows import Row, line, summary  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=Path("fusion.png"))
    parser.add_argument("--shape", type=float, default=0.5)
    parser.add_argument("--identity", type=float, default=1.0)
    parser.add_argument("--held-out", action="store_true", help="other pairs than those the constants were chosen on")
    parser.add_argument("--only", choices=("quality", "times", "template"), nargs="*")
    arguments = parser.parse_args()
    comfy_host.reenter(comfy_host.prepare())
    parts = arguments.only or ("quality", "times", "template")
    bench = Bench(arguments.data)
    if "quality" in parts:
        quality(bench, arguments)
    if "times" in parts:
        bench.times()
    if "template" in parts:
        bench.template()


def quality(bench: Bench, arguments: argparse.Namespace) -> None:
    """Measure the pairs and draw the sheet."""
    tiles: list = []

    def measured(pairs: list[tuple[str, str]]) -> list[Row]:
        rows = []
        for person, target in pairs:
            row, pictures = bench.measure(person, target, arguments.identity, arguments.shape)
            rows.append(row)
            tiles.extend(pictures)
            print(line(row), flush=True)
        return rows

    if arguments.held_out:
        for name, pairs in HELD_OUT.items():
            summary(name, measured(pairs))
    else:
        rows = measured(PAIRS)
        summary("all", rows)
        summary("of the goal", [rows[n] for n in GOAL if Path(rows[n].target).stem not in COVERED])
    bench.draw(tiles, arguments.out)
    print(f"sheet: {arguments.out}")


class Bench:
    """Loads people and pictures, fuses and measures. Everything heavy is imported here, in the host's Python."""

    def __init__(self, data: Path) -> None:
        from sample_photos import fetch_photos

        from facechain.faces import engine

        self.data, self.package, self.engine = data, fetch_photos(), engine()
        self.people, self.judged = {}, {}

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
            pictures = [self._around(self.load(file), index) for file in files]
            self.judged[name] = [self._judge(picture, self._face(picture)) for picture in pictures]
        return self.people[name]

    def _face(self, picture, near=None):
        """The face of a picture with its embedding: the largest, or the one nearest to another."""
        import numpy as np

        found = self.engine.analyze([picture])[0]
        return (
            min(found, key=lambda face: float(np.hypot(*np.subtract(face.center, near.center)))) if near else found[0]
        )

    def _judge(self, picture, face):
        from face_judge import judge_embedding

        return judge_embedding(picture, face)

    def _distances(self, who: str, picture, face) -> tuple[float, float]:
        """To the person's photos: by the embedded network, and by the judge."""
        import numpy as np

        from facechain.faces.base import distance

        own = [distance(row, np.asarray(face.embedding)) for row in self.person(who).embeddings.numpy()]
        seen = self._judge(picture, face)
        return float(np.mean(own)), float(np.mean([distance(row, seen) for row in self.judged[who]]))

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

        from facechain.fusion.face import Strength, fuse_face
        from facechain.fusion.sources import HALF_PIXEL, best_photo, photos_of

        person, target = self.person(who), self.load(target_name)
        old = self._face(target)
        rows, columns, crop, at_crop = self._at_crop(target, old)
        photo = best_photo(photos_of(person), crop, at_crop)
        done = fuse_face(crop, at_crop.mesh - HALF_PIXEL, photo.source, Strength(identity, shape))
        fused = target.copy()
        fused[rows, columns] = (done.picture * 255).round().astype(np.uint8)
        new = self._face(fused, old)
        peers = {}
        for name, picture in self._peers(target, old, photo):
            face = self._face(picture, old)
            gaze = self._gaze_change(target, old, picture, face)
            peers[name] = (*self._distances(who, picture, face), gaze, abs(_gap(face) - _gap(old)))
        row = Row(
            who,
            target_name,
            self._distances(who, target, old),
            self._distances(who, fused, new),
            self._gaze_change(target, old, fused, new),
            _gap(new) - _gap(old),
            _seam(target[rows, columns], fused[rows, columns], done.alpha),
            old.yaw,
            abs(photo.yaw - old.yaw),
            peers,
        )
        return row, self._tiles(person, photo.number, row, target, fused, old)

    def _at_crop(self, picture, face):
        """Rows, columns and pixels (float32 0..1) of the part that is worked on, and the face in it."""
        from dataclasses import replace

        import numpy as np

        from facechain.fusion.face import work_area

        rows, columns = work_area(face.mesh, picture.shape[:2])
        crop = picture[rows, columns].astype(np.float32) / 255
        return rows, columns, crop, replace(face, mesh=face.mesh - [columns.start, rows.start, 0])

    def _peers(self, target, face, photo):
        import importlib.util

        import numpy as np

        if importlib.util.find_spec("cv2") is None:
            return
        from fusion_peer import plain_warp

        from facechain.fusion.sources import HALF_PIXEL
        from facechain.fusion.topology import OVAL

        source = (photo.source.picture * 255).round().astype(np.uint8)
        for name, seamless in (("plain warp", False), ("plain warp, seamlessClone", True)):
            yield name, plain_warp(target, face.mesh - HALF_PIXEL, source, photo.source.mesh, OVAL, seamless)

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

    def _tiles(self, person, number: int, row: Row, target, fused, face) -> list:
        import numpy as np
        from PIL import Image

        from facechain import sheets
        from facechain.images import to_pixels

        x, y = face.center
        reach = 0.95 * max(face.width, face.height)
        box = (int(x - reach), int(y - reach), int(x + reach), int(y + reach))
        cut = [np.asarray(Image.fromarray(p).crop(box)) for p in (target, fused)]
        source = to_pixels(person.images[number])[0][60:400, 86:426]
        colour = sheets.GOOD if row.after[0] < 0.28 else sheets.FAIR if row.after[0] < 0.38 else sheets.BAD
        words = [
            (row.person, f"photo {number + 1} of {person.count}"),
            (f"{Path(row.target).stem}  {row.before[0]:.2f}", f"yaw {row.yaw:.0f}"),
            (f"{row.after[0]:.2f}, judge {row.after[1]:.2f}", f"mouth {row.mouth:+.2f}, seam {row.seam:.2f}"),
        ]
        return [sheets.tile(p, w, colour, side=300) for p, w in zip([source, *cut], words, strict=True)]

    def draw(self, tiles: list, out: Path) -> None:
        from PIL import Image

        from facechain import sheets

        Image.fromarray(sheets.contact_sheet(tiles, title="photo, target, fused", side=300, columns=6)).save(out)

    def times(self) -> None:
        """CPU time a face, best of five, at two sizes of picture with the same face and with the picture scaled."""
        import tracemalloc

        import numpy as np
        from fusion_peer import plain_warp
        from PIL import Image

        from facechain.fusion.face import Strength, fuse_face
        from facechain.fusion.sources import HALF_PIXEL, photos_of
        from facechain.fusion.topology import OVAL

        source = photos_of(self.person("man"))[0].source
        photo = (source.picture * 255).round().astype(np.uint8)
        small = self.load("styles_preview/Gentleman.jpg")
        framed = np.zeros((2048, 2048, 3), np.uint8)
        framed[:512, :512] = small
        large = np.asarray(Image.fromarray(small).resize((2048, 2048), Image.Resampling.BICUBIC))
        for name, picture in (("512 px", small), ("2048 px, same face", framed), ("2048 px, face four times", large)):
            face = self._face(picture)

            def ours(picture=picture, face=face) -> None:
                _, _, crop, at_crop = self._at_crop(picture, face)
                fuse_face(crop, at_crop.mesh - HALF_PIXEL, source, Strength())

            def theirs(picture=picture, face=face) -> None:
                plain_warp(picture, face.mesh - HALF_PIXEL, photo, source.mesh, OVAL, False)

            taken = [min(_cpu_time(work) for _ in range(5)) for work in (ours, theirs)]
            tracemalloc.start()
            ours()
            peak = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
            print(
                f"{name:26} face {face.width:.0f} px: {taken[0] * 1000:.0f} ms CPU time a face, plain warp "
                f"{taken[1] * 1000:.0f} ms, ratio {taken[0] / taken[1]:.2f}; numpy's peak {peak:.0f} MB",
                flush=True,
            )

    def template(self) -> None:
        """Two, six and ten people in their templates, without drawing anew: time a lane, and whether the rest is identical."""
        import torch
        from sample_photos import ten_people

        from facechain import template as core
        from facechain.fusion import Strength, fuse_pictures
        from facechain.images import from_pixels

        people = [self.person(name) for name in ("woman", "man")]
        self.package["ten"] = ten_people(self.data, Path(tempfile.mkdtemp()) / "ten.png")
        for name in ("templates/5.jpg", "@group", "@ten"):
            image = from_pixels(self.load(name))
            spent = [time.process_time()]
            faces = core.find_faces(image, self.engine)
            spent.append(time.process_time())
            picture, union = image, torch.zeros(image.shape[1:3], dtype=torch.bool)
            for number in range(1, len(faces) + 1):
                record = core.place_face(image, faces, number, size=512, face_part=0.45, grow=0.1)
                crop, region = core.crop_of(image, record), record.crop_mask()[None]
                fused = fuse_pictures(crop, people[number % 2], self.engine, Strength(), region=region).images
                picture, changed = core.paste_face(picture, fused, record)
                union |= changed[0] > 0
                spent.append(time.process_time())
            same = bool(torch.equal(picture[0][~union], image[0][~union]))
            lanes = [b - a for a, b in itertools.pairwise(spent[1:])]
            print(
                f"{Path(name).stem}: {len(faces)} people, {1000 * statistics.mean(lanes):.0f} ms CPU time a lane (first "
                f"{1000 * lanes[0]:.0f}), faces found in {1000 * (spent[1] - spent[0]):.0f} ms; pixels outside the masks "
                f"({100 * float((~union).float().mean()):.1f} % of the picture) identical: {same}",
                flush=True,
            )


def _gap(face) -> float:
    from facechain.fusion.masks import mouth_gap

    return mouth_gap(face.mesh)


def _cpu_time(work) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _seam(target, fused, alpha) -> float:
    """Gradient where the new face fades by that beside it, relative to the same in the target: 1 is as before."""
    import numpy as np

    def gradient(picture):
        luma = picture.astype(np.float32).mean(-1)
        return np.hypot(*np.gradient(luma))

    band = (alpha > 0.25) & (alpha < 0.75)
    beside = ((alpha > 0.02) & (alpha <= 0.25)) | ((alpha >= 0.75) & (alpha < 0.98))
    ratios = [float(g[band].mean() / g[beside].mean()) for g in (gradient(fused), gradient(target))]
    return ratios[0] / ratios[1]


if __name__ == "__main__":
    main()
