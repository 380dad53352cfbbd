"""The command line: thin commands over `pipeline.stages`. Errors become one line, a hint and an exit code here."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from motion.errors import InputError, MimicError, MimicWarning, nearest
from pipeline import cli_report, cli_skills, cli_train, cli_view, console
from pipeline.cli_report import seconds_range

if TYPE_CHECKING:  # the stages load numpy and more: only the command that runs imports them
    from pipeline.results import Checked, Retargeted
    from retarget.measures import Verdict

BUG, INTERRUPTED, CLOSED_PIPE, TERMINATED = 70, 130, 141, 143
"""exit codes beside those of `motion.errors`: a bug of ours, and what shells say of Ctrl-C, a closed pipe and `kill`"""

PATH = click.Path(path_type=Path)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON (one line a result) instead of tables.")
file = click.argument("file", type=PATH)
clip = click.argument("clip", type=PATH)
char = click.option("--char", default="atlas", show_default=True, help="Character: a name or a folder.")
out = click.option("--out", type=PATH, default=Path("processed"), show_default=True, help="Folder for results.")
name = click.option("--name", help="Name of the clip.  [default: the file's name]")
loop = click.option("--loop/--no-loop", default=None, help="Whether it is a cycle.  [default: found in the motion]")


class InOrder(click.Group):
    """Lists its commands in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="mimic-pipe")
def cli() -> None:
    """Any mocap clip onto any physics body: a reference clip, PD gains and a quality report.

    \b
    Exit codes: 0 done, 1 the answer is no, 2 usage, 3 bad input, 4 failed, 130 interrupted.
    """


@cli.command()
@click.option("--out", "folder", type=PATH, default=Path("raw_mocap"), show_default=True, help="Folder for the clips.")
@as_json
def samples(folder: Path, as_json: bool) -> int:
    """Write the sample clips of the installed pybullet_data package as BVH."""
    from pipeline import stages

    paths = stages.samples(folder)
    if as_json:
        console.emit_json([str(path) for path in paths])
    else:
        for path in paths:
            print(path)
    return 0


@cli.command()
@file
@as_json
def inspect(file: Path, as_json: bool) -> int:
    """Show what is in a motion FILE: skeleton, unit, up axis, roles, contacts."""
    from pipeline import stages

    report = stages.inspect(file)
    if as_json:
        console.emit_json(report.to_json())
        return 0
    data = report.to_json()
    roles = data.pop("roles")
    console.facts(data.items(), title=str(file))
    console.table(
        ("role", "joints", "because"), [(r, v["joints"], v["evidence"]) for r, v in roles.items()], title="roles"
    )
    return 0


@cli.command()
@file
@out
@name
@as_json
def ingest(file: Path, out: Path, name: str | None, as_json: bool) -> int:
    """Read and clean a motion FILE into OUT/_motion/NAME.npz."""
    from pipeline import stages

    done = stages.ingest(file, out=out, name=name)
    if as_json:
        console.emit_json(done.to_json())
    else:
        console.facts(done.to_json().items())
    return 0


@cli.command(name="map")
@file
@char
@click.option("-o", "--output", type=PATH, help="File to write.  [default: stdout]")
@as_json
def map_(file: Path, char: str, output: Path | None, as_json: bool) -> int:
    """Propose which joints of FILE drive which roles of a character, as an editable map.toml."""
    from pipeline import stages

    mapping, comment = stages.map_(file, char)
    if output is not None:
        mapping.save(output, comment)
    if as_json:
        roles = {role: list(chain) for role, chain in mapping.roles.items()}
        console.emit_json({"unit": mapping.unit, "up": mapping.up, "roles": roles, "weights": mapping.weights})
    elif output is None:
        print(mapping.to_toml(comment), end="")
    else:
        print(output)
    return 0


