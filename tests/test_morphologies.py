"""T-Rex and dragon: the published table, bodies that could live, stand and move alike on both sides, in both engines."""

from __future__ import annotations

import mujoco
import numpy as np
import pybullet
import pytest
from scipy.spatial import ConvexHull

from characters import character as characters
from characters import dynamics, kinematics, shapes
from characters.character import Character
from motion import rotation
from motion.clip import Clip, CycleOffset, Trajectory
from motion.roles import infer_roles
from retarget import gains

TABLE = {
    "trex": {"links": 20, "mass": 54.5, "height": 1.66, "dof": 55, "ball_joints": 15, "hinge_joints": 4},
    "dragon": {"links": 32, "mass": 72.5, "height": 1.83, "dof": 79, "ball_joints": 21, "hinge_joints": 10},
}
"""Peng et al. 2018, table 1"""
LEAST_INERTIA = 0.01
"""kg·m², what the two URDFs state"""
DENSITY = (400.0, 1100.0)
"""kg/m³ of a body with air sacs, its shapes' overlaps counted twice … of a solid one"""
MIRROR = np.array([1.0, -1.0, 1.0])
MIRROR_TURN = np.array([1.0, -1.0, 1.0, -1.0])


@pytest.fixture(params=TABLE)
def body(request: pytest.FixtureRequest) -> Character:
    return Character.load(request.param)


def twin(name: str) -> str:
    """The name on the other side; a part of the middle is its own twin."""
    if name.startswith("left_"):
        return name.replace("left_", "right_", 1)
    return name.replace("right_", "left_", 1) if name.startswith("right_") else name


def poses(body: Character, count: int, spread: float = 0.8) -> np.ndarray:
    rng = np.random.default_rng(0)
    tangent = rng.uniform(-spread, spread, size=(count, body.layout.nv))
    return body.layout.integrate(np.tile(body.rest, (count, 1)), tangent)


def standing(body: Character) -> Clip:
    """A second at rest."""
    phase = np.arange(60) / 60
    qpos, qvel = np.tile(body.rest, (60, 1)), np.zeros((60, body.layout.nv))
    return Clip("rest", body.name, True, 1.0, body.specs, phase, qpos, qvel, {}, CycleOffset(np.zeros(3), 0.0))


def test_published_table(body: Character) -> None:
    found, expected = characters.describe(body), TABLE[body.name]
    assert {key: found[key] for key in expected} == expected | {"height": pytest.approx(expected["height"], abs=0.005)}
    assert body.mass == pytest.approx(expected["mass"], abs=1e-6)
    assert found["dof"] == 6 + 3 * found["ball_joints"] + found["hinge_joints"] == body.layout.nv


def test_links_are_solids_of_their_shapes(body: Character) -> None:
    """MuJoCo's mass, centre and inertia of the shapes at one density, where the least inertia does not decide."""
    spec = dynamics.spec(body)
    for part in spec.bodies[1:]:
        part.explicitinertial = False
    solid = spec.compile()
    density = 1000.0 * body.mass / solid.body_mass.sum()
    assert DENSITY[0] < density < DENSITY[1]
    for i, link in enumerate(body.links, 1):
        assert link.mass == pytest.approx(density / 1000.0 * solid.body_mass[i], rel=0.005, abs=0.002)
        np.testing.assert_allclose(link.com, solid.body_ipos[i], atol=5e-4)
        axes = rotation.to_matrix(solid.body_iquat[i])
        inertia = density / 1000.0 * np.diag(axes @ np.diag(solid.body_inertia[i]) @ axes.T)
        np.testing.assert_allclose(np.diag(link.inertia), np.maximum(inertia, LEAST_INERTIA), rtol=0.02)


def test_inertias_are_diagonal_and_possible(body: Character) -> None:
    """Diagonal, because PyBullet turns a ball joint about the principal axes of its link."""
    for link in body.links:
        a, b, c = np.sort(np.diag(link.inertia))
        assert a >= LEAST_INERTIA
        assert a + b >= c, link.name
        np.testing.assert_allclose(link.inertia, np.diag(np.diag(link.inertia)), rtol=0, atol=1e-15)


