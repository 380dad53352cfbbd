"""The errors a user can cause, with the exit code the command line gives them.

Every message is one line, ``where: what, expected and got``; the hint says how to go on.
``assert`` is kept for bugs of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MimicError(Exception):
    """Base of all errors mimic-pipe raises on purpose.

    Args:
        message: what is wrong, expected and got.
        where: file (and line) or object the message is about; printed before the message.
        hint: how to go on; printed on its own line.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: object = None, hint: str | None = None):
        self.message = message
        self.where = None if where is None else str(where)
        self.hint = hint
        super().__init__(message if where is None else f"{where}: {message}")


class InputError(MimicError):
    """A file, name or setting given by the user cannot be used (exit code 3)."""

    exit_code = 3


class SolveError(MimicError):
    """A solve or a training failed on valid input (exit code 4)."""

    exit_code = 4


class MimicWarning(UserWarning):
    """Something was accepted that the user should know about."""


def nearest(name: str, valid: Iterable[str], *, most: int = 3) -> str:
    """A hint naming the valid names closest to ``name``."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=most, cutoff=0.4)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return "valid names: " + ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
