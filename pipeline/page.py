"""A saved page: takes in one HTML file that plays in any browser with WebGL 2, without a server, and fetches nothing.

viser's own recording would be five to fifty times as large and knows no picker, no curves and no following camera, so
this is a small player of our own (page.js) and numbers beside it: positions as 16-bit integers around the root's path,
quaternions as 16-bit integers, all of it compressed.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from motion import files
from pipeline.live import Live
from pipeline.panels import Panel
from pipeline.playlist import Entry
from pipeline.scene import smooth
from pipeline.solids import Mesh
from pipeline.takes import Layer, Take, heading

RATE = 60.0
"""frames a second that are kept at least; the player draws between them"""
FULL = 32767
"""the largest 16-bit integer"""
POINTS = 800
"""of a curve that are kept at most"""
KINDS = {"f4": np.float32, "i2": np.int16, "u2": np.uint16, "u1": np.uint8}


class _Packer:
    """Arrays one after another, each where its numbers may begin; (kind, offset, length) finds one again."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._known: dict[tuple[str, bytes], list[Any]] = {}

    def add(self, kind: str, values: np.ndarray) -> list[Any]:
        array = np.ascontiguousarray(values, dtype=KINDS[kind])
        content = array.tobytes()
        if (kind, content) in self._known:
            return self._known[kind, content]
        gap = -self._size % array.itemsize
        place = [kind, self._size + gap, array.size]
        self._parts += [bytes(gap), content]
        self._size += gap + len(content)
        self._known[kind, content] = place
        return place

    def text(self) -> str:
        return base64.b64encode(gzip.compress(b"".join(self._parts), compresslevel=9, mtime=0)).decode("ascii")


def write(entries: Sequence[Entry], path: Path | str, *, engine: str | None = None) -> Path:
    """Write a page of a playlist's entries; a policy is performed once, to its end or a while after its fall.

    Raises:
        InputError: an entry cannot be read, or the page cannot be written.
    """
    path = Path(path)
    files.write_text(path, text([_take(entry, engine) for entry in entries]))
    return path


def text(takes: Sequence[Take]) -> str:
    """The page of some takes."""
    packer = _Packer()
    head = {"takes": [_head(_thinned(take), take.panels(), packer) for take in takes]}
    inner = json.dumps(head, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    here = resources.files("pipeline")
    title = takes[0].name if len(takes) == 1 else f"{len(takes)} motions"
    parts = {
        "title": html.escape(title),
        "head": inner,
        "data": packer.text(),
        "script": (here / "page.js").read_text("utf-8"),
    }
    return re.sub(r"{{(\w+)}}", lambda word: parts[word[1]], (here / "page.html").read_text("utf-8"))


def _take(entry: Entry, engine: str | None) -> Take:
    if entry.kind != "policy":
        return entry.load()
    live = Live(entry.path, engine=engine)
    try:
        while not live.over:
            live.reach(live.frames)
        fell = "stayed up" if live.fell is None else f"fell after {live.fell / live.take.fps:.2f} s"
        rows, step = slice(0, live.done + 1), 1.0 / live.take.fps
        layers = (_rows(layer, rows) for layer in live.take.layers)
        layers = tuple(replace(layer, path=smooth(layer.path, step)) for layer in layers)
        panels = live.panels()
        return replace(live.take, layers=layers, facts=(*live.take.facts, fell), panels=lambda: panels)
    finally:
        live.close()


def _rows(layer: Layer, rows: slice) -> Layer:
    arrays = {name: getattr(layer, name)[rows] for name in ("positions", "rotations", "lit", "path")}
    return replace(layer, **arrays)


def _thinned(take: Take) -> Take:
    """With every n-th frame only, as long as `RATE` is kept and a loop stays whole."""
    step = max(int(take.fps / RATE + 1e-3), 1)
    while take.loop and take.frames % step:
        step -= 1
    return replace(
        take, fps=take.fps / step, layers=tuple(_rows(layer, slice(None, None, step)) for layer in take.layers)
    )


def _head(take: Take, panels: Sequence[Panel], packer: _Packer) -> dict[str, Any]:
    return {
        "name": take.name,
        "kind": take.kind,
        "fps": take.fps,
        "frames": take.frames,
        "duration": take.duration,
        "loop": take.loop,
        "period": take.period or take.duration,
        "facts": take.facts,
        "heading": heading(take.main),
        "layers": [_layer(layer, packer) for layer in take.layers],
        "panels": [_panel(panel, packer) for panel in panels],
    }


def _layer(layer: Layer, packer: _Packer) -> dict[str, Any]:
    around = layer.positions - layer.path[:, None] * [1.0, 1.0, 0.0]
    unit = max(float(np.abs(around).max()), 1e-6) / FULL
    return {
        "name": layer.name,
        "label": layer.label,
        "names": layer.names,
        "height": layer.height,
        "opacity": layer.opacity,
        "aside": layer.aside[:2].tolist(),
        "translation": layer.cycle.translation[:2].tolist(),
        "yaw": layer.cycle.yaw,
        "unit": unit,
        "parts": [_mesh(mesh, packer) for mesh in layer.meshes],
        "colours": packer.add("u1", np.round(255 * layer.colours)),
        "path": packer.add("f4", layer.path[:, :2]),
        "positions": packer.add("i2", np.round(around / unit)),
        "rotations": packer.add("i2", np.round(layer.rotations * FULL)),
        "lit": packer.add("u1", layer.lit),
    }


def _mesh(mesh: Mesh, packer: _Packer) -> list[list[Any]]:
    return [packer.add("f4", mesh.vertices), packer.add("u2", mesh.faces)]


def _panel(panel: Panel, packer: _Packer) -> dict[str, Any]:
    every = max(1, -(-len(panel.seconds) // POINTS))
    seconds = panel.seconds[::every]
    curves = [{"name": n, "values": packer.add("f4", values[::every])} for n, values in panel.curves.items()]
    step = float(seconds[1] - seconds[0]) if len(seconds) > 1 else 1.0
    return {"title": panel.title, "unit": panel.unit, "limit": panel.limit, "step": step, "curves": curves}
