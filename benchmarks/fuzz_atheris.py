"""The classes of benchmarks/fuzz.py driven by atheris: what code an input reaches leads to the next one.

    .host/venv/bin/python -m pip install atheris
    python3 benchmarks/fuzz_atheris.py "person files" -max_total_time=300

What stands behind the class goes to libFuzzer as it is. It ends with the first input that is neither answered nor
refused in our own words, and writes it beside itself as crash-...; without one it ends by its time or number of runs.
Inputs are hypothesis' own, made from libFuzzer's bytes, so that both drivers try the same classes.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "scripts"), str(ROOT / "tests" / "unit")]

import comfy_host  # noqa: E402
from fuzz import as_facechain  # noqa: E402

LONG = ("-len_control=0", "-max_len=16384")  # from the start: hypothesis makes nothing of a few bytes


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    comfy_host.reenter(comfy_host.prepare())
    try:
        atheris: Any = importlib.import_module("atheris")  # optional
    except ImportError:
        raise SystemExit("atheris is not installed: .host/venv/bin/python -m pip install atheris") from None
    with atheris.instrument_imports(include=["facechain"]):
        as_facechain()
        from fuzzing import KINDS_OF_INPUT
    from hypothesis import given, settings

    chosen = [kind for kind in KINDS_OF_INPUT if sys.argv[1] in kind.name]
    if len(chosen) != 1:
        raise SystemExit(f"name one of: {', '.join(kind.name for kind in KINDS_OF_INPUT)}")

    whole = 0

    @settings(database=None, deadline=None)
    @given(chosen[0].strategy)
    def tried(example: object) -> None:
        nonlocal whole
        chosen[0].check(example)
        whole += 1
        if (
            whole % 1000 == 0
        ):  # libFuzzer counts bytes that are too few for an input as well, and ends without a word to us
            print(f"{whole} whole inputs", file=sys.stderr)

    atheris.Setup([sys.argv[0], *LONG, *sys.argv[2:]], tried.hypothesis.fuzz_one_input)  # pyright: ignore[reportFunctionMemberAccess]
    atheris.Fuzz()


if __name__ == "__main__":
    main()
