"""Motion file formats, recognised by their content and never by their suffix.

A format is one module of this package: it decorates its reader with `register` and is found by itself.

    motion = formats.read("walk.bvh")

A Motion comes in the file's own unit and axes. Its provenance holds ``format``, ``source`` (file name) and ``sha256``,
and ``declared_unit`` (metres) and ``declared_up`` (axis) where the format fixes them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from motion.errors import InputError
from motion.motion import Motion

HEAD = 4096
"""Bytes from the beginning of a file that a format is recognised by."""

Reader = Callable[[Path | str], Motion]


@dataclass(frozen=True, slots=True)
class Format:
    """How one kind of file is recognised and read."""

    name: str
    looks: str
    """what such a file looks like, for the message about a file nobody knows"""
    sniff: Callable[[bytes], bool]
    """whether the first bytes of a file are of this format"""
    read: Reader


_formats: dict[str, Format] = {}


def register(name: str, *, looks: str, sniff: Callable[[bytes], bool]) -> Callable[[Reader], Reader]:
    """Decorator that makes a reader known to `read`."""

    def add(reader: Reader) -> Reader:
        _formats[name] = Format(name, looks, sniff, reader)
        return reader

    return add


@cache
def _discover() -> None:
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")


def names() -> list[str]:
    """Names of all known formats."""
    _discover()
    return sorted(_formats)


def recognise(path: Path | str) -> Format:
    """The format of a file.

    Raises:
        InputError: the file is missing, unreadable, empty or of no known format.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError as error:
        raise InputError("no such file", where=path) from error
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=path) from error
    if not head.strip(b" \t\r\n\0"):
        what = "white space alone" if head else "an empty file"
        raise InputError(f"expected a motion file, found {what}", where=path, hint="export or download it again")
    for name in names():
        if _formats[name].sniff(head):
            return _formats[name]
    known = "; ".join(f"{name} ({_formats[name].looks})" for name in names())
    raise InputError(
        f"expected a motion file, found content of no known format, beginning with {head[:20]!r}",
        where=path,
        hint=f"known formats: {known}",
    )


def read(path: Path | str) -> Motion:
    """Read a motion file of any known format, in its own unit and axes.

    Raises:
        InputError: the file cannot be read, is of no known format or is damaged.
    """
    return recognise(path).read(path)
