"""Curves of a motion over time: contacts, foot height, joint speed, root height; of one clip, or a source beside clips.

Colours are Okabe and Ito's, told apart by every kind of colour vision; lines of one panel also differ in dash.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from characters.character import Character
from characters.kinematics import forward
from characters.shapes import link_heights
from motion import rotation
from motion.clip import Clip, Trajectory
from motion.errors import InputError
from motion.files import atomic
from motion.motion import Motion
from motion.rotation import Array

DATELESS = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""kinds of file, and what keeps the day out of them"""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
FASTEST = 3
"""joints whose speed is drawn by name; the others are one grey band"""
DOTS = 110
"""per inch of a .png"""


@dataclass(frozen=True, slots=True, eq=False)
class _Curves:
    """What is drawn of one motion."""

    name: str
    seconds: Array
    """(T,)"""
    root: Array
    """(T,) height, metres"""
    feet: dict[str, Array]
    """link → (T,) height of its lowest point, metres"""
    contacts: dict[str, np.ndarray]
    """link → (T,) bool"""
    speeds: dict[str, Array]
    """joint → (T,) magnitude of its angular velocity, rad/s"""

    @classmethod
    def of(cls, motion: Clip | Trajectory, character: Character) -> _Curves:
        layout = motion.layout
        if [j.name for j in motion.joints] != [j.name for j in character.joints]:
            raise InputError(
                f"expected a motion of {character.name}, found one of {motion.character}",
                where=motion.name,
                hint="choose --char",
            )
        qvel = motion.qvel if isinstance(motion, Clip) else layout.velocities(motion.qpos, 1.0 / motion.fps)
        heights = link_heights(character, forward(character, motion.qpos))
        index = {link.name: i for i, link in enumerate(character.links)}
        standing = dict.fromkeys((*character.feet, *(link for link in motion.contacts if link in index)))
        widths = np.where(layout.ball, 3, 1)
        return cls(
            name=f"{motion.name} on {character.name}",
            seconds=np.arange(len(motion.qpos)) / motion.fps,
            root=motion.qpos[:, 2],
            feet={link: heights[:, index[link]] for link in standing},
            contacts={link: np.asarray(flags, dtype=bool) for link, flags in motion.contacts.items()},
            speeds={
                joint.name: np.linalg.norm(qvel[:, at : at + width], axis=1)
                for joint, at, width in zip(motion.joints, layout.qvel_at, widths, strict=True)
            },
        )


def plot_clip(clip: Clip | Trajectory, character: Character, out: Path | str) -> Path:
    """Write contacts, foot height, root height and joint speed of one clip or trajectory (.png, .svg or .pdf).

    Foot height is that of the link's lowest point; its line is thick while the contact is flagged, so that a thick line off
    zero is a fault. The fastest joints are named, the others lie in the grey band.

    Raises:
        InputError: unknown suffix, another character's motion, a folder that cannot be written.
    """
    out = _checked(out)
    return write(clip_page(clip, character), out)


def clip_page(clip: Clip | Trajectory, character: Character) -> Figure:
    """The figure of `plot_clip`."""
    curves = _Curves.of(clip, character)
    page, axes = new_page(4, curves.name)
    _contacts(axes[0], curves)
    _feet(axes[1], curves)
    axes[2].plot(curves.seconds, curves.root, color="#333333")
    axes[2].set_ylabel("root height (m)")
    fastest = sorted(curves.speeds, key=lambda name: -float(curves.speeds[name].max()))
    rest = [curves.speeds[name] for name in fastest[FASTEST:]]
    if rest:
        axes[3].fill_between(
            curves.seconds, np.zeros(len(curves.seconds)), np.max(rest, axis=0), color="0.88", label="others"
        )
    for number, name in enumerate(fastest[:FASTEST]):
        axes[3].plot(curves.seconds, curves.speeds[name], color=COLOURS[number], linestyle=DASHES[number], label=name)
    axes[3].set_ylabel("joint speed (rad/s)")
    axes[3].set_ylim(bottom=0)
    legend(axes[3])
    axes[3].margins(x=0.01)
    return finished(page, axes)


