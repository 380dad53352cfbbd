"""The stages on files: one function each, under the words of the commands. Whoever scripts, calls these."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from characters import character as bodies
from characters import check as body_check
from characters import infer
from characters.character import Character
from characters.check import Finding
from characters.definition import CharacterFile
from characters.keyframes import KeyframesFile
from motion import contacts, files, formats
from motion.clip import Clip, ClipFile, Trajectory
from motion.contacts import Contacts
from motion.errors import InputError, MimicWarning, nearest
from motion.formats import npz
from motion.gains import Gains
from motion.motion import Motion
from pipeline import export as exports
from pipeline import lock, loops, sources
from pipeline import phase as phases
from pipeline import prove as proofs
from pipeline import samples as sample_clips
from pipeline.phase import PhaseReport
from pipeline.results import Checked, Created, Ingested, Inspection, Retargeted, RetargetSettings
from pipeline.scene import Beside
from pipeline.sources import Source
from retarget import gains as gain_rules
from retarget import quality
from retarget.mapping import MapFile, Mapping
from retarget.measures import Verdict
from retarget.refine import refine
from retarget.retarget import retarget as solve

PROCESSED = Path("processed")
MOTIONS = "_motion"
"""subfolder of the results where ingested motions go"""
TRAJECTORY, CLIP, GAINS, QUALITY = "trajectory.npz", "clip.json", "gains.json", "quality.json"
SCHEMAS: dict[str, type[BaseModel]] = {
    "clip": ClipFile,
    "gains": Gains,
    "map": MapFile,
    "character": CharacterFile,
    "meta": sample_clips.Meta,
    "keyframes": KeyframesFile,
}


def samples(folder: Path = sources.RAW, names: list[str] | None = None) -> list[Path]:
    """Write the sample clips as BVH with their meta.toml; returns the motion files."""
    return sample_clips.write_samples(folder, names)


def inspect(path: Path | str) -> Inspection:
    """Read a motion file and say what was understood."""
    source = sources.read(path)
    return Inspection(source, contacts.detect(source.motion, source.roles))


def ingest(
    path: Path | str, *, out: Path = PROCESSED, name: str | None = None, mapping: Mapping | None = None
) -> Ingested:
    """Read and clean a motion file into ``out/_motion/NAME.npz``.

    Raises:
        InputError: unreadable; another source of this name was ingested there.
    """
    source = sources.read(path, mapping=mapping, name=_checked_name(name))
    target = Path(out) / MOTIONS / f"{source.motion.name}.npz"
    if target.exists():
        _refuse_other_source(formats.read(target).provenance, source, target)
    origin = {"source": source.path.as_posix(), "source_sha256": source.sha256}
    npz.write(target, replace(source.motion, provenance={**source.motion.provenance, **origin}))
    return Ingested(target, source)


def map_(path: Path | str, char: str) -> tuple[Mapping, str]:
    """The proposed map of a motion file onto a character, and a comment on it for ``map.toml``."""
    character = Character.load(char)
    source = sources.read(path)
    mapping = source.mapping
    shared = [role for role in character.roles if role in mapping.roles]
    idle = [role for role in character.roles if role not in mapping.roles]
    comment = f"{source.path.name} onto {character.name}; driven: {', '.join(shared) or 'nothing'}"
    return mapping, comment + (f"\nnot driven: {', '.join(idle)}" if idle else "")


def retarget(
    path: Path | str,
    char: str,
    *,
    out: Path = PROCESSED,
    name: str | None = None,
    settings: RetargetSettings | None = None,
) -> Retargeted:
    """Bring a motion file onto a character: ``out/CHAR/NAME/{trajectory.npz, clip.json, gains.json, quality.json}``.

    Raises:
        InputError: a file, name or setting that cannot be used; another source of this name; the folder is in use.
        SolveError: the solve failed.
    """
    settings = settings or RetargetSettings()
    character = Character.load(char)
    mapping = None if settings.map_file is None else Mapping.load(settings.map_file)
    ingested = ingest(path, out=out, name=name, mapping=mapping)
    source = ingested.source
    first, last = _frames(source, settings)
    folder = Path(out) / character.name / source.motion.name
    with sources.told_by_path(source), lock.claim(folder) as staging:
        if (folder / CLIP).exists():
            _refuse_other_source(Clip.load(folder / CLIP).provenance, source, folder)
        began = time.perf_counter()
        trajectory = _solve(source, mapping or source.mapping, character, first, last)
        trajectory = replace(
            trajectory,
            provenance={
                "source": source.path.as_posix(),
                "source_sha256": source.sha256,
                "source_start": round(first / source.motion.fps, 6),
                "source_name": source.raw.name,
                **({"meta": meta} if (meta := source.raw.provenance.get("meta")) else {}),
                "cleaned": list(source.mended),
                "character_sha256": character.sha256,
                **_folder_of(character),
                "map": "inferred" if settings.map_file is None else settings.map_file.as_posix(),
                "map_sha256": None if settings.map_file is None else files.sha256(settings.map_file),
                "settings": settings.to_json(),
                "version": our_version(),
                "solve_seconds": round(time.perf_counter() - began, 3),
            },
        )
        trajectory.save(staging / TRAJECTORY)
        clip, report, verdict = _finish(trajectory, character, source, staging, loop=settings.loop)
    return Retargeted(folder, clip, report, verdict, source.mended)


def phase(path: Path | str, *, cycle: tuple[float, float] | None = None, loop: bool | None = None) -> Retargeted:
    """Choose the cycle of a retargeted clip again: clip.json, gains.json and quality.json are made anew.

    Args:
        path: the clip's folder, or its trajectory.npz or clip.json.
        cycle: seconds (A, B) of the trajectory to loop; found if None.
    """
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    trajectory = Trajectory.load(folder / TRAJECTORY)
    character = _character(trajectory)
    with lock.claim(folder) as staging:
        source = _source_of(trajectory)
        clip, report, verdict = _finish(trajectory, character, source, staging, loop=loop, cycle=cycle)
    return Retargeted(folder, clip, report, verdict, ())


def gains(path: Path | str, *, prove: bool = False) -> tuple[Path, Gains]:
    """Derive the PD gains of a clip again and write them beside it, with their proof in the engines if wanted."""
    file = clip_file(path)
    clip = Clip.load(file)
    character = _character(clip)
    derived = gain_rules.derive(character, clip)
    if prove:
        derived.evidence["proof"] = proofs.prove(character, clip, derived).model_dump()
    with lock.claim(file.parent) as staging:
        derived.save(staging / GAINS)
    return file.parent / GAINS, derived


def validate(path: Path | str, *, source: Path | str | None = None, char: str | None = None) -> Checked:
    """Measure a clip against the limits of quality, from the clip and the body alone, or also from its source.

    Raises:
        InputError: unreadable; the clip is of another body; ``source`` is not the one it was made from.
    """
    file = clip_file(path)
    clip = Clip.load(file)
    character = _character(clip, char)
    measures = quality.intrinsic(clip, character)
    if source is not None:
        read = sources.read(source, mapping=_map_of(clip))
        wanted = clip.provenance.get("source_sha256")
        if wanted is not None and wanted != read.sha256:
            raise InputError(
                f"expected the source {clip.provenance.get('source')} (sha256 {wanted[:12]}…), found {read.sha256[:12]}…",
                where=read.path,
            )
        measures = measures | quality.fidelity(clip, character, read.motion, read.roles)
    return Checked(file, clip, measures, quality.verdict(measures))


def export(path: Path | str, format_: str, *, output: Path | None = None) -> Path:
    """Write a clip, trajectory or motion file in another format; beside it under its own name by default."""
    exporter = exports.exporter(format_)
    file, what = _performance(path)
    if output is None:
        output = file.with_name(f"{what.name}{exporter.suffix}")
        if output.resolve() == file.resolve():
            raise InputError(f"this would overwrite the {format_} file itself", where=file, hint="name another with -o")
    exporter.write(output, what, None if isinstance(what, Motion) else _character(what))
    return output


def render(
    paths: Path | str | Sequence[Path | str],
    output: Path,
    *,
    source: Path | str | None = None,
    camera: str = "side",
    plot: bool = False,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    span: tuple[float, float] | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw clips or trajectories: a film (.gif, .mp4), a strip of poses (.png), or a plot of contacts, heights and speeds.

    Args:
        paths: one, or several to be seen side by side, without their sources.
        source: drawn beside a single body; by default the clip's own, if it is still there unchanged.
        size, fps, span, workers, progress: as `picture.render` has them.
    """
    paths = [paths] if isinstance(paths, Path | str) else list(paths)
    performers: list[tuple[Clip | Trajectory, Character]] = []
    for path in paths:
        file, what = _performance(path)
        if isinstance(what, Motion):
            hint = "retarget it first"
            raise InputError("expected a body's clip, found a motion without a body", where=file, hint=hint)
        performers.append((what, _character(what)))
    what, character = performers[0]
    if plot:
        from pipeline import plots

        if len(performers) > 1:
            raise InputError(f"expected one clip to plot, found {len(performers)}", hint="plot them one by one")
        return plots.plot_clip(what, character, output)
    from pipeline import picture

    if len(performers) > 1:
        return picture.render_row(
            performers, output, camera=camera, size=size, fps=fps, span=span, workers=workers, progress=progress
        )
    return picture.render(
        what,
        character,
        output,
        source=beside(what, source),
        camera=camera,
        size=size,
        fps=fps,
        span=span,
        workers=workers,
        progress=progress,
    )


