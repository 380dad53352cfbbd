"""The plots of a report: the seam, a training's curve, pushes and the failure map, as figures of matplotlib.

Colours and dashes are those of `pipeline.plots`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from motion.clip import Clip
from motion.rotation import Array
from pipeline.failures import FailureMap
from pipeline.plots import COLOURS, DASHES, finished, legend, new_page

AROUND = 0.15
"""share of a cycle drawn on either side of the wrap"""
SHOWN = 4
"""joints whose speed is drawn across the wrap"""
BINS = 20
MARKERS = ("o", "s", "^", "D", "v", "P")
CURVES = {
    "reward": "reward of a step",
    "episode_seconds": "episode (s)",
    "std": "exploration (rad)",
}
"""columns of metrics.csv that are drawn, with their labels"""


def seam_page(clip: Clip) -> Figure:
    """Speed of the joints that change it most at a loop's wrap, around the wrap."""
    step = clip.duration / len(clip.qpos)
    count = max(round(AROUND * len(clip.qpos)), 2)
    seconds: Array = step * np.arange(-count, count + 1, dtype=np.float64)
    rates = clip.layout.velocities(clip.sample(seconds)[0], step)
    widths = np.where(clip.layout.ball, 3, 1)
    speeds = np.stack(
        [np.linalg.norm(rates[:, a : a + w], axis=1) for a, w in zip(clip.layout.qvel_at, widths, strict=True)]
    )
    jump = np.abs(np.diff(speeds, axis=1))[:, count - 2 : count + 2].max(axis=1)
    page, axes = new_page(1, "across the wrap")
    axes[0].axvline(0.0, color="0.6", linewidth=0.8)
    for number, joint in enumerate(np.argsort(-jump)[:SHOWN]):
        style = {"color": COLOURS[number], "linestyle": DASHES[number], "label": clip.joints[joint].name}
        axes[0].plot(1000 * seconds, speeds[joint], **style)
    axes[0].set_ylabel("joint speed (rad/s)")
    axes[0].set_ylim(bottom=0)
    legend(axes[0])
    return finished(page, axes, "time from the wrap (ms)")


def curve_page(curve: Mapping[str, Array]) -> Figure:
    """A training: reward, length of the episodes and why they ended, against samples."""
    reasons = {name[6:]: values for name, values in curve.items() if name.startswith("ended_")}
    shown = [name for name in CURVES if name in curve]
    page, axes = new_page(len(shown) + bool(reasons), "training")
    samples = curve["samples"] / 1e6
    for one, name in zip(axes, shown, strict=False):
        one.plot(samples, curve[name], color=COLOURS[0])
        one.set_ylabel(CURVES[name])
    if reasons:
        for number, (reason, values) in enumerate(reasons.items()):
            style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
            axes[-1].plot(samples, values, label=reason, **style)
        axes[-1].set_ylabel("endings\nin a batch")
        legend(axes[-1])
    for one in axes:
        one.set_ylim(bottom=min(0.0, one.get_ylim()[0]))
    return finished(page, axes, "samples (millions)")


def push_page(push: Mapping[str, Any]) -> Figure:
    """The largest force survived, by the phase at which the push begins, a line for each direction."""
    page, axes = new_page(1, "largest push survived, 0.2 s at the pelvis")
    directions = {name: found for name, found in push.items() if isinstance(found, dict) and "by_phase" in found}
    for number, (name, found) in enumerate(directions.items()):
        forces = np.array(found["by_phase"])
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
        axes[0].plot(
            np.arange(len(forces)) / len(forces), forces, marker=MARKERS[number % len(MARKERS)], label=name, **style
        )
    axes[0].set_ylabel("force (N)")
    axes[0].set_ylim(bottom=0)
    axes[0].set_xlim(-0.02, 1.0)
    legend(axes[0])
    return finished(page, axes, "phase of the cycle")


def failure_page(found: FailureMap, clip: Clip) -> Figure:
    """Endings by phase, by direction of the lean and by the feet on the ground, over the clip's own contacts.

    A point in the middle panel is an episode: the larger, the further the body leant.
    """
    page, axes = new_page(3, f"where episodes of {clip.name} on {clip.character} end")
    stances = np.array(found.stances)
    feet = [link.replace("_", " ") for link in clip.contacts]
    names = sorted(set(stances), key=lambda name: (name == "no foot", name))
    phases, leans = found.phases, found.leans
    edges = np.linspace(0.0, 1.0, BINS + 1)
    bottom = np.zeros(BINS)
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        those = stances == name
        counts = np.histogram(phases[those], bins=edges)[0]
        label = name.replace("_", " ")
        axes[0].bar(
            edges[:-1],
            counts,
            1 / BINS,
            bottom=bottom.tolist(),
            align="edge",
            color=colour,
            edgecolor="white",
            label=label,
        )
        bottom += counts
        size = np.hypot(leans[those, 0], leans[those, 1])
        angle = np.degrees(np.arctan2(leans[those, 1], leans[those, 0]))
        axes[1].scatter(
            phases[those],
            angle,
            12 + 60 * np.clip(size, 0, 1.5),
            color=colour,
            marker=MARKERS[number % len(MARKERS)],
            alpha=0.75,
            linewidths=0.5,
            edgecolors="0.2",
        )
    axes[0].set_ylabel("episodes that end")
    axes[0].yaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axes[0])
    axes[1].set_ylim(-190, 190)
    axes[1].set_yticks([-180, -90, 0, 90, 180], ["back", "right", "forward", "left", "back"])
    axes[1].set_ylabel("leaning")
    axes[1].grid(axis="y", color="0.92")
    for row, flags in enumerate(clip.contacts.values()):
        change = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, dtype=int), [0]])))
        spans = [(a / len(clip.phase), (b - a) / len(clip.phase)) for a, b in change.reshape(-1, 2)]
        axes[2].broken_barh(spans, (row - 0.36, 0.72), facecolors="0.55")
    axes[2].set_yticks(range(len(feet)), feet)
    axes[2].set_ylim(len(feet) - 0.5, -0.5)
    axes[2].set_ylabel("the clip's\ncontacts")
    axes[2].set_xlim(0.0, 1.0)
    return finished(page, axes, "phase of the clip")


def overload_page(joints: Mapping[str, float]) -> Figure:
    """Share of the simulation steps in which a servo asks for more than its torque limit, joint by joint."""
    names = sorted(joints, key=lambda name: joints[name])
    page, axes = new_page(1, "servos beyond their torque limit")
    axes[0].barh(names, [joints[name] for name in names], color=COLOURS[0])
    axes[0].xaxis.set_major_formatter(PercentFormatter(1.0))
    return finished(page, axes, "share of the simulation steps")
