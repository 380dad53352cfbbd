"""The commands for looking at results: films and strips, and reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from motion.errors import InputError, MimicError
from pipeline import console
from pipeline.cli_train import usable_processors

if TYPE_CHECKING:
    from pipeline.report import Entry
    from pipeline.scene import Beside

PATH = click.Path(path_type=Path)
CAMERAS = ("side", "front", "three-quarter", "top")


def register(group: click.Group) -> None:
    """Add the commands to a group."""
    group.add_command(render)
    group.add_command(report)


def pixels(_: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """``1280x720`` as width and height."""
    if value is None:
        return None
    try:
        width, height = (int(part) for part in value.lower().replace("×", "x").split("x"))
    except ValueError:
        raise click.BadParameter(f"expected WIDTHxHEIGHT such as 1280x720, found {value!r}", param=option) from None
    return width, height


def seconds_range(_: click.Context, option: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """``A:B`` as two increasing numbers of seconds."""
    if value is None:
        return None
    try:
        start, stop = (float(part) for part in value.split(":"))
    except ValueError:
        raise click.BadParameter(f"expected A:B in seconds, such as 0.5:1.8, found {value!r}", param=option) from None
    if not 0 <= start < stop:
        raise click.BadParameter(f"expected 0 ≤ A < B, found {value!r}", param=option)
    return start, stop


@click.command()
@click.argument("clips", type=PATH, nargs=-1, required=True, metavar="CLIP...")
@click.option("-o", "--output", type=PATH, required=True, help="A .gif or .mp4 (moving) or .png (a strip of poses).")
@click.option("--source", type=PATH, help="Motion to draw beside the body.  [default: the clip's own, if present]")
@click.option("--camera", default="side", show_default=True, help=f"One of {', '.join(CAMERAS)}.")
@click.option("--size", callback=pixels, metavar="WxH", help="Pixels.  [default: 640x360, a strip 1600 wide]")
@click.option("--fps", type=float, help="Pictures a second.  [default: 25 in a .gif, 30 in a .mp4]")
@click.option("--span", callback=seconds_range, metavar="A:B", help="Seconds to show.  [default: all; a loop once]")
@click.option("--workers", type=click.IntRange(1), help="Processes that draw a film.  [default: one a processor]")
@click.option("--plot", is_flag=True, help="Plot contacts, heights and speeds instead (.png, .svg, .pdf).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the path.")
def render(
    clips: Sequence[Path],
    output: Path,
    source: Path | None,
    camera: str,
    size: tuple[int, int] | None,
    fps: float | None,
    span: tuple[float, float] | None,
    workers: int | None,
    plot: bool,
    as_json: bool,
) -> int:
    """Draw a CLIP with its source's skeleton beside the body, or several clips side by side."""
    if source is not None and len(clips) > 1:
        raise click.UsageError("--source is for one CLIP")
    from pipeline import stages

    with console.progress(f"drawing {output}") as progress:
        path = stages.render(
            clips,
            output,
            source=source,
            camera=camera,
            plot=plot,
            size=size,
            fps=fps,
            span=span,
            workers=workers or usable_processors(),
            progress=progress,
        )
    if as_json:
        console.emit_json({"path": str(path)})
    else:
        print(path)
    return 0


@click.command()
@click.argument("folder", type=PATH, metavar="DIR")
@click.option("-o", "--output", type=PATH, help="The page to write.  [default: DIR/report.html]")
@click.option("--failures", is_flag=True, help="Let each policy perform, pushed if it never falls, and map its falls.")
@click.option("--source/--no-source", default=True, help="Draw the source above the body, if it is still there.")
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON; a page is written only with -o.")
def report(folder: Path, output: Path | None, failures: bool, source: bool, as_json: bool) -> int:
    """Tell all that is known of a clip, a policy or a folder of them in one self-contained HTML page."""
    from motion import files
    from pipeline import failures as maps
    from pipeline import report as reports
    from pipeline import stages

    if failures:
        for one in reports.find(folder):
            if maps.performs(one):
                found = maps.write(one, told=console.note)
                console.note(f"{one}: {found.sentence()}")
    gathered = reports.gather(folder, console.error)
    if not as_json or output is not None:
        from pipeline import report_page

        def beside(entry: Entry) -> Beside | None:
            try:
                return stages.beside(entry.clip) if source else None
            except MimicError as problem:  # a page without its source is better than none
                console.error(problem)
                return None

        with console.progress(f"drawing {len(gathered.entries)} clips") as progress:
            text = report_page.page(gathered, beside, progress)
        output = output or reports.page_of(folder)
        files.write_text(output, text)
        if not as_json:
            print(output)
    if as_json:
        console.emit_json(gathered.to_json())
    return InputError.exit_code if gathered.unreadable else 0
