"""DeepMimic's clips of its humanoid (JSON in a ``.txt``), read and written without loss.

A frame is ``[dt, root position 3, root quaternion wxyz 4, then each joint's quaternion or hinge angle]``, 44 numbers;
metres, y-up, x forward, z to the right. ``dt`` lasts from the frame to the next one, so the last one's means nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from motion import files, rotation
from motion.clip import JointSpec, Layout, Trajectory
from motion.errors import InputError
from motion.formats import register
from motion.motion import Motion, Skeleton, readonly
from motion.rotation import Array

__all__ = ["JOINTS", "DeepMimicClip", "from_trajectory", "read", "read_clip", "to_trajectory", "write"]

JOINTS = (
    JointSpec("chest", "ball"),
    JointSpec("neck", "ball"),
    JointSpec("right_hip", "ball"),
    JointSpec("right_knee", "hinge"),
    JointSpec("right_ankle", "ball"),
    JointSpec("right_shoulder", "ball"),
    JointSpec("right_elbow", "hinge"),
    JointSpec("left_hip", "ball"),
    JointSpec("left_knee", "hinge"),
    JointSpec("left_ankle", "ball"),
    JointSpec("left_shoulder", "ball"),
    JointSpec("left_elbow", "hinge"),
)
"""The joints of a frame in file order, after the root. It is the layout of our qpos, in other axes."""

LAYOUT = Layout(JOINTS)
HINGE_AXIS = np.array([0.0, 0.0, 1.0])
"""Of knees and elbows, in the file's axes."""

# Joint attachments (AttachX/Y/Z) and the extents of the body shapes, from DeepMimic's data/characters/humanoid3d.txt.
# End Sites: the top of the head sphere, the far side of the hand sphere, front and back edge of the foot box's sole.
_TREE: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    ("root", "", (0.0, 0.0, 0.0)),
    ("chest", "root", (0.0, 0.236151, 0.0)),
    ("neck", "chest", (0.0, 0.223894, 0.0)),
    ("neck_end", "neck", (0.0, 0.2775, 0.0)),
    ("right_shoulder", "chest", (-0.02405, 0.24350, 0.18311)),
    ("right_elbow", "right_shoulder", (0.0, -0.274788, 0.0)),
    ("right_wrist", "right_elbow", (0.0, -0.258947, 0.0)),
    ("right_wrist_end", "right_wrist", (0.0, -0.04, 0.0)),
    ("left_shoulder", "chest", (-0.02405, 0.24350, -0.18311)),
    ("left_elbow", "left_shoulder", (0.0, -0.274788, 0.0)),
    ("left_wrist", "left_elbow", (0.0, -0.258947, 0.0)),
    ("left_wrist_end", "left_wrist", (0.0, -0.04, 0.0)),
    ("right_hip", "root", (0.0, 0.0, 0.084887)),
    ("right_knee", "right_hip", (0.0, -0.421546, 0.0)),
    ("right_ankle", "right_knee", (0.0, -0.409870, 0.0)),
    ("right_ankle_end", "right_ankle", (0.1335, -0.05, 0.0)),
    ("right_ankle_end2", "right_ankle", (-0.0435, -0.05, 0.0)),
    ("left_hip", "root", (0.0, 0.0, -0.084887)),
    ("left_knee", "left_hip", (0.0, -0.421546, 0.0)),
    ("left_ankle", "left_knee", (0.0, -0.409870, 0.0)),
    ("left_ankle_end", "left_ankle", (0.1335, -0.05, 0.0)),
    ("left_ankle_end2", "left_ankle", (-0.0435, -0.05, 0.0)),
)
"""Joint, parent, offset in the parent's frame (metres, y-up)."""

SKELETON = Skeleton(
    names=tuple(name for name, _, _ in _TREE),
    parents=np.array([[n for n, _, _ in _TREE].index(parent) if parent else -1 for _, parent, _ in _TREE]),
    offsets=np.array([offset for _, _, offset in _TREE]),
    is_end=np.array(["_end" in name for name, _, _ in _TREE]),
)
"""The humanoid3d skeleton, metres and y-up; the wrists are fixed."""

