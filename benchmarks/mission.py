"""Does a person LoRA make portraits look like the person? The whole chain with the demo model, judged by two embedders.

    python benchmarks/mission.py [--data ../shared/data] [--seeds 4] [--steps 300] [--out mission.png]

Three photos each of a man and a woman train a LoRA each. Portraits in four styles, from the same noise, are drawn without
a LoRA, with the person's own, and with the other's; medians of the distance to the person's photos are printed, with
their ratio to the portraits without, how many portraits of a hundred lie nearer than the one without, and how likely
that would be by chance (Wilcoxon's signed-rank test of the pairs, one-sided). The second embedder is never seen by the
pack. Then the person's own with the last snapshot instead of the best.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

import comfy_host  # noqa: E402

if TYPE_CHECKING:
    from demo_model.mission import Outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=4, help="of each style")
    parser.add_argument("--steps", type=int, default=240, help="of each training")
    parser.add_argument("--out", type=Path, default=Path("mission.png"))
    arguments = parser.parse_args()
    host = comfy_host.prepare()
    comfy_host.reenter(host)
    _run(host, arguments)


def _run(host: comfy_host.ComfyHost, arguments: argparse.Namespace) -> None:
    from comfy_client import ComfyClient
    from demo_model.checkpoint import CHECKPOINT_NAME, SHIPPED, assemble
    from demo_model.mission import KINDS, Settings, embedded, judge, portraits, sheet
    from face_judge import judge_embedding

    assemble(SHIPPED, host.models / "checkpoints" / CHECKPOINT_NAME)
    photos = {name: [arguments.data / f"people/{name}/pose{n}.png" for n in (1, 2, 3)] for name in ("man", "woman")}
    settings = Settings(steps=arguments.steps, seeds=arguments.seeds)
    with comfy_host.Server(host) as server:
        for choose, kinds in (("best", KINDS), ("last", ("own",))):
            started = time.monotonic()
            chosen = replace(settings, choose=choose)
            drawn = portraits(ComfyClient(server.url), CHECKPOINT_NAME, photos, chosen, kinds)
            print(f"\nsnapshot: {choose} ({time.monotonic() - started:.0f} s with training)")
            for person, pictures in drawn.items():
                for name, embed in (("embedded", embedded), ("judge", judge_embedding)):
                    print(f"{person:6} {name:9} {_row(judge(pictures, photos[person], embed))}", flush=True)
            sheet(drawn, photos).save(arguments.out.with_stem(f"{arguments.out.stem}_{choose}"))


def _row(outcome: Outcome) -> str:
    """Of each kind the median, portraits with a face, and how it compares with the portraits without a LoRA."""
    parts = []
    for kind, distances in outcome.distances.items():
        parts.append(f"{kind} {outcome.median(kind):.3f} ({outcome.faces(kind)}/{len(distances)} faces)")
        if kind != "without" and "without" in outcome.distances:
            ratio = outcome.median(kind) / outcome.median("without")
            nearer, chance = outcome.nearer(kind, "without"), outcome.chance(kind, "without")
            parts[-1] += f" {ratio:.2f}x, {nearer:.0%} nearer, p {chance:.4f}"
    return "; ".join(parts)


if __name__ == "__main__":
    main()
