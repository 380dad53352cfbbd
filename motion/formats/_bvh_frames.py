"""The MOTION of a BVH file: one float block, read by pandas' C parser and checked; every fault named by line and channel.

By default pandas turns a short row and ``-1.#IND`` into NaN without a word. Here nothing counts as missing, so that they
fail; and whatever it does not read cleanly is read again line by line, for the message.
"""

from __future__ import annotations

import math
import re
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np

from motion.errors import InputError
from motion.formats._bvh_header import Header, warn
from motion.rotation import Array

_FRAMES = re.compile(rb"(?i)\s*FRAMES\b[ \t]*:?[ \t]*([^\r\n]*?)[ \t]*(?=[\r\n]|$|FRAME[ \t]+TIME)")
_FRAME_TIME = re.compile(rb"(?i)\s*FRAME[ \t]*TIME\b[ \t]*:?[ \t]*([^\r\n]*?)[ \t]*(?=[\r\n]|$)")
_NEW_LINE = re.compile(rb"\r\n|\r|\n")
_WHOLE = re.compile(rb"[+-]?\d+(\.0*)?")

LEAST_SHARE = 0.5
"""Share of the declared frames that must be there for a file to count as cut short rather than as broken."""


def read_frames(path: Path | str, data: bytes, header: Header, *, as_stored: bool) -> tuple[float, Array]:
    """Frame time in seconds and all numbers of MOTION.

    Args:
        data: the whole file, decoded.
        as_stored: ``data`` is what ``path`` holds, so pandas may read the file itself, which is a third faster.

    Returns:
        the frame time and ``(C, T)`` float64, a contiguous row for each channel, in the file's degrees and lengths.

    Raises:
        InputError: with file and line.
    """
    declared, declared_at, seconds, at = _motion_head(path, data, header.motion_at)
    count = len(header.columns)
    block = _by_pandas(path, data, at, count, as_stored=as_stored)
    if block is None:
        block = _by_line(path, data, at, header, declared)
    frames = block.shape[1]
    if frames == 0:
        raise InputError(
            "expected at least one frame, found none", where=declared_at, hint="export it with its animation"
        )
    if frames < LEAST_SHARE * declared:
        raise InputError(
            f"expected {declared} frames as declared, found {frames}",
            where=declared_at,
            hint="most of the file is missing: export or download it again",
        )
    if frames != declared:
        warn(declared_at, f"declares {declared} frames, found {frames}; all {frames} are used")
    return seconds, block


def _motion_head(path: Path | str, data: bytes, at: int) -> tuple[int, str, float, int]:
    """Declared frames and where, frame time in seconds, and the offset of the line after them."""
    frames = _FRAMES.match(data, at)
    if frames is None:
        raise _not_found(path, data, at, "Frames: <number of frames>")
    text = frames[1]
    declared_at = f"{path}:{_line(data, frames.start(1))}"
    if not _WHOLE.fullmatch(text) or float(text) < 0:
        raise InputError(f"expected the number of frames, found {_show(text)}", where=declared_at)
    declared = int(float(text))
    time = _FRAME_TIME.match(data, frames.end())
    if time is None:
        raise _not_found(path, data, frames.end(), "Frame Time: <seconds>")
    where = f"{path}:{_line(data, time.start(1))}"
    try:
        seconds = float(time[1])
    except ValueError:
        hint = "use a decimal point" if b"," in time[1] else "the frame time is one number, in seconds"
        raise InputError(
            f"expected the frame time in seconds, found {_show(time[1])}", where=where, hint=hint
        ) from None
    if not (math.isfinite(seconds) and seconds > 0 and math.isfinite(1 / seconds)):
        raise InputError(
            f"expected a frame time above 0 seconds, found {_show(time[1])}",
            where=where,
            hint="write the true one, for example 0.0333333 for 30 frames per second",
        )
    newline = _NEW_LINE.match(data, time.end())
    return declared, declared_at, seconds, newline.end() if newline else time.end()


def _not_found(path: Path | str, data: bytes, at: int, expected: str) -> InputError:
    rest = data[at : at + 400].split()
    start = data.index(rest[0], at) if rest else len(data)
    found = _show(re.split(rb"[\r\n]", data[start : start + 60])[0]) if rest else "the end of the file"
    return InputError(f"expected {expected}, found {found}", where=f"{path}:{_line(data, start)}")


def _show(text: bytes) -> str:
    return repr(text[:40].decode("utf-8", "replace"))


