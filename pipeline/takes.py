"""What is shown of a clip, motion or policy: parts that move, contacts, curves; the same in the viewer and a saved page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from characters.character import Character
from characters.kinematics import forward
from motion import rotation
from motion.clip import NO_OFFSET, Clip, CycleOffset, Trajectory
from motion.contacts import detect
from motion.motion import Motion
from motion.roles import Roles
from motion.rotation import Array
from pipeline import figure, panels, solids
from pipeline.panels import Panel
from pipeline.scene import BONE, TRAVELS, Beside, path, sample, smooth
from pipeline.solids import Mesh

GHOST = np.array([0.0, 0.62, 0.45])
"""colour of the reference beside a simulated body: Okabe and Ito's bluish green"""
GHOST_OPACITY = 0.4
APART = 0.75
"""of the greater height, between figures side by side"""
SAME = 1e-6
"""metres and radians, between frames that are one pose"""
STACKED = 0.12
"""of its height, how much higher a ghost's name is than the name of the body it is in"""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A body or a skeleton: L rigid parts in T frames."""

    name: str
    """source, body or reference; of several bodies each with its number"""
    label: str
    names: tuple[str, ...]
    """(L,) of its parts: links or joints"""
    meshes: tuple[Mesh, ...]
    """(L,) each in its part's frame, some without a triangle"""
    colours: Array
    """(L, 3) in [0, 1]"""
    positions: Array
    """(T, L, 3) metres"""
    rotations: Array
    """(T, L, 4) wxyz"""
    lit: np.ndarray
    """(T, L) bool: in contact with the ground"""
    path: Array
    """(T, 3) of the root on the ground, low-passed: what a camera follows"""
    height: float
    """metres"""
    aside: Array = field(default_factory=lambda: np.zeros(3))
    """(3,) metres, where it is put so that it stands beside the others"""
    cycle: CycleOffset = NO_OFFSET
    """from the end of a loop to its beginning"""
    opacity: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """Everything shown at a time; its layers share T frames."""

    name: str
    kind: str
    """clip, motion or policy"""
    fps: float
    """frames per second"""
    loop: bool
    layers: tuple[Layer, ...]
    """the main one last"""
    facts: tuple[str, ...] = ()
    """lines about it: where it is from, what was measured"""
    panels: Callable[[], tuple[Panel, ...]] = tuple
    """its curves: some take seconds to compute"""
    period: float | None = None
    """seconds of the clip a policy performs; of others the duration"""

    @property
    def frames(self) -> int:
        return len(self.main.positions)

    @property
    def duration(self) -> float:
        """Seconds; of one cycle for a loop."""
        return (self.frames if self.loop else max(self.frames - 1, 1)) / self.fps

    def phase(self, seconds: float) -> float:
        """In [0, 1], of the clip at a time of its first cycle; a policy performs its clip again and again."""
        period = self.period or self.duration
        return seconds / period if seconds <= self.duration <= period else seconds / period % 1.0

    @property
    def main(self) -> Layer:
        """The layer a camera follows."""
        return self.layers[-1]

    def at(self, layer: Layer, seconds: float) -> tuple[Array, Array, np.ndarray]:
        """Positions ``(L, 3)``, rotations ``(L, 4)`` and contacts ``(L,)`` of a layer between two frames, in cycle 0."""
        here = seconds * self.fps
        frame = min(int(here), self.frames - 1)
        after, share = min(frame + 1, self.frames - 1), here - int(here)
        lit = layer.lit[after if share > 0.5 else frame]
        if share < 1e-3 or after == frame:
            return layer.positions[frame], layer.rotations[frame], lit
        a, b = layer.rotations[frame], layer.rotations[after]
        b = np.where(np.einsum("li,li->l", a, b)[:, None] < 0, -b, b)
        positions = (1 - share) * layer.positions[frame] + share * layer.positions[after]
        return positions, rotation.normalize((1 - share) * a + share * b), lit


def of_body(
    character: Character,
    qpos: Array,
    contacts: dict[str, np.ndarray],
    fps: float,
    *,
    name: str = "body",
    label: str | None = None,
    cycle: CycleOffset = NO_OFFSET,
    ghost: bool = False,
) -> Layer:
    """A body in poses ``(T, nq)``, links flagged in ``contacts`` (link → (T,) bool) lit; as a ghost it is translucent."""
    pose = forward(character, qpos)
    lit = np.zeros((len(qpos), len(character.links)), dtype=bool)
    for link, flags in contacts.items():
        lit[:, character.link(link)] = flags
    links = range(len(character.links))
    shapes = [[solids.of_shape(shape) for shape in character.shapes if shape.link == link] for link in links]
    return Layer(
        name=name,
        label=label or character.name,
        names=tuple(link.name for link in character.links),
        meshes=tuple(solids.joined(own) for own in shapes),
        colours=np.tile(GHOST, (len(shapes), 1)) if ghost else figure.link_colours(character),
        positions=pose.positions,
        rotations=pose.rotations,
        lit=lit,
        path=smooth(qpos[:, :3], 1.0 / fps),
        height=character.height,
        cycle=cycle,
        opacity=GHOST_OPACITY if ghost else 1.0,
    )


