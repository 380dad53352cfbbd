"""The curve of a training: a row of metrics.csv and the scalars of TensorBoard for each batch, torch not needed."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from motion import files
from motion.errors import InputError
from train.folder import LOGS, METRICS

NAMES = {"seconds_": "time/", "ended_": "episodes/"}
"""prefix of a figure → its group in TensorBoard"""


class Log:
    """Writes the curve; a resumed training's rows follow those up to its checkpoint."""

    seconds: float
    """the training took before"""

    def __init__(self, folder: Path, done: int):
        self.folder, path = folder, folder / METRICS
        self.seconds, columns, kept = 0.0, None, _kept(path, done)
        if kept:
            self.seconds, columns = float(kept[-1]["seconds"]), list(kept[0])
            text = io.StringIO()
            writer = csv.DictWriter(text, columns)
            writer.writeheader()
            writer.writerows(kept)
            files.write_text(path, text.getvalue())
        with self._writable():
            self._file = path.open("a" if kept else "w", newline="", encoding="utf-8")
            self._writer = None if columns is None else self._columns(columns)
            self._events, self._record = _events(folder / LOGS, done)

    def write(self, figures: dict[str, float]) -> None:
        """A batch; ``samples`` among its figures. The first one decides the columns.

        Raises:
            InputError: it cannot be written: the disk is full.
        """
        with self._writable():
            if self._writer is None:
                self._writer = self._columns(list(figures))
                self._writer.writeheader()
            self._writer.writerow({key: f"{value:.8g}" for key, value in figures.items()})
            self._file.flush()
            self._record(figures)

    def close(self) -> None:
        """Close the files; what cannot be written any more is lost."""
        for file in (self._events, self._file):
            with suppress(OSError):
                file.close()

    def _columns(self, names: list[str]) -> csv.DictWriter[str]:
        return csv.DictWriter(self._file, names, extrasaction="ignore", restval="nan")

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            raise InputError(
                f"cannot write: {problem.strerror or problem}", where=self.folder, hint="is the disk full?"
            ) from problem


def _kept(path: Path, done: int) -> list[dict[str, str]]:
    """Rows of an earlier part of the training, up to its checkpoint."""
    if not done or not path.exists():
        return []
    rows = csv.DictReader(io.StringIO(files.read_text(path)))
    return [row for row in rows if float(row["samples"]) <= done]


def _events(folder: Path, done: int):
    """A TensorBoard event file, and the function that adds a batch's figures to it."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True, exist_ok=True)
    file: IO[bytes] = (folder / f"events.out.tfevents.{time.time_ns()}").open("wb")
    writer = RecordWriter(file)

    def put(event: Event) -> None:
        event.wall_time = time.time()
        writer.write(event.SerializeToString())
        file.flush()

    put(Event(file_version="brain.Event:2"))
    put(Event(step=done + 1, session_log=SessionLog(status=SessionLog.START)))  # drops what was beyond the checkpoint

    def record(figures: dict[str, float]) -> None:
        values = [
            Summary.Value(tag=_tag(name), simple_value=value) for name, value in figures.items() if name != "samples"
        ]
        put(Event(step=int(figures["samples"]), summary=Summary(value=values)))

    return file, record


def _tag(name: str) -> str:
    return next((group + name.removeprefix(prefix) for prefix, group in NAMES.items() if name.startswith(prefix)), name)