def plot_compare(
    source: Motion,
    clips: Mapping[str, tuple[Clip | Trajectory, Character]] | Sequence[tuple[Clip | Trajectory, Character]],
    out: Path | str,
    *,
    source_start: float = 0.0,
) -> Path:
    """Write root height, lowest point and fastest joint of a source and of the motions made from it, one colour each.

    Heights are in shares of each one's own median root height, so that bodies of different size share an axis. A source's
    ground is where its lowest point mostly is: the 5th percentile over time.

    Args:
        source: standardised.
        source_start: seconds into the source at the motions' time 0.
        clips: the motions with their bodies, by label or labelled by their names.

    Raises:
        InputError: unknown suffix, another character's motion, a folder that cannot be written.
    """
    out = _checked(out)
    labelled = dict(clips) if isinstance(clips, Mapping) else {f"{m.name} on {c.name}": (m, c) for m, c in clips}
    curves = {label: _Curves.of(motion, character) for label, (motion, character) in labelled.items()}
    page, axes = new_page(3, f"{source.name}: source and results")
    positions = source.forward()[0][..., 2]
    low = float(np.percentile(positions.min(axis=1), 5))
    tall = max(float(np.median(positions[:, 0])) - low, 1e-9)
    seconds = np.arange(len(source)) / source.fps - source_start
    axes[0].plot(seconds, (positions[:, 0] - low) / tall, color="0.35", linewidth=2.2, label="source")
    axes[1].plot(seconds, 100 * (positions.min(axis=1) - low) / tall, color="0.35", linewidth=2.2, label="source")
    for number, (label, one) in enumerate(curves.items()):
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)], "label": label}
        motion, character = labelled[label]
        typical = max(float(np.median(one.root)), 1e-9)
        lowest = link_heights(character, forward(character, motion.qpos)).min(axis=1)
        axes[0].plot(one.seconds, one.root / typical, **style)
        axes[1].plot(one.seconds, 100 * lowest / typical, **style)
        axes[2].plot(one.seconds, np.max(list(one.speeds.values()), axis=0), **style)
    speed = _source_speed(source)
    axes[2].plot(seconds, speed, color="0.35", linewidth=2.2, label="source", zorder=1)
    axes[0].set_ylabel("root height\n(of its median)")
    axes[1].set_ylabel("lowest point\n(% of root height)")
    axes[2].set_ylabel("fastest joint (rad/s)")
    axes[1].axhline(0.0, color="0.6", linewidth=0.8)
    axes[2].set_ylim(bottom=0)
    legend(axes[0])
    longest = max((float(one.seconds[-1]) for one in curves.values()), default=float(seconds[-1]))
    axes[2].set_xlim(-0.02 * longest, 1.02 * longest)
    return write(finished(page, axes), out)


def _source_speed(source: Motion) -> Array:
    """(T,) rad/s of the fastest joint but the root: angle between neighbouring frames."""
    if len(source) < 2 or len(source.skeleton) < 2:
        return np.zeros(len(source))
    step = rotation.angle(source.rotations[:-1, 1:], source.rotations[1:, 1:]).max(axis=1) * source.fps
    return np.concatenate([step[:1], 0.5 * (step[:-1] + step[1:]), step[-1:]])


def _checked(out: Path | str) -> Path:
    out = Path(out)
    if out.suffix.lower() not in DATELESS:
        raise InputError(
            f"expected a name ending in {', '.join(DATELESS)}, found {out.suffix or 'no suffix'!r}", where=out
        )
    return out


def new_page(rows: int, title: str) -> tuple[Figure, list[Axes]]:
    """Panels one above the other that share their x axis."""
    page = Figure(figsize=(9.0, 0.8 + 1.75 * rows), layout="constrained")
    FigureCanvasAgg(page)
    axes = list(page.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    axes[0].set_title(title, loc="left", fontsize=12)
    return page, axes


def _contacts(axes: Axes, curves: _Curves) -> None:
    """A row for each link, in the colour of its height, a bar while it is flagged."""
    for row, link in enumerate(curves.feet):
        if link in curves.contacts:
            spans = _spans(curves.seconds, curves.contacts[link])
            axes.broken_barh(spans, (row - 0.36, 0.72), facecolors=COLOURS[row % len(COLOURS)])
    axes.set_yticks(range(len(curves.feet)), list(curves.feet))
    axes.set_ylim(len(curves.feet) - 0.5, -0.5)
    axes.set_ylabel("contact")


def _spans(seconds: Array, flagged: np.ndarray) -> list[tuple[float, float]]:
    """(start, width) of each unbroken stretch; a sample stands for the step around it."""
    step = float(seconds[1] - seconds[0]) if len(seconds) > 1 else 1.0
    change = np.flatnonzero(np.diff(np.concatenate([[0], flagged.astype(int), [0]])))
    return [(float(seconds[a]) - 0.5 * step, (b - a) * step) for a, b in change.reshape(-1, 2)]


def _feet(axes: Axes, curves: _Curves) -> None:
    for number, (link, height) in enumerate(curves.feet.items()):
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
        axes.plot(curves.seconds, 100 * height, color=colour, linestyle=dash, label=link)
        if link in curves.contacts:
            flagged = np.where(curves.contacts[link], 100 * height, np.nan)
            axes.plot(curves.seconds, flagged, color=colour, linewidth=4.0, alpha=0.55, solid_capstyle="butt")
    axes.axhline(0.0, color="0.6", linewidth=0.8)
    axes.set_ylabel("foot height (cm)")
    legend(axes)


def legend(axes: Axes) -> None:
    """Beside the panel, so that it hides nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)


def finished(page: Figure, axes: list[Axes], across: str = "time (s)") -> Figure:
    """The figure with its x axis named and everything needless gone."""
    axes[-1].set_xlabel(across)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(axis="x", color="0.92")
        one.set_axisbelow(True)
    return page


def encoded(page: Figure, kind: str) -> bytes:
    """The figure as a file of a kind in `DATELESS`; the same bytes every time, an .svg's text as text."""
    content = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "mimic-pipe"}):
        page.savefig(content, format=kind[1:], dpi=DOTS, metadata=DATELESS[kind])
    return content.getvalue()


def write(page: Figure, out: Path) -> Path:
    """Write a figure as the kind of file its name says."""
    with atomic(out) as file:
        file.write(encoded(page, out.suffix.lower()))
    return out
