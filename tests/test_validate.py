"""validate can fail: damaged copies of a good clip are each failed by the right measure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from good_clip import BodyRoles, Plan, jump, make_good_clip, source_of

from characters.character import Character
from motion import files
from motion.clip import NO_OFFSET, Clip
from motion.errors import InputError
from pipeline import validate as validation
from pipeline.validate import Validation, validate
from retarget import quality


@pytest.fixture(scope="module", params=("humanoid", "atlas"))
def body(request: pytest.FixtureRequest) -> Character:
    return Character.load(request.param)


def failures(clip: Clip, body: Character) -> set[str]:
    return set(quality.verdict(quality.intrinsic(clip, body)).failed)


def beside(clip: Clip, body: Character, original: Clip) -> set[str]:
    """What fails beside the undamaged clip as the source."""
    found = quality.intrinsic(clip, body) | quality.fidelity(clip, body, source_of(original, body), BodyRoles.of(body))
    return set(quality.verdict(found).failed)


def test_foot_down_two_centimetres(body: Character) -> None:
    def lower(plan: Plan) -> None:
        plan.soles["left"][:, 2] -= 0.02

    assert failures(make_good_clip(body, damage=lower), body) == {"penetration_cm"}


def test_slide_of_five_centimetres(body: Character) -> None:
    """The left foot creeps 5 cm during its stance and makes up for it in the air."""

    def creep(plan: Plan) -> None:
        share = (plan.times / plan.duration + 0.3) % 1.0  # 0 at heel strike, 0.6 at toe-off
        plan.soles["left"][:, 0] += 0.05 * np.interp(share, [0.0, 0.05, 0.55, 1.0], [0.0, 0.0, 1.0, 0.0])

    failed = failures(make_good_clip(body, damage=creep), body)
    assert {"drift_cm", "slide_cm_s"} <= failed <= {"drift_cm", "slide_cm_s", "seam_velocity"}


def test_spike_of_one_frame(body: Character) -> None:
    clip = make_good_clip(body)
    qpos = clip.qpos.copy()
    at = body.layout.qpos_at[body.joint("left_elbow")]
    qpos[30, at] += 0.8
    failed = failures(replace(clip, qpos=qpos), body)
    assert "pop" in failed
    assert quality.intrinsic(replace(clip, qpos=qpos), body)["pop"].where == "left_elbow"


def test_left_and_right_swapped(body: Character) -> None:
    """Poses, footprints and flags change sides: only the source can tell."""
    clip = make_good_clip(body)

    def swap(plan: Plan) -> None:
        for there, back in (("left", "right"), ("right", "left")):
            plan.flags[f"new {there}"] = plan.flags[back]
            plan.soles[f"new {there}"] = plan.soles[back] * np.array([1.0, -1.0, 1.0])
        for side in ("left", "right"):
            plan.flags[side], plan.soles[side] = plan.flags[f"new {side}"], plan.soles[f"new {side}"]

    swapped = make_good_clip(body, damage=swap)
    assert failures(swapped, body) == set()
    assert "side" in beside(swapped, body, clip)
    mislabelled = replace(swapped, contacts=clip.contacts)
    assert "contact_agreement" in failures(mislabelled, body)


def test_loop_cut_five_frames_short(body: Character) -> None:
    clip = make_good_clip(body)
    count = len(clip.qpos) - 5
    short = replace(
        clip,
        duration=count / clip.fps,
        phase=np.arange(count) / count,
        qpos=clip.qpos[:count],
        qvel=clip.qvel[:count],
        contacts={link: flags[:count] for link, flags in clip.contacts.items()},
    )
    assert {"seam", "seam_velocity"} <= failures(short, body)
    assert "pop" not in failures(short, body)


def test_limit_broken(body: Character) -> None:
    clip = make_good_clip(body)
    qpos = clip.qpos.copy()
    at = body.layout.qpos_at[body.joint("right_elbow")]
    bent = 0.5 * (1 - np.cos(2 * np.pi * clip.phase))
    qpos[:, at] = 0.3 - bent * 0.4  # to −0.1 rad, over-extended
    found = quality.intrinsic(replace(clip, qpos=qpos), body)
    assert quality.verdict(found).failed == ("limit_excess_deg",)
    assert found["limit_excess_deg"].where == "right_elbow"


def test_flags_emptied(body: Character) -> None:
    clip = make_good_clip(body)
    empty = {link: np.zeros_like(flags) for link, flags in clip.contacts.items()}
    for contacts in (empty, {}):
        assert failures(replace(clip, contacts=contacts), body) == {"contact_agreement"}
        assert quality.intrinsic(replace(clip, contacts=contacts), body)["slide_cm_s"].value is None


def test_root_pressed_down_in_flight(body: Character) -> None:
    clip = make_good_clip(body, jump)

    def press(plan: Plan) -> None:
        plan.root[:, 2] -= plan.soles["left"][:, 2]
        for soles in plan.soles.values():
            soles[:, 2] = 0.0

    pressed = make_good_clip(body, jump, press)
    assert failures(pressed, body) == {"contact_agreement"}
    assert "airborne_error" in beside(pressed, body, clip)


# ---------------------------------------------------------------- validate, on files


def write(clip: Clip, body: Character, folder: Path) -> Path:
    """The clip as retarget writes it, its quality included."""
    path = folder / "clip.json"
    replace(clip, quality=validation.measure(clip, body).quality()).save(path)
    return path


def status(found: Validation) -> dict[str, str]:
    return {check.measure: check.status for check in found.verdict.checks}


def test_a_good_clip_is_valid(body: Character, tmp_path: Path) -> None:
    found = validate(write(make_good_clip(body), body, tmp_path))
    assert found.passed
    assert status(found)["character"] == status(found)["joints"] == status(found)["stored_quality"] == "pass"
    assert status(found)["direction_error_deg"] == "not checked"
    again = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert again["passed"] is True
    assert again["measures"]["slide_cm_s"]["value"] < 1.0


def test_wrong_body(tmp_path: Path) -> None:
    """Another body, and the same body changed since."""
    humanoid = Character.load("humanoid")
    path = write(make_good_clip(humanoid), humanoid, tmp_path)
    other = validate(path, "atlas")
    assert other.verdict.failed == ("joints",)
    assert "neck" in str(other.verdict.checks[0].where)
    folder = tmp_path / "humanoid"
    folder.mkdir()
    for name in ("body.urdf", "character.toml"):
        text = (humanoid.folder / name).read_text("utf-8")
        (folder / name).write_text(text + ("\n# changed\n" if name == "character.toml" else ""), "utf-8")
    changed = validate(path, folder)
    assert changed.verdict.failed == ("character",)


def test_a_clip_edited_after_retargeting(tmp_path: Path) -> None:
    """A change too small for any limit still shows."""
    humanoid = Character.load("humanoid")
    path = write(make_good_clip(humanoid), humanoid, tmp_path)
    data = files.read_json(path)
    at = humanoid.layout.qpos_at[humanoid.joint("left_elbow")]
    for row, phase in zip(data["qpos"], data["phase"], strict=True):
        row[at] += 0.2 * np.sin(2 * np.pi * phase)
    files.write_json(path, data)
    assert validate(path).verdict.failed == ("stored_quality",)


def test_a_clip_that_praises_itself(tmp_path: Path) -> None:
    """Stored numbers that are not those of the clip, its motion untouched."""
    humanoid = Character.load("humanoid")
    path = write(make_good_clip(humanoid), humanoid, tmp_path)
    data = files.read_json(path)
    data["quality"]["measures"]["skate"] = {"value": 0.0}
    data["quality"]["measures"]["contact_agreement"]["value"] = 1.0
    files.write_json(path, data)
    found = validate(path)
    assert found.verdict.failed == ("stored_quality",)
    assert "contact_agreement" in str(next(c for c in found.verdict.checks if c.status == "fail"))


def test_a_clip_without_provenance_or_quality(tmp_path: Path) -> None:
    humanoid = Character.load("humanoid")
    path = tmp_path / "clip.json"
    replace(make_good_clip(humanoid), provenance={}).save(path)
    found = validate(path)
    assert found.passed
    assert status(found)["character"] == status(found)["stored_quality"] == "not checked"


@pytest.fixture
def original(monkeypatch: pytest.MonkeyPatch) -> Callable[[Clip, Character], None]:
    """Lets validate find a clip's own motion as its source, without a file."""

    def offer(clip: Clip, body: Character) -> None:
        read = SimpleNamespace(
            path=Path("walk.bvh"), sha256="a" * 64, motion=source_of(clip, body), roles=BodyRoles.of(body)
        )
        monkeypatch.setattr(validation.sources, "read", lambda path: read)

    return offer


