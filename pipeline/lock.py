"""One run at a time writes an output folder, and its files appear there together or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from motion.errors import InputError


@contextmanager
def claim(folder: Path | str) -> Iterator[Path]:
    """Hold ``folder`` for this process and give a staging folder inside it, whose files are moved out at the end.

    On any error, Ctrl-C included, the staging folder disappears and ``folder`` stays as it was. The lock is the
    kernel's (``flock``), so the lock of a process that died is free again by itself.

    Raises:
        InputError: another process holds the folder, or it cannot be written.
    """
    folder = Path(folder)
    lock = folder / ".lock"
    try:
        handle = _acquire(lock)
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        try:
            staging = Path(tempfile.mkdtemp(dir=folder, prefix=".part-"))
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            yield staging
            _publish(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    finally:
        lock.unlink(missing_ok=True)  # while still held: whoever waits for this inode sees that it is gone
        os.close(handle)
        with suppress(OSError):
            folder.rmdir()  # only if nothing came of it


def _acquire(lock: Path) -> int:
    """An open, locked handle of ``lock``, which holds our process id."""
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # its last owner removed the empty folder just now
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(handle, 32).decode("ascii", "replace").strip()
            os.close(handle)
            raise InputError(
                f"another run{f' (process {owner})' if owner else ''} is writing this folder",
                where=lock.parent,
                hint="wait for it to end, or choose another name with --name",
            ) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(lock)):
                os.ftruncate(handle, 0)
                os.write(handle, f"{os.getpid()}\n".encode())
                return handle
        os.close(handle)  # its last owner removed the file between our open and our lock: try again


def _publish(staging: Path, folder: Path) -> None:
    """Move the staged files into ``folder``."""
    try:
        for file in sorted(staging.iterdir()):
            os.replace(file, folder / file.name)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot write: {error.strerror or error}", where=folder, hint="choose a writable folder with --out"
    )