@cli.command()
@click.argument("files", type=PATH, nargs=-1, required=True, metavar="FILE...")
@char
@out
@click.option("--map", "map_file", type=PATH, help="An edited map.toml.  [default: inferred]")
@click.option("--from", "start", type=float, help="Second of the source to start at.  [default: its start]")
@click.option("--to", "stop", type=float, help="Second of the source to stop at.  [default: its end]")
@loop
@name
@as_json
def retarget(
    files: Sequence[Path],
    char: str,
    out: Path,
    map_file: Path | None,
    start: float | None,
    stop: float | None,
    loop: bool | None,
    name: str | None,
    as_json: bool,
) -> int:
    """Bring each motion FILE onto a character: clip, gains and quality in OUT/CHAR/NAME/."""
    if name is not None and len(files) > 1:
        raise click.UsageError("--name is for one FILE; several keep their own names")
    from pipeline import stages

    settings = stages.RetargetSettings(map_file=map_file, start=start, stop=stop, loop=loop)

    def work(file: Path) -> Retargeted:
        with console.working(f"{file} → {char}"):
            return stages.retarget(file, char, out=out, name=name, settings=settings)

    return _each(files, work, _show_retargeted, as_json)


@cli.command()
@clip
@click.option(
    "--cycle", callback=seconds_range, metavar="A:B", help="Cut this cycle, in seconds.  [default: the best one]"
)
@loop
@as_json
def phase(clip: Path, cycle: tuple[float, float] | None, loop: bool | None, as_json: bool) -> int:
    """Choose the cycle of a retargeted CLIP again, and make its clip.json, gains.json and quality.json anew."""
    from pipeline import stages

    done = stages.phase(clip, cycle=cycle, loop=loop)
    if as_json:
        console.emit_json(done.to_json())
        return 0
    candidates = done.to_json()["phase"]["candidates"]
    if candidates:
        columns = ("start", "stop", "seam", "coverage", "evidence", "rejected")
        console.table(columns, [[row[key] for key in columns] for row in candidates], title="candidates")
    _show_retargeted(done)
    return 0


@cli.command()
@clip
@click.option("--preset", default="default", show_default=True, help="Preset to show; all are written.")
@click.option("--prove", is_flag=True, help="Try them in the engines, the root held; exit code 1 if default fails.")
@as_json
def gains(clip: Path, preset: str, prove: bool, as_json: bool) -> int:
    """Derive the PD gains of a retargeted CLIP again, and write its gains.json."""
    from pipeline import stages

    if preset not in stages.gain_rules.PRESETS:
        raise InputError(f"no preset {preset!r}", hint=nearest(preset, stages.gain_rules.PRESETS))
    path, derived = stages.gains(clip, prove=prove)
    proof = derived.evidence.get("proof", {"engines": {}})["engines"]
    code = 0 if all(presets["default"]["passed"] for presets in proof.values()) else 1
    if as_json:
        console.emit_json(derived.model_dump())
        return code
    rows = [(joint, gain.kp, gain.kd, gain.torque_limit) for joint, gain in derived.presets[preset].items()]
    console.table(("joint", "kp N·m/rad", "kd N·m·s/rad", "limit N·m"), rows, title=f"{preset} gains of {path}")
    columns = ("rest_deg", "rest_joint", "tracking_deg", "tracking_joint", "without_lookahead_deg", "quiver_deg")
    columns += ("saturated_share", "passed")
    rows = [
        (engine, name, *(found[column] for column in columns))
        for engine, presets in proof.items()
        for name, found in presets.items()
    ]
    if rows:
        console.table(("engine", "preset", *columns), rows, title="root held in the air; RMS of the worst joint")
    return code


@cli.command()
@click.argument("clips", type=PATH, nargs=-1, required=True, metavar="CLIP...")
@click.option("--source", type=PATH, help="The motion the clip came from: measures fidelity too.")
@click.option("--char", help="Character: a name or a folder.  [default: the clip's own]")
@as_json
def validate(clips: Sequence[Path], source: Path | None, char: str | None, as_json: bool) -> int:
    """Measure each CLIP against the limits of quality; exit code 1 if one fails."""
    if source is not None and len(clips) > 1:
        raise click.UsageError("--source is for one CLIP")
    from pipeline import stages

    def work(clip: Path) -> Checked:
        with console.working(f"measuring {clip}"):
            return stages.validate(clip, source=source, char=char)

    def show(checked: Checked) -> None:
        title = f"{checked.clip.name} on {checked.clip.character}"
        console.table(CHECK_COLUMNS, _check_rows(checked.verdict), title=title)
        print(_verdict_line(checked.verdict))

    return _each(clips, work, show, as_json)


