"""`python -m bench`: what the gateway costs, against baselines measured in the same run."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.results import table
from bench.run import PARTS, run
from bench.subjects import QUICK, Sizes


def main(arguments: Sequence[str]) -> int:
    """Run and print the table; exit status 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small numbers: does it run at all")
    parser.add_argument("--volumes", type=int, help="how many volumes are many (usual: a million)")
    parser.add_argument("--rounds", type=int, help="how often everything is repeated, in turns")
    parser.add_argument("--keep", type=Path, help="keep the filled catalogs in this folder, and use those in it")
    given = parser.parse_args(arguments)
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    sizes = (QUICK if given.quick else Sizes()).but(volumes=given.volumes, rounds=given.rounds)
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        results = run(given.parts or list(PARTS), Path(folder), given.keep or Path(folder), sizes)
    print(table(results))
    return int(any(one.met is False for one in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
