"""The sample clips: the humanoid motion capture that arrives with the `pybullet_data` package, written as BVH.

Nothing of it is part of this repository. Beside each ``NAME.bvh`` stands a ``NAME.meta.toml``, for BVH cannot say where
a motion comes from or whether it loops.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Annotated

import numpy as np
import pybullet_data
from pydantic import Field
from scipy.interpolate import Akima1DInterpolator

from motion import files, rotation
from motion.clip import FileModel, check_model
from motion.errors import InputError, nearest
from motion.formats import bvh, deepmimic
from motion.formats.deepmimic import DeepMimicClip
from motion.motion import Motion, standardise

FPS = 60.0
"""Frames per second of the samples, adjusted so that the last frame falls on the clip's last instant."""
SAME_RATE = 0.01
"""A clip whose own rate is this near to `FPS` (relative) keeps its own frames."""
MIRRORED = 0.1
"""rad RMS: how alike the second half of a cycle and the first one's mirror image must be to be called so."""

_PREFIX = "humanoid3d_"
_LICENCE = (
    "Distributed in the pybullet package (zlib licence), whose file this was made from; published before with "
    "DeepMimic (MIT licence, Xue Bin Peng, 2018). The file does not say who recorded the motion."
)


class Meta(FileModel):
    """Schema of ``NAME.meta.toml`` beside a motion file: what the file itself cannot say. Every key may be left out."""

    loop: Annotated[bool | None, Field(description="a cycle whose last frame is the first one of the next cycle")] = (
        None
    )
    duration: Annotated[float | None, Field(gt=0, description="seconds of one cycle, or of a one-shot")] = None
    halves_mirrored: Annotated[
        bool | None, Field(description="the second half of the cycle is the first one, left and right exchanged")
    ] = None
    source: Annotated[str | None, Field(description="where the motion comes from")] = None
    original_sha256: Annotated[str | None, Field(description="of the file this one was converted from")] = None
    licence: Annotated[str | None, Field(description="what may be done with it, as far as its source says")] = None


def sample_names() -> tuple[str, ...]:
    """Names of the sample clips: ``backflip``, …, ``walk``."""
    return tuple(sorted(path.stem.removeprefix(_PREFIX) for path in _folder().glob(f"{_PREFIX}*.txt")))


def names() -> tuple[str, ...]:
    """File names of the samples: ``backflip.bvh``, …, ``walk.bvh``."""
    return tuple(f"{name}.bvh" for name in sample_names())


def write_samples(folder: Path | str, names: list[str] | None = None) -> list[Path]:
    """Write samples as ``NAME.bvh`` (centimetres, y-up) and ``NAME.meta.toml``; the same bytes every time.

    Args:
        names: clip names; all by default.

    Returns:
        the BVH files.

    Raises:
        InputError: an unknown name, a folder that cannot be written, or no clips in the installed package.
    """
    known = sample_names()
    if not known:
        raise InputError("expected the motion clips of pybullet_data, found none", where=_folder())
    for name in names or ():
        if name not in known:
            raise InputError(f"no sample {name!r}", hint=nearest(name, known))
    written = []
    for name in known if names is None else names:
        source = _folder() / f"{_PREFIX}{name}.txt"
        clip = deepmimic.read_clip(source)
        motion = replace(resampled(clip).to_motion(None), name=name)
        path = Path(folder) / f"{name}.bvh"
        bvh.write(path, standardise(motion, unit=1.0, up="y"))
        meta = Meta(
            loop=clip.loop,
            duration=float(clip.times[-1]),
            halves_mirrored=clip.loop and halves_mirrored(motion),
            source=f"pybullet {metadata.version('pybullet')}: pybullet_data/data/motions/{source.name}",
            original_sha256=files.sha256(source),
            licence=_LICENCE,
        )
        write_meta(path, meta)
        written.append(path)
    return written


def resampled(clip: DeepMimicClip, fps: float = FPS) -> DeepMimicClip:
    """The clip at a uniform ``fps`` by a smooth curve through its frames; one that has this rate already is returned as it is.

    Numbers follow modified Akima splines over the true times, quaternions by their four components, normalised: the
    velocity is continuous (a slerp's is not: 16 fps would show as 16 jerks a second), and a pop stays where it is
    instead of ringing through the frames around it.
    """
    if clip.fps is not None and abs(clip.fps / fps - 1.0) < SAME_RATE:
        return clip
    if len(clip.frames) < 3:
        raise InputError(
            f"expected at least 3 frames to draw a curve through, found {len(clip.frames)}", where=clip.name
        )
    steps = max(round(float(clip.times[-1]) * fps), 1)
    layout = deepmimic.LAYOUT
    curve = Akima1DInterpolator(clip.times, layout.continuous(clip.frames), method="makima")
    frames = curve(np.linspace(0.0, clip.times[-1], steps + 1))
    index = layout.quaternions[:, None] + np.arange(4)
    frames[:, index] = rotation.normalize(frames[:, index])
    dt = np.full(steps + 1, clip.times[-1] / steps)
    dt[-1] = 0.0
    return replace(clip, dt=dt, frames=frames)


def halves_mirrored(motion: Motion) -> bool:
    """Whether a cycle (y-up, z to the side) is two steps of which one is the other's mirror image (walk, run)."""
    names = motion.skeleton.names
    swap = {"left": "right", "right": "left"}
    joints = [j for j in range(1, len(names)) if not motion.skeleton.is_end[j]]
    twins = [_twin(names[j], swap) for j in joints]
    half = (len(motion) - 1) // 2
    if half == 0 or any(twin not in names for twin in twins):
        return False
    mirrored = motion.rotations[:half, joints] * np.array([1.0, -1.0, -1.0, 1.0])
    second = motion.rotations[half : 2 * half, [names.index(twin) for twin in twins]]
    return bool(np.sqrt(np.square(rotation.angle(mirrored, second)).mean()) < MIRRORED)


def meta_path(path: Path | str) -> Path:
    """``NAME.meta.toml`` beside a motion file."""
    return Path(path).with_name(f"{Path(path).stem}.meta.toml")


def read_meta(path: Path | str) -> Meta:
    """What stands beside a motion file in ``NAME.meta.toml``; an empty Meta where there is none.

    Args:
        path: the motion file.

    Raises:
        InputError: not TOML, an unknown key (with the nearest valid one), a value of another type.
    """
    where = meta_path(path)
    try:
        data = tomllib.loads(where.read_text("utf-8"))
    except FileNotFoundError:
        return Meta()
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=where) from error
    except UnicodeDecodeError as error:
        raise InputError("expected UTF-8 text, found bytes that are not", where=where) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not valid TOML: {error}", where=where) from error
    return check_model(Meta, data, where)


def write_meta(path: Path | str, meta: Meta) -> None:
    """Write ``NAME.meta.toml`` beside a motion file, atomically."""
    known = meta.model_dump(exclude_none=True)
    # JSON's strings, numbers and booleans are TOML's
    text = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in known.items())
    files.write_text(meta_path(path), text)


def _folder() -> Path:
    return Path(pybullet_data.getDataPath()) / "data" / "motions"


def _twin(name: str, swap: dict[str, str]) -> str:
    side, _, rest = name.partition("_")
    return f"{swap[side]}_{rest}" if side in swap else name
