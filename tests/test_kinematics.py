"""Forward kinematics and Jacobians against MuJoCo's and PyBullet's own readings of the same URDF."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pybullet
import pytest

from characters import kinematics
from characters.character import Character
from motion import rotation

SHIPPED = ["humanoid", "atlas"]
SYNTHETIC = [0, 1, 2, 3, 4, 5]
MUJOCO_TOLERANCE = 1e-9
PYBULLET_TOLERANCE = 1e-6


def synthetic(folder: Path, seed: int) -> Character:
    """A random tree: rotated origins, ball, hinge and fixed joints, slanted axes, links anywhere in the file."""
    rng = np.random.default_rng(seed)
    count = 12
    links, joints = [], []

    def three(scale: float) -> str:
        return " ".join(f"{x:.6f}" for x in scale * rng.normal(size=3))

    for i in range(count):
        a, b, c = 0.01 + 0.01 * rng.random(3)
        links.append(
            f'<link name="link{i}"><inertial><origin xyz="{three(0.05)}" rpy="{three(1)}"/>'
            f'<mass value="{0.5 + rng.random():.4f}"/>'
            f'<inertia ixx="{b + c:.5f}" iyy="{a + c:.5f}" izz="{a + b:.5f}" ixy="0" ixz="0" iyz="0"/></inertial></link>'
        )
        if i:
            kind = rng.choice(["spherical", "continuous", "fixed"])
            joints.append(
                f'<joint name="joint{i}" type="{kind}"><origin xyz="{three(0.15)}" rpy="{three(1)}"/>'
                f'<parent link="link{rng.integers(0, i)}"/><child link="link{i}"/><axis xyz="{three(1)}"/></joint>'
            )
    parts = [*rng.permutation(links), *rng.permutation(joints)]
    (folder / "body.urdf").write_text('<robot name="tree">\n' + "\n".join(parts) + "\n</robot>\n")
    (folder / "character.toml").write_text('description = "a random tree"\nfeet = []\nroles = {}\n')
    return Character.load(folder)


@pytest.fixture(params=[*SHIPPED, *SYNTHETIC], ids=str)
def character(request: pytest.FixtureRequest, tmp_path: Path) -> Character:
    return Character.load(request.param) if isinstance(request.param, str) else synthetic(tmp_path, request.param)


def random_poses(character: Character, count: int, seed: int = 0) -> np.ndarray:
    """qpos (count, nq) with any rotations and the root within 1 m of the origin."""
    rng = np.random.default_rng(seed)
    qpos = np.tile(character.zero, (count, 1))
    tangent = rng.uniform(-2.5, 2.5, size=(count, character.layout.nv))
    tangent[:, :3] = rng.uniform(-0.5, 0.5, size=(count, 3))
    return character.layout.integrate(qpos, tangent)


def in_mujoco(character: Character) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """The URDF as MuJoCo itself reads it."""
    spec = mujoco.MjSpec.from_file(str(character.folder / "body.urdf"))
    spec.worldbody.first_body().add_freejoint()
    model = spec.compile()
    return model, mujoco.MjData(model)


def mujoco_addresses(character: Character, model: mujoco.MjModel) -> tuple[list[int], list[int]]:
    """Where each of our qpos and qvel numbers stands in MuJoCo's, by joint name."""
    qpos, qvel = list(range(7)), list(range(6))
    for joint in character.joints:
        at = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, joint.name)
        assert at > 0, f"MuJoCo has no joint {joint.name}"
        qpos += range(model.jnt_qposadr[at], model.jnt_qposadr[at] + (4 if joint.type == "ball" else 1))
        qvel += range(model.jnt_dofadr[at], model.jnt_dofadr[at] + (3 if joint.type == "ball" else 1))
    return qpos, qvel


def test_forward_kinematics_equals_mujoco(character: Character) -> None:
    qpos = random_poses(character, 20)
    pose = kinematics.forward(character, qpos)
    model, data = in_mujoco(character)
    to_qpos, _ = mujoco_addresses(character, model)
    bodies = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, link.name) for link in character.links]
    assert min(bodies) > 0
    for t in range(len(qpos)):
        data.qpos[to_qpos] = qpos[t]
        mujoco.mj_kinematics(model, data)
        np.testing.assert_allclose(pose.positions[t], data.xpos[bodies], atol=MUJOCO_TOLERANCE, rtol=0)
        assert rotation.angle(pose.rotations[t], data.xquat[bodies]).max() < 1e-7


def to_pybullet(body: int, link: int, q: np.ndarray, client: int) -> np.ndarray:
    """A ball joint's xyzw value: PyBullet turns about the principal axes of the link's inertia, not about the link's axes."""
    principal = np.roll(pybullet.getDynamicsInfo(body, link, client)[4], 1)
    return np.roll(rotation.multiply(rotation.relative(principal, q), principal), -1)


