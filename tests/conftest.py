"""What several test files share: the mocap collection beside the checkout, the sample clips."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers of pytest-xdist share the cores already

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: Ctrl-C is to be tested all the same
    signal.signal(signal.SIGINT, signal.default_int_handler)

MOCAP = Path(os.environ.get("MIMIC_MOCAP", Path(__file__).resolve().parents[2] / "shared" / "mocap"))
"""Folder of the mocap collection; it is not part of the repository."""


def corpus(**wanted: str) -> list[dict[str, str]]:
    """Rows of the collection's INDEX.tsv whose columns equal ``wanted`` (empty where there is no collection)."""
    index = MOCAP / "INDEX.tsv"
    if not index.exists():
        return []
    with index.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


@pytest.fixture(scope="session")
def mocap() -> Path:
    """The mocap collection; the test is skipped where it is absent."""
    if not MOCAP.exists():
        pytest.skip("the mocap collection is not here (set MIMIC_MOCAP to its folder)")
    return MOCAP


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample clips and their meta.toml, written once per worker."""
    from pipeline.samples import write_samples

    folder = tmp_path_factory.mktemp("raw_mocap")
    write_samples(folder)
    return folder
