"""Writing files so that nothing is ever half-written, and knowing them by their hash."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from motion.errors import InputError


@contextmanager
def atomic(path: Path | str) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` for writing and rename it onto ``path`` at the end; on any error nothing changes.

    Raises:
        InputError: the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise InputError(
            f"cannot write: {error.strerror or error}", where=path, hint="choose a writable folder with --out"
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise InputError(f"cannot write: {error.strerror or error}", where=path, hint="is the disk full?") from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path | str, data: Any, *, compact: bool = False) -> None:
    """Write JSON atomically; NaN is a bug, never a value."""
    text = json.dumps(
        data,
        indent=None if compact else 2,
        separators=(",", ":") if compact else None,
        allow_nan=False,
        ensure_ascii=False,
    )
    write_text(path, text + "\n")


def read_text(path: Path | str) -> str:
    """Read UTF-8 text; InputError if there is no such file or it is not text."""
    try:
        return Path(path).read_text("utf-8")
    except FileNotFoundError as error:
        raise InputError("no such file", where=path) from error
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=path) from error
    except UnicodeDecodeError as error:
        raise InputError("expected UTF-8 text, found bytes that are not", where=path) from error


def read_json(path: Path | str) -> Any:
    """Read JSON; InputError with file and line if it is not."""
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error.msg}", where=f"{path}:{error.lineno}") from error
    except RecursionError as error:
        raise InputError("not valid JSON: nested too deeply", where=path) from error


def write_npz(path: Path | str, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays as a compressed npz, atomically; no pickle."""
    for key, value in arrays.items():
        assert value.dtype != object, f"{key} would be pickled"

    writer: Callable[..., None] = np.savez_compressed
    with atomic(path) as file:
        writer(file, **arrays)


def read_npz(path: Path | str) -> dict[str, np.ndarray]:
    """Read all arrays of an npz without pickle; InputError if it is not one."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return {key: data[key] for key in data.files}
    except FileNotFoundError as error:
        raise InputError("no such file", where=path) from error
    except Exception as error:  # numpy raises half a dozen kinds for a damaged zip
        raise InputError(f"not a readable npz file ({error})", where=path) from error


def sha256(path: Path | str) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=path) from error
    return digest.hexdigest()
