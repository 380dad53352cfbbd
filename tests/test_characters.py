"""The shipped bodies against the published table, reading URDF and TOML, and what bad files are told."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import mujoco
import numpy as np
import pybullet
import pytest

from characters import character as characters
from characters import dynamics, kinematics, shapes, urdf
from characters.character import Character
from motion import rotation
from motion.clip import Trajectory
from motion.errors import InputError, MimicWarning

INSTALLED = Path(characters.__file__).parent
MIRROR_Y = np.array([1.0, -1.0, 1.0])

TABLE = {
    "humanoid": {"links": 13, "mass": 45.0, "height": 1.62, "dof": 34, "ball_joints": 8, "hinge_joints": 4},
    "atlas": {"links": 12, "mass": 169.8, "height": 1.82, "dof": 31, "ball_joints": 7, "hinge_joints": 4},
}
"""Peng et al. 2018, table 1"""


@pytest.fixture(params=TABLE)
def body(request: pytest.FixtureRequest) -> Character:
    return Character.load(request.param)


def test_published_table(body: Character) -> None:
    found = characters.describe(body)
    expected = TABLE[body.name]
    assert {key: found[key] for key in expected} == expected | {"height": pytest.approx(expected["height"], abs=0.005)}
    assert found["dof"] == 6 + 3 * found["ball_joints"] + found["hinge_joints"] == body.layout.nv
    assert body.layout.nq == 7 + 4 * found["ball_joints"] + found["hinge_joints"]


def test_humanoid_part_masses() -> None:
    """The release's; the 0.5 kg hands are part of the forearms."""
    body = Character.load("humanoid")
    masses = {link.name: link.mass for link in body.links}
    assert [masses[part] for part in ("root", "chest", "head")] == [6.0, 14.0, 2.0]
    for side in ("left", "right"):
        parts = ("thigh", "shin", "foot", "upper_arm", "forearm")
        assert [masses[f"{side}_{part}"] for part in parts] == [4.5, 3.0, 1.0, 1.5, 1.5]


def test_both_engines_weigh_the_same(body: Character) -> None:
    path = str(body.folder / "body.urdf")
    spec = mujoco.MjSpec.from_file(path)
    spec.worldbody.first_body().add_freejoint()
    model = spec.compile()
    client = pybullet.connect(pybullet.DIRECT)
    try:
        loaded = pybullet.loadURDF(path, flags=pybullet.URDF_USE_INERTIA_FROM_FILE, physicsClientId=client)
        for i in range(-1, pybullet.getNumJoints(loaded, client)):
            row = pybullet.getDynamicsInfo(loaded, i, client)
            name = (
                pybullet.getJointInfo(loaded, i, client)[12] if i >= 0 else pybullet.getBodyInfo(loaded, client)[0]
            ).decode()
            link = body.links[body.link(name)]
            at = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name)
            assert row[0] == pytest.approx(link.mass) == pytest.approx(model.body_mass[at])
            np.testing.assert_allclose(row[2], np.diag(link.inertia), rtol=1e-5)
            np.testing.assert_allclose(sorted(model.body_inertia[at]), sorted(np.diag(link.inertia)), rtol=1e-6)
            np.testing.assert_allclose(model.body_ipos[at], link.com, atol=1e-9)
    finally:
        pybullet.disconnect(client)


def test_inertias_are_diagonal_and_possible(body: Character) -> None:
    """Diagonal, because PyBullet turns a ball joint about the principal axes of its link."""
    for link in body.links:
        a, b, c = np.sort(np.diag(link.inertia))
        assert a > 0
        assert a + b >= c * (1 - 1e-9), link.name
        np.testing.assert_array_equal(link.inertia, np.diag(np.diag(link.inertia)))


def test_rest_stands_flat_on_both_feet(body: Character) -> None:
    rest = kinematics.forward(body, body.rest[None])
    lowest = shapes.heights(body, rest)[0]
    assert lowest.min() == pytest.approx(0.0, abs=1e-12)
    for foot in body.feet:
        mine = np.sort(lowest[body.support.link == body.link(foot)])
        np.testing.assert_allclose(mine[:4], 0.0, atol=1e-9)
    com = kinematics.centre_of_mass(body, rest)[0]
    soles = shapes.centres(body, rest)[0][lowest < 1e-6]
    assert (soles[:, :2].min(axis=0) < com[:2]).all()
    assert (com[:2] < soles[:, :2].max(axis=0)).all()
    assert dynamics.self_penetration(body, body.rest[None])[0] == 0.0