def test_beside_the_source(tmp_path: Path, original: Callable[[Clip, Character], None]) -> None:
    humanoid = Character.load("humanoid")
    clip = make_good_clip(humanoid)
    original(clip, humanoid)
    for sha, verdict in (("a" * 64, True), ("b" * 64, False)):
        stated = replace(clip, provenance={**clip.provenance, "source_sha256": sha, "interval": [0.0, clip.duration]})
        found = validate(write(stated, humanoid, tmp_path), source="walk.bvh")
        assert found.passed is verdict
        assert status(found)["source"] == ("pass" if verdict else "fail")
        assert status(found)["direction_error_deg"] == "pass"
        assert found.source_sha256 == "a" * 64
    outside = replace(clip, provenance={"interval": [5.0, 6.2]})
    with pytest.raises(InputError, match=r"expected an interval within 1\.200 s"):
        validate(write(outside, humanoid, tmp_path), source="walk.bvh")


def test_a_fast_source_stays_allowed_without_it(tmp_path: Path) -> None:
    """What the source did is stored: an elbow at 25 rad/s passes where the source had 30."""
    humanoid = Character.load("humanoid")
    clip = make_good_clip(humanoid)
    qpos = clip.qpos.copy()
    qpos[:, humanoid.layout.qpos_at[humanoid.joint("left_elbow")]] = 1.4 + 0.8 * np.sin(2 * np.pi * 6 * clip.phase)
    fast = replace(clip, qpos=qpos)
    assert "joint_speed_max" in failures(fast, humanoid)
    stored = validation.measure(fast, humanoid).quality()
    stored["measures"]["source_joint_speed"] = {"value": 30.0, "unit": "rad/s"}
    path = tmp_path / "clip.json"
    replace(fast, quality=stored).save(path)
    assert "joint_speed_max" not in validate(path).verdict.failed


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        validate(tmp_path / "none.json")
    humanoid = Character.load("humanoid")
    path = tmp_path / "clip.json"
    replace(make_good_clip(humanoid), character="humanoi").save(path)
    with pytest.raises(InputError) as caught:
        validate(path)
    assert "humanoid" in (caught.value.hint or "")
    flags = {"left_fot": np.zeros(72, dtype=bool)}
    replace(make_good_clip(humanoid), contacts=flags, cycle_offset=NO_OFFSET).save(path)
    with pytest.raises(InputError, match="left_fot"):
        validate(path)