def test_rest_stands_flat_on_all_feet(body: Character) -> None:
    rest = kinematics.forward(body, body.rest[None])
    lowest, centres = shapes.heights(body, rest)[0], shapes.centres(body, rest)[0]
    assert lowest.min() == pytest.approx(0.0, abs=1e-12)
    for foot in body.feet:
        mine = body.support.link == body.link(foot)
        np.testing.assert_allclose(np.sort(lowest[mine])[:4], 0.0, atol=1e-9)
        sole = centres[mine & (lowest < 1e-9), :2]
        assert (np.ptp(sole, axis=0) > [0.2, 0.05]).all(), f"{foot} stands on an edge"
    standing = {body.links[i].name for i in body.support.link[lowest < 1e-3]}
    assert standing == set(body.feet) <= set(body.ground)


def test_centre_of_mass_is_well_inside_the_support(body: Character) -> None:
    rest = kinematics.forward(body, body.rest[None])
    ground = shapes.centres(body, rest)[0][shapes.heights(body, rest)[0] < 1e-9, :2]
    edges = ConvexHull(ground).equations
    com = kinematics.centre_of_mass(body, rest)[0]
    assert com[1] == pytest.approx(0.0, abs=1e-6)
    assert (edges[:, :2] @ com[:2] + edges[:, 2]).max() < -0.05


def test_only_adjacent_links_touch_at_rest(body: Character) -> None:
    adjacent = {(link.parent, i) for i, link in enumerate(body.links)}
    assert set(dynamics.overlapping_at_rest(body)) <= adjacent


def test_left_mirrors_right(body: Character) -> None:
    for i, link in enumerate(body.links):
        other = body.link(twin(link.name))
        assert link.mass == body.links[other].mass
        np.testing.assert_allclose(link.com, body.links[other].com * MIRROR, atol=1e-9)
        np.testing.assert_array_equal(link.inertia, body.links[other].inertia)
        mine, theirs = (body.support.points[body.support.link == at] for at in (i, other))
        away = np.linalg.norm(mine[:, None] - theirs * MIRROR, axis=-1)
        np.testing.assert_allclose(away.min(axis=1), 0.0, atol=1e-5, err_msg=link.name)
    for joint in body.joints:
        other = body.joints[body.joint(twin(joint.name))]
        assert joint.swing_limit == other.swing_limit
        assert (joint.lower, joint.upper) == (other.lower, other.upper)
        assert body.pose_weights[joint.name] == body.pose_weights[other.name]
        assert body.torque_limits.get(joint.name) == body.torque_limits.get(other.name)
    for role, chain in body.roles.items():
        assert body.roles[twin(role)] == tuple(twin(name) for name in chain)
        assert body.undriven.get(role) == body.undriven.get(twin(role))
    for name, frame in body.end_effectors.items():
        np.testing.assert_allclose(frame.position, body.end_effectors[twin(name)].position * MIRROR, atol=1e-12)


def test_mirrored_values_give_the_mirrored_pose(body: Character) -> None:
    """A hinge value means the same on both sides, in a leg and in a wing."""
    qpos = poses(body, 5)
    other = qpos.copy()
    other[:, :3], other[:, 3:7] = qpos[:, :3] * MIRROR, qpos[:, 3:7] * MIRROR_TURN
    for joint, at in zip(body.joints, body.layout.qpos_at, strict=True):
        theirs = body.layout.qpos_at[body.joint(twin(joint.name))]
        if joint.type == "ball":
            other[:, theirs : theirs + 4] = qpos[:, at : at + 4] * MIRROR_TURN
        else:
            other[:, theirs] = qpos[:, at]
    mine, theirs = kinematics.forward(body, qpos), kinematics.forward(body, other)
    for i, link in enumerate(body.links):
        at = body.link(twin(link.name))
        np.testing.assert_allclose(mine.positions[:, i] * MIRROR, theirs.positions[:, at], atol=1e-12)
        assert rotation.angle(mine.rotations[:, i] * MIRROR_TURN, theirs.rotations[:, at]).max() < 1e-6