def of_source(
    motion: Motion, seconds: Array, scale: float = 1.0, contacts: dict[str, np.ndarray] | None = None
) -> Layer:
    """A skeleton at times ``(T,)`` seconds of a standardised motion, its lowest point on the ground.

    Args:
        scale: of its size.
        contacts: joint → (T,) bool.
    """
    positions, rotations = _at(motion, seconds)
    low = positions[..., 2].min()
    tall = max(float(np.median(positions[..., 2].max(axis=1)) - low), 1e-6)
    radius = BONE * scale * tall
    positions = scale * (positions - [0.0, 0.0, low]) + [0.0, 0.0, radius]
    skeleton = motion.skeleton
    offsets = skeleton.offsets if motion.translations is None else motion.translations.mean(axis=0)
    meshes = []
    for joint in range(len(skeleton)):
        bones = [solids.bone(scale * offsets[child], 1.4 * radius) for child in skeleton.children(joint)]
        meshes.append(solids.joined([solids.capsule(1.3 * radius, 0.0), *bones]))
    lit = np.zeros(positions.shape[:2], dtype=bool)
    for name, flags in (contacts or {}).items():
        lit[:, skeleton.index(name)] = flags
    step = float(np.diff(seconds).mean()) if len(seconds) > 1 else 1.0
    return Layer(
        name="source",
        label="source",
        names=skeleton.names,
        meshes=tuple(meshes),
        colours=np.tile(figure.BONE, (len(meshes), 1)),
        positions=positions,
        rotations=rotations,
        lit=lit,
        path=smooth(positions[:, 0], step),
        height=scale * tall,
    )


def _at(motion: Motion, seconds: Array) -> tuple[Array, Array]:
    """Joint positions ``(T, J, 3)`` and rotations ``(T, J, 4)`` between the frames on either side; the ends are held."""
    at = np.clip(seconds * motion.fps, 0.0, len(motion) - 1.0)
    left = np.minimum(at.astype(int), max(len(motion) - 2, 0))
    right, share = np.minimum(left + 1, len(motion) - 1), (at - left)[:, None, None]
    positions, rotations = motion.forward()
    if np.abs(share - np.round(share)).max() < 1e-6:  # its own frames
        near = np.round(at).astype(int)
        return positions[near], rotations[near]
    rotations = rotation.slerp(
        rotations[left], rotations[right], np.broadcast_to(share, (*rotations[left].shape[:2], 1))[..., 0]
    )
    return (1 - share) * positions[left] + share * positions[right], rotations


