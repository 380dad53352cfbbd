"""The quality of every sample and every human clip of the mocap collection on both bodies: ``docs/results/retarget.md``.

python -m benchmarks.results_retarget [--char C] [--only SUBSTRING] [--json] [--from FILE]

A whole run writes the page; with --char or --only it is printed instead. What was seen when looking at the clips that fail
is written by hand in ``results_notes.toml``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.results_page import Row, page
from motion import files
from motion.clip import Trajectory
from motion.errors import MimicError, MimicWarning
from pipeline import samples, stages

ROOT = Path(__file__).resolve().parents[1]
MOCAP = Path(os.environ.get("MIMIC_MOCAP", ROOT.parent / "shared" / "mocap"))
"""The mocap collection, found as tests/conftest.py finds it."""
PAGE = ROOT / "docs" / "results" / "retarget.md"
NOTES = Path(__file__).with_name("results_notes.toml")
BODIES: tuple[str, ...] = ("humanoid", "atlas")
FEWEST = 15
"""frames; a shorter file is a pose"""
ON_THE_FLOOR = ("crawl", "getup_facedown", "getup_faceup", "roll")
"""samples whose bodies lie or roll"""
PACKAGES = ("mimic-pipe", "numpy", "scipy", "mujoco", "bvhio", "pybullet")


def todo() -> list[tuple[str, Path | None, str]]:
    """Names of the clips, their files (None: a sample) and what kind of clip each is expected to be."""
    names = samples.sample_names()
    found: list[tuple[str, Path | None, str]] = [(n, None, "floor" if n in ON_THE_FLOOR else "upright") for n in names]
    if not (MOCAP / "INDEX.tsv").exists():
        print(f"no mocap collection in {MOCAP}: samples only (set MIMIC_MOCAP to its folder)", file=sys.stderr)
        return found
    frames = {row["path"]: int(row["frames"] or 0) for row in table(MOCAP / "INDEX.tsv")}
    for row in table(ROOT / "tests" / "expected_roles.tsv"):
        if row["kind"] not in ("none", "quadruped") and frames.get(row["file"], 0) >= FEWEST:
            found.append((row["file"].rsplit(".", 1)[0], MOCAP / row["file"], row["kind"]))
    return found


def table(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a tab-separated file."""
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file, delimiter="\t")


def measure(name: str, path: Path, expected: str, body: str, out: Path) -> Row:
    """Retarget one file and take its measures."""
    start = time.process_time()
    try:
        result = stages.retarget(path, body, out=out, name=name.replace("/", "_"))
    except MimicError as error:
        return Row(name, body, refused=error.message)
    seconds = time.process_time() - start
    trajectory = Trajectory.load(result.folder / stages.TRAJECTORY)
    return Row(
        clip=name,
        body=body,
        kind=result.verdict.kind,
        expected=expected,
        frames=len(trajectory.qpos),
        fps=round(trajectory.fps, 3),
        loop=result.clip.loop,
        duration=result.clip.duration,
        measures=(result.clip.quality or {}).get("measures", {}),
        checks=result.verdict.to_json()["checks"],
        seconds=seconds,
    )


def run(bodies: list[str], only: str) -> list[Row]:
    """Every clip onto every body, in a folder that is thrown away."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        samples.write_samples(folder / "raw")
        chosen = [(name, path or folder / "raw" / f"{name}.bvh", kind) for name, path, kind in todo() if only in name]
        for body in bodies:
            for name, path, kind in chosen:
                rows.append(measure(name, path, kind, body, folder / "processed"))
                row = rows[-1]
                said = row.refused or ", ".join(row.failed) or "pass"
                print(f"{body:9s} {name:42s} {row.seconds:5.1f} s  {said}", file=sys.stderr, flush=True)
    return rows


def machine() -> str:
    """CPU model and number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores, one used"


def versions() -> str:
    """Of what the numbers depend on."""
    said = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            said.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    try:
        git = ["git", "-C", str(ROOT)]
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        said.append(f"commit {commit.stdout.strip()}")
    except (OSError, subprocess.CalledProcessError):
        pass
    return ", ".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description="quality of the retargeting, clip by clip")
    parser.add_argument("--char", action="append", metavar="C", help="only this body (may be repeated)")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="only clips whose name contains this")
    parser.add_argument("--json", action="store_true", help="also print the measures as JSON")
    parser.add_argument("--from", dest="saved", type=Path, metavar="FILE", help="write the page of such JSON again")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", MimicWarning)
    bodies = arguments.char or list(BODIES)
    header = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "command": "`make results` (one process, one BLAS thread)",
        "versions": versions(),
    }
    if arguments.saved:
        data = files.read_json(arguments.saved)
        rows, header, bodies = [Row(**row) for row in data["rows"]], data["header"], data["bodies"]
    else:
        rows = run(bodies, arguments.only)
    notes = tomllib.loads(NOTES.read_text("utf-8")) if NOTES.exists() else {}
    text = page(bodies, rows, header, notes)
    if arguments.json:
        print(json.dumps({"header": header, "bodies": bodies, "rows": [asdict(row) for row in rows]}, indent=1))
    if arguments.char or arguments.only:
        print(text, end="", file=sys.stderr if arguments.json else sys.stdout)
        return
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(PAGE, text)
    print(f"wrote {PAGE.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