TO_Z_UP, TO_Y_UP = np.array([1.0, -1.0, 1.0]), np.array([1.0, 1.0, -1.0])
"""Signs of x, y, z after y and z changed places: (x, y, z) of the file is our (x, −z, y), and back."""

UNIFORM = 1e-6
"""Seconds by which time steps may differ and still be one frame rate."""

HUGE = 1e9
"""No number of a clip is that large; NaN and infinity are not below it either."""

_ROW = 1 + LAYOUT.nq


@dataclass(frozen=True, slots=True, eq=False)
class DeepMimicClip:
    """A DeepMimic clip as its file has it: metres, y-up."""

    loop: bool
    """"wrap" or "none" in the file; the last frame of a loop is the first one of its next cycle"""
    dt: Array
    """(T,) seconds from each frame to the next; the last one's is kept but means nothing"""
    frames: Array
    """(T, 43) root position 3, root quaternion 4, then `JOINTS`: 4 (wxyz, unit) for a ball joint, 1 for a hinge"""
    extra: dict[str, Any] = field(default_factory=dict)
    """other keys of the file, such as CycleSyncRootPos or LeftJoints"""
    name: str = "clip"
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        dt, frames = np.asarray(self.dt, dtype=np.float64), np.asarray(self.frames, dtype=np.float64)
        if frames.ndim != 2 or frames.shape[1] != LAYOUT.nq or len(frames) == 0 or dt.shape != frames.shape[:1]:
            raise InputError(
                f"expected frames of {LAYOUT.nq} numbers and a dt each, found {frames.shape} and {dt.shape}",
                where=self.name,
            )
        if not (np.isfinite(frames).all() and np.isfinite(dt).all()):
            raise InputError("expected finite numbers in dt and frames", where=self.name)
        if (dt[:-1] <= 0).any() or dt[-1] < 0:
            raise InputError(f"expected positive time steps, found {dt.min():g}", where=self.name)
        norms = np.linalg.norm(LAYOUT.quats(frames), axis=-1)
        if np.abs(norms - 1).max() > UNIFORM:
            raise InputError(
                f"expected unit quaternions, found norms {norms.min():g} to {norms.max():g}", where=self.name
            )
        object.__setattr__(self, "dt", readonly(dt))
        object.__setattr__(self, "frames", readonly(frames))

    @property
    def times(self) -> Array:
        """(T,) seconds of the frames, from 0."""
        return np.concatenate([[0.0], np.cumsum(self.dt[:-1])])

    @property
    def fps(self) -> float | None:
        """Frames per second if the time steps are uniform, else None."""
        steps = self.dt[:-1]
        return float(len(steps) / steps.sum()) if len(steps) and np.ptp(steps) < UNIFORM else None

    def sample(self, fps: float) -> tuple[float, Array]:
        """The frames at a uniform rate: positions and hinges linearly, rotations by slerp, at their true times.

        The first and last instants are kept, so the rate is adjusted to a whole number of steps.

        Returns:
            the adjusted rate and frames ``(N, 43)``, sign-continuous.
        """
        frames, times = LAYOUT.continuous(self.frames), self.times
        if len(frames) == 1:
            return fps, frames
        steps = max(round(times[-1] * fps), 1)
        at = np.linspace(0.0, times[-1], steps + 1)
        left = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
        share = np.clip((at - times[left]) / (times[left + 1] - times[left]), 0.0, 1.0)
        return steps / float(times[-1]), LAYOUT.continuous(LAYOUT.interpolate(frames[left], frames[left + 1], share))

    def to_motion(self, fps: float | None = 60.0) -> Motion:
        """The clip as a Motion of the humanoid3d skeleton, metres and y-up as in the file.

        Args:
            fps: frames per second wanted, or None for the file's own, which is 60 where its steps are not uniform.
        """
        own = self.fps
        if fps is None and own is not None:
            rate, frames = own, LAYOUT.continuous(self.frames)
        else:
            rate, frames = self.sample(60.0 if fps is None else fps)
        rotations = np.tile(rotation.IDENTITY, (len(frames), len(SKELETON), 1))
        rotations[:, 0] = frames[:, 3:7]
        for joint, at in zip(JOINTS, LAYOUT.qpos_at, strict=True):
            ball = joint.type == "ball"
            turn = frames[:, at : at + 4] if ball else rotation.from_axis_angle(HINGE_AXIS, frames[:, at])
            rotations[:, SKELETON.index(joint.name)] = turn
        return Motion(
            name=self.name,
            skeleton=SKELETON,
            fps=rate,
            root_positions=frames[:, :3],
            rotations=rotations,
            loop=self.loop,
            provenance={**self.provenance, "declared_unit": 1.0, "declared_up": "y"},
        )


