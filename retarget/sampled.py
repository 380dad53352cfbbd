"""A clip on its body at 120 Hz, a loop across its wrap: what all quality measures share, computed once.

Poses between the clip's own come from a cubic spline through qpos, quaternions by their sign-continuous components and
normalised: twice continuously differentiable, so accelerations and jerks are the motion's (linear interpolation would
add a kink a sample).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import CubicSpline

from characters import kinematics
from characters.character import Character
from motion import rotation
from motion.clip import NO_OFFSET, Clip, CycleOffset, Layout, Trajectory
from motion.errors import InputError
from motion.rotation import Array
from retarget.measures import REFERENCE_HEIGHT, Kind

RATE = 120.0
"""Hz"""
WRAP = 24
"""own samples of the neighbouring cycles the spline of a loop sees; an end's influence falls by 3.7 a sample"""
CHUNK = 4096
"""frames whose support points are worked on at a time"""

CONTACT_HEIGHT, CONTACT_SPEED = 0.02, 0.3
"""Body contact: a link's lowest point is lower than this (m) and slides slower (m/s)."""
AIRBORNE_HEIGHT = 0.03
"""Airborne: no shape of the whole body is closer to the ground (m)."""
SOLE = 0.005
"""Metres above a link's lowest point up to which its points bear it."""
FLOOR_SHARE = 0.1
"""A clip is a floor clip when more than feet and hands is on the ground, or the root low, for this share of it."""
LOW_ROOT = 0.3
"""Root height over its height at rest below which a body lies or rolls."""


@dataclass(frozen=True, slots=True, eq=False)
class LinkGround:
    """One link and the ground."""

    lowest: Array
    """(F,) z of its lowest point, metres"""
    move: Array
    """(F − 1, 2) horizontal displacement over each step, the mean of its bearing points, metres"""
    slide: Array
    """(F − 1,) mean length of those points' horizontal displacements, metres"""