def beside(what: Clip | Trajectory, source: Path | str | None = None) -> Beside | None:
    """What a clip was made from, to be seen beside it.

    Args:
        source: a motion file; by default the clip's own, None if that is gone or has changed.
    """
    read = sources.read(source) if source is not None else _source_of(what)
    if read is None:
        return None
    start = what.provenance.get("interval", [what.provenance.get("source_start", 0.0)])[0]
    return Beside(read.motion, min(start, read.motion.duration), read.height)


def characters() -> list[dict[str, Any]]:
    """Figures of the characters in ./characters and of the installed ones."""
    return [bodies.describe(Character.load(name)) for name in bodies.available()]


def character(name: str) -> dict[str, Any]:
    """Figures of one character."""
    return bodies.describe(Character.load(name))


def check_character(name: str) -> list[Finding]:
    """What is wrong with a character or a URDF file, and what could be better; it can be used if no problem is among it.

    Raises:
        InputError: there is no such body, or it cannot be read at all.
    """
    return body_check.check(name)


def new_character(
    urdf: Path | str, *, out: Path | None = None, up: str | None = None, scale: float | None = None
) -> Created:
    """Make a character's folder of a URDF; in ``characters/NAME`` by default."""
    urdf = Path(urdf)
    body, found = infer.create(urdf, out or bodies.HERE / urdf.stem, up=up, scale=scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MimicWarning)  # told when it was made
        return Created(body, found, body_check.check(body.folder))


