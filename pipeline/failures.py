"""The failure map of a policy: at which phase, leaning which way and standing on which foot its episodes end.

Endings come from undisturbed episodes, or, for a policy that hardly ever falls, from episodes with pushes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from motion import files
from motion.clip import Clip
from motion.errors import InputError
from motion.rotation import Array
from train.endings import Ending
from train.env import ImitationEnv
from train.falling import touching
from train.recording import Recorder

FILE, PLOT = "failures.json", "failures.png"
FORMAT, VERSION = "mimic-failures", 1
EPISODES, ENOUGH = 64, 16
"""episodes of a map; endings from which it says something"""
PUSHES = (0.25, 0.5, 1.0, 2.0)
"""body weights: the largest push of each trial, until `ENOUGH` episodes end"""
INTERVAL = 2.0
"""mean seconds between pushes"""
SECTORS = ("forward", "forward left", "left", "back left", "back", "back right", "right", "forward right")
"""of the lean, counter-clockwise from the heading, 45° each"""
UPRIGHT = np.radians(5.0)
"""a lean smaller than this has no direction"""
WINDOW = 0.2
"""share of the clip whose endings the sentence tells of"""


@dataclass(frozen=True, slots=True, eq=False)
class FailureMap:
    """Endings of a policy's episodes, and how they came about."""

    endings: tuple[Ending, ...]
    episodes: int
    seconds: float
    """an episode could last"""
    engine: str
    push_force: float
    """body weights, the largest of the pushes; 0: undisturbed"""
    loop: bool

    @property
    def phases(self) -> Array:
        """(E,) in [0, 1]"""
        return np.array([ending.phase for ending in self.endings])

    @property
    def leans(self) -> Array:
        """(E, 2) rad forward and left"""
        return np.array([ending.lean for ending in self.endings]).reshape(-1, 2)

    @property
    def stances(self) -> list[str]:
        """Feet last on the ground, for each ending."""
        return [" and ".join(ending.stance) or "no foot" for ending in self.endings]

    def directions(self) -> list[str]:
        """A name of `SECTORS` for each ending, or "upright"."""
        leans = self.leans
        sector = np.round(np.arctan2(leans[:, 1], leans[:, 0]) / (np.pi / 4)).astype(int) % 8
        small = np.hypot(leans[:, 0], leans[:, 1]) < UPRIGHT
        return ["upright" if still else SECTORS[k] for k, still in zip(sector, small, strict=True)]

    def window(self) -> tuple[float, float, int]:
        """The `WINDOW` of the clip most episodes end in: phases from and to (beyond 1 across a loop's wrap), and how many."""
        phases = np.sort(self.phases)
        around = np.concatenate([phases, phases + 1.0]) if self.loop else phases
        counts = np.searchsorted(around, phases + WINDOW, side="right") - np.arange(len(phases))
        best = int(np.argmax(counts))
        return float(phases[best]), float(around[best + counts[best] - 1]), int(counts[best])

    def sentence(self) -> str:
        """What the map shows, in one sentence."""
        under = f"with pushes of up to {self.push_force:g} body weights" if self.push_force else "undisturbed"
        count = len(self.endings)
        head = f"Of {self.episodes} episodes of up to {self.seconds:g} s {under} ({self.engine}), "
        if not count:
            return f"{head}none ended early."
        reasons = ", ".join(f"{n} by {reason}" for reason, n in Counter(e.reason for e in self.endings).most_common())
        first, last, inside = self.window()
        lean, leaning = Counter(self.directions()).most_common(1)[0]
        stance, standing = Counter(self.stances).most_common(1)[0]
        wrapped = f"{first:.2f} and {last % 1.0:.2f}" + (" across the wrap" if last > 1.0 else "")
        return (
            f"{head}{count} ended early ({reasons}): {inside} between phases {wrapped},"
            f" most often leaning {lean} ({leaning}) and with {_spoken(stance)} last on the ground ({standing})."
        )

    def summary(self) -> dict[str, Any]:
        """The counts, and the sentence."""
        return {
            "sentence": self.sentence(),
            "engine": self.engine,
            "episodes": self.episodes,
            "seconds": self.seconds,
            "push_force": self.push_force,
            "ended": len(self.endings),
            "by_phase": np.histogram(self.phases, bins=20, range=(0.0, 1.0))[0].tolist(),
            "by_lean": dict(Counter(self.directions()).most_common()),
            "by_stance": dict(Counter(self.stances).most_common()),
        }

    def save(self, folder: Path) -> Path:
        """Write failures.json into a policy's folder."""
        head = {"format": FORMAT, "version": VERSION, **{k: getattr(self, k) for k in _HEAD}}
        rows = [asdict(ending) | {"lean": list(ending.lean), "stance": list(ending.stance)} for ending in self.endings]
        files.write_json(folder / FILE, {**head, "sentence": self.sentence(), "endings": rows})
        return folder / FILE

    @classmethod
    def of(cls, folder: Path) -> FailureMap | None:
        """What failures.json says, or else the falls of evaluation.json; None if neither has any.

        Raises:
            InputError: a failures.json that is none.
        """
        path, evaluation = folder / FILE, folder / "evaluation.json"
        if path.exists():
            data = files.read_json(path)
            try:
                if (data["format"], data["version"]) != (FORMAT, VERSION):
                    raise ValueError(f"{data['format']} of version {data['version']}")
                return cls(_endings(data["endings"]), **{name: data[name] for name in _HEAD})
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(
                    f"expected a {FORMAT} of version {VERSION}: {error}", where=path, hint="delete it, and map again"
                ) from error
        data = files.read_json(evaluation) if evaluation.exists() else {}
        falls = data.get("synced", {}).get("falls") or []
        if len(falls) < ENOUGH:
            return None
        loop = bool(files.read_json(folder / "clip.json").get("loop"))
        return cls(_endings(falls), data["episodes"], data["horizon"], data["engine"], 0.0, loop)


