"""The command of the viewer. viser is imported by it alone."""

from __future__ import annotations

from pathlib import Path

import click

from motion.errors import InputError
from pipeline import console

PATH = click.Path(path_type=Path)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the address, or the page's path, as JSON.")


def register(group: click.Group) -> None:
    """Add the command to a group."""
    group.add_command(view)


@click.command()
@click.argument("paths", type=PATH, nargs=-1, required=True, metavar="PATH...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve at; 0.0.0.0 is all.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="Port to serve at.")
@click.option(
    "--engine", type=click.Choice(["mujoco", "pybullet"]), help="Physics of policies.  [default: the training's]"
)
@click.option("--together", is_flag=True, help="Offer all bodies side by side, too.")
@click.option(
    "--save", type=PATH, metavar="F.html", help="Write a page that plays without a server, instead of serving."
)
@as_json
def view(
    paths: tuple[Path, ...], host: str, port: int, engine: str | None, together: bool, save: Path | None, as_json: bool
) -> int:
    """Show clips, motions, keyframes and policies, or folders of them, in a browser; Ctrl-C ends it."""
    from pipeline import playlist

    entries = playlist.find(paths)
    if together:
        entries = playlist.together(entries)
    if save is not None:
        from pipeline import page

        with console.working(f"writing {save}"):
            page.write(entries, save, engine=engine)
        if as_json:
            console.emit_json({"path": str(save), "takes": [entry.name for entry in entries]})
        else:
            print(save)
        return 0
    try:
        from pipeline.viewer import Viewer
    except ModuleNotFoundError as error:
        raise InputError(
            f"the viewer needs {error.name}", hint="make view, or: pip install 'mimic-pipe[view]'"
        ) from error
    viewer = Viewer(entries, host=host, port=port, engine=engine)
    if as_json:
        console.emit_json({"url": viewer.url, "takes": list(viewer.entries)})
    console.note(f"{len(entries)} to show at {viewer.url}; Ctrl-C ends it")
    try:
        viewer.run()
    except KeyboardInterrupt:  # how it is meant to end
        pass
    finally:
        viewer.stop()
    return 0
