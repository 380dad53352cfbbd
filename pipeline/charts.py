"""The viewer's curves: uPlot charts with a line at the present time."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import viser
from viser import uplot

from motion.rotation import Array
from pipeline.panels import Panel
from pipeline.plots import COLOURS
from pipeline.takes import Take

POINTS = 600
"""of a curve that are sent"""
HEIGHT = 150
"""pixels of a chart"""
PADDING = (10, 24, 0, 0)
"""pixels above, right of, below and left of its lines: a number at the upper end is not cut"""
MARGIN = 0.1
"""of the values' span, above and below"""
NOW = "#333333"


class Charts:
    """The charts of a take, in the folder that is open when it is made."""

    def __init__(self, gui: viser.GuiApi):
        self._gui = gui
        self._folder = gui.add_folder("Curves")
        self._panels: tuple[Panel, ...] = ()
        self._made: list[tuple[Panel, Any]] = []
        self._take: Take | None = None
        self._at = 0.0
        self._lock = threading.Lock()

    def show(self, take: Take) -> None:
        """The curves of a take, as soon as they are computed."""
        with self._lock:
            self._take, self._panels = take, ()
        self._clear()

        def compute() -> None:
            panels = take.panels()
            with self._lock:
                if self._take is take:
                    self._panels = panels

        if take.kind == "policy":
            self._panels = take.panels()
        else:
            threading.Thread(target=compute, daemon=True).start()

    def mark(self, seconds: float) -> None:
        """Draw a line at a time; a policy's curves grow."""
        if self._made and seconds == self._at:
            return
        self._at = seconds
        if self._take is not None and self._take.kind == "policy":
            self._panels = self._take.panels()
        with self._lock:
            panels = self._panels
        if [_kind(panel) for panel in panels] != [_kind(panel) for panel, _ in self._made]:
            self._clear()
            with self._folder:
                self._made = [(panel, self._add(panel, seconds)) for panel in panels]
            return
        # a chart that is replaced while a page loads is told of its successor's data only: where other curves are shown,
        # such as the joints nearest to their limits, it is relabelled
        for panel, (before, chart) in zip(panels, self._made, strict=True):
            if list(panel.curves) != list(before.curves):
                chart.series = series(panel)
            chart.data = data(panel, seconds)
            low, high = span(panel)
            drawn = chart.scales["y"]["range"]
            if low < drawn[0] or high > drawn[1]:
                chart.scales = self._scales(min(low, drawn[0]), max(high, drawn[1]))
        self._made = [(panel, chart) for panel, (_, chart) in zip(panels, self._made, strict=True)]

    def _clear(self) -> None:
        for _, chart in self._made:
            chart.remove()
        self._made = []

    def _add(self, panel: Panel, seconds: float) -> Any:
        unit = f" ({panel.unit})" if panel.unit else ""
        return self._gui.add_uplot(
            data(panel, seconds),
            series(panel),
            title=f"{panel.title}{unit}",
            scales=self._scales(*span(panel)),
            axes=(uplot.Axis(label="s", labelSize=16, size=28), uplot.Axis(size=44)),
            legend=uplot.Legend(live=False),
            cursor=uplot.Cursor(drag=uplot.Cursor_Drag(x=True, y=False)),
            height=HEIGHT,
            padding=PADDING,
        )

    def _scales(self, low: float, high: float) -> dict[str, uplot.Scale]:
        """The take's whole time, and a little more than the values: uPlot's own range does not know NaN."""
        more = MARGIN * max(high - low, 1e-3)
        whole = self._take.duration if self._take else 1.0
        return {"x": uplot.Scale(time=False, range=(0.0, whole)), "y": uplot.Scale(range=(low - more, high + more))}


def _kind(panel: Panel) -> tuple[str, int, bool]:
    """What a chart is made for; only its data and the names of its curves change."""
    return panel.title, len(panel.curves), panel.limit is not None


def series(panel: Panel) -> tuple[uplot.Series, ...]:
    """How the columns of `data` are drawn."""
    lines = [
        uplot.Series(label=name, stroke=COLOURS[k % len(COLOURS)], width=1.5) for k, name in enumerate(panel.curves)
    ]
    if panel.limit is not None:
        lines.append(uplot.Series(label="limit" if panel.limit else "ground", stroke="#888888", dash=(4.0, 4.0)))
    return (uplot.Series(label="s"), *lines, uplot.Series(label="now", stroke=NOW, width=1.5))


def data(panel: Panel, seconds: float) -> tuple[Array, ...]:
    """Time, curves, limit and the line at ``seconds``: columns (N + 2,), two rows at that time among the N."""
    step = max(1, -(-len(panel.seconds) // POINTS))
    x = panel.seconds[::step]
    columns = [values[::step] for values in panel.curves.values()]
    at = int(np.searchsorted(x, seconds))
    low, high = span(panel)
    rows = [np.insert(values, at, [np.interp(seconds, x, values)] * 2) for values in columns]
    rows += [np.full(len(x) + 2, panel.limit)] if panel.limit is not None else []
    line = np.insert(np.full(len(x), np.nan), at, [low, high])
    return (np.insert(x, at, [seconds] * 2), *rows, line)


def span(panel: Panel) -> tuple[float, float]:
    """Least and greatest value of a panel, its limit among them."""
    values = np.concatenate([*panel.curves.values(), [0.0 if panel.limit is None else panel.limit]])
    values = values[np.isfinite(values)]
    return float(values.min()), float(values.max())
