"""The viewer and a saved page in a real headless Chromium; skipped where there is none."""

from __future__ import annotations

import io
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import page as pages
from pipeline import playlist

ROOT = Path(__file__).resolve().parents[1]
POLICY = ROOT / "policies" / "humanoid" / "walk"
WAVE = ROOT / "raw_mocap" / "wave.keyframes.toml"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
WIDTH = 960
"""pixels of a browser window, the controls included"""
WAIT = 60_000
"""milliseconds for something to happen in a browser that draws without a graphics card"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *(["--no-sandbox"] if root else [])])
        yield started
        started.close()


class Tab:
    """A page that notes what goes wrong in it and what it asks the network for."""

    def __init__(self, browser, **options):
        self.context = browser.new_context(viewport={"width": WIDTH, "height": 480}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda told: self.wrong.append(told.text) if told.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def pixels(self) -> np.ndarray:
        """(H, W, 3) of the scene, left of the controls."""
        shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        return np.asarray(shot, dtype=int)[:, : WIDTH - 390]

    def wait(self, true: Callable[[], bool], what: str) -> None:
        for _ in range(WAIT // 100):
            if true():
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"in {WAIT} ms {what} did not happen")


def blue(pixels: np.ndarray) -> np.ndarray:
    """Which pixels (H, W) are of the body: more blue than red, and neither white nor grey."""
    return pixels[..., 2] - pixels[..., 0] > 50


def orange(pixels: np.ndarray) -> np.ndarray:
    """Which pixels (H, W) are of a link in contact."""
    return pixels[..., 0] - pixels[..., 2] > 60


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Starts a viewer of some paths, and stops it at the end."""
    pytest.importorskip("viser", reason="the viewer is an extra")
    from pipeline import viewer as module

    monkeypatch.setattr(module, "RATE", 20.0)  # a browser that draws on the processor need not keep up with more
    running: list = []

    def start(*paths: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        made = module.Viewer(playlist.find(paths), host="127.0.0.1", port=port)
        thread = threading.Thread(target=made.run, daemon=True)
        thread.start()
        running.append((made, thread))
        return made

    yield start
    for made, thread in running:
        made.stop()
        thread.join(10)


def check_unharmed(tab: Tab, viewer) -> None:
    """Nothing went wrong in the browser, and it asked for nothing from outside."""
    own = (viewer.url, "blob:", "data:", viewer.url.replace("http", "ws"))
    assert tab.wrong == []
    assert [url for url in tab.asked if not url.startswith(own)] == []


def test_the_viewer_plays_scrubs_and_switches(browser, serve):
    viewer = serve(POLICY / "clip.json", WAVE)
    tab = Tab(browser)
    page = tab.page
    page.goto(viewer.url)
    page.get_by_text("walk on humanoid").wait_for()
    tab.wait(
        lambda: blue(tab.pixels()).sum() > 300 and orange(tab.pixels()).sum() > 20, "the body being drawn, a foot lit"
    )
    before = viewer.seconds
    tab.wait(lambda: viewer.seconds > before + 0.1, "playing")

    page.get_by_role("button", name="Pause").click()
    tab.wait(lambda: not viewer.playing, "pausing")
    slider = page.get_by_role("slider").first

    def scrubbed() -> bool:  # a key pressed while the page still draws the last update is lost
        slider.focus()
        slider.press("Home")
        return viewer.seconds < 0.05

    tab.wait(scrubbed, "scrubbing to the start")
    page.wait_for_timeout(1000)
    first = tab.pixels()

    def at_the_end() -> bool:
        slider.press("End")
        return viewer.seconds > 0.9 * viewer.take.duration

    tab.wait(at_the_end, "scrubbing to the end")
    tab.wait(lambda: (np.abs(tab.pixels() - first).max(axis=2) > 40).sum() > 100, "the picture changing")

    picker = page.get_by_label("Clip")
    picker = picker.first if picker.count() else page.get_by_role("textbox").first
    picker.click()
    page.get_by_role("option", name="wave.keyframes.toml", exact=True).last.click()
    tab.wait(lambda: viewer.take.name.startswith("wave"), "switching to the keyframes")
    page.get_by_text("wave on humanoid").wait_for()
    check_unharmed(tab, viewer)
    tab.context.close()


def test_a_running_policy_is_pushed(browser, serve):
    pytest.importorskip("torch", reason="policies need torch")
    viewer = serve(POLICY)
    tab = Tab(browser)
    page = tab.page
    page.goto(viewer.url)
    page.get_by_text("policy humanoid/walk").wait_for()
    tab.wait(lambda: viewer.live.done > 10, "the policy performing")
    page.get_by_role("button", name="Push").click()
    tab.wait(
        lambda: any(np.linalg.norm(viewer.live.force(k)) > 0 for k in range(viewer.live.done + 1)),
        "the policy being pushed",
    )
    check_unharmed(tab, viewer)
    tab.context.close()


def test_a_saved_page_plays_without_a_network(browser, tmp_path: Path):
    path = pages.write(playlist.find([POLICY / "clip.json", WAVE]), tmp_path / "page.html")
    tab = Tab(browser, offline=True)
    page = tab.page
    page.goto(path.as_uri())
    tab.wait(lambda: page.evaluate("window.mimic && mimic.drawn > 2"), "the page following")
    now = page.evaluate("mimic.seconds")
    tab.wait(lambda: page.evaluate(f"mimic.seconds > {now} + 0.1"), "the page following")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("slider").fill("0")
    tab.wait(lambda: page.evaluate("!mimic.playing && mimic.seconds === 0"), "the page following")
    page.wait_for_timeout(300)
    first = tab.pixels()
    assert blue(first).sum() > 1000
    assert orange(first).sum() > 50  # a foot stands in every frame of a walk
    page.get_by_role("slider").fill("0.6")
    page.get_by_text("t = 0.60 s").wait_for()
    tab.wait(lambda: (np.abs(tab.pixels() - first).max(axis=2) > 40).sum() > 100, "the picture changing")
    page.get_by_role("combobox", name="clip").select_option(index=1)
    tab.wait(lambda: page.evaluate("mimic.take.name.startsWith('wave')"), "the page following")
    assert "wave" in page.locator("#title").inner_text()
    assert not tab.wrong
    assert tab.asked == [path.as_uri()]
    tab.context.close()
