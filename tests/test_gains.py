"""PD gains: each number follows from the rule the evidence names; gains.json is read back and slips in it are named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from good_clip import jump, make_good_clip, walk

from characters import kinematics
from characters.character import Character
from motion import rotation
from motion.clip import NO_OFFSET, Clip
from motion.errors import InputError
from motion.gains import Gains
from retarget import gains as rules
from retarget.gains import PRESETS, TORQUE_SHARE

BODIES = ["humanoid", "atlas"]
DIGITS = 2e-4
"""relative: results and the evidence they are recomputed from are both rounded to five significant digits"""


@pytest.fixture(scope="module", params=BODIES)
def body(request: pytest.FixtureRequest) -> Character:
    return Character.load(request.param)


def still(character: Character, frames: int = 3) -> Clip:
    """A body that stands."""
    layout = character.layout
    return Clip(
        name="still",
        character=character.name,
        loop=False,
        duration=1.0,
        joints=character.specs,
        phase=np.arange(frames) / max(frames - 1, 1),
        qpos=np.tile(character.rest, (frames, 1)),
        qvel=np.zeros((frames, layout.nv)),
        contacts={},
        cycle_offset=NO_OFFSET,
    )


@pytest.mark.parametrize("plan", [walk, jump])
def test_gains_follow_from_inertia_limit_and_speed(body: Character, plan: Any) -> None:
    derived = rules.derive(body, make_good_clip(body, plan))
    joints = derived.evidence["joints"]
    assert set(joints) == {joint.name for joint in body.joints}
    for name, preset in PRESETS.items():
        omega = 2 * np.pi * preset.bandwidth
        assert set(derived.presets[name]) == set(joints)
        for joint, gain in derived.presets[name].items():
            why = joints[joint]
            fast, strong = why["inertia"] * omega**2, gain.torque_limit / preset.saturation
            assert gain.kp == pytest.approx(max(fast, strong), rel=DIGITS)
            inertia = max(why["inertia"], gain.kp / omega**2)
            damped = 2 * preset.damping * np.sqrt(gain.kp * inertia)
            quick = gain.torque_limit / max(why["peak_speed"], 1.0)
            assert gain.kd == pytest.approx(min(damped, quick), rel=DIGITS)
            assert why["rule"][name]["kp"] == ("bandwidth" if fast > strong else "torque limit over saturation error")
            assert why["rule"][name]["kd"] == (
                "damping ratio" if damped < quick else "torque limit over the clip's peak speed"
            )
    assert derived.character == body.name
    assert derived.timestep == pytest.approx(1 / 240)


def test_each_kp_rule_decides_where_it_should(body: Character) -> None:
    """A strong motor on a light limb: its limit over the saturation error. A weak one on a heavy limb: the bandwidth."""
    for limit, rule in ((1e4, "torque limit over saturation error"), (0.1, "bandwidth")):
        motors = replace(body, torque_limits={joint.name: limit for joint in body.joints})
        for why in rules.derive(motors, still(body)).evidence["joints"].values():
            assert {decided["kp"] for decided in why["rule"].values()} == {rule}


def test_each_kd_rule_decides_where_it_should(body: Character) -> None:
    """A clip faster than a damped joint could follow lowers the damping; a slow one leaves it."""
    clip = still(body)
    for speed, rule in ((0.1, "damping ratio"), (100.0, "torque limit over the clip's peak speed")):
        derived = rules.derive(body, replace(clip, qvel=np.full_like(clip.qvel, speed)))
        for joint, why in derived.evidence["joints"].items():
            assert {decided["kd"] for decided in why["rule"].values()} == {rule}
            gain = derived.presets["stiff"][joint]
            assert gain.kd * speed <= gain.torque_limit * (1 + DIGITS)


def test_presets_are_ordered(body: Character) -> None:
    presets = rules.derive(body, make_good_clip(body)).presets
    assert list(presets) == ["soft", "default", "stiff"]
    for joint in presets["default"]:
        soft, default, stiff = (presets[name][joint] for name in ("soft", "default", "stiff"))
        assert soft.kp < default.kp < stiff.kp
        assert soft.kd <= default.kd <= stiff.kd
        assert soft.torque_limit == default.torque_limit == stiff.torque_limit


def test_the_inertia_is_what_hangs_on_the_joint(body: Character) -> None:
    """Σ Iᵢ + m·d² about the knee's axis of shank and foot, and about the largest of the hip's axes, by hand."""
    pose = kinematics.forward(body, body.rest[None])
    got = rules.derive(body, still(body)).evidence["joints"]
    for name in ("left_knee", "left_hip"):
        joint = body.joints[body.joint(name)]
        at = pose.positions[0, joint.child]
        tensor = np.zeros((3, 3))
        for i in np.flatnonzero(body.ancestry[:, joint.child]):
            link, turn = body.links[i], rotation.to_matrix(pose.rotations[0, i])
            arm = pose.positions[0, i] + turn @ link.com - at
            tensor += turn @ link.inertia @ turn.T + link.mass * (arm @ arm * np.eye(3) - np.outer(arm, arm))
        axes = rotation.to_matrix(pose.rotations[0, joint.child])
        own = (
            joint.axis @ axes.T @ tensor @ axes @ joint.axis
            if joint.type == "hinge"
            else np.diag(axes.T @ tensor @ axes).max()
        )
        assert got[name]["inertia"] == pytest.approx(own, rel=1e-3)  # MuJoCo's model may carry a least inertia


def test_the_clip_sets_the_peak_speed(body: Character) -> None:
    """A knee swinging with amplitude a and frequency f: 2πaf, whatever the rest does."""
    layout, count = body.layout, 240
    clip = still(body, count)
    dof = layout.qvel_at[body.joint("left_knee")]
    qvel = np.zeros((count, layout.nv))
    qvel[:, dof] = 6.0 * np.cos(2 * np.pi * 2.0 * clip.phase)
    joints = rules.derive(body, replace(clip, qvel=qvel)).evidence["joints"]
    assert joints["left_knee"]["peak_speed"] == pytest.approx(6.0, rel=0.01)
    assert joints["right_knee"]["peak_speed"] == 0.0


def test_limits_of_the_released_humanoid() -> None:
    limits = rules.torque_limits(Character.load("humanoid"))
    table = {"chest": 200, "neck": 50, "hip": 200, "knee": 150, "ankle": 90, "shoulder": 100, "elbow": 60}
    for joint, (limit, rule) in limits.items():
        assert limit == table[joint.removeprefix("left_").removeprefix("right_")]
        assert rule == "character.toml"


def test_limits_by_weight_and_height(body: Character) -> None:
    """Where character.toml is silent, the share of the joint's role and place in its chain; the rule says which."""
    silent = replace(body, torque_limits={})
    limits = rules.torque_limits(silent)
    scale = body.mass * 9.81 * body.height
    for k, joint in enumerate(body.roles["left_leg"]):
        share = TORQUE_SHARE["leg"]
        assert isinstance(share, tuple)
        assert limits[joint] == (pytest.approx(share[k] * scale), f"{share[k]:g} × body weight × height (left_leg)")
    roleless = rules.torque_limits(replace(silent, roles={}))
    assert {rule for _, rule in roleless.values()} == {"0.084 × body weight × height (no role)"}
    partly = rules.torque_limits(replace(silent, torque_limits={"left_knee": 7.0}))
    assert partly["left_knee"] == (7.0, "character.toml")
    assert partly["right_knee"] == limits["right_knee"]