@dataclass(frozen=True, eq=False)
class Sampled:
    """A clip or trajectory on its body, resampled."""

    character: Character
    own: Array
    """(P, nq) the clip's own samples"""
    own_fps: float
    loop: bool
    duration: float
    """seconds; of one cycle for a loop"""
    offset: CycleOffset
    contacts: dict[str, np.ndarray]
    """link → (P,) bool, the clip's flags; every foot is there, False if the clip does not name it"""
    dt: float
    """seconds between frames, 1 / `RATE` but for rounding to a whole number of frames"""
    qpos: Array
    """(F, nq); of a loop the last frame is the first of the next cycle"""

    @classmethod
    def of(cls, clip: Clip | Trajectory | Sampled, character: Character) -> Sampled:
        """Resample a clip or trajectory (a trajectory never counts as a loop: its cycle is not chosen yet).

        Raises:
            InputError: its joints are not the character's, or a contact names a link the character has not.
        """
        if isinstance(clip, Sampled):
            return clip
        if clip.joints != character.specs:
            raise InputError(
                f"its joints are not those of {character.name}",
                where=clip.name,
                hint="name the character it was made for",
            )
        loop = isinstance(clip, Clip) and clip.loop
        offset = clip.cycle_offset if isinstance(clip, Clip) and loop else NO_OFFSET
        contacts = {name: np.asarray(flags, dtype=bool) for name, flags in clip.contacts.items()}
        for name in contacts:
            character.link(name)
        contacts |= {name: np.zeros(len(clip.qpos), dtype=bool) for name in character.feet if name not in contacts}
        steps = max(int(round(clip.duration * RATE)), 1) if len(clip.qpos) > 1 else 0
        dt = clip.duration / steps if steps else 1.0 / RATE
        qpos = _spline(character.layout, clip.qpos, loop, offset, np.linspace(0.0, clip.duration * clip.fps, steps + 1))
        return cls(character, clip.qpos, clip.fps, loop, clip.duration, offset, contacts, dt, qpos)

    @property
    def scale(self) -> float:
        """Factor on length limits."""
        return self.character.height / REFERENCE_HEIGHT

    @property
    def count(self) -> int:
        """Frames that count: the last one of a loop is its first again."""
        return len(self.qpos) - self.loop if len(self.qpos) > 1 else 1

    @cached_property
    def pose(self) -> kinematics.Pose:
        """All links in all F frames."""
        return kinematics.forward(self.character, self.qpos)

    @cached_property
    def steps(self) -> Array:
        """(F − 1, nv) tangents from frame to frame."""
        return self.character.layout.difference(self.qpos[:-1], self.qpos[1:])

    def before(self, steps: Array) -> Array:
        """The step that leads to each of the counting frames of a loop ``(count, nv)``: the wrap's, turned back, for
        the first."""
        out = np.roll(steps, 1, axis=0)
        out[0, :3] = rotation.rotate(rotation.from_yaw(np.float64(-self.offset.yaw)), out[0, :3])
        return out

    @cached_property
    def derivatives(self) -> tuple[Array, Array]:
        """qvel and qacc ``(count, nv)`` by central differences; ends of a one-shot repeat their neighbours."""
        ahead = self.steps
        if self.loop:
            behind = self.before(ahead)
        else:
            ahead, behind = ahead[1:], ahead[:-1]
        qvel, qacc = 0.5 * (ahead + behind) / self.dt, (ahead - behind) / self.dt**2
        if not self.loop:
            qvel, qacc = (np.concatenate([x[:1], x, x[-1:]]) for x in (qvel, qacc))
        return qvel, qacc

    @cached_property
    def ground(self) -> dict[int, LinkGround]:
        """Link with shapes → how it meets the ground."""
        return {int(link): self._link_ground(int(link)) for link in np.unique(self.character.support.link)}

    def _link_ground(self, link: int) -> LinkGround:
        support = self.character.support
        which = support.link == link
        points, radius = support.points[which], support.radius[which]
        places, turns = self.pose.positions[:, link], self.pose.rotations[:, link]
        frames = len(places)
        lowest, move, slide = np.empty(frames), np.empty((frames - 1, 2)), np.empty(frames - 1)
        for start in range(0, max(frames - 1, 1), CHUNK):
            rows = slice(start, start + CHUNK + 1)
            q = turns[rows, None]
            centres = places[rows, None] + rotation.rotate(q, points)
            heights = centres[..., 2] - radius
            lowest[rows] = heights.min(axis=1)
            # the material point at the bottom of a ball turns with the link: a rolling ball does not slide
            lever = np.zeros((1, len(radius), 3))
            lever[..., 2] = -radius
            turned = rotation.rotate(rotation.multiply(q[1:], rotation.conjugate(q[:-1])), lever) - lever
            moved = (centres[1:] - centres[:-1] + turned)[..., :2]
            bears = heights[:-1] <= heights[:-1].min(axis=1, keepdims=True) + SOLE
            number = bears.sum(axis=1)
            rows = slice(start, start + len(moved))
            move[rows] = np.einsum("tk,tki->ti", bears, moved) / number[:, None]
            slide[rows] = np.einsum("tk,tk->t", bears, np.hypot(moved[..., 0], moved[..., 1])) / number
        return LinkGround(lowest, move, slide)

    def body_contact(self, link: int) -> np.ndarray:
        """(count,) bool: the link's lowest point is near the ground and hardly slides."""
        ground = self.ground[link]
        speed = ground.slide / self.dt
        if self.loop:
            mean = 0.5 * (speed + np.roll(speed, 1))
        else:
            mean = 0.5 * (np.append(speed, speed[-1:]) + np.append(speed[:1], speed)) if len(speed) else np.zeros(1)
        return (ground.lowest[: self.count] < CONTACT_HEIGHT * self.scale) & (mean < CONTACT_SPEED * self.scale)

    @cached_property
    def lowest(self) -> Array:
        """(count,) z of the whole body's lowest point, metres."""
        return np.min([ground.lowest[: self.count] for ground in self.ground.values()], axis=0)

    @cached_property
    def airborne(self) -> np.ndarray:
        """(count,) bool: no shape is near the ground."""
        return self.lowest > AIRBORNE_HEIGHT * self.scale

    @cached_property
    def kind(self) -> Kind:
        """Upright or floor, from the data: floor when for a tenth of the frames a link that is neither a foot nor ends
        an arm (a cartwheel is upright) is within `AIRBORNE_HEIGHT` of the ground, or the root below `LOW_ROOT` of its
        height at rest."""
        character = self.character
        bearing = {character.link(name) for name in character.feet}
        bearing |= {1 + character.joint(chain[-1]) for role, chain in character.roles.items() if role.endswith("_arm")}
        others = [ground.lowest[: self.count] for link, ground in self.ground.items() if link not in bearing]
        low = self.qpos[: self.count, 2] < LOW_ROOT * character.rest[2]
        if others:
            low |= np.min(others, axis=0) < AIRBORNE_HEIGHT * self.scale
        return "floor" if low.mean() >= FLOOR_SHARE else "upright"

    def flags(self, link: str) -> np.ndarray:
        """(count,) bool: the clip's flag of the sample nearest to each frame."""
        own = self.contacts[link]
        nearest = np.floor(np.arange(self.count) * self.dt * self.own_fps + 0.5).astype(int)
        return own[nearest % len(own) if self.loop else np.minimum(nearest, len(own) - 1)]

    def stance(self, link: str) -> np.ndarray:
        """(F − 1,) bool: the clip flags all its samples around the step."""
        own = self.contacts[link]
        at = np.arange(len(self.qpos)) * self.dt * self.own_fps
        first, last = np.floor(at[:-1] + 1e-6).astype(int), np.ceil(at[1:] - 1e-6).astype(int)
        padded = np.concatenate([own, own[:2]]) if self.loop else np.append(own, own[-1:])
        unset = np.concatenate([[0], np.cumsum(~padded)])
        return unset[np.minimum(last + 1, len(padded))] == unset[first]

    def place(self, frame: int | np.integer) -> tuple[float, int]:
        """Seconds from the start, and the nearest own sample, of a frame."""
        time = float(frame * self.dt)
        own = int(round(time * self.own_fps))
        return time, own % len(self.own) if self.loop else min(own, len(self.own) - 1)


def longest(bad: np.ndarray) -> int:
    """Where the longest run of True begins; 0 if nothing is."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(int), [0]])))
    return int(edges[::2][np.argmax(edges[1::2] - edges[::2])]) if len(edges) else 0


def _spline(layout: Layout, own: Array, loop: bool, offset: CycleOffset, at: Array) -> Array:
    """qpos at ``at`` ``(F,)`` in units of samples."""
    count = len(own)
    if count == 1:
        return np.repeat(own, len(at), axis=0)
    knots = np.arange(count)
    if loop:
        knots = np.arange(-WRAP, count + WRAP)
        own = offset.apply(own[knots % count], knots // count)
    spline = CubicSpline(knots, layout.continuous(own), bc_type="natural" if count < 4 and not loop else "not-a-knot")
    qpos = spline(at)
    index = layout.quaternions[:, None] + np.arange(4)
    qpos[:, index] = rotation.normalize(qpos[:, index])
    return qpos
