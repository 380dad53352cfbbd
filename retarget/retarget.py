"""The verb: a standardised motion becomes a body's trajectory."""

from __future__ import annotations

from characters.character import Character
from motion.clip import Trajectory
from motion.contacts import Contacts
from motion.motion import Motion
from retarget.mapping import Mapping
from retarget.solve import SolveSettings, solve
from retarget.targets import TargetSettings, build


def retarget(
    motion: Motion,
    mapping: Mapping,
    character: Character,
    contacts: Contacts,
    *,
    targets: TargetSettings | None = None,
    settings: SolveSettings | None = None,
) -> Trajectory:
    """Retarget a motion onto a body.

    Args:
        motion: the source in metres, z-up.
        mapping: which of its joints drive which role.
        character: the body.
        contacts: of ``motion``.

    Returns:
        The body's trajectory at the source's frame rate, beginning at the origin, heading as the source does.

    Raises:
        InputError: the map names a joint the source lacks, or the source lacks hips or two legs.
        SolveError: the solve failed.
    """
    mapping.check(motion.skeleton, motion.name)
    goal = build(
        motion,
        mapping.roles,
        character,
        contacts.flags,
        contacts.resting_height,
        level=contacts.level,
        weights=mapping.weights,
        settings=targets,
    )
    solution = solve(character, goal, settings)
    return Trajectory(
        name=motion.name,
        character=character.name,
        joints=character.specs,
        fps=motion.fps,
        qpos=solution.qpos,
        contacts=solution.stands,
        loop=motion.loop,
        provenance=dict(motion.provenance),
    )