def test_the_shares_reproduce_the_released_table() -> None:
    """The table the shares were read from, within a tenth."""
    humanoid = Character.load("humanoid")
    ours = rules.torque_limits(replace(humanoid, torque_limits={}))
    for joint, limit in humanoid.torque_limits.items():
        assert ours[joint][0] == pytest.approx(limit, rel=0.1), joint


def test_evidence_names_the_rule_of_each_limit(body: Character) -> None:
    derived = rules.derive(replace(body, torque_limits={"left_knee": 7.0}), still(body))
    assert derived.presets["soft"]["left_knee"].torque_limit == 7.0
    assert derived.evidence["joints"]["left_knee"]["torque_limit_from"] == "character.toml"
    assert "body weight" in derived.evidence["joints"]["right_knee"]["torque_limit_from"]


@pytest.mark.parametrize("frames", [1, 2])
def test_a_pose_has_gains_too(body: Character, frames: int) -> None:
    for gain in rules.derive(body, still(body, frames)).presets["default"].values():
        assert gain.kp > 0
        assert gain.kd > 0


# --- gains.json


@pytest.fixture(scope="module")
def derived() -> Gains:
    body = Character.load("humanoid")
    return rules.derive(body, still(body))


def test_round_trip(tmp_path: Path, derived: Gains) -> None:
    derived.save(tmp_path / "gains.json")
    back = Gains.load(tmp_path / "gains.json")
    assert back == derived
    back.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "gains.json").read_bytes()


@pytest.mark.parametrize(
    ("keys", "value", "text", "hint"),
    [
        (("preset",), {}, "unknown key preset", "did you mean presets"),
        (("presets", "soft", "left_hip", "ki"), 1.0, "unknown key presets.soft.left_hip.ki", "did you mean k"),
        (("presets", "soft", "left_hip", "kp"), -1.0, "presets.soft.left_hip.kp: input should be greater than 0", None),
        (("presets", "soft", "left_hip", "kp"), float("inf"), "presets.soft.left_hip.kp: input should be a finite", None),
        (("presets", "soft", "left_hip", "torque_limit"), 0, "presets.soft.left_hip.torque_limit: input should be", None),
        (("presets", "soft", "left_hip"), {"kp": 1.0, "kd": 1.0}, "missing key presets.soft.left_hip.torque_limit", None),
        (("format",), "mimic-clip", "format: input should be 'mimic-gains', found 'mimic-clip'", None),
        (("version",), 3, "version: input should be 1, found 3", None),
        (("timestep",), 0.0, "timestep: input should be greater than 0", None),
    ],
)  # fmt: skip
def test_slips_in_gains_are_named(
    tmp_path: Path, derived: Gains, keys: tuple[str, ...], value: Any, text: str, hint: str | None
) -> None:
    data = json.loads(derived.model_dump_json())
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path = tmp_path / "gains.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        Gains.load(path)
    assert str(caught.value).startswith(f"{path}: {text}")
    assert (caught.value.hint or "").startswith(hint or "")
    assert (caught.value.hint is None) == (hint is None)