def test_only_adjacent_links_touch_at_rest(body: Character) -> None:
    adjacent = {(link.parent, i) for i, link in enumerate(body.links)}
    assert set(dynamics.overlapping_at_rest(body)) <= adjacent


def test_left_mirrors_right(body: Character) -> None:
    rest = kinematics.forward(body, body.rest[None])
    for i, link in enumerate(body.links):
        if not link.name.startswith("left_"):
            continue
        twin = body.link(link.name.replace("left_", "right_"))
        assert rest.positions[0, i, 1] > 0
        np.testing.assert_allclose(rest.positions[0, i], rest.positions[0, twin] * MIRROR_Y, atol=1e-12)
        np.testing.assert_allclose(link.inertia, body.links[twin].inertia)
    for role, chain in body.roles.items():
        if role.startswith("left_"):
            assert body.roles[role.replace("left_", "right_")] == tuple(
                name.replace("left_", "right_") for name in chain
            )


def test_knees_and_elbows_bend_the_human_way(body: Character) -> None:
    """A negative knee puts the foot behind, a positive elbow the hand in front."""
    for side in ("left", "right"):
        for joint, end, bent, sign in (("knee", "toe", -1.0, -1), ("elbow", "hand", 1.0, 1)):
            at = body.joint(f"{side}_{joint}")
            qpos = body.rest.copy()
            qpos[body.layout.qpos_at[at]] = bent
            frame = body.end_effectors[f"{side}_{end}"]
            move = [
                kinematics.forward(body, q[None]).points(frame.link, frame.position)[0, 0] for q in (body.rest, qpos)
            ]
            assert sign * (move[1] - move[0]) > 0.1
            assert body.lower[at] <= bent <= body.upper[at]


def test_roles_and_tables_cover_the_body(body: Character) -> None:
    covered = [name for chain in body.roles.values() for name in chain]
    assert sorted(covered) == sorted(joint.name for joint in body.joints)
    assert set(body.torque_limits) == {joint.name for joint in body.joints}
    assert set(body.pose_weights) == {"root", *covered}
    assert body.ground == body.feet
    for joint in body.joints:
        assert np.linalg.norm(joint.twist_axis) == pytest.approx(1.0)
    for side in ("left", "right"):
        for name in ("hip", "shoulder"):
            np.testing.assert_allclose(body.joints[body.joint(f"{side}_{name}")].twist_axis, [0, 0, -1], atol=1e-12)


def test_released_clips_stay_in_the_limits(mocap: Path) -> None:
    """The humanoid's swing and twist limits hold what the released clips do."""
    from motion.formats import deepmimic

    body = Character.load("humanoid")
    outside = {}
    for name in ("walk", "run", "backflip", "cartwheel", "dance_a", "spinkick", "crawl", "roll", "kick"):
        motion = deepmimic.read(mocap / "other-formats" / "deepmimic" / f"humanoid3d_{name}.txt")
        turn = rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.pi / 2)
        for joint in body.joints:
            if joint.type != "ball":
                continue
            local = motion.rotations[:, motion.skeleton.index(joint.name)].copy()
            local[:, 1:] = rotation.rotate(turn, local[:, 1:])
            swing, twist = rotation.swing_twist(local, joint.twist_axis)
            angle = rotation.angle(swing, rotation.IDENTITY)
            excess = max(angle.max() - joint.swing_limit, twist.max() - joint.upper, joint.lower - twist.min())
            if excess > 0:
                outside[f"{name} {joint.name}"] = excess
    assert outside == {}


def test_to_motion_moves_like_the_body(body: Character) -> None:
    rng = np.random.default_rng(3)
    qpos = body.layout.integrate(np.tile(body.rest, (6, 1)), 0.8 * rng.normal(size=(6, body.layout.nv)))
    trajectory = Trajectory("random", body.name, body.specs, 30.0, body.layout.continuous(qpos), {})
    motion = body.to_motion(trajectory)
    pose = kinematics.forward(body, trajectory.qpos)
    positions, _ = motion.forward()
    np.testing.assert_allclose(positions[:, : len(body.links)], pose.positions, atol=1e-12)
    for frame in body.end_effectors.values():
        world = pose.points(frame.link, frame.position)
        distance = np.abs(positions[:, motion.skeleton.is_end] - world[:, None]).max(axis=(0, 2))
        assert distance.min() < 1e-12, frame.name
    leaves = set(range(len(motion.skeleton))) - set(motion.skeleton.parents.tolist())
    assert all(motion.skeleton.is_end[leaf] for leaf in leaves)


