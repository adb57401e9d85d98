"""Head masks to look at, and how long they take.

    python benchmarks/headmask_sheet.py [--data ../shared/data] [--out headmasks] [--size 512] [PICTURE ...]

Writes sheets of 24 heads, headmasks_0.png and so on: what is not head is pale grey, beyond a green line. Without
PICTUREs it takes all of the test pictures and the two photos that PyPI packages carry, about 100 heads. Prints
milliseconds a head (processor time, median). How well masks fit outlines drawn by hand is a test: tests/unit/test_headmask_outlines.py.

Counted by eye on these sheets, strictly. *Bad*: a part of hair or hat that one misses is lost, or clothes or surroundings
that one sees are in. *Small faults*: face, hair and hat are there but for tips or a rim, or a little cloth is in.

The 79 style pictures: 7 bad, 17 with small faults, 55 faultless. Bad: Luolita (hat of flowers) and Roaming_Astronaut
(helmet) and Witch (brim, and hair like the dress), Science_fiction (hair below the jaw), Colorful_rainbow (end of a
lock), Cybernetics_punk (tips as white as the suit), DreamyOcean (tips against the light). Small: Cartoon, Deer_girl,
Disneyland, Dunhuang, Fashion_glasses, Lolita, Maid (straps), Mecha and Mechnical (collar), Mongolian, PekingOpera,
Wedding_dress_2 (veils), sdxl_fields, Tibetan_clothing (tassels), Wild_west, ZangZu, Zhuang_style. So 72 of 79 can be used
(91 %; the prototype: 16 of 18). The other 23: four of the six in the group photo are bad (long hair that has the colour
of skin; a neighbour's dark sleeve, a shirt, a collar), templates/2 has small faults, 18 are faultless.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

import comfy_host  # noqa: E402

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from facechain.photos.align import Alignment

TILE, COLUMNS, ROWS = 256, 6, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", default="headmasks")
    parser.add_argument("--size", type=int, default=512)
    args = parser.parse_args()
    comfy_host.reenter(comfy_host.prepare())
    draw(args.pictures or known_pictures(args.data), args.out, args.size)


def known_pictures(data: Path) -> list[Path]:
    from sample_photos import fetch_photos

    found = [path for kind in ("*.jpg", "*.png") for path in sorted(data.glob(f"*/**/{kind}"))]
    return [*found, *fetch_photos().values()]


def heads(pictures: list[Path], size: int) -> Iterator[tuple[str, Alignment, np.ndarray, float]]:
    """Name, crop, mask and seconds for each face in the pictures."""
    import numpy as np
    from PIL import Image

    from facechain.faces import engine
    from facechain.photos.align import align
    from facechain.photos.headmask import head_mask

    for path in pictures:
        photo = np.asarray(Image.open(path).convert("RGB"))
        faces = [face for face in engine().analyze([photo], embed=False)[0] if face.mesh is not None]
        for place, face in enumerate(faces):
            aligned = align(photo, face, size)
            start = time.process_time()
            mask = head_mask(aligned, photo, [other for other in faces if other is not face])
            yield f"{path.stem} {place or ''}".strip(), aligned, mask, time.process_time() - start


def draw(pictures: list[Path], out: str, size: int) -> None:
    from PIL import Image

    tiles, seconds = [], []
    for name, aligned, mask, took in heads(pictures, size):
        tiles.append(tile(aligned.image, mask, name))
        seconds.append(took)
    if not tiles:
        sys.exit("no face found")
    for number, first in enumerate(range(0, len(tiles), COLUMNS * ROWS)):
        sheet = Image.new("RGB", (COLUMNS * TILE, ROWS * TILE))
        for place, picture in enumerate(tiles[first : first + COLUMNS * ROWS]):
            sheet.paste(picture, (place % COLUMNS * TILE, place // COLUMNS * TILE))
        sheet.save(f"{out}_{number}.png")
    print(f"{len(tiles)} heads, {statistics.median(seconds) * 1000:.0f} ms a head")


def tile(image: np.ndarray, mask: np.ndarray, name: str) -> Image.Image:
    import numpy as np
    from PIL import Image, ImageDraw
    from scipy.ndimage import binary_erosion

    share, marked = mask[..., None], mask > 0.5
    pale = 150 + 0.35 * image.mean(-1, keepdims=True)
    mixed = image * share + pale * (1 - share)
    mixed[marked & np.logical_not(binary_erosion(marked))] = (0, 255, 0)
    picture = Image.fromarray(mixed.round().astype(np.uint8)).resize((TILE, TILE), Image.Resampling.LANCZOS)
    ImageDraw.Draw(picture).text((3, 3), name, fill="yellow", stroke_width=2, stroke_fill="black")
    return picture


if __name__ == "__main__":
    main()