_HEAD = ("episodes", "seconds", "engine", "push_force", "loop")


def _endings(rows: list[dict[str, Any]]) -> tuple[Ending, ...]:
    return tuple(
        Ending(row["phase"], row["seconds"], row["reason"], (row["lean"][0], row["lean"][1]), tuple(row["stance"]))
        for row in rows
    )


def _spoken(stance: str) -> str:
    return stance.replace("_", " ")


class LastStance(Recorder):
    """Watches episodes for the feet that stood last: when a body touches the ground, its feet are mostly in the air."""

    def begin(self, env: ImitationEnv, possible: np.ndarray) -> None:
        """The start of one episode in each environment."""
        links = [link.name for link in env.character.links]
        self._feet = [(links.index(foot), foot) for foot in env.character.feet]
        self._stood = np.zeros((env.count, len(self._feet)), dtype=bool)
        self.last: list[tuple[str, ...]] = []
        """of each episode that was terminated, in the order of `Score.falls`"""

    def add(self, env: ImitationEnv, going: np.ndarray) -> None:
        """The state after a step of the environments ``going`` (N,) bool."""
        now = touching(env.character, env.sim)[:, [at for at, _ in self._feet]]
        self._stood = np.where(now.any(axis=1, keepdims=True), now, self._stood)
        for row in self._stood[going & (env.reason > 0)]:
            self.last.append(tuple(foot for (_, foot), stands in zip(self._feet, row, strict=True) if stands))


def measure(
    folder: Path,
    *,
    engine_name: str | None = None,
    episodes: int = EPISODES,
    told: Callable[[str], None] | None = None,
) -> FailureMap:
    """Let the policy of a run folder perform until enough episodes end: undisturbed, then under harder and harder pushes.

    Args:
        told: called with a line before each trial.

    Raises:
        InputError: no policy there.
    """
    from train import engine  # torch is loaded by what follows
    from train import settings as configs
    from train.disturbance import NONE, Disturbance
    from train.evaluate import actor
    from train.folder import Material, weights
    from train.ppo import load_policy
    from train.score import score

    settings, material = configs.load(folder), Material.load(folder)
    now = settings.at(settings.samples)
    name = engine_name or now.engine
    act = actor(load_policy(weights(folder)))
    task = now.task.measured(material.clip.loop)
    world = engine.make(
        name, material.character, material.preset(now.preset), episodes, replace(now.physics, threads=1)
    )
    found = FailureMap((), episodes, now.task.horizon, name, 0.0, material.clip.loop)
    try:
        for force in (0.0, *PUSHES):
            if told:
                how = f"with pushes of up to {force:g} body weights" if force else "undisturbed"
                told(f"{folder}: {episodes} episodes {how}")
            pushes = Disturbance(push_force=force, push_interval=INTERVAL) if force else NONE
            env = ImitationEnv(world, material.clip, replace(task, disturbance=pushes), settings.seed)
            stood = LastStance(name)
            falls = [
                replace(fall, stance=feet) for fall, feet in zip(score(act, env, stood).falls, stood.last, strict=True)
            ]
            found = FailureMap(tuple(falls), episodes, env.horizon, name, force, material.clip.loop)
            if len(falls) >= min(ENOUGH, episodes // 2):
                break
    finally:
        world.close()
    return found


def performs(folder: Path) -> bool:
    """Whether a folder holds a policy that can be let perform."""
    from train.folder import weights

    return weights(folder).exists()


def write(folder: Path, *, engine_name: str | None = None, told: Callable[[str], None] | None = None) -> FailureMap:
    """`measure`, kept in the folder as failures.json and, if an episode ended, drawn in failures.png."""
    from pipeline import plots, report_plots

    found = measure(folder, engine_name=engine_name, told=told)
    found.save(folder)
    if found.endings:
        plots.write(report_plots.failure_page(found, Clip.load(folder / "clip.json")), folder / PLOT)
    return found
