"""`docs/results/gains.md` again: every walk, its derived gains proved in both engines, beside DeepMimic's hand-set ones."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from characters.character import Character
from motion import files
from motion.clip import Clip
from motion.gains import EngineProof, Gains, JointGain, Proof
from pipeline import prove, samples, stages
from retarget import gains as rules

PAGE = Path("docs/results/gains.md")
CLIPS = (
    ("humanoid", "walk.bvh"),
    ("humanoid", "run.bvh"),
    ("atlas", "walk.bvh"),
    ("trex", "walk.bvh"),
    ("trex", "trex_walk.keyframes.toml"),
    ("dragon", "walk.bvh"),
    ("dragon", "dragon_walk.keyframes.toml"),
)
HAND_SET = {
    "chest": (1000.0, 200.0),
    "neck": (100.0, 50.0),
    "hip": (500.0, 200.0),
    "knee": (500.0, 150.0),
    "ankle": (400.0, 90.0),
    "shoulder": (400.0, 100.0),
    "elbow": (300.0, 60.0),
}
"""kp N·m/rad and torque limit N·m of the humanoid released with DeepMimic; kd is a tenth of kp"""
HEAD = f"""\
# Gains, tried out

Made by `make results-gains`. Each preset that `mimic-pipe gains` derives drives its body in MuJoCo and in PyBullet at 240 Hz,
the root held in the air, first towards the rest pose, then along the clip (at least {prove.LEAST:g} s, after
{prove.SETTLE:g} s). Errors are degrees RMS over time of the worst joint. A servo without velocity feed-forward lags by
kd/kp, so its targets are the clip that much ahead (the median over the joints), as a policy's are; the error without that
is beside it. *Quiver* is the part of the errors faster than about {1 / prove.SLOW:.0f} Hz; *at limit* the largest share of
steps in which a joint's servo asked for more than its torque limit. A preset passes with at most {prove.TRACKED:g}° off the
clip, {prove.HELD:g}° off the rest pose and {prove.QUIVER:g}° of quiver. `default` is the one that has to; `soft` leaves
more to a policy.
"""


def hand_set(character: Character) -> dict[str, JointGain]:
    """The released humanoid's gains."""
    table = {}
    for joint in character.joints:
        kp, limit = HAND_SET[joint.name.removeprefix("left_").removeprefix("right_")]
        table[joint.name] = JointGain(kp=kp, kd=0.1 * kp, torque_limit=limit)
    return table


def rows(proof: Proof, clip: str) -> Iterator[str]:
    """Lines of the table of all bodies."""
    for engine, presets in proof.engines.items():
        for preset, found in presets.items():
            error = f"{found.tracking_deg:.2f}"
            yield (
                f"| {clip} | {engine} | {preset} | {found.rest_deg:.2f} ({found.rest_joint}) "
                f"| {error if found.tracking_deg <= prove.TRACKED else f'**{error}**'} ({found.tracking_joint}) "
                f"| {1000 * found.lookahead:.0f} | {found.without_lookahead_deg:.1f} | {found.quiver_deg:.2f} "
                f"| {found.saturated_share:.1%} | {'yes' if found.passed else 'no'} |"
            )


def comparison(character: Character, clip: Clip, derived: Gains) -> Iterator[str]:
    """The humanoid joint by joint, derived beside hand-set."""
    both = derived.model_copy(
        update={"presets": {"default": derived.presets["default"], "hand-set": hand_set(character)}}
    )
    proof = prove.prove(character, clip, both)
    yield f"\n## The humanoid's {clip.name}: derived (default) beside hand-set gains\n"
    pairs = [(engine, preset) for engine in proof.engines for preset in both.presets]
    yield "| joint | kp derived, hand-set | kd derived, hand-set | " + " | ".join(f"{e}, {p}" for e, p in pairs) + " |"
    yield "|---" * (3 + len(pairs)) + "|"

    def line(name: str, numbers: list[float]) -> str:
        gains = [both.presets[preset].get(name) for preset in both.presets]
        kp, kd = ([f"{getattr(g, key):.4g}" if g else "" for g in gains] for key in ("kp", "kd"))
        return (
            f"| {name} | {', '.join(filter(None, kp))} | {', '.join(filter(None, kd))} | "
            + " | ".join(f"{number:.2f}" for number in numbers)
            + " |"
        )

    def each(pick) -> list[float]:
        return [pick(proof.engines[engine][preset]) for engine, preset in pairs]

    for joint in character.joints:
        yield line(joint.name, each(lambda found, name=joint.name: found.tracking_by_joint[name]))
    yield line("mean", each(_mean))
    yield line("worst", each(lambda found: found.tracking_deg))
    yield line("worst, targets not ahead", each(lambda found: found.without_lookahead_deg))


def _mean(found: EngineProof) -> float:
    return sum(found.tracking_by_joint.values()) / len(found.tracking_by_joint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    page: Path = parser.parse_args().page
    table = [
        "| clip | engine | preset | off rest ° | off clip ° | ahead ms | not ahead ° | quiver ° | at limit | passes |"
    ]
    table.append("|---" * 10 + "|")
    compared: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "raw", Path(folder) / "out"
        samples.write_samples(raw)
        for char, name in CLIPS:
            source = raw / name if (raw / name).exists() else Path("raw_mocap") / name
            done = stages.retarget(source, char, out=out)
            character, clip = Character.load(char), Clip.load(done.folder / stages.CLIP)
            derived = rules.derive(character, clip)
            table += rows(prove.prove(character, clip, derived), f"{clip.name} → {char}")
            if char == "humanoid":
                compared += comparison(character, clip, derived)
    files.write_text(page, "\n".join([HEAD, *table, *compared, ""]))
    print(page)


if __name__ == "__main__":
    main()
