"""The gallery: every sample clip on every body, as strips in ``docs/gallery.md``, all bodies walking as a film, and the
pictures of ``docs/tutorial.md``.

python -m benchmarks.gallery [--results DIR] [--only SUBSTRING]

Clips that are in the results folder already are drawn as they are, not retargeted again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.results_retarget import ROOT
from characters.character import Character
from motion import files
from motion.clip import Clip
from motion.errors import MimicError, MimicWarning
from pipeline import failures, picture, plots, report, report_plots, samples, stages

PAGE, PICTURES, FILM = ROOT / "docs" / "gallery.md", ROOT / "docs" / "images" / "gallery", ROOT / "docs" / "images"
WALKERS = ("humanoid", "atlas", "trex", "dragon")
"""side by side in the film, which the README shows too"""
BODIES = (*WALKERS, "dog")
WALK, FILM_NAME, FILM_SIZE = "walk", "bodies.gif", (800, 240)
"""the clip of the film, its name and its pixels"""
WIDTH, POSES = 900, 6
"""pixels and poses of a strip"""
POLICY = ROOT / "policies" / "humanoid" / "walk"
"""the policy of the tutorial"""
HEAD = """# Gallery

Every sample clip on every body, by `make gallery`: one command a clip, no map edited, no option given. The source is above,
the bodies below it, each with the limits of quality it breaks; a link in orange is flagged as a contact. T-Rex, dragon and
dog drive their tails and wings by springs.

![Humanoid, Atlas, T-Rex and dragon walk side by side](images/bodies.gif)

What one sees here is a clip, a reference for a policy, and not yet physics.
"""


def main() -> None:
    """Make the page, or with ``--only`` some of its pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, help="Folder of retargeted clips.  [default: made anew, and removed]")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="Draw only clips whose names contain this.")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", MimicWarning)
    with tempfile.TemporaryDirectory() as temporary:
        raw, results = Path(temporary) / "raw", arguments.results or Path(temporary) / "processed"
        parts = [HEAD]
        for source in samples.write_samples(raw):
            if arguments.only in source.stem:
                print(source.stem, file=sys.stderr, flush=True)
                parts.append(draw(source, results))
        walkers = [results / body / WALK for body in WALKERS]
        if all((folder / stages.CLIP).exists() for folder in walkers):
            stages.render(walkers, FILM / FILM_NAME, size=FILM_SIZE, fps=20.0)
    if not arguments.only:
        files.write_text(PAGE, "\n".join(parts))
        draw_policy()


def draw(source: Path, results: Path) -> str:
    """Draw a clip's strips, the source above the bodies, and give its part of the page."""
    strips: list[np.ndarray] = []
    told: list[str] = []
    for body in BODIES:
        folder = results / body / source.stem
        try:
            if not (folder / stages.CLIP).exists():
                stages.retarget(source, body, out=results)
        except MimicError as problem:
            told.append(f"**{body}**: failed, {problem.message}")
            continue
        clip = Clip.load(folder / stages.CLIP)
        failed = clip.quality.get("failed", ())
        told.append(f"**{body}**: " + (f"fails {', '.join(failed)}" if failed else "passes"))
        above = None if strips else stages.beside(clip, source)
        strips.append(picture.strip(clip, Character.load(body), source=above, width=WIDTH, frames=POSES))
    path = PICTURES / f"{source.stem}.png"
    with files.atomic(path) as file:
        file.write(picture.png(np.concatenate(strips), colours=picture.PAGE_COLOURS))
    name = source.stem
    return f"## {name}\n\n![{name}: source above, bodies below](images/gallery/{path.name})\n\n{' · '.join(told)}\n"


def draw_policy() -> None:
    """How hard the tutorial's policy can be pushed, and where its episodes end; the latter only with torch."""
    entry = report.read(POLICY)
    if entry.push:
        plots.write(report_plots.push_page(entry.push), FILM / "tutorial_push.png")
    if find_spec("torch"):
        found = failures.measure(POLICY, told=lambda line: print(line, file=sys.stderr, flush=True))
        print(found.sentence())
        plots.write(report_plots.failure_page(found, entry.clip), FILM / "tutorial_failures.png")


if __name__ == "__main__":
    main()
