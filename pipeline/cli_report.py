"""The command of reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from motion.errors import InputError, MimicError
from pipeline import console

if TYPE_CHECKING:
    from motion.motion import Motion
    from pipeline.report import Entry

PATH = click.Path(path_type=Path)


def register(group: click.Group) -> None:
    """Add the command to a group."""
    group.add_command(report)


@click.command()
@click.argument("folder", type=PATH, metavar="DIR")
@click.option("-o", "--output", type=PATH, help="The page to write.  [default: DIR/report.html]")
@click.option("--failures", is_flag=True, help="Let each policy perform, pushed if it never falls, and map its falls.")
@click.option("--source/--no-source", default=True, help="Draw the source above the body, if it is still there.")
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON; a page is written only with -o.")
def report(folder: Path, output: Path | None, failures: bool, source: bool, as_json: bool) -> int:
    """Tell all that is known of a clip, a policy or a folder of them in one self-contained HTML page."""
    from motion import files
    from motion.clip import Clip
    from pipeline import failures as maps
    from pipeline import report as reports
    from pipeline import report_plots, stages
    from pipeline.plots import write
    from train.folder import weights

    if failures:
        for one in reports.find(folder):
            if weights(one).exists():
                found = maps.measure(one, told=lambda line, one=one: console.note(f"{one}: {line}"))
                found.save(one)
                if found.endings:
                    write(report_plots.failure_page(found, Clip.load(one / stages.CLIP)), one / maps.PLOT)
                console.note(found.sentence())
    gathered = reports.gather(folder, console.error)
    if not as_json or output is not None:
        from pipeline import report_page

        def beside(entry: Entry) -> tuple[Motion, float] | None:
            try:
                return stages.beside(entry.clip) if source else None
            except MimicError as problem:  # a page without its source is better than none
                console.error(problem)
                return None

        with console.working(f"drawing {len(gathered.entries)} clips"):
            text = report_page.page(gathered, beside)
        output = output or folder / reports.PAGE
        files.write_text(output, text)
        if not as_json:
            print(output)
    if as_json:
        console.emit_json(gathered.to_json())
    return InputError.exit_code if gathered.unreadable else 0
