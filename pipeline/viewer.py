"""The viewer: a local web page of clips, motions and policies, drawn by viser.

One thread owns the scene and the controls: what a browser asks for is queued and done between two pictures. A part's
mesh is sent once and then moved by transforms. To follow a figure the world moves under it, so that the camera stays the
user's.
"""

from __future__ import annotations

import contextlib
import io
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import viser

from motion.errors import InputError, MimicError
from motion.rotation import Array
from pipeline.charts import Charts
from pipeline.live import Live
from pipeline.playlist import Entry
from pipeline.stage import Stage
from pipeline.takes import Take
from train.push import DIRECTIONS, DURATION

RATE = 60.0
"""pictures a second aimed at"""
READOUT, CURVES = 0.1, 0.25
"""seconds between updates of the slider and the text, and of the curves"""
SPEEDS = ("0.1", "0.25", "0.5", "1", "2")
WAIT = 1.0
"""seconds the end of a take is held before it begins again"""


class Viewer:
    """Shows the entries of a playlist until it is stopped.

    Args:
        engine: physics of policies; the training's by default.

    Raises:
        InputError: the address cannot be served at.
    """

    def __init__(self, entries: Sequence[Entry], *, host: str, port: int, engine: str | None = None):
        check_address(host, port)
        with contextlib.redirect_stdout(io.StringIO()):  # its banner
            self.server = viser.ViserServer(host=host, port=port, label="mimic-pipe", verbose=False)
        self.url = f"http://{'localhost' if host == '0.0.0.0' else host}:{self.server.get_port()}"
        self.entries = {entry.name: entry for entry in entries}
        self.engine = engine
        self.take: Take
        self.live: Live | None = None
        self.seconds, self.playing, self.speed = 0.0, True, 1.0
        """on the take's clock, cycles included"""
        self.pictures = 0
        """drawn so far"""
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stop, self._running = threading.Event(), threading.Lock()
        self._told = self._charted = self._shown = 0.0
        self._changed = False
        self._build()
        try:
            self.open(next(iter(self.entries)))
        except MimicError:
            self._close()
            raise

    def _build(self) -> None:
        """The controls that every take has."""
        server, gui = self.server, self.server.gui
        gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
        gui.main_panel.dock_right()
        self.stage = Stage(server)
        names = tuple(self.entries)
        self._picker = gui.add_dropdown("Clip", names, initial_value=names[0])
        self._on(self._picker, lambda: self.open(self._picker.value))
        self._facts = gui.add_markdown("")
        self._play = gui.add_button("Pause")
        self._on(self._play, self._toggle)
        self._slider = gui.add_slider("Time (s)", 0.0, 1.0, 0.001, 0.0)
        self._on(self._slider, lambda: self.seek(self._slider.value))
        self._speed = gui.add_dropdown("Speed ×", SPEEDS, initial_value="1")
        self._on(self._speed, lambda: setattr(self, "speed", float(self._speed.value)))
        self._readout = gui.add_markdown("")
        with gui.add_folder("Layers"):
            self._layers = self.stage.switches(gui)
            for switch, act in self._layers:
                self._on(switch, act)
        with gui.add_folder("Push", visible=False) as self._push_folder:
            self._direction = gui.add_dropdown("Direction", tuple(DIRECTIONS), initial_value="left")
            self._newtons = gui.add_number(
                "Force (N)", 200.0, min=0.0, max=5000.0, step=20.0, hint=f"for {DURATION:g} s"
            )
            self._on(gui.add_button("Push"), self._push)
            self._on(gui.add_button("Start again"), self._again)
        self._charts = Charts(gui)

    def _on(self, control: Any, act: Callable[[], None]) -> None:
        """Queue an act whenever a browser, not this program, changes a control."""
        register = control.on_click if hasattr(control, "on_click") else control.on_update

        @register
        def _(event: Any) -> None:
            if event.client_id is not None:
                self._asked.put(act)

    def open(self, name: str) -> None:
        """Show an entry from its start; one that cannot be read is told of, and the take before stays."""
        entry = self.entries[name]
        first = not hasattr(self, "take")
        try:
            live = Live(entry.path, engine=self.engine) if entry.kind == "policy" else None
            take = live.take if live else entry.load()
        except MimicError as problem:
            if first:
                raise
            self._facts.content = f"**{name}**: {problem}"
            return
        if self.live:
            self.live.close()
        self.live, self.take, self.seconds = live, take, 0.0
        self._facts.content = "  \n".join((f"**{take.name}**", *take.facts))
        self._slider.max = max(round(take.duration, 3), 0.001)
        self._push_folder.visible = live is not None
        self.stage.show(take)
        self._charts.show(take)
        self.draw(force=True)

    def seek(self, seconds: float) -> None:
        """Show a time of the take, in its first cycle."""
        self.seconds = min(max(seconds, 0.0), self.take.duration)
        self._set_playing(False)

    def _toggle(self) -> None:
        if not self.playing and not self.take.loop and self.seconds >= self._end:
            self.seconds = 0.0
        self._set_playing(not self.playing)

    def _set_playing(self, playing: bool) -> None:
        self.playing = playing
        self._play.label = "Pause" if playing else "Play"

    def _push(self) -> None:
        """Push from the moment that is shown on; what was simulated after it is forgotten."""
        if self.live:
            self.live.go_back(min(int(self.seconds * self.take.fps), self.live.done))
            self.live.push(self._direction.value, float(self._newtons.value))
            self._set_playing(True)

    def _again(self) -> None:
        if self.live:
            self.live.go_back(0)
            self.seconds = 0.0
            self._set_playing(True)

    @property
    def _end(self) -> float:
        """Seconds of the last frame there is."""
        last = self.live.done if self.live else self.take.frames - 1
        return last / self.take.fps

    def advance(self, dt: float) -> None:
        """Do what was asked, and move the time on by ``dt`` seconds of the clock."""
        while not self._asked.empty():
            self._asked.get_nowait()()
            self._changed = True
        if not self.playing:
            return
        self.seconds += self.speed * dt
        if self.live:
            self.live.reach(int(np.ceil(self.seconds * self.take.fps)))
        if self.take.loop or self.seconds <= self._end:
            return
        if self.live and not self.live.over:
            self.seconds = self._end  # physics is slower than the clock
        elif self.seconds > self._end + WAIT * self.speed:
            if self.live:
                self.live.go_back(0)
            self.seconds = 0.0

    def draw(self, force: bool = False) -> None:
        """Send the picture of the present time, and now and then the readout and the curves."""
        shown = min(self.seconds, self._end) if not self.take.loop else self.seconds
        if force or self._changed or shown != self._shown:
            with self.server.atomic():
                self.stage.draw(self.take, shown, self._force(shown))
            self._shown, self._changed = shown, False
            self.pictures += 1
        now = time.monotonic()
        if force or now - self._told > READOUT:
            self._told = now
            self._tell(shown)
        if force or now - self._charted > CURVES:
            self._charted = now
            self._charts.mark(self._in_cycle(shown))

    def _in_cycle(self, seconds: float) -> float:
        return seconds % self.take.duration if self.take.loop else seconds

    def _force(self, seconds: float) -> Array | None:
        """Newtons ``(3,)`` that push a policy's body now."""
        return self.live.force(round(seconds * self.take.fps)) if self.live else None

    def _tell(self, seconds: float) -> None:
        take, now = self.take, self._in_cycle(seconds)
        if self._slider.value != round(now, 3):
            self._slider.value = min(round(now, 3), self._slider.max)
        frame = min(round(now * take.fps), take.frames - 1)
        lit = [name for name, on in zip(take.main.names, take.main.lit[frame], strict=True) if on]
        lines = [f"t = {now:.2f} s · frame {frame} of {take.frames}"]
        lines[0] += f" · phase {take.phase(now):.2f}"
        lines.append(f"on the ground: {', '.join(lit) or 'nothing'}")
        if self.live:
            fell = self.live.fell
            lines.append("up so far" if fell is None else f"**fell after {fell / take.fps:.2f} s**")
        text = "  \n".join(lines)
        if self._readout.content != text:
            self._readout.content = text

    def run(self, seconds: float = float("inf")) -> None:
        """Play for a while, or until `stop`."""
        with self._running:
            start = before = time.monotonic()
            while not self._stop.is_set() and before - start < seconds:
                now = time.monotonic()
                self.advance(now - before)
                before = now
                self.draw()
                self._stop.wait(max(0.0, 1.0 / RATE - (time.monotonic() - now)))

    def stop(self) -> None:
        """End `run`, and free the port."""
        self._stop.set()
        with self._running:  # the picture being drawn is the last
            self._close()

    def _close(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()
        if self.live:
            self.live.close()


def check_address(host: str, port: int) -> None:
    """Raise InputError if nothing can be served at an address."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot serve there: {reason}", where=f"{host}:{port}", hint="choose another with --port or --host"
        ) from error
