"""How well likeness tells people apart, whether two networks order portraits alike, and what ranking many costs.

    python benchmarks/likeness.py [--data ../shared/data] [--pictures 10000] [--insightface DIR] [--only memory]

Pairs: photos of one person against each other and against everybody else's, as they are and worse (half the size,
strong JPEG, dark, turned by 12 degrees). The area under the ROC curve (AUC) and the equal-error rate (EER) of each
engine; the yardstick in the same run is a MobileNet of another training (scripts/face_judge.py), which the pack
never uses. Order: for each person the portraits of styles_preview, ranked by the engine and by the yardstick
(Spearman). Memory: of this process while so many pictures, made one by one, are ranked: at a tenth, a half and all.
Measured on 2 cores of an AMD EPYC, CPU only: AUC 1.000 and EER 0 for engine and yardstick alike, Spearman 0.58 and 0.60;
10,000 pictures of 128 pixels: 738 MB after 1,000, 739 after 5,000, 740 after 10,000, 17 ms of processor time each.
--insightface: a folder with models/<pack>/*.onnx; without it, and without such files in the host's models folder,
that engine is left out, and the output says so. Its weights were not at hand where this was measured: that engine has no
figures here, and its code is tested with small networks of the same interface (tests/unit/test_faces_insightface.py).
"""

from __future__ import annotations

import argparse
import io
import itertools
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

import comfy_host  # noqa: E402

PEOPLE = {
    "man": [f"people/man/pose{n}.png" for n in (1, 2, 3, 4)],
    "woman": [f"people/woman/pose{n}.png" for n in (1, 2, 3, 4)],
    "man 2": ["people/man/portrait.png"],
    "woman 2": ["people/woman/portrait.png"],
}
WORSE = ("as it is", "half the size", "strong JPEG", "dark", "turned")
_SIDE = 128  # pixels of the pictures ranked for memory
_FACE_EVERY = 20  # of the pictures ranked for memory, one in so many holds a face; the rest is a plain wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--pictures", type=int, default=10000)
    parser.add_argument("--insightface", type=Path)
    parser.add_argument("--only", choices=("pairs", "orders", "memory"), nargs="*")
    arguments = parser.parse_args()
    host = comfy_host.prepare()
    comfy_host.reenter(host)
    bench = Bench(arguments.data, _readers(arguments.insightface or host.models / "insightface"))
    parts = arguments.only or ("pairs", "orders", "memory")
    if "pairs" in parts:
        bench.pairs()
    if "orders" in parts:
        bench.orders()
    if "memory" in parts:
        bench.memory(arguments.pictures)


def _readers(folder: Path) -> dict[str, Any]:
    """name: (picture) -> unit embedding or None; the yardstick comes last."""
    import numpy as np
    from face_judge import judge_embedding

    from facechain.errors import ModelFileError
    from facechain.faces import engine

    def by(networks: Any) -> Any:
        def read(picture: np.ndarray) -> np.ndarray | None:
            faces = networks.analyze([picture])[0]
            return faces[0].embedding if faces else None

        return read

    def judged(picture: np.ndarray) -> np.ndarray | None:
        faces = engine().analyze([picture], embed=False)[0]
        return judge_embedding(picture, faces[0]) if faces else None

    found = {"embedded": by(engine())}
    try:
        insightface = engine("insightface", folders=[folder])
        insightface.info()
        found["insightface"] = by(insightface)
    except ModelFileError as error:
        print(f"insightface is left out: {error}")
    return found | {"yardstick": judged}