def test_forward_kinematics_equals_pybullet(character: Character) -> None:
    client = pybullet.connect(pybullet.DIRECT)
    try:
        flags = pybullet.URDF_USE_INERTIA_FROM_FILE
        body = pybullet.loadURDF(str(character.folder / "body.urdf"), flags=flags, physicsClientId=client)
        info = [pybullet.getJointInfo(body, i, client) for i in range(pybullet.getNumJoints(body, client))]
        moved_by = {row[1].decode(): row[0] for row in info}
        com, turn = pybullet.getDynamicsInfo(body, -1, client)[3:5]
        qpos = random_poses(character, 20)
        pose = kinematics.forward(character, qpos)
        for t, q in enumerate(qpos):
            base = pybullet.multiplyTransforms(q[:3], np.roll(q[3:7], -1), com, turn)
            pybullet.resetBasePositionAndOrientation(body, *base, client)
            for joint, at in zip(character.joints, character.layout.qpos_at, strict=True):
                link = moved_by[joint.name]
                value = to_pybullet(body, link, q[at : at + 4], client) if joint.type == "ball" else [q[at]]
                pybullet.resetJointStateMultiDof(body, link, value, physicsClientId=client)
            for joint in character.joints:
                state = pybullet.getLinkState(body, moved_by[joint.name], 0, 1, client)
                np.testing.assert_allclose(pose.positions[t, joint.child], state[4], atol=PYBULLET_TOLERANCE, rtol=0)
                assert rotation.angle(pose.rotations[t, joint.child], np.roll(state[5], 1)) < 1e-5
    finally:
        pybullet.disconnect(client)


def test_jacobian_equals_mujoco(character: Character) -> None:
    qpos = random_poses(character, 8)
    pose = kinematics.forward(character, qpos)
    model, data = in_mujoco(character)
    to_qpos, to_qvel = mujoco_addresses(character, model)
    point = np.array([0.1, -0.2, 0.05])
    for i, link in enumerate(character.links):
        world = pose.points(i, point)
        ours = kinematics.jacobian(character, pose, i, world)
        body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, link.name)
        for t in range(len(qpos)):
            data.qpos[to_qpos] = qpos[t]
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            theirs = np.zeros((6, model.nv))
            mujoco.mj_jac(model, data, theirs[:3], theirs[3:], world[t], body)
            np.testing.assert_allclose(ours[t], theirs[:, to_qvel], atol=1e-9, rtol=0)


def test_jacobian_is_the_derivative(character: Character) -> None:
    """A column is the velocity of the point when that entry of qvel is 1."""
    qpos = random_poses(character, 3, seed=4)
    link, point, step = len(character.links) - 1, np.array([0.03, 0.02, -0.1]), 1e-6
    pose = kinematics.forward(character, qpos)
    found = kinematics.jacobian(character, pose, link, pose.points(link, point))
    for k, direction in enumerate(np.eye(character.layout.nv)):
        ahead = kinematics.forward(character, character.layout.integrate(qpos, step * direction[None]))
        behind = kinematics.forward(character, character.layout.integrate(qpos, -step * direction[None]))
        speed = (ahead.points(link, point) - behind.points(link, point)) / (2 * step)
        np.testing.assert_allclose(found[:, :3, k], speed, atol=1e-8)
        turn = rotation.log(rotation.multiply(ahead.rotations[:, link], rotation.conjugate(behind.rotations[:, link])))
        np.testing.assert_allclose(found[:, 3:, k], turn / (2 * step), atol=1e-8)


def test_chunks_do_not_show() -> None:
    """Frames beyond a chunk come out as they do alone."""
    character = Character.load("humanoid")
    qpos = random_poses(character, kinematics.CHUNK + 3)
    pose = kinematics.forward(character, qpos)
    for t in (0, kinematics.CHUNK - 1, kinematics.CHUNK, len(qpos) - 1):
        alone = kinematics.forward(character, qpos[t : t + 1])
        np.testing.assert_array_equal(pose.positions[t], alone.positions[0])
        np.testing.assert_array_equal(pose.rotations[t], alone.rotations[0])
    assert kinematics.forward(character, qpos[:0]).positions.shape == (0, 13, 3)


def test_centre_of_mass_equals_mujoco(character: Character) -> None:
    qpos = random_poses(character, 5)
    found = kinematics.centre_of_mass(character, kinematics.forward(character, qpos))
    model, data = in_mujoco(character)
    to_qpos, _ = mujoco_addresses(character, model)
    for t, q in enumerate(qpos):
        data.qpos[to_qpos] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        np.testing.assert_allclose(found[t], data.subtree_com[0], atol=1e-8)