# reading


def write(folder: Path, links: str, toml: str = 'description = "x"\nfeet = []\nroles = {}\n') -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "body.urdf").write_text(f'<robot name="x">\n{links}\n</robot>\n')
    (folder / "character.toml").write_text(toml)
    return folder


INERTIAL = '<inertial><mass value="2"/><inertia ixx=".1" iyy=".1" izz=".1" ixy="0" ixz="0" iyz="0"/></inertial>'
ARM = f"""<link name="base">{INERTIAL}</link>
<link name="arm">{INERTIAL}
<collision><origin xyz="0 0 .5"/><geometry><capsule radius=".1" length="1"/></geometry></collision></link>
<joint name="swing" type="spherical"><origin xyz="0 0 1"/><parent link="base"/><child link="arm"/></joint>
"""
HAND = f"""<link name="hand">{INERTIAL}</link>
<joint name="wrist" type="fixed"><origin xyz="0 0 1" rpy="0 1.5707963267948966 0"/>
<parent link="arm"/><child link="hand"/></joint>"""


def test_fixed_links_are_merged_and_keep_their_names(tmp_path: Path) -> None:
    toml = 'description = "x"\nfeet = []\nroles = {}\n[end_effectors]\nhand = { link = "hand", position = [0.0, 0.0, 0.2] }\n'
    body = Character.load(write(tmp_path / "arm", ARM + HAND, toml))
    assert [link.name for link in body.links] == ["base", "arm"]
    assert [joint.name for joint in body.joints] == ["swing"]
    arm = body.links[1]
    assert arm.mass == 4.0
    np.testing.assert_allclose(arm.com, [0, 0, 0.5])
    np.testing.assert_allclose(arm.inertia, np.diag([0.2 + 1.0, 0.2 + 1.0, 0.2]), atol=1e-12)
    np.testing.assert_allclose(body.frames["hand"].position, [0, 0, 1])
    np.testing.assert_allclose(body.end_effectors["hand"].position, [0.2, 0, 1], atol=1e-12)


def test_an_empty_root_is_dropped(tmp_path: Path) -> None:
    world = '<link name="world"/><joint name="free" type="floating"><parent link="world"/><child link="base"/></joint>'
    body = Character.load(write(tmp_path / "arm", world + ARM))
    assert [link.name for link in body.links] == ["base", "arm"]


def test_prismatic_joints_are_held(tmp_path: Path) -> None:
    with pytest.warns(MimicWarning, match="body.urdf:.*wrist is prismatic; it is held at zero"):
        body = Character.load(write(tmp_path / "arm", ARM + HAND.replace("fixed", "prismatic")))
    assert len(body.joints) == 1


def test_a_visual_that_cannot_be_drawn_is_left_out(tmp_path: Path) -> None:
    visual = '<visual><geometry><mesh filename="no.dae"/></geometry></visual>'
    with pytest.warns(MimicWarning, match=r"body\.urdf:4: a visual is left out: mesh no\.dae"):
        body = Character.load(write(tmp_path / "arm", ARM.replace("<collision>", visual + "<collision>")))
    assert [shape.kind for shape in body.visuals] == ["capsule"]


def test_what_the_wild_has_around_xml(tmp_path: Path) -> None:
    """Blank lines before the declaration and a final NUL; lines are still counted from the file's first."""
    folder = write(tmp_path / "arm", ARM)
    text = (folder / "body.urdf").read_text()
    (folder / "body.urdf").write_bytes(b'\n\n<?xml version="1.0"?>\n' + text.encode() + b"\0")
    assert len(Character.load(folder).links) == 2
    (folder / "body.urdf").write_bytes(b"\n\n" + text.replace('xyz="0 0 1"', 'xyz="0"').encode())
    with pytest.raises(InputError, match=r"body\.urdf:7: xyz: expected 3"):
        Character.load(folder)


def test_a_limit_without_angles_is_none(tmp_path: Path) -> None:
    links = ARM.replace('type="spherical">', 'type="revolute"><limit effort="30" velocity="5"/>')
    body = Character.load(write(tmp_path / "arm", links))
    assert (body.lower[0], body.upper[0]) == (-np.inf, np.inf)
    assert body.torque_limits == {"swing": 30.0}


