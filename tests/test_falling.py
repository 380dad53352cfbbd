"""Which links may touch the ground: what a user calls a fall depends on the clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from characters import kinematics, shapes
from characters.character import Character
from motion.clip import Clip
from tests.test_env import Ghost, humanoid, walk  # noqa: F401
from train.env import REASONS, EnvSettings, ImitationEnv
from train.falling import may_touch


def names(clip: Clip, character: Character) -> set[str]:
    return {link.name for link, may in zip(character.links, may_touch(clip, character), strict=True) if may}


def lowered(clip: Clip, character: Character, link: str, height: float) -> Clip:
    """The clip moved down as a whole until a link's lowest point is at a height."""
    low = shapes.link_heights(character, kinematics.forward(character, clip.qpos))
    down = low[:, [name.name for name in character.links].index(link)].min() - height
    qpos = clip.qpos.copy()
    qpos[:, 2] -= down
    return replace(clip, qpos=qpos)


def test_upright_only_the_feet_may_touch(humanoid: Character):  # noqa: F811
    assert names(walk(humanoid), humanoid) == {"left_foot", "right_foot"}


def test_a_link_the_clip_puts_on_the_ground_or_flags_may_touch(humanoid: Character):  # noqa: F811
    clip = walk(humanoid)
    flagged = replace(clip, contacts={"left_forearm": np.arange(60) > 50, "head": np.zeros(60, dtype=bool)})
    assert names(flagged, humanoid) == {"left_foot", "right_foot", "left_forearm"}
    kneeling = names(lowered(clip, humanoid, "left_shin", 0.01), humanoid)
    assert "left_shin" in kneeling
    assert not kneeling & {"root", "chest", "head", "left_thigh"}


def test_where_the_trunk_lies_down_no_touch_is_a_fall(humanoid: Character):  # noqa: F811
    clip = lowered(walk(humanoid), humanoid, "root", 0.06)
    assert len(names(clip, humanoid)) == len(humanoid.links)
    ghost = Ghost(humanoid, 4)
    env = ImitationEnv(ghost, clip, EnvSettings(), seed=0)
    env.reset()
    for _ in range(20):
        there = env.reference(env.time + env.step_time)
        ghost.next = there.qpos, there.qvel
        _, reward, terminated, _, _ = env.step(np.zeros((4, env.action_size)))
        assert not terminated.any()
        np.testing.assert_allclose(reward, 1.0, atol=1e-9)
    there = env.reference(env.time + env.step_time)
    ghost.next = there.qpos + np.eye(humanoid.layout.nq)[0], there.qvel  # a metre ahead: strayed, though it may lie
    _, _, terminated, _, _ = env.step(np.zeros((4, env.action_size)))
    assert terminated.all()
    assert {REASONS[r] for r in env.reason} == {"deviation"}
