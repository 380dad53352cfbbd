"""A character with what retargeting reads off it: chains, bones and bends of its rest pose."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from characters import kinematics
from characters.character import Character
from motion import rotation
from motion.rotation import Array
from retarget import reach
from retarget.limbs import UP, flexion_in_reference, natural_bend


class Body:
    """A character's rest pose with what retargeting reads off it."""

    def __init__(self, character: Character):
        self.character = character
        self.chains = {
            r: tuple(character.joint(n) for n in names) for r, names in character.roles.items() if names and r != "root"
        }
        pose = kinematics.forward(character, character.rest[None])
        self.positions, self.rotations = pose.positions[0], pose.rotations[0]
        self.bones = np.tile(UP, (len(character.links), 1))
        for chain in self.chains.values():
            for k in range(len(chain)):
                link = character.joints[chain[k]].child
                self.bones[link] = self.bone(chain, k)

    def link(self, joint: int) -> int:
        """Index of the link a joint moves."""
        return self.character.joints[joint].child

    def bone(self, chain: tuple[int, ...], k: int) -> Array:
        """Unit direction (3,) of a chain's segment in its link frame: to the next joint, an end effector, or the COM."""
        link = self.link(chain[k])
        if k + 1 < len(chain):
            vector = self.character.joints[chain[k + 1]].origin
        else:
            frames = [f.position for f in self.character.end_effectors.values() if f.link == link]
            vector = frames[0] if frames else self.character.links[link].com
        return rotation.unit(vector) if np.linalg.norm(vector) > 1e-6 else -UP

    def flexion(self, role: str) -> Array:
        """Flexion axis (3,) of a limb in the frame of its upper link: the hinge's, turned so that bending is positive."""
        upper, lower = self.chains[role][:2]
        joint = self.character.joints[lower]
        direction = rotation.rotate(self.rotations[self.link(upper)], self.bones[self.link(upper)])
        prior = rotation.rotate(
            rotation.conjugate(self.rotations[self.link(upper)]), flexion_in_reference(direction, natural_bend(role))
        )
        if joint.type != "hinge":
            return prior
        axis = rotation.rotate(joint.rotation, joint.axis)
        return axis if joint.upper + joint.lower >= 0 else -axis

    def foot_chain(self, role: str) -> tuple[int, ...]:
        """The joints of a leg down to the one that moves its foot."""
        return self.chains[role][: reach.stands_on(self, role) + 1]

    def foot(self, role: str) -> str:
        """Name of the link a leg stands on."""
        return self.character.links[self.link(self.foot_chain(role)[-1])].name

    def stump(self, role: str) -> bool:
        """Whether a leg stands on the end of its shank: there is no foot that turns about an ankle."""
        return reach.stands_on(self, role) < reach.SEGMENTS

    def sole(self, role: str) -> Array:
        """What of a leg is brought to the source's foot, (3,) in the frame of the link it stands on: that link's joint; the
        end of a stump."""
        link = self.link(self.foot_chain(role)[-1])
        if not self.stump(role):
            return np.zeros(3)
        ends = [f.position for f in self.character.end_effectors.values() if f.link == link and f.role == role]
        return ends[0] if ends else self.character.links[link].com * 2.0

    def foot_position(self, role: str) -> Array:
        """Where `sole` is at rest, (3,) world."""
        link = self.link(self.foot_chain(role)[-1])
        return self.positions[link] + rotation.rotate(self.rotations[link], self.sole(role))

    def leg_length(self, role: str) -> float:
        """Hip to ankle along the bones at rest, metres; straight from hip to foot for a leg that stands bent."""
        if reach.follows_foot(self, role):
            return float(np.linalg.norm(self.foot_position(role) - self.positions[self.link(self.chains[role][0])]))
        joints = [self.link(j) for j in self.chains[role][:3]]
        return float(sum(np.linalg.norm(self.positions[b] - self.positions[a]) for a, b in pairwise(joints)))
