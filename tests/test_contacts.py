"""Contacts of a source: known ones found, flight kept, the ground wherever the file has it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from motion import rotation
from motion.contacts import Contacts, body_height, detect
from motion.motion import Motion, Skeleton, resample
from motion.rotation import Array

NAMES = ("root", *(f"{s}_{j}" for s in ("left", "right") for j in ("hip", "knee", "ankle", "toe", "tip")))
LEG = 0.833
"""metres hip to ankle: a body 1.7 m tall"""
ANKLE, TOE = 0.09, 0.03
"""metres above the sole when standing"""


@dataclass(frozen=True)
class Chains:
    chains: dict[str, tuple[str, ...]]


LEGS = Chains({f"{s}_leg": tuple(f"{s}_{j}" for j in ("hip", "knee", "ankle", "toe")) for s in ("left", "right")})


def walker(ankles: Array, pitch: Array, fps: float, *, root: Array | None = None) -> Motion:
    """A body whose ankles (T, 2, 3) and foot pitches (T, 2), toes down positive, are as given; knees follow them."""
    frames = len(ankles)
    parents, end = [-1], [False]
    for side in range(2):
        base = 1 + 5 * side
        parents += [0, base, base + 1, base + 2, base + 3]
        end += [False] * 4 + [True]
    moved = np.zeros((frames, len(NAMES), 3))
    rotations = np.tile(rotation.IDENTITY, (frames, len(NAMES), 1))
    if root is None:
        root = np.column_stack([ankles[..., 0].mean(axis=1), np.zeros(frames), np.full(frames, LEG + ANKLE)])
    for side, sign in ((0, 1.0), (1, -1.0)):
        base = 1 + 5 * side
        hip = root + np.array([0.0, 0.1 * sign, 0.0])
        knee = 0.5 * (hip + ankles[:, side])
        moved[:, base], moved[:, base + 1], moved[:, base + 2] = hip - root, knee - hip, ankles[:, side] - knee
        moved[:, base + 3] = [0.12, 0.0, TOE - ANKLE]
        moved[:, base + 4] = [0.06, 0.0, -0.5 * TOE]
        rotations[:, base + 2] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), pitch[:, side])
    skeleton = Skeleton(NAMES, np.array(parents), moved[0] * (np.arange(len(NAMES)) > 0)[:, None], np.array(end))
    return Motion("walker", skeleton, fps, root, rotations, moved)


def gait(fps: float, seconds: float = 4.0, period: float = 1.2, stance: float = 0.6, speed: float = 1.2):
    """A walk with feet flat in stance and a 12 cm arc between, and its contacts (T, 2): under 2 cm and under 0.3 m/s."""
    t = np.arange(int(seconds * fps)) / fps
    ankles, truth = np.zeros((len(t), 2, 3)), np.zeros((len(t), 2), dtype=bool)
    for side in range(2):
        cycle, phase = np.divmod(t / period + 0.5 * side, 1.0)
        swing = np.clip((phase - stance) / (1 - stance), 0.0, 1.0)
        ankles[:, side, 0] = speed * period * (cycle + swing - np.sin(2 * np.pi * swing) / (2 * np.pi))
        ankles[:, side, 1] = 0.1 if side == 0 else -0.1
        ankles[:, side, 2] = ANKLE + 0.12 * np.sin(np.pi * swing) ** 2
        sliding = speed / (1 - stance) * (1 - np.cos(2 * np.pi * swing))
        truth[:, side] = (ankles[:, side, 2] < ANKLE + 0.02) & (sliding < 0.3)
    return ankles, truth


def agreement(found: Contacts, truth: np.ndarray) -> float:
    """Share of (frame, foot) found right."""
    return float(np.mean([found.flags[f"{s}_leg"] == truth[:, i] for i, s in enumerate(("left", "right"))]))


def runs(flags: np.ndarray) -> int:
    """How many separate contacts."""
    return int((np.diff(flags.astype(int)) == 1).sum() + flags[0])


@pytest.mark.parametrize("fps", [16, 24, 30, 60, 120, 125])
def test_known_stances_are_found_at_any_rate(fps: float) -> None:
    ankles, truth = gait(fps)
    found = detect(walker(ankles, np.zeros(truth.shape), fps), LEGS)
    assert agreement(found, truth) > 0.95
    assert not found.airborne.any()
    assert [runs(found.flags[f"{s}_leg"]) for s in ("left", "right")] == [runs(truth[:, 0]), runs(truth[:, 1])]


@pytest.mark.parametrize("fps", [30, 60, 120])
def test_noise_neither_chatters_nor_hides_stances(fps: float) -> None:
    ankles, truth = gait(fps)
    ankles = ankles + np.random.default_rng(0).normal(0.0, 0.002, ankles.shape)
    found = detect(walker(ankles, np.zeros(truth.shape), fps), LEGS)
    assert agreement(found, truth) > 0.95
    assert [runs(found.flags[f"{s}_leg"]) for s in ("left", "right")] == [runs(truth[:, 0]), runs(truth[:, 1])]
    for flags in found.flags.values():
        edges = np.flatnonzero(np.diff(flags.astype(int)))
        assert (np.diff(edges) / fps >= 0.05).all()


@pytest.mark.parametrize("floor", [-0.1, 0.0, 0.07, 3.0])
def test_the_ground_may_be_at_any_level(floor: float) -> None:
    ankles, truth = gait(60)
    motion = walker(ankles, np.zeros(truth.shape), 60)
    lifted = replace(motion, root_positions=motion.root_positions + np.array([0.0, 0.0, floor]))
    found = detect(lifted, LEGS)
    assert found.ground == pytest.approx(floor + 0.5 * TOE, abs=0.005)  # the lowest foot point stands here
    assert (found.level == found.ground).all()
    assert agreement(found, truth) > 0.95
    assert found.resting_height["left_ankle"] == pytest.approx(ANKLE - 0.5 * TOE, abs=0.005)
    assert found.resting_height["left_tip"] == pytest.approx(0.0, abs=0.005)


def test_one_wild_frame_does_not_move_the_ground() -> None:
    ankles, truth = gait(60)
    motion = walker(ankles, np.zeros(truth.shape), 60)
    roots = motion.root_positions.copy()
    roots[77, 2] -= 0.5
    assert detect(replace(motion, root_positions=roots), LEGS).ground == pytest.approx(0.5 * TOE, abs=0.005)


def test_a_drifting_ground_is_followed() -> None:
    ankles, truth = gait(60, seconds=10)
    motion = walker(ankles, np.zeros(truth.shape), 60)
    roots = motion.root_positions.copy()
    roots[:, 2] += 0.02 * np.arange(len(roots)) / 60  # 20 cm in all
    found = detect(replace(motion, root_positions=roots), LEGS)
    assert np.ptp(found.level) == pytest.approx(0.2, abs=0.05)
    assert agreement(found, truth) > 0.85


def test_standing_on_the_toes_or_on_the_heels_is_standing() -> None:
    frames, fps = 240, 60.0
    ankles = np.tile([[0.0, 0.1, ANKLE], [0.0, -0.1, ANKLE]], (frames, 1, 1))
    pitch = np.zeros((frames, 2))
    toes, heels = slice(90, 130), slice(170, 210)
    pitch[toes], pitch[heels] = np.deg2rad(35), np.deg2rad(-15)
    tip = rotation.rotate(
        rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), pitch[toes]), np.array([0.18, 0.0, 0.5 * TOE - ANKLE])
    )
    ankles[toes, :, 2] = 0.5 * TOE - tip[..., 2]
    ankles[toes, :, 0] = 0.18 - tip[..., 0]
    found = detect(walker(ankles, pitch, fps), LEGS)
    for flags in found.flags.values():
        assert flags[95:125].all()
        assert flags[175:205].all()
        assert flags[:85].all()


def test_a_foot_held_still_in_the_air_does_not_stand() -> None:
    frames = 180
    ankles = np.tile([[0.0, 0.1, ANKLE], [0.0, -0.1, ANKLE]], (frames, 1, 1))
    ankles[60:, 1, 2] += 0.3 * np.clip(np.arange(frames - 60) / 20, 0, 1)
    found = detect(walker(ankles, np.zeros((frames, 2)), 60.0), LEGS)
    assert found.flags["left_leg"].all()
    assert found.flags["right_leg"][:58].all()
    assert not found.flags["right_leg"][66:].any()
    assert not found.airborne.any()


@pytest.mark.parametrize("fps", [30, 120])
def test_a_jump_flies(fps: float) -> None:
    t = np.arange(int(2 * fps)) / fps
    height = np.clip(0.5 * 9.81 * (t - 0.8) * (1.2 - t), 0.0, None)  # 0.4 s in the air, apex 20 cm
    ankles = np.tile([[0.0, 0.1, ANKLE], [0.0, -0.1, ANKLE]], (len(t), 1, 1))
    ankles[..., 2] += height[:, None]
    root = np.column_stack([np.zeros((len(t), 2)), LEG + ANKLE + height])
    found = detect(walker(ankles, np.zeros((len(t), 2)), fps, root=root), LEGS)
    inside = (t > 0.8 + 2 / fps + 0.03) & (t < 1.2 - 2 / fps - 0.03)
    for flags in found.flags.values():
        assert not flags[inside].any()
        assert flags[(t < 0.75) | (t > 1.25)].all()
    assert found.airborne.mean() == pytest.approx((height > 0.03).mean(), abs=0.03)


def test_sliding_feet_do_not_stand() -> None:
    t = np.arange(180) / 60
    ankles = np.tile([[0.0, 0.1, ANKLE], [0.0, -0.1, ANKLE]], (len(t), 1, 1))
    ankles[:, :, 0] = 0.6 * t[:, None]  # skating
    found = detect(walker(ankles, np.zeros((len(t), 2)), 60.0), LEGS)
    assert not any(flags.any() for flags in found.flags.values())
    assert not found.airborne.any()


def test_a_single_frame_and_a_body_without_legs_are_answered() -> None:
    ankles, truth = gait(60)
    motion = walker(ankles, np.zeros(truth.shape), 60)
    one = detect(motion.slice(0, 1), LEGS)
    assert one.flags["left_leg"].shape == (1,)
    assert np.isfinite(one.ground)
    none = detect(motion, Chains({"root": ("root",)}))
    assert none.flags == {}
    assert np.isfinite(none.level).all()
    assert body_height(motion, Chains({})) == 1.7


def test_lengths_scale_with_the_body() -> None:
    ankles, truth = gait(60)
    motion = walker(ankles, np.zeros(truth.shape), 60)
    assert motion.translations is not None
    small = replace(motion, root_positions=0.1 * motion.root_positions, translations=0.1 * motion.translations)
    assert body_height(small, LEGS) == pytest.approx(0.1 * body_height(motion, LEGS))
    found, full = detect(small, LEGS), detect(motion, LEGS)
    assert found.ground == pytest.approx(0.1 * full.ground)
    for role, flags in full.flags.items():
        assert (found.flags[role] == flags).all()


def sample(samples: Path, name: str) -> Contacts:
    from motion import formats
    from motion.motion import standardise
    from motion.roles import infer_roles

    motion = formats.read(samples / f"{name}.bvh")
    return detect(standardise(motion, unit=0.01, up="y"), infer_roles(motion))


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("walk", 0, 0.02),
        ("run", 0.3, 0.6),
        ("jump", 0.15, 0.3),
        ("backflip", 0.2, 0.35),
        ("spinkick", 0.2, 0.4),
        ("kick", 0, 0.05),
    ],
)
def test_the_samples_fly_as_they_do(samples: Path, name: str, least: float, most: float) -> None:
    found = sample(samples, name)
    assert least <= found.airborne.mean() <= most
    assert abs(found.ground) < 0.08
    for flags in found.flags.values():
        assert not (flags & found.airborne).any()


def test_hands_and_knees_touch_where_they_do(samples: Path) -> None:
    cartwheel, crawl, walk = (sample(samples, name) for name in ("cartwheel", "crawl", "walk"))
    assert any(flags.any() for flags in cartwheel.hands.values())
    assert all(flags.mean() > 0.2 for flags in crawl.knees.values())
    assert not any(flags.any() for flags in (*walk.hands.values(), *walk.knees.values()))


def test_a_rate_change_keeps_the_contacts(mocap: Path) -> None:
    from motion import formats
    from motion.motion import standardise
    from motion.roles import infer_roles

    raw = formats.read(mocap / "cmu-mb" / "05_01.bvh").slice(2, 599)
    roles = infer_roles(raw)
    motion = standardise(raw, unit=0.0564, up="y")
    full = detect(motion, roles)
    half = detect(resample(motion, 30.0), roles)
    for role, flags in full.flags.items():
        assert runs(flags) == runs(half.flags[role])
        near = flags[np.round(np.linspace(0, len(flags) - 1, len(half.flags[role]))).astype(int)]
        assert (near == half.flags[role]).mean() > 0.95