def side_by_side(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Layers moved across the last one's direction of travel until they stand beside one another, the last where it is."""
    main = layers[-1]
    across = np.array([-np.sin(heading(main)), np.cos(heading(main)), 0.0])
    place, out = 0.0, [main]
    for before, layer in zip(layers[:0:-1], layers[-2::-1], strict=True):
        place += APART * max(before.height, layer.height)
        origin = (layer.path[0] - main.path[0]) * [1.0, 1.0, 0.0]
        out.append(replace(layer, aside=place * across - origin))
    return tuple(out[::-1])


def heading(layer: Layer) -> float:
    """Direction of travel in radians; 0, a body's own forward, where it stays."""
    travel = layer.path[-1, :2] - layer.path[0, :2]
    return float(np.arctan2(travel[1], travel[0])) if np.hypot(*travel) > TRAVELS * layer.height else 0.0


def of_clip(what: Clip | Trajectory, character: Character, source: Beside | None = None) -> Take:
    """A clip or trajectory on its body, with its source beside it.

    Args:
        source: what it was made from.
    """
    what = _cycle(what) if isinstance(what, Trajectory) else what
    loop = isinstance(what, Clip) and what.loop
    seconds = np.arange(len(what.qpos)) / what.fps
    qpos, contacts = sample(what, seconds)
    cycle = what.cycle_offset if isinstance(what, Clip) and loop else NO_OFFSET
    body = of_body(character, qpos, contacts, what.fps, cycle=cycle)
    layers = [replace(body, path=path(what, seconds))]
    if source is not None:
        beside = of_source(source.motion, seconds + source.start, source.scale(character.height))
        layers.insert(0, replace(beside, cycle=_repeating(beside, cycle.yaw)) if loop else beside)
    return Take(
        name=f"{what.name} on {character.name}",
        kind="clip",
        fps=what.fps,
        loop=loop,
        layers=side_by_side(layers),
        facts=_facts(what),
        panels=lambda: panels.of_clip(what, character),
    )


def of_motion(motion: Motion, roles: Roles) -> Take:
    """A source alone: its skeleton, standardised, with the contacts found in it."""
    seconds = np.arange(len(motion)) / motion.fps
    found = detect(motion, roles)
    lit: dict[str, np.ndarray] = {}
    for role, flags in (*found.flags.items(), *found.hands.items()):
        lit |= dict.fromkeys(roles.chains[role][2:] or roles.chains[role][-1:], flags)
    layer = of_source(motion, seconds, contacts=lit)
    heights = {}
    for role in found.flags:
        foot = [motion.skeleton.index(name) for name in roles.chains[role][2:] or roles.chains[role][-1:]]
        heights[role] = layer.positions[:, foot, 2].min(axis=1)
    return Take(
        name=motion.name,
        kind="motion",
        fps=motion.fps,
        loop=bool(motion.loop),
        layers=(layer,),
        facts=(f"{len(motion):,} frames at {motion.fps:g} Hz, {len(motion.skeleton)} joints",),
        panels=lambda: panels.of_source(seconds, heights),
    )


def together(each: Sequence[Take], fps: float = 60.0) -> Take:
    """One take of the main figures of several, side by side, as long as the longest; shorter loops run on."""
    frames = round(max(take.duration for take in each) * fps) + 1
    seconds = np.arange(frames) / fps
    layers = []
    for number, take in enumerate(each):
        at = np.round(seconds * take.fps).astype(int)
        cycle, index = np.divmod(at, take.frames) if take.loop else (0 * at, np.minimum(at, take.frames - 1))
        main = take.main
        arrays = {name: getattr(main, name)[index] for name in ("positions", "rotations", "path", "lit")}
        for n in np.unique(cycle):
            rows, shift = cycle == n, main.cycle.power(int(n))
            turn = rotation.from_yaw(np.float64(main.cycle.yaw * n))
            for name in ("positions", "path"):
                arrays[name][rows] = rotation.rotate(turn, arrays[name][rows]) + shift
            arrays["rotations"][rows] = rotation.multiply(turn, arrays["rotations"][rows])
        layers.append(replace(main, name=f"body {number + 1}", label=take.name, cycle=NO_OFFSET, **arrays))
    return Take("side by side", "clip", fps, False, side_by_side(layers), tuple(take.name for take in each))


def _cycle(own: Trajectory) -> Clip | Trajectory:
    """A loop, if the trajectory is said to be one and its last frame is its first, moved on: as of looped keyframes."""
    layout, count = own.layout, len(own.qpos) - 1
    if not own.loop or count < 2:
        return own
    first, last = own.qpos[0], own.qpos[-1]
    yaw = rotation.yaw(rotation.multiply(last[3:7], rotation.conjugate(first[3:7])))
    shift = last[:3] - rotation.rotate(rotation.from_yaw(yaw), first[:3])
    offset = CycleOffset(shift * [1.0, 1.0, 0.0], float(yaw))
    if np.abs(layout.difference(offset.apply(first[None]), last[None])).max() > SAME:
        return own
    return Clip(
        name=own.name,
        character=own.character,
        loop=True,
        duration=own.duration,
        joints=own.joints,
        phase=np.arange(count) / count,
        qpos=own.qpos[:count],
        qvel=layout.velocities(own.qpos, 1.0 / own.fps)[:count],
        contacts={link: flags[:count] for link, flags in own.contacts.items()},
        cycle_offset=offset,
        provenance=own.provenance,
        quality=own.quality,
    )


def _repeating(layer: Layer, yaw: float) -> CycleOffset:
    """What brings the end of a layer's path, a frame on, to its beginning."""
    step = layer.path[-1] - layer.path[-2] if len(layer.path) > 1 else np.zeros(3)
    turned = rotation.rotate(rotation.from_yaw(np.float64(yaw)), layer.path[0])
    return CycleOffset((layer.path[-1] + step - turned) * [1.0, 1.0, 0.0], yaw)


def _facts(what: Clip | Trajectory) -> tuple[str, ...]:
    """What a clip says of itself."""
    loop = isinstance(what, Clip) and what.loop
    lines = [
        f"{'loop' if loop else 'one-shot'} of {what.duration:.2f} s, {len(what.qpos):,} frames at {what.fps:.4g} Hz"
    ]
    if "passed" in what.quality:
        failed = ", ".join(what.quality.get("failed", ()))
        lines.append("passed validation" if what.quality["passed"] else f"failed validation: {failed}")
    if "source" in what.provenance:
        lines.append(f"from {Path(what.provenance['source']).name}")
    return tuple(lines)
