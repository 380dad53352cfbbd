"""A run folder: its files, what a training works on, and what of it ships."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from characters.character import Character
from motion import files
from motion.clip import Clip
from motion.errors import InputError, nearest
from motion.gains import Gains, JointGain
from train.push import Survived
from train.settings import CONFIG

CLIP, GAINS, METRICS, LOGS = "clip.json", "gains.json", "metrics.csv", "tensorboard"
CHECKPOINT, WEIGHTS, POLICY = "checkpoint.pt", "policy.pt", "policy.onnx"
EVALUATION, PUSH, REPLAY, FILM = "evaluation.json", "push.json", "replay.json", "film.gif"
SHIPPED = (CONFIG, CLIP, GAINS, WEIGHTS, POLICY, EVALUATION, PUSH, REPLAY, FILM)
"""besides thinned metrics"""
ROWS = 200
"""of metrics.csv that ship"""
BASELINES = ("zero", "chance")
"""scores of evaluation.json whose falls are not told one by one"""
ELSEWHERE = "other_engines"
"""key of evaluation.json: what the policy is worth in engines it was not trained in"""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What a training works on."""

    character: Character
    clip: Clip
    gains: Gains

    @classmethod
    def load(cls, folder: Path, char: str | None = None) -> Material:
        """Read clip.json and gains.json of a folder (or of the folder of a clip.json).

        Args:
            char: a name or folder; by default the clip's own.

        Raises:
            InputError: unreadable, or the clip or the gains are of another body.
        """
        folder = folder.parent if folder.name == CLIP else folder
        clip = Clip.load(folder / CLIP)
        gains = Gains.load(folder / GAINS)
        character = Character.load(char or clip.provenance.get("character_folder", clip.character))
        if clip.joints != character.specs:
            raise InputError(
                f"clip {clip.name} is of {clip.character}, whose joints are not those of {character.name}",
                where=folder / CLIP,
                hint=f"retarget it with --char {character.name}",
            )
        if gains.character != character.name:
            raise InputError(
                f"expected gains of {character.name}, found those of {gains.character}",
                where=folder / GAINS,
                hint=f"derive them again with `mimic-pipe gains {folder}`",
            )
        return cls(character, clip, gains)

    def preset(self, name: str) -> dict[str, JointGain]:
        """Gains of a preset; InputError with the nearest names if there is none."""
        if name not in self.gains.presets:
            raise InputError(f"no preset {name!r} in the gains", hint=nearest(name, self.gains.presets))
        return self.gains.presets[name]

    def check_quality(self) -> None:
        """Refuse a clip whose own quality says that it failed `validate`; one never measured is taken."""
        if self.clip.quality.get("passed", True):
            return
        failed = ", ".join(self.clip.quality.get("failed", ())) or "its quality"
        raise InputError(
            f"clip {self.clip.name} failed validation: {failed}",
            where=CLIP,
            hint="`mimic-pipe validate` shows where; --force trains all the same",
        )


def weights(folder: Path) -> Path:
    """The file with a folder's policy: the checkpoint while it is there, else the weights that ship."""
    checkpoint = folder / CHECKPOINT
    return checkpoint if checkpoint.exists() or not (folder / WEIGHTS).exists() else folder / WEIGHTS


def write_evaluation(folder: Path, found: dict[str, Any], own_engine: str) -> None:
    """Keep an evaluation in evaluation.json: at its top if made in the engine of the training, else beside it."""
    path = folder / EVALUATION
    for name in BASELINES:
        found[name] = {**found[name], "falls": []}  # each of them is of no interest, and the file ships
    kept = files.read_json(path) if path.exists() else {}
    if found["engine"] == own_engine:
        files.write_json(path, {**finite(found), ELSEWHERE: kept.get(ELSEWHERE, {})})
    else:
        files.write_json(path, {**kept, ELSEWHERE: {**kept.get(ELSEWHERE, {}), found["engine"]: finite(found)}})


def stored_evaluation(folder: Path, engine: str) -> dict[str, Any] | None:
    """What evaluation.json says of the policy in an engine; None if it says nothing."""
    kept = files.read_json(folder / EVALUATION) if (folder / EVALUATION).exists() else {}
    return kept if kept.get("engine") == engine else kept.get(ELSEWHERE, {}).get(engine)


def write_push(folder: Path, found: dict[str, Survived], engine: str) -> None:
    """Write push.json: the largest forces survived, by direction."""
    files.write_json(folder / PUSH, {"engine": engine, **{name: asdict(each) for name, each in found.items()}})


def forget_results(folder: Path) -> None:
    """Remove what an earlier, shorter training of this folder was worth."""
    for name in (EVALUATION, PUSH, REPLAY, POLICY, WEIGHTS, FILM):
        (folder / name).unlink(missing_ok=True)


def ship(folder: Path, target: Path) -> list[Path]:
    """Leave in ``target`` what it takes to use, judge and retrace a policy: no optimiser, a thinned curve.

    Args:
        folder: of a finished training; may be ``target`` itself, whose checkpoint and logs then go.

    Returns:
        the files of ``target``.

    Raises:
        InputError: not finished, or it cannot be written.
    """
    for name in (CONFIG, CLIP, GAINS, WEIGHTS, POLICY, EVALUATION):
        if not (folder / name).exists():
            raise InputError(
                f"expected a finished training with {name}", where=folder, hint="--resume goes on with one"
            )
    files.write_text(target / METRICS, thinned(files.read_text(folder / METRICS)))
    if target.resolve() == folder.resolve():
        (folder / CHECKPOINT).unlink(missing_ok=True)
        shutil.rmtree(folder / LOGS, ignore_errors=True)
    else:
        for name in SHIPPED:
            if (folder / name).exists():
                with files.atomic(target / name) as file:
                    file.write((folder / name).read_bytes())
    return sorted(path for path in target.iterdir() if path.is_file())


def thinned(text: str, most: int = ROWS) -> str:
    """Evenly chosen rows of a CSV, the last among them, at five digits."""
    head, *rows = csv.reader(io.StringIO(text))
    step = max(1, -(-len(rows) // most))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in rows[(len(rows) - 1) % step :: step]:
        writer.writerow([_short(name, value) for name, value in zip(head, row, strict=True)])
    return out.getvalue()


def _short(name: str, value: str) -> str:
    """A number of metrics.csv at five digits; samples are counted exactly."""
    try:
        return value if name == "samples" else f"{float(value):.5g}"
    except ValueError:
        return value


def finite(value: Any) -> Any:
    """JSON has no NaN: what could not be measured is null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and value != value else value