class Bench:
    """Pictures and what the networks say of them. Everything heavy is imported here, in the host's Python."""

    def __init__(self, data: Path, readers: dict[str, Any]) -> None:
        from sample_photos import fetch_photos

        self.data, self.readers = data, readers
        self.photos = {name: [self._load(data / file) for file in files] for name, files in PEOPLE.items()}
        package = fetch_photos()
        self.photos["astronaut"] = [self._load(package["astronaut"])]
        for number, face in enumerate(self._cut_apart(self._load(package["group"])), 1):
            self.photos[f"group {number}"] = [face]

    def _load(self, path: Path) -> Any:
        import numpy as np
        from PIL import Image

        return np.asarray(Image.open(path).convert("RGB"))

    def _cut_apart(self, picture: Any) -> Iterator[Any]:
        import numpy as np

        from facechain.faces import engine

        for face in engine().analyze([picture], embed=False)[0]:
            reach = 0.8 * max(face.width, face.height)
            low = np.maximum(np.array(face.center) - reach, 0).astype(int)
            high = (np.array(face.center) + reach).astype(int)
            yield np.ascontiguousarray(picture[low[1] : high[1], low[0] : high[0]])

    def pairs(self) -> None:
        shown = [
            (name, number, photo, how)
            for name, photos in self.photos.items()
            for number, photo in enumerate(photos)
            for how in WORSE
        ]
        scores: dict[str, tuple[float, float]] = {}
        for reader, read in self.readers.items():
            rows = [(name, number, how, read(_made_worse(photo, how))) for name, number, photo, how in shown]
            known = [(name, number, how, row) for name, number, how, row in rows if row is not None]
            for label, hows in (("as they are", WORSE[:1]), ("as they are and worse", WORSE)):
                same, other = _cosines([(name, number, row) for name, number, how, row in known if how in hows])
                area, error = _auc(same, other), _equal_error(same, other)
                scores[f"{reader}, {label}"] = area, error
                print(
                    f"{reader:12} {label:22} {len(same):5} same and {len(other):6} different pairs: "
                    f"AUC {area:.4f}, EER {100 * error:5.2f} %, faces not found {len(rows) - len(known)}",
                    flush=True,
                )
        worst = ", as they are and worse"
        for reader in list(self.readers)[:-1]:
            ours, theirs = scores[reader + worst], scores["yardstick" + worst]
            print(f"{reader} against the yardstick: AUC {ours[0] / theirs[0]:.3f}x, EER {_ratio(ours[1], theirs[1])}")

    def orders(self) -> None:
        """How far an engine and the yardstick order the same portraits alike, for each person of several photos."""
        import numpy as np
        from scipy.stats import spearmanr

        portraits = [self._load(path) for path in sorted((self.data / "styles_preview").glob("*.jpg"))]
        rows = {name: [read(picture) for picture in portraits] for name, read in self.readers.items()}
        seen = [n for n in range(len(portraits)) if all(row[n] is not None for row in rows.values())]
        for person in ("man", "woman"):
            likeness = {}
            for name, read in self.readers.items():
                own = np.stack([read(photo) for photo in self.photos[person]])
                likeness[name] = np.array([float((own @ rows[name][n]).mean()) for n in seen])
            for name in list(self.readers)[:-1]:
                agreement, _ = spearmanr(likeness[name], likeness["yardstick"])
                best = [set(np.argsort(-likeness[which])[:10]) for which in (name, "yardstick")]
                print(
                    f"order of {len(seen)} portraits by likeness to {person}: {name} and the yardstick agree "
                    f"{agreement:.2f} (Spearman), {len(best[0] & best[1])} of the best 10 are the same"
                )

    def memory(self, count: int) -> None:
        """Memory of this process while `count` pictures are ranked, all different, none of them kept."""
        import torch

        from facechain.faces import engine
        from facechain.images import from_pixels
        from facechain.photos.intake import IntakeOptions, take_in
        from facechain.photos.look import Photos
        from facechain.rank import rank, report_of, sheet_of, small_pictures

        photos = [from_pixels(photo) for photo in self.photos["man"]]
        person = take_in(Photos(photos), PEOPLE["man"], engine(), IntakeOptions(name="man", retouch=0.0)).person
        planes = [torch.nn.functional.interpolate(p.movedim(-1, 1), (_SIDE, _SIDE), mode="area") for p in photos]
        pictures = _Drawn([p.movedim(1, -1) for p in planes], count)
        resident: dict[int, tuple[float, float]] = {}

        def progress(done: int) -> None:
            if done in (count // 10, count // 2, count):
                resident[done] = _resident()
                print(
                    f"    after {done} of {count}: {resident[done][0]:.0f} MB, peak {resident[done][1]:.0f} MB",
                    flush=True,
                )

        started = time.process_time()
        ranking = rank(pictures, person, engine(), progress=progress)
        spent = time.process_time() - started
        sheet = sheet_of(ranking, small_pictures(ranking, pictures), person, 4)
        report_of(ranking, person, engine())
        told = ", ".join(f"{now:.0f} (peak {peak:.0f}) MB after {done}" for done, (now, peak) in resident.items())
        print(
            f"{count} different pictures, each made when its turn came ({count * 12 * _SIDE**2 / 2**30:.1f} GB in all), ranked: "
            f"{len(ranking.judged)} judged, {len(ranking.rejected)} rejected with reasons; {1000 * spent / count:.1f} ms CPU "
            f"time each; resident {told}, {_resident()[1]:.0f} MB at the peak with sheet ({sheet.shape[1]} x "
            f"{sheet.shape[0]}) and report"
        )


class _Drawn(Sequence[Any]):
    """count IMAGE batches [1, _SIDE, _SIDE, 3], drawn when they are asked for and kept by nobody: noise on a plain wall, on
    each `_FACE_EVERY`th one of the faces under that noise."""

    def __init__(self, faces: Sequence[Any], count: int) -> None:
        import torch

        self._faces, self._count, self._wall = faces, count, torch.full((1, _SIDE, _SIDE, 3), 0.5)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        import torch

        if not 0 <= number < self._count:
            raise IndexError(number)
        faces = self._faces
        drawn = faces[number // _FACE_EVERY % len(faces)] if number % _FACE_EVERY == 0 else self._wall
        noise = torch.rand(drawn.shape, generator=torch.Generator().manual_seed(number))
        return (drawn + 0.04 * (noise - 0.5)).clamp_(0, 1)


def _resident() -> tuple[float, float]:
    """Memory of this process in MB: now, and at its highest so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20, peak


def _made_worse(photo: Any, how: str) -> Any:
    import numpy as np
    from PIL import Image

    image = Image.fromarray(photo)
    if how == "half the size":
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)
    elif how == "strong JPEG":
        packed = io.BytesIO()
        image.save(packed, "JPEG", quality=15)
        image = Image.open(packed).convert("RGB")
    elif how == "dark":
        return (255 * (photo / 255.0) ** 2 * 0.8).astype(np.uint8)
    elif how == "turned":
        image = image.rotate(12, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))
    return np.asarray(image)


def _cosines(rows: Sequence[tuple[str, int, Any]]) -> tuple[list[float], list[float]]:
    """Cosines of all pairs of one person, and of two people; a photo and what was made of it are no pair."""
    same: list[float] = []
    other: list[float] = []
    for (name, photo, a), (other_name, other_photo, b) in itertools.combinations(rows, 2):
        if (name, photo) != (other_name, other_photo):
            (same if name == other_name else other).append(float(a @ b))
    return same, other


def _auc(same: Sequence[float], other: Sequence[float]) -> float:
    """Probability that a pair of one person is liker than a pair of two, ties counting half."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(same, other).statistic) / (len(same) * len(other))


def _equal_error(same: Sequence[float], other: Sequence[float]) -> float:
    """The rate at which as many pairs of one person are missed as pairs of two are taken for one."""
    import numpy as np

    limits = np.sort(np.concatenate([same, other]))
    missed = np.searchsorted(np.sort(same), limits, "left") / len(same)
    taken = 1 - np.searchsorted(np.sort(other), limits, "left") / len(other)
    nearest = int(np.argmin(np.abs(missed - taken)))
    return float(missed[nearest] + taken[nearest]) / 2


def _ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f}x" if theirs > 0 else f"{100 * ours:.2f} % against 0"


if __name__ == "__main__":
    main()
