"""Does a person LoRA make portraits look like the person? The whole chain with the demo model, judged by two embedders.

    python benchmarks/mission.py [--data ../shared/data] [--seeds 4] [--steps 300] [--out mission.png]

Three photos each of a man and a woman train a LoRA each. Portraits in four styles, from the same noise, are drawn without
a LoRA, with the person's own, and with the other's; medians of the distance to the person's photos are printed, with
their ratio to the portraits without, and how many portraits of a hundred lie nearer than the one without. The second embedder is never seen by the pack. Then the same with the last
snapshot instead of the best.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

import comfy_host  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=4, help="of each style")
    parser.add_argument("--steps", type=int, default=300)
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
        for choose in ("best", "last"):
            started = time.monotonic()
            drawn = portraits(ComfyClient(server.url), CHECKPOINT_NAME, photos, replace(settings, choose=choose))
            print(f"\nsnapshot: {choose} ({time.monotonic() - started:.0f} s with training)")
            print(
                f"{'person':8} {'embedder':10} {'without':>8} {'own':>8} {'other':>8} {'own/without':>12} {'nearer':>7} {'other':>7}  faces"
            )
            for person, pictures in drawn.items():
                for name, embed in (("embedded", embedded), ("judge", judge_embedding)):
                    outcome = judge(pictures, photos[person], embed)
                    medians = [outcome.median(kind) for kind in KINDS]
                    counts = " ".join(f"{outcome.faces(kind)}/{len(pictures[kind])}" for kind in KINDS)
                    numbers = " ".join(f"{median:8.3f}" for median in medians)
                    nearer = " ".join(f"{outcome.nearer(kind, 'without'):7.0%}" for kind in KINDS[1:])
                    print(f"{person:8} {name:10} {numbers} {medians[1] / medians[0]:12.3f} {nearer}  {counts}")
            sheet(drawn, photos).save(arguments.out.with_stem(f"{arguments.out.stem}_{choose}"))


if __name__ == "__main__":
    main()
