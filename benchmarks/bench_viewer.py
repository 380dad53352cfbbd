"""How fast the viewer is: time to open a long clip, updates a second it sends, pictures a second a browser draws.

    python benchmarks/bench_viewer.py [--browser]

The browser is a headless Chromium, drawing without a graphics card where there is none.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import viser
from websockets.sync.client import connect

from characters.character import Character, available
from motion.clip import Trajectory
from pipeline import playlist
from pipeline.viewer import Viewer

FRAMES, FPS = 10_000, 120.0
MEASURED = 5.0
"""seconds"""
ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def long_clip(folder: Path, name: str) -> Path:
    """A trajectory of `FRAMES` frames on a body: it sways about its rest pose while it moves forward."""
    body = Character.load(name)
    layout, seconds = body.layout, np.arange(FRAMES) / FPS
    tangent = 0.1 * np.sin(2.0 * seconds[:, None] + np.arange(layout.nv))
    tangent[:, 0] = seconds
    qpos = layout.continuous(layout.integrate(np.tile(body.rest, (FRAMES, 1)), tangent))
    contacts = {foot: np.sin(6.0 * seconds + k) > 0 for k, foot in enumerate(body.feet)}
    path = folder / f"{name}.npz"
    Trajectory(f"long {name}", name, body.specs, FPS, qpos, contacts).save(path)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def sent(viewer: Viewer) -> tuple[float, float, float]:
    """Pictures made, messages received and megabits a second, with one client that reads all; a message is a picture,
    or several where the client or the network is slower."""
    stop, size, count = threading.Event(), [0], [0]

    def read() -> None:
        url = viewer.url.replace("http", "ws")
        with connect(url, subprotocols=[f"viser-v{viser.__version__}"], max_size=None, compression=None) as client:
            while not stop.is_set():
                try:
                    size[0] += len(client.recv(timeout=0.5))
                    count[0] += 1
                except TimeoutError:
                    continue

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    viewer.run(2.0)
    pictures, before, messages, start = viewer.pictures, size[0], count[0], time.perf_counter()
    viewer.run(MEASURED)
    took = time.perf_counter() - start
    stop.set()
    reader.join()
    return (viewer.pictures - pictures) / took, (count[0] - messages) / took, (size[0] - before) * 8e-6 / took


def drawn(viewer: Viewer) -> float:
    """Pictures a second a headless Chromium draws."""
    from playwright.sync_api import sync_playwright

    thread = threading.Thread(target=viewer.run, daemon=True)
    thread.start()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(viewer.url)
        page.wait_for_timeout(5000)
        count = "new Promise(done => { let n = 0, end = performance.now() + 5000;"
        count += (
            " const tick = () => performance.now() < end ? (n++, requestAnimationFrame(tick)) : done(n / 5); tick(); })"
        )
        rate = page.evaluate(count)
        browser.close()
    return float(rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", action="store_true", help="Also the drawn rate of the four bodies side by side.")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [long_clip(folder, body) for body in available()]
        (one,) = playlist.find(paths[:1])
        start = time.perf_counter()
        viewer = Viewer([one], host="127.0.0.1", port=free_port())
        print(f"opens {FRAMES:,} frames of {paths[0].stem} in {time.perf_counter() - start:.2f} s")
        rate, messages, bits = sent(viewer)
        print(f"makes {rate:.0f} pictures/s of it and sends {messages:.0f} messages/s, {bits:.1f} Mbit/s")
        viewer.stop()
        everything = playlist.together(playlist.find(paths))[:1]
        start = time.perf_counter()
        viewer = Viewer(everything, host="127.0.0.1", port=free_port())
        print(f"opens {len(paths)} bodies side by side in {time.perf_counter() - start:.2f} s")
        rate, messages, bits = sent(viewer)
        print(f"makes {rate:.0f} pictures/s of them and sends {messages:.0f} messages/s, {bits:.1f} Mbit/s")
        if wanted.browser:
            print(f"headless Chromium, 1280×720, draws {drawn(viewer):.1f} pictures/s of them")
        viewer.stop()


if __name__ == "__main__":
    main()