def _sniff(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"{") and (b'"Frames"' in text or b'"Loop"' in text)


@register("deepmimic", looks='JSON with "Loop" and "Frames"', sniff=_sniff)
def read(path: Path | str) -> Motion:
    """Read a DeepMimic humanoid clip as a Motion, metres and y-up, at its own rate (60 fps if that is not uniform).

    Raises:
        InputError: not JSON, not the humanoid's 44 numbers a frame, or numbers that cannot be.
    """
    return read_clip(path).to_motion(None)


def read_clip(path: Path | str) -> DeepMimicClip:
    """Read a DeepMimic humanoid clip; its quaternions are normalised (the released ones are up to 0.42 off).

    Raises:
        InputError: with file and line.
    """
    path = Path(path)
    data = files.read_json(path)
    if not isinstance(data, dict) or "Frames" not in data:
        raise InputError('expected JSON with a key "Frames"', where=path, hint="is this a DeepMimic clip?")
    loop = data.get("Loop", "missing")
    if loop not in ("wrap", "none"):
        hint = 'Laikago clips say "LoopMode" and are not supported' if "LoopMode" in data else None
        raise InputError(f'expected "Loop" to be "wrap" or "none", found {loop!r}', where=path, hint=hint)
    rows = data["Frames"]
    if not isinstance(rows, list) or not rows:
        raise InputError("expected at least one frame, found none", where=path)
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != _ROW:
            found = f"{len(row)} numbers" if isinstance(row, list) else repr(row)[:40]
            hint = "only the humanoid is supported, not the dog or another body" if i == 0 else None
            raise InputError(f"expected frames of {_ROW} numbers, found {found}", where=_frame_at(path, i), hint=hint)
        for k, value in enumerate(row):
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < HUGE:
                raise InputError(
                    f"expected a finite number, found {value!r} (frame {i + 1}, value {k + 1})",
                    where=_frame_at(path, i),
                )
    table = np.array(rows, dtype=np.float64)
    dt, frames = table[:, 0], table[:, 1:]
    wrong = np.flatnonzero(np.append(dt[:-1] <= 0, dt[-1] < 0))
    if wrong.size:
        i = int(wrong[0])
        raise InputError(f"expected a positive time step, found {dt[i]:g} (frame {i + 1})", where=_frame_at(path, i))
    norms = np.linalg.norm(LAYOUT.quats(frames), axis=-1)
    if norms.min() < 0.1:
        i = int(np.argwhere(norms < 0.1)[0][0])
        raise InputError(
            f"expected a quaternion, found norm {norms[i].min():.3g} (frame {i + 1})", where=_frame_at(path, i)
        )
    index = LAYOUT.quaternions[:, None] + np.arange(4)
    frames[:, index] = LAYOUT.quats(frames) / norms[..., None]
    return DeepMimicClip(
        loop=loop == "wrap",
        dt=dt,
        frames=frames,
        extra={key: value for key, value in data.items() if key not in ("Loop", "Frames")},
        name=path.stem,
        provenance={"format": "deepmimic", "source": path.name, "sha256": files.sha256(path)},
    )


def _frame_at(path: Path, frame: int) -> str:
    """File and line where a frame begins."""
    text = path.read_text("utf-8")
    begin = text.index("[", text.index('"Frames"')) + 1
    starts = [match.start() for match in re.finditer(r"\[", text[begin:])]
    return f"{path}:{text.count(chr(10), 0, begin + (starts[frame] if frame < len(starts) else 0)) + 1}"


