"""Prints what a day of many people takes: GPU hours, storage, network, cost.

    python3 scripts/fleet_plan.py --people 100000 --styles 10 --count 4
    python3 scripts/fleet_plan.py --set training_steps_a_second=12 --set portrait_seconds=0.9 --price 2.5

Constants are those of fleet/constants.json, which says where each comes from; --set puts others in their place. Which
of them are measured and which are not is said at the end.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, where a file has the package's name

from fleet.capacity import HOWS, Demand, load_constants, load_hows, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--photos", type=int, default=5, help="of each person (default 5)")
    parser.add_argument("--styles", type=int, default=10, help="of each person (default 10)")
    parser.add_argument("--count", type=int, default=4, help="pictures of each style (default 4)")
    parser.add_argument("--preset", default="balanced", choices=("fast", "balanced", "best"))
    parser.add_argument("--price", type=float, default=0.0, help="of a GPU hour; 0 leaves costs out")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="a constant's value")
    arguments = parser.parse_args()
    constants, hows = load_constants(), load_hows()
    for pair in arguments.set:
        name, _, number = pair.partition("=")
        if name not in constants:
            parser.error(f"there is no constant {name!r}; there are: {', '.join(constants)}")
        try:
            constants[name], hows[name] = float(number), "set by you"
        except ValueError:
            parser.error(f"{number!r} is no number for {name}")
    demand = Demand(arguments.people, arguments.photos, arguments.styles, arguments.count, preset=arguments.preset)
    lines = report(demand, constants, arguments.price)
    width = max(len(what) for what, _ in lines)
    for what, amount in lines:
        print(f"{what:<{width}}  {amount}")
    print("\nIt rests on (fleet/constants.json):")
    for how in (*HOWS, "set by you"):
        if names := [name for name in constants if hows[name] == how]:
            print(f"{how:<{width}}  {', '.join(names)}")


if __name__ == "__main__":
    main()