def schema(name: str) -> dict[str, Any]:
    """JSON Schema of a file."""
    if name not in SCHEMAS:
        raise InputError(f"no schema {name!r}", hint=nearest(name, SCHEMAS))
    return SCHEMAS[name].model_json_schema()


def our_version() -> str:
    """Version of this package, for provenance."""
    try:
        return version("mimic-pipe")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


def clip_file(path: Path | str) -> Path:
    """The clip.json a user means: itself, or its folder."""
    path = Path(path)
    return path / CLIP if path.is_dir() or not path.suffix else path


def _solve(source: Source, mapping: Mapping, character: Character, first: int, last: int) -> Trajectory:
    """Frames ``first:last`` of a source on a body; a source that is one cycle, between its neighbouring cycles.

    Keyframes on their own body are its trajectory already.
    """
    whole = (first, last) == (0, len(source.motion))
    if source.own is not None and source.own.character == character.name:
        own = source.own
        flags = {link: stands[first:last] for link, stands in own.contacts.items()}
        return replace(own, qpos=own.qpos[first:last], contacts=flags, loop=own.loop if whole else None)
    if whole:
        surrounded = loops.surround(source.motion)
        found = contacts.detect(surrounded.motion, source.roles)
        return surrounded.middle(solve(surrounded.motion, mapping, character, found))
    found = contacts.detect(source.motion, source.roles)  # of the whole: a short part may show no ground
    return solve(source.motion.slice(first, last), mapping, character, _cut(found, first, last))


