"""What the commands print: results on stdout (a table on a terminal, plain text or JSON otherwise), the rest on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from motion.errors import MimicError

if TYPE_CHECKING:
    from characters.check import Finding


def emit_json(data: Any) -> None:
    """One JSON value on one line of stdout: several results are JSON Lines."""
    print(json.dumps(data, ensure_ascii=False, allow_nan=False), flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Rows on stdout: a rich table on a terminal, aligned plain columns otherwise."""
    cells = [[show(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        rich_table = Table(*columns, title=title, title_justify="left")
        for row in cells:
            rich_table.add_row(*(_coloured(escape(cell)) for cell in row))
        Console().print(rich_table)
        return
    if title:
        print(title)
    grid = [list(columns), *cells] if any(columns) else cells
    widths = [max(len(row[i]) for row in grid) for i in range(len(columns))]
    for row in grid:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def facts(pairs: Iterable[tuple[str, object]], *, title: str | None = None) -> None:
    """Names and values, a line each."""
    table(("", ""), [(key, value) for key, value in pairs], title=title)


def show(value: object) -> str:
    """A value as a person reads it."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}" if math.isfinite(value) else str(value)
        case list() | tuple():
            return ", ".join(show(item) for item in value)
        case dict():
            return ", ".join(f"{key} {show(item)}" for key, item in value.items())
    return str(value)


def findings(found: Iterable[Finding]) -> None:
    """What is wrong with a body: a line each, and its fix."""
    for finding in found:
        print(f"{finding.severity}: {finding}")
        print(f"    fix: {finding.fix}")


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 48 s, 12 min, 3.5 h."""
    if not math.isfinite(seconds):
        return "?"
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def note(text: str) -> None:
    """A line on stderr."""
    print(" ".join(text.split()), file=sys.stderr, flush=True)


def error(problem: MimicError) -> None:
    """An error on stderr: one line, and a hint."""
    note(str(problem))
    if problem.hint:
        note(f"hint: {problem.hint}")


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show on a terminal's stderr that something takes a while."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


@contextmanager
def progress(text: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal's stderr; gives what to call with steps done and in all, None where there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


COLOURS = {
    "pass": "green",
    "good": "green",
    "done": "green",
    "fail": "bold red",
    "poor": "bold red",
    "failed": "bold red",
}


def _coloured(cell: str) -> str:
    colour = COLOURS.get(cell)
    return f"[{colour}]{cell}[/]" if colour else cell