@cli.command()
@file
@click.option("--format", "format_", default="bvh", show_default=True, help="One of bvh, deepmimic, csv, npz.")
@click.option("-o", "--output", type=PATH, help="File to write.  [default: beside the clip]")
@as_json
def export(file: Path, format_: str, output: Path | None, as_json: bool) -> int:
    """Write a clip or motion FILE in another format."""
    from pipeline import stages

    path = stages.export(file, format_, output=output)
    if as_json:
        console.emit_json({"path": str(path), "format": format_})
    else:
        print(path)
    return 0


@cli.group()
def characters() -> None:
    """The bodies there are."""


@characters.command(name="list")
@as_json
def characters_list(as_json: bool) -> int:
    """List the characters in ./characters and the installed ones."""
    from pipeline import stages

    bodies = stages.characters()
    if as_json:
        for body in bodies:
            console.emit_json(body)
        return 0
    columns = ("name", "links", "mass", "height", "dof", "description")
    console.table(columns, [[body[key] for key in columns] for body in bodies])
    return 0


@characters.command(name="show")
@click.argument("character")
@as_json
def characters_show(character: str, as_json: bool) -> int:
    """Show a CHARACTER: joints, roles, feet, limits."""
    from pipeline import stages

    body = stages.character(character)
    if as_json:
        console.emit_json(body)
    else:
        console.facts(body.items())
    return 0


@characters.command(name="check")
@click.argument("character", metavar="NAME|FOLDER|URDF")
@as_json
def characters_check(character: str, as_json: bool) -> int:
    """Say what is wrong with a character or a URDF, each with its fix; exit code 1 if it cannot be used so."""
    from dataclasses import asdict

    from pipeline import stages

    findings = stages.check_character(character)
    problems = [str(finding) for finding in findings if finding.severity == "problem"]
    if as_json:
        rows = [asdict(finding) for finding in findings]
        console.emit_json({"character": character, "passed": not problems, "problems": problems, "findings": rows})
    else:
        console.findings(findings)
        print(f"{character}: {'fail' if problems else 'pass'}")
    return 1 if problems else 0


@characters.command(name="new")
@click.argument("urdf", type=PATH)
@click.option("--out", type=PATH, help="Folder to make.  [default: characters/NAME of the URDF]")
@click.option("--up", type=click.Choice(["x", "y", "z"]), help="The URDF's up axis.  [default: as it would stand]")
@click.option(
    "--scale", type=click.FloatRange(min=0, min_open=True), help="Factor on its lengths.  [default: inferred]"
)
@as_json
def characters_new(urdf: Path, out: Path | None, up: str | None, scale: float | None, as_json: bool) -> int:
    """Make a character of a URDF: a folder with a copy, its meshes and a commented character.toml to read through."""
    from pipeline import stages

    with console.working(f"looking at {urdf}"):
        done = stages.new_character(urdf, out=out, up=up, scale=scale)
    data = done.to_json()
    if as_json:
        console.emit_json(data)
        return done.exit_code
    rows = [(role, entry["joints"], entry["evidence"]) for role, entry in data["roles"].items()]
    console.table(("role", "joints", "because"), rows, title=f"{data['name']}: {data['mass']} kg, {data['height']} m")
    print(f"feet: {', '.join(data['feet'])}")
    console.findings(done.findings)
    print(data["folder"])
    return done.exit_code


@cli.command()
@click.argument("schema_name", metavar="NAME")
@as_json
def schema(schema_name: str, as_json: bool) -> int:
    """Print the JSON Schema of a file: clip, gains, map, character, meta or keyframes."""
    import json

    from pipeline import stages

    print(json.dumps(stages.schema(schema_name), indent=None if as_json else 2, ensure_ascii=False))
    return 0


CHECK_COLUMNS = ("measure", "found", "limit", "unit", "where", "status")


