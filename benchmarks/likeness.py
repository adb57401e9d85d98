"""How well likeness tells people apart, whether two networks order portraits alike, and what ranking many costs.

    python benchmarks/likeness.py [--data ../shared/data] [--pictures 10000] [--insightface DIR] [--only memory]

Pairs: photos of one person against each other and against everybody else's, as they are and worse (half the size,
strong JPEG, dark, turned by 12 degrees). The area under the ROC curve (AUC) and the equal-error rate (EER) of each
engine; the yardstick in the same run is a MobileNet of another training (scripts/face_judge.py), which the pack
never uses. Order: for each person the portraits of styles_preview, ranked by the engine and by the yardstick
(Spearman). Memory: the peak of this process while so many pictures are ranked, at a tenth, a half and all of them.
--insightface: a folder with models/<pack>/*.onnx; without it, and without such files in the host's models folder,
that engine is left out, and the output says so.
"""

from __future__ import annotations

import argparse
import io
import itertools
import resource
import sys
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
_FACE_EVERY = 20  # of the pictures ranked for memory, so many hold a face; the rest is a plain wall


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
        """Peak memory of this process while `count` pictures are ranked, which are views of a few in memory."""
        import torch

        from facechain.faces import engine
        from facechain.images import from_pixels
        from facechain.photos.intake import IntakeOptions, take_in
        from facechain.photos.look import Photos
        from facechain.rank import rank, report_of, sheet_of

        photos = [from_pixels(photo) for photo in self.photos["man"]]
        person = take_in(Photos(photos), PEOPLE["man"], engine(), IntakeOptions(name="man", retouch=0.0)).person
        wall = torch.full((1, 256, 256, 3), 0.5)
        faces = [
            torch.nn.functional.interpolate(p.movedim(-1, 1), (256, 256), mode="area").movedim(1, -1) for p in photos
        ]
        pictures = [faces[n // _FACE_EVERY % 4] if n % _FACE_EVERY == 0 else wall for n in range(count)]
        peaks = {}

        def progress(done: int) -> None:
            if done in (count // 10, count // 2, count):
                peaks[done] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        ranking = rank(pictures, person, engine(), progress=progress)
        sheet = sheet_of(ranking, pictures, person, 4)
        report_of(ranking, person, engine())
        end = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        told = ", ".join(f"{peak:.0f} MB after {done}" for done, peak in peaks.items())
        print(
            f"{count} pictures ranked ({len(ranking.judged)} judged, {len(ranking.rejected)} rejected with reasons): peak "
            f"memory {told}, {end:.0f} MB with sheet ({sheet.shape[1]} x {sheet.shape[0]}) and report"
        )


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