def _finish(
    trajectory: Trajectory,
    character: Character,
    source: Source | None,
    folder: Path,
    *,
    loop: bool | None = None,
    cycle: tuple[float, float] | None = None,
) -> tuple[Clip, PhaseReport, Verdict]:
    """From the trajectory on: choose the cycle, measure, derive the gains, write the three files into ``folder``."""
    clip, report = phases.phase(
        trajectory, character, loop=loop, cycle=cycle, refine=lambda closed: refine(closed, character)
    )
    start = trajectory.provenance.get("source_start", 0.0)
    clip = replace(
        clip,
        provenance={
            **clip.provenance,
            "interval": [round(start + report.start, 6), round(start + report.stop, 6)],
        },
    )
    measures = quality.intrinsic(clip, character)
    if source is not None:
        measures = measures | quality.fidelity(clip, character, source.motion, source.roles)
    verdict = quality.verdict(measures)
    result = {"passed": verdict.passed, "failed": list(verdict.failed), **measures.to_json()}
    clip = replace(clip, quality=result)
    clip.save(folder / CLIP)
    gain_rules.derive(character, clip).save(folder / GAINS)
    files.write_json(
        folder / QUALITY,
        {
            "format": "mimic-quality",
            "version": 1,
            "name": clip.name,
            "character": clip.character,
            "source_sha256": clip.provenance.get("source_sha256"),
            **result,
            "verdict": verdict.to_json(),
            "phase": report.to_json(),
        },
    )
    return clip, report, verdict


def _checked_name(name: str | None) -> str | None:
    if name is not None and (Path(name).name != name or name.startswith((".", "_"))):
        raise InputError(
            f"expected a plain name for the clip, found {name!r}", hint="letters, digits, - and _ are safe"
        )
    return name


def _refuse_other_source(provenance: dict[str, Any], source: Source, where: Path) -> None:
    known = provenance.get("source_sha256")
    edited = source.own is not None and provenance.get("source") == source.path.as_posix()  # keyframes are being made
    if known is not None and known != source.sha256 and not edited:
        raise InputError(
            f"{source.motion.name} was made from another source, {provenance.get('source')} (sha256 {known[:12]}…)",
            where=where,
            hint="give this one another name with --name, or delete the old result",
        )


def _frames(source: Source, settings: RetargetSettings) -> tuple[int, int]:
    """First frame and end of the stretch of the cleaned source that the settings ask for."""
    motion, count = source.motion, len(source.motion)
    start = 0.0 if settings.start is None else max(settings.start - source.dropped, 0.0)
    stop = motion.duration if settings.stop is None else min(settings.stop - source.dropped, motion.duration)
    first, last = (round(start * motion.fps), round(stop * motion.fps) + 1) if start <= stop else (0, 0)
    if last - first < 2:
        raise InputError(
            f"expected a motion of at least 2 frames, found {last - first}"
            f" (the source has {count}, {source.raw.duration:.3f} s)",
            where=source.path,
            hint="a single pose can be inspected and mapped, not retargeted" if count < 2 else "choose --from and --to",
        )
    return first, last


def _cut(found: Contacts, first: int, last: int) -> Contacts:
    """Contacts of frames ``first:last``."""

    def part(flags: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {role: values[first:last] for role, values in flags.items()}

    return replace(
        found,
        flags=part(found.flags),
        hands=part(found.hands),
        knees=part(found.knees),
        airborne=found.airborne[first:last],
        level=found.level[first:last],
    )


def _folder_of(character: Character) -> dict[str, str]:
    """Where a character is that its name alone does not find."""
    return {} if character.name in bodies.available() else {"character_folder": character.folder.as_posix()}


def _character(what: Clip | Trajectory, char: str | None = None) -> Character:
    return Character.load(char or what.provenance.get("character_folder", what.character))


def _source_of(what: Clip | Trajectory) -> Source | None:
    """The source a clip was made from, if it is still where it was and has not changed."""
    stated = what.provenance.get("source")
    if stated is None or not Path(stated).is_file() or files.sha256(stated) != what.provenance.get("source_sha256"):
        return None
    return sources.read(stated, mapping=_map_of(what))


def _map_of(what: Clip | Trajectory) -> Mapping | None:
    """The edited map a clip was made with; None if it was inferred, or is gone."""
    digest, stated = what.provenance.get("map_sha256"), what.provenance.get("map")
    if digest is None or stated is None or not Path(stated).is_file() or files.sha256(stated) != digest:
        return None
    return Mapping.load(stated)


def _performance(path: Path | str) -> tuple[Path, Clip | Trajectory | Motion]:
    """A clip, trajectory or motion file, whichever it is."""
    path = Path(path)
    if path.is_dir() or path.suffix == ".json":
        file = clip_file(path)
        return file, Clip.load(file)
    if path.suffix == ".npz" and "qpos" in files.read_npz(path):
        return path, Trajectory.load(path)
    source = sources.read(path)
    return source.path, source.own or source.motion