def test_legs_are_digitigrade(body: Character) -> None:
    """Knee before hip and hock, hock behind the toes; a bent knee folds the leg back, a bent hock lifts the foot forward."""
    rest = kinematics.forward(body, body.rest[None])
    for side in ("left", "right"):
        chain = [body.joints[body.joint(name)] for name in body.roles[f"{side}_leg"]]
        hip, knee, hock, toes = (rest.positions[0, joint.child] for joint in chain)
        assert knee[0] > hip[0] + 0.1
        assert knee[0] > hock[0] + 0.1
        assert toes[0] > hock[0] + 0.03
        assert hip[2] > knee[2] > hock[2] > 2 * toes[2]
        for joint, bent, direction in ((chain[1], chain[1].lower, -1), (chain[2], chain[2].upper, 1)):
            qpos = body.rest.copy()
            qpos[body.layout.qpos_at[body.joint(joint.name)]] = bent
            moved = kinematics.forward(body, qpos[None]).positions[0, chain[3].child]
            assert direction * (moved[0] - toes[0]) > 0.05
            assert moved[2] > toes[2] + 0.05


def test_every_joint_is_limited_around_rest(body: Character) -> None:
    for joint in body.joints:
        folded = "wing_mid" in joint.name or "wing_outer" in joint.name  # at rest: they can only spread
        assert joint.lower < (0.0 if folded else -0.2), joint.name
        assert joint.upper > (0.0 if folded else 0.2), joint.name
        assert 0.4 < joint.upper - joint.lower < np.pi, joint.name
        assert joint.type == "hinge" or 0.3 < joint.swing_limit < np.pi / 2, joint.name


def test_roles_cover_the_body_and_end_at_its_tips(body: Character) -> None:
    covered = [name for chain in body.roles.values() for name in chain]
    assert sorted(covered) == sorted(joint.name for joint in body.joints)
    assert {"spine", "neck", "head", "tail", "left_leg", "right_leg"} <= set(body.roles)
    legs = {role for role in body.roles if role.endswith("leg")}
    assert {body.links[body.joints[body.joint(body.roles[role][-1])].child].name for role in legs} == set(body.feet)
    assert set(body.undriven) == set(body.roles) - {"spine", "left_leg", "right_leg"}
    assert body.undriven["tail"] == "follow"
    assert not body.self_collision
    ended = {frame.role for frame in body.end_effectors.values()}
    assert ended == set(body.roles) - {"spine", "neck"}
    for frame in body.end_effectors.values():
        assert frame.role is not None
        assert frame.link == body.joints[body.joint(body.roles[frame.role][-1])].child
        balls = body.support.link == frame.link
        away = np.linalg.norm(body.support.points[balls] - frame.position, axis=1) - body.support.radius[balls]
        assert away.min() < 0.05, f"{frame.name} is not at the link's surface"


def test_names_say_the_roles(body: Character) -> None:
    """Motion of these bodies is a source for others: its joints' roles are found by their names."""
    still = Trajectory("rest", body.name, body.specs, 30.0, np.tile(body.rest, (3, 1)), {})
    found = infer_roles(body.to_motion(still)).chains
    assert {role: chain for role, chain in found.items() if role != "root"} == body.roles


def test_torque_limits_carry_the_body(body: Character) -> None:
    """What hangs free holds itself with half its limit, a trunk with legs at both ends with all of it; the legs, bent as at
    rest, carry twice their share of the weight.
    """
    limits = gains.torque_limits(body)
    still = np.zeros((1, body.layout.nv))
    hanging = dynamics.inverse_dynamics(body, body.rest[None], still, still)[0]
    legs = {name for role, chain in body.roles.items() if role.endswith("leg") for name in chain}
    feet = [body.link(name) for name in body.feet]
    for joint, at in zip(body.joints, body.layout.qvel_at, strict=True):
        if joint.name not in legs:
            load = np.linalg.norm(hanging[at : at + (3 if joint.type == "ball" else 1)])
            bridge = body.ancestry[feet, joint.child].any()
            assert load < (1.0 if bridge else 0.5) * limits[joint.name][0], joint.name
    rest = kinematics.forward(body, body.rest[None])
    com = kinematics.centre_of_mass(body, rest)[0]
    share = body.mass * gains.GRAVITY / len(body.feet)
    for role in (role for role in body.roles if role.endswith("leg")):
        for name in body.roles[role]:
            place = rest.positions[0, body.joints[body.joint(name)].child]
            foot = rest.positions[0, body.joints[body.joint(body.roles[role][-1])].child]
            arm = abs((com[0] if len(body.feet) == 2 else foot[0]) - place[0])
            assert 2.0 * share * arm < limits[name][0], name


