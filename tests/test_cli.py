"""The command line: exit codes, error texts, JSON, locks, interruption. Commands run in this process where they can."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from motion import files
from motion.errors import MimicWarning, SolveError
from pipeline import cli, lock, stages

ROOT = Path(__file__).resolve().parents[1]
OUTPUTS = {"trajectory.npz", "clip.json", "gains.json", "quality.json"}


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIMIC_DEBUG", raising=False)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run a command line: (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A retargeted walk: a folder to copy from, never to write to."""
    folder = tmp_path_factory.mktemp("walk")
    (source,) = stages.samples(folder / "raw_mocap", ["walk"])
    stages.retarget(source, "atlas", out=folder / "processed")
    return folder / "processed" / "atlas" / "walk"


@pytest.fixture
def own_walk(walk: Path, workspace: Path) -> Path:
    """A copy of the retargeted walk that a test may change."""
    folder = workspace / "processed" / "atlas" / "walk"
    folder.mkdir(parents=True)
    for file in walk.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def in_a_process(code: str, **options) -> subprocess.Popen:
    """A Python process with this repository on its path."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


# ------------------------------------------------------------------ help and documents


def test_help_is_fast_and_loads_nothing_heavy():
    code = (
        "import sys; from pipeline import cli; code = cli.run(['--help']); "
        "heavy = {'numpy', 'torch', 'pybullet', 'mujoco', 'pandas', 'scipy', 'pydantic', 'rich'} & set(sys.modules); "
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    began = time.perf_counter()
    process = in_a_process(code)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "retarget" in out
    assert time.perf_counter() - began < 3.0


@pytest.mark.parametrize("command", sorted(cli.cli.commands))
def test_every_command_is_documented_and_helps(command: str, run):
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"| `{command}" in readme
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Usage: mimic-pipe" in out


def test_every_command_has_json():
    for name, command in cli.cli.commands.items():
        for each in getattr(command, "commands", {name: command}).values():
            assert "--json" in [option for p in each.params for option in p.opts], name


def test_readme_documents_no_command_that_is_missing():
    readme = (ROOT / "README.md").read_text("utf-8")
    table = readme[readme.index("| command |") :].split("\n\n")[0].splitlines()[2:]
    documented = {row.split("`")[1].split()[0] for row in table}
    assert documented == set(cli.cli.commands)


# ------------------------------------------------------------------ usage and bad input


def test_unknown_command_names_the_nearest(run):
    code, out, err = run("retraget", "x.bvh")
    assert code == 2
    assert out == ""
    assert "retarget" in err


def test_no_arguments_and_unknown_options_are_usage_errors(run):
    assert run("retarget")[0] == 2
    assert run("retarget", "walk.bvh", "--chra", "atlas")[0] == 2
    assert run("retarget", "a.bvh", "b.bvh", "--name", "x")[0] == 2


@pytest.mark.parametrize("cycle", ["1", "2:1", "a:b", "-1:2"])
def test_bad_cycle_is_a_usage_error(cycle: str, run):
    code, _, err = run("phase", "x", f"--cycle={cycle}")
    assert code == 2
    assert "A" in err
    assert "B" in err


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (("inspect", "nope/walk.bvh"), "nope/walk.bvh: no such file", "there is no folder nope"),
        (("inspect", "walkk.bvh"), "walkk.bvh: no such file", "walk.bvh"),
        (("inspect", "."), "found a folder", "*.bvh"),
        (("map", "walk.bvh", "--char", "atlsa"), "no character atlsa", "atlas"),
        (("retarget", "walk.bvh", "--char", "humaniod"), "no character humaniod", "humanoid"),
        (("retarget", "walk.bvh", "--from", "5"), "expected a motion of at least 2 frames, found 0", "--from"),
        (("retarget", "walk.bvh", "--from", "1", "--to", "0.5"), "at least 2 frames, found 0", "--from"),
        (("retarget", "walk.bvh", "--from", "nan"), "at least 2 frames, found 0", "--from"),
        (("gains", "processed", "--preset", "sof"), "no preset 'sof'", "soft"),
        (("retarget", "walk.bvh", "--name", "a/b"), "expected a plain name", "letters"),
        (("validate", "processed/atlas/none"), "clip.json: no such file", None),
        (("export", "walk.bvh", "--format", "bhv"), "no export format 'bhv'", "bvh"),
        (("export", "walk.bvh", "--format", "csv"), "found a motion without a body", "retarget it first"),
        (("schema", "clp"), "no schema 'clp'", "clip"),
        (("characters", "show", "qqqq"), "no character qqqq", "valid names"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line_and_a_hint(arguments: tuple[str, ...], said: str, hint: str | None, run):
    code, out, err = run(*arguments)
    assert code == 3
    assert out == ""
    lines = err.strip().splitlines()
    assert said in lines[0]
    assert len(lines) == (1 if hint is None else 2)
    assert hint is None or (lines[1].startswith("hint: ") and hint in lines[1])
    assert not Path("processed/atlas").exists()


def test_damaged_file_names_its_line(workspace: Path, run):
    text = stages.samples(workspace, ["walk"])[0].read_text()
    lines = text.splitlines()
    lines[-3] = " ".join(lines[-3].split()[:-1])
    (workspace / "cut.bvh").write_text("\n".join(lines) + "\n")
    code, out, err = run("retarget", "cut.bvh")
    assert (code, out) == (3, "")
    assert f"cut.bvh:{len(lines) - 2}: expected" in err
    assert not Path("processed").exists()


def test_source_without_legs_is_named_by_its_path(run):
    text = (
        "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
        "End Site\n{\nOFFSET 0 1 0\n}\n}\nMOTION\nFrames: 3\nFrame Time: 0.02\n0 0 0\n0 1 0\n0 2 0\n"
    )
    Path("stick.bvh").write_text(text)
    code, _, err = run("retarget", "stick.bvh", "--name", "s")
    assert code == 3
    assert "stick.bvh: " in err
    assert "legs" in err
    assert not Path("processed/atlas/s").exists()


def test_a_map_that_names_a_missing_joint(run, workspace: Path):
    assert run("map", "walk.bvh", "-o", "m.toml")[0] == 0
    text = Path("m.toml").read_text()
    assert run("retarget", "walk.bvh", "--map", "m.toml")[0] == 0
    Path("m.toml").write_text(text.replace('"left_knee"', '"left_kne"'))
    code, _, err = run("retarget", "walk.bvh", "--map", "m.toml", "--name", "other")
    assert code == 3
    assert "left_kne" in err
    assert "did you mean left_knee" in err
    assert not Path("processed/atlas/other").exists()


# ------------------------------------------------------------------ results


def test_retarget_on_an_empty_folder_writes_its_sample_and_four_files(run):
    code, out, err = run("retarget", "raw_mocap/walk.bvh", "--char", "humanoid", "--json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    folder = Path(data["folder"])
    assert folder == Path("processed/humanoid/walk")
    assert {path.name for path in folder.iterdir()} == OUTPUTS
    assert {path.name for path in Path("raw_mocap").iterdir()} == {"walk.bvh", "walk.meta.toml"}
    assert Path("processed/_motion/walk.npz").exists()
    assert data["verdict"] in ("good", "poor")
    clip = json.loads((folder / "clip.json").read_text())
    provenance = clip["provenance"]
    assert provenance["source"] == "raw_mocap/walk.bvh"
    assert provenance["source_sha256"] == files.sha256("raw_mocap/walk.bvh")
    assert len(provenance["character_sha256"]) == 64
    assert provenance["map"] == "inferred"
    assert {"settings", "version", "interval"} <= set(provenance)
    assert clip["loop"] is True
    assert clip["duration"] == pytest.approx(1.2667, abs=0.01)


def test_commands_on_a_clip_print_json_alone_on_stdout(own_walk: Path, run):
    for arguments in (
        ("phase", own_walk, "--cycle", "0.1:1.2"),
        ("gains", own_walk),
        ("validate", own_walk),
        ("export", own_walk, "--format", "csv"),
        ("export", own_walk / "trajectory.npz", "--format", "bvh"),
        ("render", own_walk, "-o", "walk.png"),
        ("characters", "list"),
        ("characters", "show", "atlas"),
        ("characters", "check", "atlas"),
        ("schema", "gains"),
        ("ingest", "walk.bvh", "--name", "again"),
        ("inspect", "walk.bvh"),
        ("map", "walk.bvh"),
        ("samples", "--out", "elsewhere"),
    ):
        code, out, _ = run(*arguments, "--json")
        assert code in (0, 1), arguments
        for line in out.splitlines():
            json.loads(line)
        assert out.endswith(("}\n", "]\n")), arguments


def test_commands_print_plain_text_without_a_terminal(own_walk: Path, run):
    for arguments in (("validate", own_walk), ("gains", own_walk), ("inspect", "walk.bvh"), ("characters", "list")):
        _, out, _ = run(*arguments)
        assert len(out.splitlines()) > 2
        assert "\x1b" not in out
        assert "│" not in out


def test_validate_says_no_with_exit_code_1(own_walk: Path, run):
    clip = json.loads((own_walk / "clip.json").read_text())
    for row in clip["qpos"]:
        row[2] -= 0.05
    (own_walk / "clip.json").write_text(json.dumps(clip))
    code, out, _ = run("validate", own_walk, "--json")
    assert code == 1
    assert "penetration_cm" in json.loads(out)["failed"]


def test_validate_refuses_another_source(own_walk: Path, run):
    code, _, err = run("validate", own_walk, "--source", "run.bvh")
    assert code == 3
    assert "expected the source" in err


def test_several_inputs_carry_on_past_a_bad_one(workspace: Path, run):
    Path("broken.bvh").write_text("HIERARCHY\nROOT\n")
    code, out, err = run("retarget", "broken.bvh", "walk.bvh", "--char", "humanoid")
    assert code == 3
    assert "broken.bvh" in err
    assert [line.split()[1] for line in out.splitlines()[1:]] in (["failed", "good"], ["failed", "poor"])
    assert Path("processed/humanoid/walk/clip.json").exists()
    code, out, _ = run("validate", "processed/humanoid/walk", "processed/none", "--json")
    first, second = (json.loads(line) for line in out.splitlines())
    assert code == 3
    assert first["name"] == "walk"
    assert second["exit_code"] == 3


def test_exported_bvh_is_a_source_again(own_walk: Path, run):
    assert run("export", own_walk, "--format", "bvh", "-o", "atlas_walk.bvh")[0] == 0
    code, out, _ = run("retarget", "atlas_walk.bvh", "--char", "humanoid", "--json")
    assert code == 0
    data = json.loads(out)
    assert data["loop"] is True
    assert data["duration"] == pytest.approx(1.2667, abs=0.02)


def test_export_does_not_overwrite_what_it_reads(own_walk: Path, run):
    source = stages.samples(Path(), ["walk"])[0]
    before = source.read_bytes()
    code, _, err = run("export", source, "--format", "bvh")
    assert code == 3
    assert "-o" in err
    assert source.read_bytes() == before


def test_edited_sample_is_never_overwritten(run):
    stages.samples(Path("raw_mocap"), ["walk"])
    mine = Path("raw_mocap/run.bvh")
    mine.write_text("my own")
    assert run("inspect", "walk.bvh")[0] == 0
    assert run("inspect", "run.bvh")[0] == 3
    assert mine.read_text() == "my own"


# ------------------------------------------------------------------ one name, one source; one folder, one run


def test_same_name_from_another_source_is_refused(own_walk: Path, run):
    before = (own_walk / "clip.json").read_bytes()
    Path("other").mkdir()
    other = Path("other/walk.bvh")
    other.write_bytes(stages.samples(Path("other"), ["run"])[0].read_bytes())
    code, _, err = run("retarget", other)
    assert code == 3
    assert "another source" in err
    assert "--name" in err
    assert (own_walk / "clip.json").read_bytes() == before
    code, _, _ = run("retarget", other, "--name", "other_walk")
    assert code == 0
    assert Path("processed/atlas/other_walk/clip.json").exists()


def test_ingest_refuses_another_source_too(run):
    assert run("ingest", "walk.bvh", "--name", "a")[0] == 0
    assert run("ingest", "walk.bvh", "--name", "a")[0] == 0
    code, _, err = run("ingest", "run.bvh", "--name", "a")
    assert code == 3
    assert "--name" in err


def test_second_run_into_a_folder_is_refused_in_one_line(own_walk: Path, run):
    with lock.claim(own_walk):
        code, _, err = run("gains", own_walk)
    assert code == 3
    assert f"another run (process {os.getpid()}) is writing this folder" in err.splitlines()[0]
    assert run("gains", own_walk)[0] == 0


def test_lock_of_a_dead_process_is_taken_over(own_walk: Path, run):
    holder = in_a_process(
        f"import time; from pipeline import lock; held = lock.claim({str(own_walk)!r}); held.__enter__(); "
        "print('held'); time.sleep(60)"
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert run("gains", own_walk)[0] == 3
    holder.kill()
    holder.communicate(timeout=10)
    assert (own_walk / ".lock").exists()
    assert run("gains", own_walk)[0] == 0
    assert not (own_walk / ".lock").exists()


def test_file_in_place_of_the_folder(run):
    Path("results").write_text("I am a file")
    code, _, err = run("retarget", "walk.bvh", "--out", "results")
    assert code == 3
    assert "results" in err
    assert "hint: choose a writable folder with --out" in err
    assert Path("results").read_text() == "I am a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(run):
    Path("results").mkdir(mode=0o500)
    code, _, err = run("retarget", "walk.bvh", "--out", "results")
    assert code == 3
    assert "cannot write" in err


# ------------------------------------------------------------------ failure and interruption


def test_failed_solve_is_exit_code_4_and_leaves_the_old_result(own_walk: Path, run, monkeypatch: pytest.MonkeyPatch):
    stages.samples(Path("raw_mocap"), ["walk"])
    before = {path.name: path.read_bytes() for path in own_walk.iterdir()}

    def diverge(*_: object) -> None:
        raise SolveError("the solve diverged", hint="look at the source")

    monkeypatch.setattr(stages, "solve", diverge)
    code, _, err = run("retarget", "walk.bvh")
    assert code == 4
    assert err == "the solve diverged\nhint: look at the source\n"
    assert {path.name: path.read_bytes() for path in own_walk.iterdir()} == before


def test_failure_after_the_solve_writes_nothing(run, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise SolveError("no gains")

    monkeypatch.setattr(stages.gain_rules, "derive", fail)
    assert run("retarget", "walk.bvh")[0] == 4
    assert not Path("processed/atlas/walk").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "kill"])
def test_interruption_leaves_nothing_half_written(number: signal.Signals, code: int, workspace: Path):
    process = in_a_process(
        "import sys, time; from pipeline import cli, stages\n"
        "def slow(*_):\n"
        "    print('solving'); time.sleep(60)\n"
        "stages.solve = slow\n"
        "sys.argv = ['mimic-pipe', 'retarget', 'walk.bvh']\n"
        "cli.main()",
        cwd=workspace,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "solving\n"
    assert (workspace / "processed/atlas/walk/.lock").exists()
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in err
    assert not (workspace / "processed/atlas/walk").exists()
    assert not list(workspace.rglob("*.part*"))


def test_bug_is_one_line_without_a_traceback(run, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(stages, "inspect", broken)
    code, out, err = run("inspect", "walk.bvh")
    assert (code, out) == (70, "")
    assert err.splitlines()[0] == "a bug in mimic-pipe: KeyError: 'oops'"
    assert "MIMIC_DEBUG=1" in err
    assert "Traceback" not in err
    monkeypatch.setenv("MIMIC_DEBUG", "1")
    with pytest.raises(KeyError):
        run("inspect", "walk.bvh")


def test_warning_is_one_line_on_stderr(run, monkeypatch: pytest.MonkeyPatch):
    import warnings

    real = stages.inspect

    def warned(path: Path) -> object:
        warnings.warn(MimicWarning("walk.bvh: the left hand\nis missing"), stacklevel=1)
        warnings.warn("numpy said something", RuntimeWarning, stacklevel=1)
        return real(path)

    monkeypatch.setattr(stages, "inspect", warned)
    with warnings.catch_warnings():
        code, out, err = run("inspect", "walk.bvh", "--json")
    assert code == 0
    json.loads(out)
    assert err == "warning: walk.bvh: the left hand is missing\n"


def test_closed_pipe_is_silent(workspace: Path):
    process = in_a_process(
        "import sys; from pipeline import cli; sys.argv = ['mimic-pipe', 'schema', 'clip']; cli.main()", cwd=workspace
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=20) == cli.CLOSED_PIPE
