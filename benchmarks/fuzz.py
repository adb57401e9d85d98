"""Hostile and broken input by the hundred thousand: how much of it the core survives, and what a user sees.

    python3 benchmarks/fuzz.py --examples 100000 --minutes 7     go on where the last run ended
    python3 benchmarks/fuzz.py --examples 100000 --table         only print what is known so far

The classes of input and what counts as a right answer stand in tests/unit/fuzzing.py. Tries are drawn in batches, each
from a seed of its own, and counted in a file, so that a run can be cut off at any moment and gone on with.
What was neither answered nor refused in our own words is a finding: it is written into that file with its input, and
the batch goes on from there only once it is mended.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "unit")]

import comfy_host  # noqa: E402

BATCH = 100  # tries of a class with share 10
LONGEST = 10.0  # seconds for one input
STATE = comfy_host.HOST / "fuzz.json"


def as_facechain() -> None:
    """The core under its own name, without the checkout on the path, as tests/conftest.py does."""
    import importlib.util

    where = ROOT / "facechain"
    spec = importlib.util.spec_from_file_location(
        "facechain", where / "__init__.py", submodule_search_locations=[str(where)]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["facechain"] = module
    spec.loader.exec_module(module)


class Batch:
    """One batch of a class. tries, answered: how many; slowest in seconds; messages: of refusals, by their first words."""

    def __init__(self, kind: Any, number: int, examples: int) -> None:
        self.kind, self.number, self.examples = kind, number, examples
        self.tries = self.answered = 0
        self.slowest = 0.0
        self.messages: Counter[str] = Counter()
        self._last: object = None  # the input tried last; of a finding, the smallest one that hypothesis found

    def run(self) -> str:
        """The finding, "" for none."""
        import fuzzing
        from hypothesis import Phase, given, seed, settings

        @seed(self.number)
        @settings(
            print_blob=False,
            max_examples=self.examples,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=fuzzing.UNHURRIED,
        )
        @given(self.kind.strategy)
        def tried(example: object) -> None:
            self._try(example)

        try:
            tried()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
            where = "".join(traceback.format_tb(error.__traceback__)[-5:])  # hypothesis' own notes can be megabytes
            what = f"{type(error).__name__}: {str(error)[:500]}"
            return f"{where}{what}\nbatch {self.number}, input {repr(self._last)[:2000]}"
        return ""

    def _try(self, example: object) -> None:
        self._last = example
        began = time.process_time()  # of computing: other work on the machine is no fault of ours
        said = self.kind.check(example)
        seconds = time.process_time() - began
        self.tries += 1
        self.slowest = max(self.slowest, seconds)
        self.answered += all(part == "answer" for part in said.split(" | "))
        self.messages.update({" ".join(part.split()[:9])[:70] for part in said.split(" | ") if part != "answer"})
        assert seconds < LONGEST, f"{seconds:.1f} s"


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def add(state: dict[str, Any], batch: Batch, finding: str) -> None:
    kept = state.setdefault(batch.kind.name, {"batches": 0, "tries": 0, "answered": 0, "slowest": 0.0, "messages": {}})
    kept["finding"] = finding
    if not finding:  # with one, most tries are attempts at making its input smaller; the batch is repeated when mended
        kept["batches"] += 1
        kept["tries"] += batch.tries
        kept["answered"] += batch.answered
        kept["slowest"] = round(max(kept["slowest"], batch.slowest), 3)
        kept["messages"] = dict((Counter(kept["messages"]) + batch.messages).most_common(40))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    state["peak memory, MB"] = max(state.get("peak memory, MB", 0), peak)


def table(state: dict[str, Any], kinds: tuple[Any, ...]) -> str:
    rows = [
        "| input | tries | survived | right answer | refused in words | slowest | what the user sees most |",
        "|" + " --- |" * 7,
    ]
    total = 0
    for kind in kinds:
        kept = state.get(kind.name)
        if not kept:
            continue
        total += kept["tries"]
        refused = kept["tries"] - kept["answered"]
        most = "; ".join(list(kept["messages"])[:2]).replace("|", "/")
        survived = "NO: see the file" if kept["finding"] else f"{kept['tries']:,}"
        cells = (
            kind.name,
            f"{kept['tries']:,}",
            survived,
            f"{kept['answered']:,}",
            f"{refused:,}",
            f"{kept['slowest']:.2f} s",
            most,
        )
        rows.append("| " + " | ".join(cells) + " |")
    rows.append(f"\n{total:,} inputs; peak memory {state.get('peak memory, MB', 0):,} MB")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=100_000, help="of all classes together")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so long, to go on later")
    parser.add_argument("--only", default="", help="classes whose name contains this")
    parser.add_argument("--state", type=Path, default=STATE, help="where the counts are kept")
    parser.add_argument("--table", action="store_true", help="print the counts, try nothing")
    chosen = parser.parse_args()
    comfy_host.reenter(comfy_host.prepare())
    as_facechain()
    from fuzzing import KINDS_OF_INPUT

    state, end = read(chosen.state), time.monotonic() + chosen.minutes * 60
    shares = sum(kind.share for kind in KINDS_OF_INPUT)
    open_ = [kind for kind in KINDS_OF_INPUT if chosen.only in kind.name and not chosen.table]
    while open_ and time.monotonic() < end:  # one batch of each in turn, so that a short run has tried all of them
        for kind in list(open_):
            done = state.get(kind.name, {})
            lacking = chosen.examples * kind.share // shares - done.get("tries", 0)
            if lacking <= 0 or time.monotonic() > end:
                open_.remove(kind)
                continue
            batch = Batch(kind, done.get("batches", 0), min(BATCH * kind.share // 10, max(10, lacking)))
            finding = batch.run()
            add(state, batch, finding)
            chosen.state.parent.mkdir(parents=True, exist_ok=True)
            chosen.state.write_text(json.dumps(state, indent=1, ensure_ascii=True), encoding="utf-8")
            if finding:
                print(f"{kind.name}: {finding}", file=sys.stderr)
                open_.remove(kind)
    print(table(state, KINDS_OF_INPUT))
    return int(any(isinstance(kept, dict) and kept["finding"] for kept in state.values()))


if __name__ == "__main__":
    sys.exit(main())