def simulated(body: Character, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Joint rotations and speeds in MuJoCo at 240 Hz, the root fixed, the derived gains holding rest after a push."""
    preset = gains.derive(body, standing(body)).presets["default"]
    spec = dynamics.spec(body)
    spec.delete(spec.joint("root"))
    model = spec.compile()
    model.opt.timestep, model.opt.integrator = 1 / 240, int(mujoco.mjtIntegrator.mjINT_IMPLICITFAST)
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
    for j, joint in enumerate(body.joints):
        model.jnt_stiffness[j] = preset[joint.name].kp
        model.dof_damping[model.jnt_dofadr[j] :][: 3 if joint.type == "ball" else 1] = preset[joint.name].kd
    data = mujoco.MjData(model)
    data.qvel[:] = np.random.default_rng(0).uniform(-1, 1, model.nv)
    for _ in range(int(240 * seconds)):
        mujoco.mj_step(model, data)
    return data.qpos.copy(), data.qvel.copy()


def test_held_at_240_hz(body: Character) -> None:
    """What the least inertia is for."""
    qpos, qvel = simulated(body, 2.0)
    assert np.abs(qvel).max() < 0.01
    full = np.concatenate([body.rest[:7], qpos])[None]
    error = body.layout.difference(body.rest[None], full)[0, 6:]
    assert np.rad2deg(np.abs(error)).max() < 3.0


def test_both_engines_read_the_same_body(body: Character) -> None:
    """Masses, inertias, and forward kinematics to 1e-6 m, of the URDF itself and of our model of it."""
    path = str(body.folder / "body.urdf")
    spec = mujoco.MjSpec.from_file(path)
    spec.worldbody.first_body().add_freejoint()
    own, read = dynamics.spec(body).compile(), spec.compile()
    client = pybullet.connect(pybullet.DIRECT)
    try:
        flags = pybullet.URDF_USE_INERTIA_FROM_FILE
        loaded = pybullet.loadURDF(path, flags=flags, physicsClientId=client)
        info = [pybullet.getJointInfo(loaded, i, client) for i in range(pybullet.getNumJoints(loaded, client))]
        moved_by = {row[1].decode(): row[0] for row in info} | {"root": -1}
        for i, link in enumerate(body.links):
            at = moved_by["root" if i == 0 else body.joints[i - 1].name]
            row = pybullet.getDynamicsInfo(loaded, at, client)
            assert row[0] == pytest.approx(link.mass, rel=1e-6)
            np.testing.assert_allclose(row[2], np.diag(link.inertia), rtol=1e-5)
            for model in (own, read):
                index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, link.name)
                assert model.body_mass[index] == pytest.approx(link.mass, rel=1e-9)
                np.testing.assert_allclose(sorted(model.body_inertia[index]), sorted(np.diag(link.inertia)), rtol=1e-6)
        com, data = pybullet.getDynamicsInfo(loaded, -1, client)[3], mujoco.MjData(own)
        qpos = poses(body, 6)
        pose = kinematics.forward(body, qpos)
        for t, q in enumerate(qpos):
            data.qpos[:] = q
            mujoco.mj_kinematics(own, data)
            np.testing.assert_allclose(data.xpos[1:], pose.positions[t], atol=1e-9)
            base = pybullet.multiplyTransforms(q[:3], np.roll(q[3:7], -1), com, [0, 0, 0, 1])
            pybullet.resetBasePositionAndOrientation(loaded, *base, client)
            for joint, at in zip(body.joints, body.layout.qpos_at, strict=True):
                link = moved_by[joint.name]
                principal = np.roll(pybullet.getDynamicsInfo(loaded, link, client)[4], 1)
                turn = rotation.multiply(rotation.relative(principal, q[at : at + 4]), principal)
                value = np.roll(turn, -1) if joint.type == "ball" else [q[at]]
                pybullet.resetJointStateMultiDof(loaded, link, value, physicsClientId=client)
            for joint in body.joints:
                state = pybullet.getLinkState(loaded, moved_by[joint.name], 0, 1, client)
                np.testing.assert_allclose(state[4], pose.positions[t, joint.child], atol=1e-6, rtol=0)
    finally:
        pybullet.disconnect(client)
