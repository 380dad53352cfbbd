"""A tiny body learns to wave its arm, in seconds, in both engines."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from characters.character import Character
from motion.clip import NO_OFFSET, Clip
from motion.gains import JointGain
from train import engine
from train.engine import ENGINES, EngineSettings
from train.env import EnvSettings, ImitationEnv
from train.ppo import Ppo, PpoSettings

URDF = """<robot name="post">
<link name="base"><inertial><mass value="5"/><inertia ixx=".1" iyy=".1" izz=".1" ixy="0" ixz="0" iyz="0"/></inertial>
<collision><geometry><box size=".6 .6 .1"/></geometry></collision></link>
<link name="arm"><inertial><origin xyz="0 0 .1"/><mass value=".5"/>
<inertia ixx=".01" iyy=".01" izz=".01" ixy="0" ixz="0" iyz="0"/></inertial></link>
<joint name="elbow" type="continuous"><origin xyz="0 0 .2"/><axis xyz="0 1 0"/><parent link="base"/><child link="arm"/></joint>
</robot>"""


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Character:
    folder = tmp_path_factory.mktemp("post")
    (folder / "body.urdf").write_text(URDF)
    (folder / "character.toml").write_text('description = "an arm on a plate"\nfeet = ["base"]\n[roles]\n')
    return Character.load(folder)


def wave(post: Character) -> Clip:
    """The arm swings by 1 rad, twice a second."""
    phase = np.arange(60) / 60
    qpos, qvel = np.repeat(post.rest[None], 60, axis=0), np.zeros((60, post.layout.nv))
    qpos[:, 7] = np.sin(2 * np.pi * phase)
    qvel[:, 6] = 4 * np.pi * np.cos(2 * np.pi * phase)
    return Clip("wave", post.name, True, 0.5, post.specs, phase, qpos, qvel, {}, NO_OFFSET)


@pytest.mark.parametrize("name", ENGINES)
def test_the_return_rises(name: str, post: Character):
    """Targets are absolute, so that a policy that has learned nothing holds the arm still."""
    gains = {"elbow": JointGain(kp=20.0, kd=0.5, torque_limit=40.0)}
    world = engine.make(name, post, gains, 32, EngineSettings(threads=1, fixed_root=True))
    env = ImitationEnv(world, wave(post), EnvSettings(residual=0.0, horizon=2.0, early_termination="none"), seed=0)
    settings = PpoSettings(steps=32, minibatch=256, hidden=(32,), rate=1e-3, log_std=-1.0, gamma=0.9)
    ppo = Ppo(env, settings, seed=0)
    rewards = [ppo.iterate()["reward"] for _ in range(9)]
    world.close()
    assert np.mean(rewards[-2:]) > np.mean(rewards[:2]) + 0.07
