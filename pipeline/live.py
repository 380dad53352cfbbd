"""A policy performing under physics while it is watched: what it did so far can be gone back to, and gone on from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from characters import kinematics, shapes
from motion import rotation
from motion.errors import InputError
from motion.rotation import Array
from pipeline import panels, takes
from pipeline.panels import Panel
from pipeline.takes import Take
from train import settings as configs
from train.falling import TOUCH, fallen, may_touch
from train.folder import Material
from train.push import DIRECTIONS, DURATION

SECONDS = 20.0
"""of an episode of a loop; a one-shot has its own length"""
WATCHED = 1.5
"""seconds a fallen body is still watched"""
AT_ONCE = 8
"""policy steps simulated at most before a picture is drawn"""


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """What is kept of each policy step, the start included: arrays of F frames, filled as far as it was simulated."""

    snapshots: list[dict[str, Any]]
    terms: dict[str, Array]
    """term of the reward → (F,)"""
    ratio: Array
    """(F, J) torque over limit"""
    force: Array
    """(F, 3) newtons, world"""
    fell: np.ndarray
    """(F,) bool"""


class Live:
    """One body with its policy; frame k is the state after k policy steps.

    Args:
        folder: of a training.
        engine: physics; the training's by default.

    Raises:
        InputError: no policy there, or its clip, gains and body do not fit.
    """

    def __init__(self, folder: Path, *, engine: str | None = None, seconds: float = SECONDS):
        try:
            from train import reward, run
        except ModuleNotFoundError as error:
            raise InputError(f"a policy needs {error.name}", where=folder, hint="make setup-train") from error

        material = Material.load(folder)
        self.character, self.clip = material.character, material.clip
        length = seconds if self.clip.loop else self.clip.duration
        self._act, self._env = run.perform_folder(folder, length, engine_name=engine, through_falls=True)
        self.profile = configs.load(folder).task.reward
        self._terms = reward.TERMS[self.profile]
        env = self._env
        self.frames = max(round(length / env.step_time), 1)
        """F: the start and the steps that end before the episode does"""
        count, layout = self.frames, self.character.layout
        gains = material.preset(configs.load(folder).preset)
        own = [gains[joint.name] for joint in self.character.joints]
        widths = np.where(layout.ball, 3, 1)
        self._kp, self._kd = (np.repeat([getattr(g, k) for g in own], widths) for k in ("kp", "kd"))
        self._limit = np.array([gain.torque_limit for gain in own])
        self._may_touch = may_touch(self.clip, self.character)
        self._seen = env.reset()
        start = env.reference(env.time)
        terms = self._terms(env.measure.errors(start, start), env.measure)
        blank = np.full(count, np.nan)
        self._past = _Past(
            [env.snapshot()],
            {name: blank.copy() for name in terms},
            np.full((count, len(own)), np.nan),
            np.zeros((count, 3)),
            np.zeros(count, dtype=bool),
        )
        self.take = self._blank_take(folder)
        self.done = 0
        """the last frame simulated"""
        self._push: tuple[str, float, int] = ("forward", 0.0, 0)  # direction, newtons, steps left
        self._keep(0, env.engine.qpos, env.reference(env.time).qpos)

    def _blank_take(self, folder: Path) -> Take:
        """The body, its reference as a ghost, in the poses of the start; `_keep` fills them."""
        rest = np.tile(self._env.engine.qpos, (self.frames, 1))
        fps = 1.0 / self._env.step_time
        names = [link.name for link in self.character.links]
        unlit = {name: np.zeros(self.frames, dtype=bool) for name in names}
        body = takes.of_body(self.character, rest, unlit, fps, label="policy under physics")
        ghost = takes.of_body(self.character, rest, {}, fps, name="reference", label="reference", ghost=True)
        layers = [_writable(layer) for layer in (ghost, body)]
        return Take(
            name=f"policy {folder.resolve().parent.name}/{folder.resolve().name}",
            kind="policy",
            fps=fps,
            loop=False,
            layers=tuple(layers),
            facts=(f"reward profile {self.profile}, reference never moved onto the body",),
            panels=self.panels,
            period=self.clip.duration,
        )

    def _keep(self, frame: int, qpos: Array, reference: Array) -> None:
        """Put poses ``(1, nq)`` into the take."""
        ghost, body = self.take.layers
        for layer, q in ((body, qpos), (ghost, reference)):
            pose = kinematics.forward(self.character, q)
            layer.positions[frame], layer.rotations[frame] = pose.positions[0], pose.rotations[0]
            layer.lit[frame] = shapes.link_heights(self.character, pose)[0] < TOUCH
            layer.path[frame] = layer.positions[frame, 0] * [1.0, 1.0, 0.0]
        ghost.lit[frame] = False

    def reach(self, frame: int) -> int:
        """Simulate up to a frame, `AT_ONCE` steps at most; returns the last frame there is."""
        target = min(frame, self.frames - 1, self.done + AT_ONCE)
        while self.done < target and not self.over:
            self._step()
        return self.done

    @property
    def over(self) -> bool:
        """The episode ended, or the body has been lying for a while."""
        fell = self.fell
        return self.done >= self.frames - 1 or (fell is not None and self.done >= fell + WATCHED * self.take.fps)

    @property
    def fell(self) -> int | None:
        """The frame of the fall, if the body fell."""
        down = np.flatnonzero(self._past.fell[: self.done + 1])
        return int(down[0]) if len(down) else None

    def go_back(self, frame: int) -> None:
        """Forget what came after a frame: the next step goes on from there."""
        if frame >= self.done:
            return
        self._seen = self._env.restore(self._past.snapshots[frame])
        del self._past.snapshots[frame + 1 :]
        self.done = frame
        self._past.fell[frame + 1 :] = False
        self._past.force[frame + 1 :] = 0.0
        for values in (*self._past.terms.values(), self._past.ratio):
            values[frame + 1 :] = np.nan
        self._push = (self._push[0], 0.0, 0)

    def push(self, direction: str, newtons: float) -> None:
        """Push the root for `DURATION` from the next step on, in a direction of `DIRECTIONS`, in its heading frame."""
        self._push = (direction, newtons, round(DURATION / self._env.step_time))

    def _step(self) -> None:
        env, past, layout = self._env, self._past, self.character.layout
        direction, newtons, left = self._push
        force = np.zeros((1, 3))
        if left:
            heading = rotation.from_yaw(rotation.yaw(env.engine.qpos[:, 3:7]))
            force = rotation.rotate(heading, newtons * np.array([DIRECTIONS[direction]]))
            self._push = (direction, newtons, left - 1)
        env.engine.push(force)
        action = self._act(self._seen)
        q, v = env.engine.qpos.copy(), env.engine.qvel.copy()
        aim = np.concatenate([q[:, :7], env.targets(np.asarray(action, dtype=np.float64))], axis=1)
        torque = self._kp * layout.difference(q, aim)[:, 6:] - self._kd * v[:, 6:]
        self._seen, *_ = env.step(action)
        self.done += 1
        frame = self.done
        past.ratio[frame] = np.sqrt(np.add.reduceat(torque[0] ** 2, layout.qvel_at - 6)) / self._limit
        past.force[frame] = force[0]
        past.fell[frame] = env.reason[0] > 0 or fallen(self.character, env.sim, self._may_touch)[0]
        for name, value in self._terms(env.errors, env.measure).items():
            past.terms[name][frame] = value[0]
        past.snapshots.append(env.snapshot())
        self._keep(frame, env.sim.qpos, env.ref.qpos)

    def force(self, frame: int) -> Array:
        """Newtons ``(3,)``, world, that pushed the body in the step to a frame."""
        return self._past.force[frame]

    def panels(self) -> tuple[Panel, ...]:
        """Curves of what was simulated so far."""
        count, body, character = self.done + 1, self.take.main, self.character
        seconds = np.arange(count) / self.take.fps
        pose = kinematics.Pose(body.positions[:count], body.rotations[:count])
        lowest = shapes.heights(character, pose)
        moved = np.linalg.norm(shapes.displacements(character, pose)[..., :2], axis=-1) * self.take.fps
        moved = np.concatenate([np.zeros((1, moved.shape[1])), moved])
        heights, slides = {}, {}
        for name in character.feet:
            balls = np.flatnonzero(character.support.link == character.link(name))
            first = balls[lowest[:, balls].argmin(axis=1)]
            heights[name] = 100 * lowest[np.arange(count), first]
            slides[name] = np.where(body.lit[:count, character.link(name)], 100 * moved[np.arange(count), first], 0.0)
        terms = {name: values[:count] for name, values in self._past.terms.items()}
        return (
            Panel("foot height", "cm", seconds, heights, 0.0),
            Panel(panels.SLIDE, "cm/s", seconds, slides),
            panels.torque(seconds, self._past.ratio[:count], [joint.name for joint in character.joints]),
            Panel(f"reward terms ({self.profile})", "", seconds, terms),
        )

    def close(self) -> None:
        """Free the engine."""
        self._env.engine.close()


def _writable(layer: takes.Layer) -> takes.Layer:
    arrays = {name: np.array(getattr(layer, name)) for name in ("positions", "rotations", "lit", "path")}
    return replace(layer, **arrays)