def test_packages_are_found_beside_and_above(tmp_path: Path) -> None:
    folder = tmp_path / "robot" / "urdf"
    folder.mkdir(parents=True)
    (tmp_path / "robot" / "block.obj").write_bytes(obj(shapes.CORNERS))
    mesh = '<collision><geometry><mesh filename="package://robot/block.obj"/></geometry></collision>'
    body = Character.load(write(folder, f'<link name="block">{INERTIAL}{mesh}</link>'))
    assert len(body.shapes[0].vertices) == 8


def test_up_and_scale(tmp_path: Path) -> None:
    toml = 'description = "x"\nup = "y"\nscale = 0.25\nfeet = []\nroles = {}\n'
    links = ARM.replace('xyz="0 0 1"', 'xyz="0 1 0"').replace(
        'xyz="0 0 .5"', 'xyz="0 .5 0" rpy="1.5707963267948966 0 0"'
    )
    body = Character.load(write(tmp_path / "arm", links, toml))
    plain = Character.load(write(tmp_path / "plain", ARM))
    rest = [kinematics.forward(c, c.rest[None]) for c in (body, plain)]
    np.testing.assert_allclose(
        rest[0].positions - rest[0].positions[:, :1], 0.25 * (rest[1].positions - rest[1].positions[:, :1]), atol=1e-12
    )
    assert body.height == pytest.approx(0.25 * plain.height)
    assert body.mass == plain.mass
    np.testing.assert_allclose(np.linalg.eigvalsh(body.links[1].inertia), 0.25**2 * 0.1)


