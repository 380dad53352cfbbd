"""Who imports whom: the ladder of docs/architecture.md, and which outside packages may be imported where."""

from __future__ import annotations

import ast
import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ALLOWED = {
    "motion": {"motion"},
    "characters": {"characters", "motion"},
    "retarget": {"retarget", "characters", "motion"},
    "train": {"train", "characters", "motion"},
    "pipeline": {"pipeline", "train", "retarget", "characters", "motion"},
}
"""package → packages of ours it may import"""

RESTRICTED = {
    "torch": ["train/policy.py", "train/ppo.py", "train/evaluate.py", "train/export.py"],
    "pybullet": ["train/engine_pybullet.py"],
    "pybullet_envs": [],
    "pybullet_utils": [],
    "pybullet_data": ["train/engine_pybullet.py", "pipeline/samples.py"],
    "mujoco": ["train/engine_mujoco.py", "characters/dynamics.py"],
    "click": ["pipeline/cli*.py"],
    "bvhio": ["motion/formats/*bvh*.py"],
}
"""outside package → the files (patterns) that may import it"""

MODULES = sorted(
    path.relative_to(ROOT)
    for package in ALLOWED
    for path in (ROOT / package).rglob("*.py")
    if ".venv" not in path.parts
)


def imports(path: Path) -> set[str]:
    """Absolute names of all modules a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found.add(node.module or "")
    return found


def violations(module: str, names: set[str]) -> list[str]:
    """What a file at the repository path ``module`` may not import."""
    package = module.split("/")[0]
    tops = {name.split(".")[0] for name in names}
    wrong = [f"{module} imports {top}" for top in sorted(tops & set(ALLOWED) - ALLOWED[package])]
    for outside, patterns in RESTRICTED.items():
        if outside in tops and not any(fnmatch.fnmatch(module, pattern) for pattern in patterns):
            wrong.append(f"{module} imports {outside}, which only {', '.join(patterns)} may")
    return wrong


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_keeps_to_the_ladder(module: Path):
    assert violations(module.as_posix(), imports(ROOT / module)) == []


def test_the_check_can_fail():
    assert violations("motion/motion.py", {"characters.character"})
    assert violations("retarget/solve.py", {"train.engine"})
    assert violations("pipeline/stages.py", {"click"})
    assert violations("train/env.py", {"torch.nn"})
    assert not violations("pipeline/cli_train.py", {"click", "retarget.solve"})


def test_every_package_is_packaged():
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = set(tomllib.load(file)["tool"]["setuptools"]["packages"])
    present = {path.parent.as_posix().replace("/", ".") for path in MODULES if path.name == "__init__.py"}
    assert listed == present
