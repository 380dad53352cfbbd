"""A body's own clip as the target: contacts, ground and limits imposed again after a cycle was cut and its seam closed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from characters import kinematics, shapes
from characters.character import Character
from motion.clip import Clip, Layout
from motion.contacts import REFERENCE_HEIGHT
from motion.rotation import Array
from retarget import flight
from retarget.body import Body
from retarget.sampled import Sampled
from retarget.solve import SolveSettings, solve
from retarget.targets import Targets, TargetSettings, intervals, release

CONTEXT = 1.5
"""seconds of the neighbouring cycles solved with a loop, so that its ends meet"""

MIX = 0.15
"""seconds on either side of the wrap over which two cycles' solutions are mixed"""

LEAST = 0.04
"""seconds for which a foot must touch to be held"""


def refine(clip: Clip, character: Character, settings: SolveSettings | None = None, *, ballistic: bool = True) -> Clip:
    """The same clip with feet pinned, nothing under the ground and limits kept, across the wrap for a loop.

    Args:
        clip: any clip of ``character``; its contacts say when feet stand.
        ballistic: whether its flights are made to fall freely first, see `retarget.flight`; the provenance tells.

    Returns:
        A clip with new qpos and qvel, and contacts as they turned out; everything else is kept.
    """
    count, layout = len(clip.qpos), character.layout
    pad = min(count, round(CONTEXT * clip.fps) + _across(clip)) if clip.loop else 0
    index = np.arange(-pad, count + pad)
    qpos = clip.qpos[index % count]
    if clip.loop:
        qpos = clip.cycle_offset.apply(qpos, index // count)
    qpos = layout.continuous(qpos)
    provenance = clip.provenance
    if ballistic:
        mended = flight.mend(character, qpos, clip.fps)
        qpos = mended.qpos
        provenance = {**provenance, "flight": mended.to_json()} if mended.airborne.any() else provenance
    flags = {link: f[index % count] for link, f in stances(clip, character).items()}
    solution = solve(character, targets_of(character, qpos, clip.fps, flags), settings)
    solved = layout.continuous(_meet(clip, solution.qpos, pad, layout))
    stands = {link: f[pad : pad + count] for link, f in solution.stands.items()}
    after = None
    if clip.loop:
        before = clip.cycle_offset.apply(solved[-1:], -1)
        after = np.concatenate([before, clip.cycle_offset.apply(solved[:1], 1)])
    return replace(
        clip,
        qpos=solved,
        qvel=layout.velocities(solved, 1.0 / clip.fps, after=after),
        contacts=stands,
        provenance=provenance,
    )


def stances(clip: Clip, character: Character) -> dict[str, np.ndarray]:
    """Contacts of a clip, and with them the feet that stand on this body though the source's moved a little too fast.

    A foot that hovers or creeps within the limits of body contact for `LEAST` seconds is put down and held still, for
    physics will let it touch anyway.
    """
    sampled = Sampled.of(clip, character)
    nearest = np.minimum(np.round(np.arange(len(clip.qpos)) / clip.fps / sampled.dt).astype(int), sampled.count - 1)
    least = max(LEAST * clip.fps, 2.0)
    out = {}
    for link, flags in clip.contacts.items():
        flags, at = np.asarray(flags, dtype=bool), character.link(link)
        if link in character.feet and at in sampled.ground:
            extra = sampled.body_contact(at)[nearest] & ~flags
            for start, stop in intervals(extra):
                if stop - start < least:
                    extra[start:stop] = False
            flags = flags | extra
        out[link] = flags
    return out


def _meet(clip: Clip, padded: Array, pad: int, layout: Layout) -> Array:
    """The clip's own samples ``(P, nq)`` of a solution with ``pad`` samples of context, the same on both sides of the wrap.

    The solve ends within a tolerance, not exactly alike in every cycle; near the wrap both copies are mixed.
    """
    count = len(clip.qpos)
    out = padded[pad : pad + count].copy()
    width = min(pad, count // 2, round(MIX * clip.fps))
    if width == 0:
        return out
    share = 0.5 * (1.0 - np.arange(width) / width)
    later = clip.cycle_offset.apply(padded[pad + count : pad + count + width], -1)
    earlier = clip.cycle_offset.apply(padded[pad - width : pad], 1)
    out[:width] = layout.interpolate(out[:width], later, share)
    out[-width:] = layout.interpolate(out[-width:], earlier, share[::-1])
    return out


def _across(clip: Clip) -> int:
    """Samples of the longest stance that runs across the wrap: both its ends must see all of it to share one print."""
    longest = 0
    for flags in clip.contacts.values():
        off = np.flatnonzero(~np.asarray(flags, dtype=bool))
        if len(off) and flags[0] and flags[-1]:
            longest = max(longest, int(off[0] + len(flags) - 1 - off[-1]))
    return longest


def targets_of(character: Character, qpos: np.ndarray, fps: float, stance: dict[str, np.ndarray]) -> Targets:
    """Targets that ask a body to do what it does already: qpos ``(T, nq)``, stance link → ``(T,)`` bool."""
    pose = kinematics.forward(character, qpos)
    heights = shapes.link_heights(character, pose)
    weights = TargetSettings()
    count = len(character.links)
    above = {link: np.maximum(heights[:, character.link(link)], 0.0) for link in stance}
    size = character.height / REFERENCE_HEIGHT
    held = {link: release(flags, above[link], size, fps) for link, flags in stance.items()}
    return Targets(
        fps=fps,
        qpos=qpos,
        root=pose.positions[:, 0],
        root_weight=np.full(3, weights.root),
        rotations=pose.rotations,
        bones=Body(character).bones,
        across=np.full(count, weights.limb),
        about=np.full(count, weights.limb),
        stance=held,
        clearance={link: np.where(flags, 0.0, above[link]) for link, flags in held.items()},
        claimed=stance,
    )
