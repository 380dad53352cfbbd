"""The repository's own promises: packaging, Make targets, files that must be there, nothing that must not."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~\[ ]", requirement, maxsplit=1)[0].lower() for requirement in requirements}


def tracked() -> list[Path]:
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_base_install_has_no_torch():
    assert "torch" not in requirement_names(PROJECT["dependencies"])
    assert "torch==2.13.0" in PROJECT["optional-dependencies"]["train"]


def test_python_is_limited_to_what_pybullet_has_wheels_for():
    assert PROJECT["requires-python"] == ">=3.11,<3.12"


def test_every_dependency_is_pinned():
    pins = {
        line.split("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    }
    wanted = requirement_names(PROJECT["dependencies"])
    for extra in PROJECT["optional-dependencies"].values():
        wanted |= requirement_names(extra)
    assert wanted <= pins


def test_the_tests_have_torch():
    """Without it those of training, reports and policies would be skipped, and nobody would know."""
    assert re.search(r"^test: \$\(DEV\)", MAKEFILE, flags=re.MULTILINE)
    assert re.search(r"^\$\(DEV\): \$\(TRAIN\)$", MAKEFILE, flags=re.MULTILINE)


def test_every_make_target_is_phony():
    targets = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, flags=re.MULTILINE))
    phony = set(re.search(r"^\.PHONY:((?:.*\\\n)*.*)$", MAKEFILE, flags=re.MULTILINE)[1].replace("\\\n", " ").split())
    assert targets == phony
    assert {"retarget", "test", "check", "bench", "setup", "setup-train", "clean"} <= targets


def test_make_target_runs_the_command_of_the_same_name():
    for target in ("samples", "inspect", "ingest", "map", "retarget", "phase", "gains", "validate", "export", "render"):
        recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE)[1]
        assert f"$(MIMIC) {target} " in recipe


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ([], "retarget raw_mocap/walk.bvh --char atlas"),
        (["CHAR=humanoid", "CLIP=run.bvh"], "retarget raw_mocap/run.bvh --char humanoid"),
        (["CLIP=/data/own.bvh", "ARGS=--no-loop"], "retarget /data/own.bvh --char atlas --no-loop"),
    ],
)
def test_make_variables_reach_the_command(variables: list[str], expected: str):
    out = subprocess.run(
        ["make", "--dry-run", "--old-file=.venv/.base", "retarget", *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    assert expected in out


def test_make_says_what_to_do_on_another_python(tmp_path: Path):
    """With no Python 3.11 on the PATH: one message that names the version found and the way out."""
    fake = tmp_path / "bin"
    fake.mkdir()
    for name in ("python3", "python3.11", "python"):
        (fake / name).write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.13.1" && exit 0\nexit 1\n')
        (fake / name).chmod(0o755)
    (tmp_path / "Makefile").write_text(MAKEFILE)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("")
    done = subprocess.run(
        ["make", "setup"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        env={"PATH": f"{fake}:/usr/bin:/bin"},
    )
    assert done.returncode != 0
    assert "needs Python 3.11" in done.stderr
    assert "3.13.1" in done.stderr
    assert "PYTHON=" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_ci_entry_is_executable_and_calls_make_test():
    entry = ROOT / ".ci" / "run"
    assert entry.stat().st_mode & 0o111
    assert "make test" in entry.read_text("utf-8")
    subprocess.run(["bash", "-n", str(entry)], check=True, timeout=30)


def test_no_machine_paths_and_no_registries_in_the_repository():
    forbidden = re.compile(
        r"/home/\w|/Users/\w|(?<![\w.])/root/|/opt/pypi|https?://(pypi|files\.pythonhosted|download\.pytorch)"
    )
    for path in tracked():
        if path.suffix in {".gif", ".png", ".onnx", ".npz"} or path == Path(__file__).resolve():
            continue
        text = path.read_text("utf-8", errors="replace")
        assert not forbidden.search(text), f"{path.relative_to(ROOT)}: {forbidden.search(text)}"


def test_links_in_the_documents_lead_somewhere():
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_packaged_data_is_there():
    for folder in (ROOT / "characters").iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            assert (folder / "body.urdf").is_file(), folder.name
            assert (folder / "character.toml").is_file(), folder.name