def _check_rows(verdict: Verdict) -> list[tuple[object, ...]]:
    rows = []
    for check in verdict.checks:
        name = check.measure if check.field == "value" else f"{check.measure} {check.field}"
        limit = "" if check.limit is None else f"{'≥' if check.at_least else '≤'} {console.show(check.limit)}"
        time = None if check.time is None else f"{check.time:.2f} s"
        place = ", ".join(part for part in (check.where, time) if part)
        rows.append((name, check.found, limit, check.unit, place, check.status))
    return rows


def _verdict_line(verdict: Verdict) -> str:
    answer = "pass" if verdict.passed else f"fail: {', '.join(verdict.failed)}"
    return f"verdict as {'an' if verdict.kind[0] in 'aeiou' else 'a'} {verdict.kind} clip: {answer}"


def _show_retargeted(done: Retargeted) -> None:
    console.table(CHECK_COLUMNS, _check_rows(done.verdict), title=f"{done.clip.name} on {done.clip.character}")
    for sentence in done.mended:
        print(f"mended: {sentence}")
    shape = "loop" if done.clip.loop else "one-shot"
    print(f"{shape} of {done.clip.duration:.3f} s: {done.report.reason}")
    print(_verdict_line(done.verdict))
    print(done.folder)


def _each(
    files: Sequence[Path],
    work: Callable[[Path], Any],
    show: Callable[[Any], None],
    as_json: bool,
) -> int:
    """Do ``work`` for every file; with several, carry on past a bad one and end with a table. Returns the worst exit code."""
    if len(files) == 1:
        done = work(files[0])
        console.emit_json(done.to_json()) if as_json else show(done)
        return done.exit_code
    rows: list[tuple[object, ...]] = []
    worst = 0
    for file in files:
        try:
            done = work(file)
        except Exception as error:
            code = _report(error)
            worst = max(worst, code)
            rows.append((file, "failed", getattr(error, "message", str(error))))
            if as_json:
                console.emit_json({"file": str(file), "error": str(error), "exit_code": code})
        else:
            worst = max(worst, done.exit_code)
            rows.append((file, done.status, done.remark))
            if as_json:
                console.emit_json(done.to_json())
    if not as_json:
        console.table(("file", "result", "remark"), rows)
    return worst


def run(arguments: list[str] | None = None) -> int:
    """Run a command line and give its exit code; nothing but a debugged bug raises."""
    warnings.showwarning = _show_warning
    warnings.simplefilter("always", MimicWarning)
    try:
        code = cli.main(arguments, prog_name="mimic-pipe", standalone_mode=False) or 0
        sys.stdout.flush()
        return code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        console.note(
            str(error.__cause__ or error) or "interrupted; nothing was half-written"
        )  # click's Abort has a cause
        return INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code == TERMINATED:
            raise  # any other is click's answer to a closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit is silent
        return CLOSED_PIPE
    except Exception as error:
        return _report(error)


def _report(error: Exception) -> int:
    """Tell the user about an error, in a line and a hint, and give its exit code; with MIMIC_DEBUG=1 raise it instead."""
    if _debugging():
        raise error
    if isinstance(error, MemoryError):
        error = InputError("not enough memory", hint="cut the source with --from and --to")
    if isinstance(error, MimicError):
        console.error(error)
        return error.exit_code
    console.note(f"a bug in mimic-pipe: {type(error).__name__}: {error}")
    console.note("hint: please report it, with the traceback that MIMIC_DEBUG=1 shows")
    return BUG


cli_train.register(cli)
cli_skills.register(cli)
cli_report.register(cli)
cli_view.register(cli)


def main() -> None:
    """Entry point of ``mimic-pipe``."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # unwinds, so that locks and staging folders go
    sys.exit(run())


def _debugging() -> bool:
    return os.environ.get("MIMIC_DEBUG", "") not in ("", "0")


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    """A MimicWarning is a line for the user; other warnings are for developers."""
    if issubclass(category, MimicWarning):
        console.note(f"warning: {message}")
    elif _debugging():
        console.note(f"{filename}:{lineno}: {category.__name__}: {message}")


if __name__ == "__main__":
    main()
