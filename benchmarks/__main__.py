"""``make bench``: run the speed benchmarks, each in a process of its own. ``make bench ARGS="retarget fk"`` runs those."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BENCHMARKS = ("read", "fk", "retarget")
"""what runs without torch, in this order"""


def main() -> int:
    there = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="make bench", description="speed benchmarks")
    parser.add_argument(
        "names", nargs="*", choices=there, default=list(BENCHMARKS), metavar="NAME", help=", ".join(there)
    )
    worst = 0
    for name in parser.parse_args().names:
        print(f"## {name}\n", flush=True)
        worst = max(worst, subprocess.run([sys.executable, str(FOLDER / f"bench_{name}.py")]).returncode)
        print(flush=True)
    return worst


if __name__ == "__main__":
    sys.exit(main())