def _line(data: bytes, at: int) -> int:
    """Number of the line, from 1, that holds offset ``at``."""
    return len(_NEW_LINE.findall(data, 0, at)) + 1


def _by_pandas(path: Path | str, data: bytes, at: int, count: int, *, as_stored: bool) -> Array | None:
    """The block ``(C, T)``, or None if there is anything but rows of ``count`` finite numbers."""
    end = _NEW_LINE.search(data, at)
    first = data[at : end.start() if end else len(data)]
    # A single space is found a fifth faster than white space in general; a later row may still need the general one.
    separators = (" ", r"\s+") if first.split(b" ") == first.split() else (r"\s+",)
    for separator in separators:
        block = _table(path, data, at, count, separator, as_stored=as_stored)
        if block is not None:
            return block if np.isfinite(block.sum()) else None
    return None


def _table(path: Path | str, data: bytes, at: int, count: int, separator: str, *, as_stored: bool) -> Array | None:
    import pandas as pd  # here, since it is slow to import

    source: str | BytesIO = str(Path(path).absolute()) if as_stored else BytesIO(data[at:])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows that are too long
            table = pd.read_csv(
                source,
                sep=separator,
                header=None,
                names=range(count),
                index_col=False,
                dtype=np.float64,
                engine="c",
                quoting=3,
                na_filter=False,  # an empty field, so a short row, is then an error and not NaN
                skiprows=_line(data, at) - 1 if as_stored else 0,
                compression=None,
            )
    except (ValueError, OverflowError, pd.errors.ParserWarning):
        return None
    return table.to_numpy().T


def _by_line(path: Path | str, data: bytes, at: int, header: Header, declared: int) -> Array:
    """The block ``(C, T)`` read slowly, for the sake of the message.

    Rows that are wrapped, or several on a line, are accepted with a warning as long as every line holds whole frames or
    a piece of one: then nothing can have shifted.
    """
    count, first = len(header.columns), _line(data, at)
    numbers: list[int] = []
    rows: list[Array] = []
    fault: InputError | None = None
    for number, line in enumerate(_NEW_LINE.split(data[at:]), first):
        words = line.split()
        if not words:
            continue
        row = _numbers(words)
        if row is None:
            fault = _fault(f"{path}:{number}", words, len(rows), header)
            break
        numbers.append(number)
        rows.append(row)
    lengths = np.array([len(row) for row in rows], dtype=int)
    odd = np.flatnonzero(lengths != count)
    if fault is None and not odd.size:
        return np.array(rows).reshape(-1, count).T
    ends = np.cumsum(lengths)
    begins = ends - lengths
    whole = (begins % count == 0) & (ends % count == 0)
    piece = begins // count == (ends - 1) // count
    wrapped = bool((whole | piece).all())
    if fault is None and wrapped and ends[-1] == declared * count:
        warn(f"{path}:{first}", f"rows of {count} values are spread over other lines than one a frame")
        return np.concatenate(rows).reshape(-1, count).T
    where = int(odd[0]) if odd.size else len(rows)
    hint = None
    if where >= declared:
        hint = f"the {declared} declared frames are complete: delete what follows them"
    elif where == len(rows) - 1 and lengths[where] < count:
        hint = f"the file is cut off: delete the last line and declare {where} frames, or export it again"
    if fault is not None and (not odd.size or (wrapped and where < declared)):
        fault.hint = fault.hint or hint
        raise fault
    raise InputError(f"expected {count} values, found {lengths[where]}", where=f"{path}:{numbers[where]}", hint=hint)


def _numbers(words: list[bytes]) -> Array | None:
    """Finite numbers, or None; Python's own reading allows 1_000, which no BVH means."""
    try:
        row = np.array([float(word) for word in words])
    except ValueError:
        return None
    return row if np.isfinite(row).all() and not any(b"_" in word for word in words) else None


def _fault(where: str, words: list[bytes], frame: int, header: Header) -> InputError:
    """The error about the first of ``words`` that is no finite number."""
    i, word = next((i, word) for i, word in enumerate(words) if _numbers([word]) is None)
    hint = None
    if b"," in word:
        hint = "use decimal points, and spaces between the values"
    elif b"-" in word[1:] and word[:1].isdigit():
        hint = "a space is missing before the minus sign"
    return InputError(
        f"expected a finite number, found {_show(word)} (frame {frame + 1}, value {i + 1}: {header.column(i)})",
        where=where,
        hint=hint,
    )
