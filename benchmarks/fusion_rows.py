"""What benchmarks/fusion.py found for each pair, and in words."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """before, after: distance to the person, (embedded, judge). gaze: largest change, eye widths. mouth: change of the
    lips' gap, mouth widths. seam: gradient at the edge of the new face by that beside it, relative to the same in the
    target. yaw: of the target's face, apart: of it and the photo's, degrees. peers: the same distances after each peer's
    work, with gaze and mouth."""

    person: str
    target: str
    before: tuple[float, float]
    after: tuple[float, float]
    gaze: float | None
    mouth: float
    seam: float
    yaw: float
    apart: float
    peers: dict[str, tuple[float, float, float | None, float]]


def line(row: Row) -> str:
    gaze = "   - " if row.gaze is None else f"{row.gaze:5.2f}"
    return (
        f"{row.person:20} {Path(row.target).stem:22} yaw {row.yaw:4.0f}, {row.apart:2.0f} apart  distance {row.before[0]:.3f} -> "
        f"{row.after[0]:.3f}  judge {row.before[1]:.3f} -> {row.after[1]:.3f}  gaze {gaze}  mouth {row.mouth:5.2f}  "
        f"seam {row.seam:.2f}"
    )


def summary(name: str, rows: list[Row]) -> None:
    def mean(values) -> float:
        return statistics.mean(value for value in values if value is not None)

    before, after = ([mean(getattr(row, part)[n] for row in rows) for n in (0, 1)] for part in ("before", "after"))
    gazes = [row.gaze for row in rows if row.gaze is not None]
    seams = [row.seam for row in rows]
    print(
        f"{len(rows)} pairs {name}: distance {before[0]:.3f} -> {after[0]:.3f} (dlib's scale {before[0] * 1.45:.2f} -> "
        f"{after[0] * 1.45:.3f}), judge {before[1]:.3f} -> {after[1]:.3f}; gaze mean {mean(gazes):.3f} worst "
        f"{max(gazes):.2f}, mouth mean {mean(abs(r.mouth) for r in rows):.3f} worst {max(abs(r.mouth) for r in rows):.2f}; "
        f"seam mean {mean(seams):.2f}, worst {max(seams):.2f}, {sum(s > 1.15 for s in seams)} above 1.15, "
        f"{sum(s < 0.85 for s in seams)} below 0.85"
    )
    for low, high in ((0, 10), (10, 20), (20, 35), (35, 90)):
        some = [row for row in rows if low <= row.apart < high]
        if some:
            ends = [mean(row.after[0] / row.before[0] for row in some), max(abs(row.seam - 1) for row in some)]
            print(
                f"    {low} to {high} degrees apart: {len(some)} pairs, distance x {ends[0]:.2f}, seam off by {ends[1]:.2f} at most"
            )
    for peer in rows[0].peers:
        theirs = [row.peers[peer] for row in rows]
        near, judged, mouth = (mean(t[n] for t in theirs) for n in (0, 1, 3))
        looks = [t[2] for t in theirs if t[2] is not None]
        print(
            f"    {peer}: distance {near:.3f}, judge {judged:.3f}, gaze mean {mean(looks):.3f} worst {max(looks):.2f}, mouth "
            f"mean {mouth:.3f} worst {max(t[3] for t in theirs):.2f}; ours by it: distance {after[0] / near:.2f}x, judge "
            f"{after[1] / judged:.2f}x"
        )