def test_order_is_depth_first_in_the_order_of_joints(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    links = "".join(f'<link name="{name}">{INERTIAL}</link>' for name in reversed(names))
    joints = "".join(
        f'<joint name="{p}{c}" type="continuous"><parent link="{p}"/><child link="{c}"/></joint>'
        for p, c in (("a", "d"), ("b", "c"), ("a", "b"))
    )
    body = Character.load(write(tmp_path / "tree", joints + links))
    assert [link.name for link in body.links] == ["a", "d", "b", "c"]
    assert [joint.name for joint in body.joints] == ["ad", "ab", "bc"]
    assert body.parents.tolist() == [-1, 0, 0, 2]
    assert [body.chain(i) for i in range(4)] == [[], [0], [1], [1, 2]]


def obj(corners: np.ndarray) -> bytes:
    return "".join(f"v {x} {y} {z}\n" for x, y, z in corners).encode()


def stl(corners: np.ndarray) -> bytes:
    triangles = [struct.pack("<12fH", 0, 0, 1, *corners[[i, i + 1, i + 2]].ravel(), 0) for i in range(len(corners) - 2)]
    return bytes(80) + struct.pack("<I", len(triangles)) + b"".join(triangles)


def ascii_stl(corners: np.ndarray) -> bytes:
    return ("solid x\n" + "".join(f"vertex {x} {y} {z}\n" for x, y, z in corners) + "endsolid\n").encode()


@pytest.mark.parametrize(("suffix", "encode"), [("obj", obj), ("stl", stl), ("STL", ascii_stl)])
def test_meshes_are_convex_hulls(tmp_path: Path, suffix: str, encode) -> None:
    corners = np.concatenate([shapes.CORNERS * [0.2, 0.4, 0.6], [[0.0, 0.0, 0.0]]])
    folder = write(
        tmp_path / "block",
        f'<link name="block">{INERTIAL}<collision><origin xyz="0 0 1"/><geometry>'
        f'<mesh filename="block.{suffix}" scale="1 1 2"/></geometry></collision></link>',
    )
    (folder / f"block.{suffix}").write_bytes(encode(corners))
    body = Character.load(folder)
    assert len(body.shapes[0].vertices) == 8
    assert body.height == pytest.approx(1.2)
    assert dynamics.model(body).ngeom == 1


# bad input

REFUSED_URDF = {
    "not xml": ("<link", "body.urdf:3: not valid XML: not well-formed"),
    "no links": ("", "body.urdf:1: expected at least one <link>, found none"),
    "twice": (ARM + f'<link name="arm">{INERTIAL}</link>', "body.urdf:6: two links are called arm"),
    "no such link": (ARM.replace('parent link="base"', 'parent link="bass"'), "body.urdf:5: joint swing: no link bass"),
    "type": (ARM.replace("spherical", "sphericl"), "body.urdf:5: joint swing: unknown type 'sphericl'"),
    "ring": (
        ARM + '<joint name="back" type="continuous"><parent link="arm"/><child link="base"/></joint>',
        "expected one root link, found none: the joints form a ring",
    ),
    "two roots": (ARM + f'<link name="lost">{INERTIAL}</link>', "expected one root link, found base, lost"),
    "number": (ARM.replace('xyz="0 0 1"', 'xyz="0 0"'), 'body.urdf:5: xyz: expected 3 finite numbers, found "0 0"'),
    "nan": (
        ARM.replace('xyz="0 0 1"', 'xyz="0 0 nan"'),
        'body.urdf:5: xyz: expected 3 finite numbers, found "0 0 nan"',
    ),
    "no mass": (ARM.replace(INERTIAL, "", 1), "body.urdf:2: link base has no mass or no inertia"),
    "inertia": (ARM.replace('izz=".1"', 'izz=".3"', 1), "body.urdf:2: no rigid body has the inertia 0.1, 0.1, 0.3"),
    "size": (ARM.replace('radius=".1"', 'radius="-1"'), "body.urdf:4: <capsule>: expected positive sizes"),
    "shape": (ARM.replace("<capsule", "<cone"), "body.urdf:4: unknown shape <cone>"),
    "no mesh": (
        ARM.replace('<capsule radius=".1" length="1"/>', '<mesh filename="no.stl"/>'),
        "body.urdf:4: mesh no.stl: No such file",
    ),
    "limits": (
        ARM.replace('type="spherical">', 'type="revolute"><limit lower="1" upper="-1"/>'),
        "body.urdf:5: joint swing: expected lower < upper, found 1 and -1",
    ),
    "no child": (ARM.replace('<child link="arm"/>', ""), "body.urdf:5: <joint> needs a <child>"),
    "encoding": ("<!-- -->", "unknown encoding"),
    "root": (ARM.replace('name="swing"', 'name="root"'), "body.urdf:5: no joint may be called root"),
    "world": (ARM.replace('"base"', '"world"'), "body.urdf:2: the root link may not be called world"),
    "floating": (
        ARM.replace("spherical", "floating"),
        "body.urdf:5: joint swing: only an empty root may have a floating child",
    ),
}


@pytest.mark.parametrize("case", REFUSED_URDF)
def test_bad_urdf_is_refused_with_its_line(tmp_path: Path, case: str) -> None:
    content, expected = REFUSED_URDF[case]
    folder = write(tmp_path / "bad", content)
    if case == "encoding":
        (folder / "body.urdf").write_text('<?xml version="1.0" encoding="klingon"?><robot name="x"/>')
    with pytest.raises(InputError) as caught:
        Character.load(folder)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_deep_chains_are_read(tmp_path: Path) -> None:
    """Far deeper than Python's recursion limit, half of it fixed."""
    count = 2200
    links = "".join(f'<link name="l{i}">{INERTIAL}</link>' for i in range(count))
    joints = "".join(
        f'<joint name="j{i}" type="{"fixed" if i >= count // 2 else "continuous"}">'
        f'<parent link="l{i}"/><child link="l{i + 1}"/></joint>'
        for i in range(count - 1)
    )
    body = Character.load(write(tmp_path / "chain", links + joints))
    assert len(body.links) == count // 2 + 1
    assert body.mass == 2.0 * count


def test_not_a_robot(tmp_path: Path) -> None:
    (tmp_path / "body.urdf").write_text("<mujoco/>")
    with pytest.raises(InputError, match="expected a <robot>, found <mujoco>"):
        urdf.read(tmp_path / "body.urdf")


REFUSED_TOML = {
    "syntax": ("feet = [", "feet = ", "character.toml:5: not valid TOML: Unclosed array", None),
    "unknown key": ("self_colision = true\nfeet", "feet", "unknown key self_colision", "did you mean self_collision"),
    "nested key": (
        'link = "head", positon',
        'link = "head", position',
        "end_effectors.head.positon",
        "did you mean position?",
    ),
    "role": ("spin = [", "spine = [", "no role spin", "did you mean spine"),
    "role joint": ('head = ["nek"]', 'head = ["neck"]', "no joint nek", "did you mean neck?"),
    "inward": (
        'left_leg = ["left_knee", "left_hip", "left_ankle"]',
        'left_leg = ["left_hip", "left_knee", "left_ankle"]',
        "role left_leg: left_hip does not hang on left_knee",
        "list joints from the root outward",
    ),
    "foot": (
        'feet = ["right_fot"',
        'feet = ["right_foot"',
        "character.toml:2: no link right_fot",
        "did you mean right_foot",
    ),
    "link": ('link = "right_fist"', 'link = "right_forearm"', "no link right_fist", "right_"),
    "torque": ("right_nee = 150", "right_knee = 150", "no joint right_nee", "did you mean right_knee"),
    "negative torque": (
        "right_knee = -150",
        "right_knee = 150",
        "torque_limits.right_knee: input should be greater than 0",
        None,
    ),
    "hinge limit": (
        "left_knee = { twist = [-1.2, 1.2] }\nneck",
        "neck",
        "left_knee is a hinge; its limits stand in the URDF",
        None,
    ),
    "twist": (
        "twist = [1.3, -1.3]",
        "twist = [-1.3, 1.3]",
        "twist of neck: expected −π ≤ lower < upper ≤ π, found 1.3 and -1.3",
        None,
    ),
    "missing": ("", 'feet = ["right_foot", "left_foot"]\n', "missing key feet", None),
}


@pytest.mark.parametrize("case", REFUSED_TOML)
def test_bad_toml_is_refused(tmp_path: Path, case: str) -> None:
    new, old, message, hint = REFUSED_TOML[case]
    folder = tmp_path / "humanoid"
    shutil.copytree(INSTALLED / "humanoid", folder)
    path = folder / "character.toml"
    text = path.read_text("utf-8")
    at = text.index("[limits]") if case == "hinge limit" else 0
    assert old in text[at:]
    path.write_text(text[:at] + text[at:].replace(old, new, 1), "utf-8")
    with pytest.raises(InputError) as caught:
        Character.load(folder)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert (hint or "") in (caught.value.hint or "")


def test_unknown_character_names_the_nearest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert {"humanoid", "atlas"} <= set(characters.available())
    with pytest.raises(InputError) as caught:
        Character.load("atlsa")
    assert "no character atlsa" in str(caught.value)
    assert caught.value.hint == "did you mean atlas?"
    with pytest.raises(InputError, match=r"found no body\.urdf"):
        Character.load(tmp_path)
    body = Character.load("atlas")
    with pytest.raises(InputError) as caught:
        body.joint("left_kne")
    assert "left_knee" in (caught.value.hint or "")
    with pytest.raises(InputError, match="no link left_fot"):
        body.link("left_fot")


def test_own_characters_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(INSTALLED / "atlas", tmp_path / "characters" / "humanoid")
    monkeypatch.chdir(tmp_path)
    body = Character.load("humanoid")
    assert (body.name, len(body.links)) == ("humanoid", 12)
    assert body.sha256 == Character.load("atlas").sha256


def test_the_digest_covers_meshes_and_keyframes(tmp_path: Path) -> None:
    folder = tmp_path / "dragon"
    shutil.copytree(INSTALLED / "dragon", folder)
    before = Character.load(folder).sha256
    assert before == Character.load("dragon").sha256
    mesh = folder / "jaw.obj"
    mesh.write_text(mesh.read_text() + "# touched\n")
    touched = Character.load(folder).sha256
    assert touched != before
    (folder / "flap.keyframes.toml").write_text("once")
    toml = folder / "character.toml"
    toml.write_text(toml.read_text() + '\n[keyframes]\nleft_wing = "flap.keyframes.toml"\n')
    stated = Character.load(folder).sha256
    (folder / "flap.keyframes.toml").write_text("twice")
    assert len({before, touched, stated, Character.load(folder).sha256}) == 4


def test_a_chain_by_keyframes_names_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "dragon"
    shutil.copytree(INSTALLED / "dragon", folder)
    toml = folder / "character.toml"
    text = toml.read_text().replace('left_wing = "follow"', 'left_wing = "keyframes"')
    toml.write_text(text)
    with pytest.raises(InputError, match="none are named") as raised:
        Character.load(folder)
    line = next(n for n, content in enumerate(text.splitlines(), 1) if content == 'left_wing = "keyframes"')
    assert str(raised.value.where) == f"{toml}:{line}"
    assert raised.value.hint is not None
    assert "[keyframes]" in raised.value.hint
    toml.write_text(text + '\n[keyframes]\nleft_wing = "flap.keyframes.toml"\n')
    with pytest.raises(InputError, match="keyframes of left_wing: no such file"):
        Character.load(folder)