def write(path: Path | str, clip: DeepMimicClip) -> None:
    """Write a clip as DeepMimic JSON, atomically; reading it gives the same numbers."""
    rows = np.column_stack([clip.dt, clip.frames]).tolist()
    extra = "".join(f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)},\n" for key, value in clip.extra.items())
    frames = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
    loop = "wrap" if clip.loop else "none"
    files.write_text(path, f'{{\n"Loop": "{loop}",\n{extra}"Frames":\n[\n{frames}\n]\n}}\n')


def from_trajectory(trajectory: Trajectory) -> DeepMimicClip:
    """A DeepMimic clip of any body that has the humanoid's joints under their names; other joints are left out.

    Its loop flag is the trajectory's (unknown counts as "none").

    Raises:
        InputError: a joint is missing or of another type.
    """
    source, layout = trajectory.qpos, trajectory.layout
    at = {joint.name: (joint.type, int(k)) for joint, k in zip(trajectory.joints, layout.qpos_at, strict=True)}
    frames = np.empty((len(source), LAYOUT.nq))
    frames[:, :3], frames[:, 3:7] = _turned(source[:, :3], TO_Y_UP), _turned(source[:, 3:7], TO_Y_UP)
    for joint, k in zip(JOINTS, LAYOUT.qpos_at, strict=True):
        kind, j = at.get(joint.name, ("nothing", 0))
        if kind != joint.type:
            raise InputError(
                f"expected a {joint.type} joint {joint.name}, found {kind}",
                where=trajectory.name,
                hint="DeepMimic's files are for its humanoid; export csv or npz for other bodies",
            )
        if kind == "hinge":
            frames[:, k] = source[:, j]
        else:
            frames[:, k : k + 4] = _turned(source[:, j : j + 4], TO_Y_UP)
    dt = np.full(len(frames), 1.0 / trajectory.fps)
    dt[-1] = 0.0
    return DeepMimicClip(bool(trajectory.loop), dt, frames, {}, trajectory.name, dict(trajectory.provenance))


def to_trajectory(
    clip: DeepMimicClip, *, fps: float = 60.0, joints: Sequence[JointSpec] = JOINTS, character: str = "humanoid"
) -> Trajectory:
    """The clip as a uniformly sampled trajectory of our humanoid, z-up, without contacts.

    Args:
        joints: the body's joints in its own order: those of `JOINTS`, all or some of them.

    Raises:
        InputError: a joint the file does not have.
    """
    rate, frames = clip.sample(fps)
    at = {joint: int(k) for joint, k in zip(JOINTS, LAYOUT.qpos_at, strict=True)}
    layout = Layout(tuple(joints))
    qpos = np.empty((len(frames), layout.nq))
    qpos[:, :3], qpos[:, 3:7] = _turned(frames[:, :3], TO_Z_UP), _turned(frames[:, 3:7], TO_Z_UP)
    for joint, k in zip(layout.joints, layout.qpos_at, strict=True):
        if joint not in at:
            raise InputError(f"a DeepMimic clip has no {joint.type} joint {joint.name}", where=clip.name)
        if joint.type == "hinge":
            qpos[:, k] = frames[:, at[joint]]
        else:
            qpos[:, k : k + 4] = _turned(frames[:, at[joint] : at[joint] + 4], TO_Z_UP)
    return Trajectory(
        name=clip.name,
        character=character,
        joints=layout.joints,
        fps=rate,
        qpos=qpos,
        contacts={},
        loop=clip.loop,
        provenance={**clip.provenance, "unit": 1.0, "up": "y"},
    )


def _turned(x: Array, signs: Array) -> Array:
    """Vectors ``(T, 3)`` or quaternions ``(T, 4)`` in the other axes: y and z change places, one of them its sign."""
    return np.concatenate([x[:, :-3], x[:, -3:][:, [0, 2, 1]] * signs], axis=1)
