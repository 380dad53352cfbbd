"""Films: a camera that follows each body, its picture at each instant, and the files they are written to."""

from __future__ import annotations

import io
import math
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from motion.clip import Clip
from motion.errors import InputError
from motion.rotation import Array
from pipeline.figure import CONTACT
from pipeline.ground import Ground
from pipeline.raycast import Block, Camera, Capsules, draw
from pipeline.scene import Scene

FIELD_OF_VIEW = math.radians(26)
TILE = 0.5
"""metres, side of a ground square of a body 1.7 m tall; of a loop, the nearest side that repeats with the cycle"""
GIF_FASTEST = 50.0
"""pictures per second: browsers slow down a GIF with less than two hundredths of a second each"""
ACROSS, UPRIGHT = 0.90, 0.82
"""share of a picture's width and height that figures fill at most"""
GAP = 0.25
"""of the tallest body's height: room between neighbours in a row"""
INK, FAINT = (52, 58, 68), (120, 126, 136)
PALETTE_PICTURES, SWATCH_ROWS = 4, 60
"""what a palette is made from: pictures of a GIF, and rows of pixels in shades of the contact colour"""
MANY = 40
"""pictures below which worker processes are not worth their start, about a second"""
AHEAD = 4
"""pictures each worker may be ahead of the film's file"""

Progress = Callable[[int, int], None]


class Pictures(Protocol):
    """A film's pictures, in any order."""

    size: tuple[int, int]

    def __len__(self) -> int: ...

    def picture(self, frame: int) -> np.ndarray:
        """(H, W, 3) uint8"""
        ...


class Film:
    """A camera that follows the body, and beside it the source; distance and height fit all pictures.

    Args:
        tile: metres, side of a ground square.
        distance: metres of the camera; by default as near as all pictures allow.
        level: (2,) least and greatest coordinate along the camera's up axis that is framed, metres from the camera's path.
        clock, legend: whether time and the colour of contacts are told.
    """

    def __init__(
        self,
        scene: Scene,
        size: tuple[int, int],
        tile: float,
        *,
        distance: float | None = None,
        level: Array | None = None,
        clock: bool = True,
        legend: bool = True,
    ):
        self.scene, self.size, self.clock, self.legend = scene, size, clock, legend
        focal = focal_of(size)
        axes = scene.camera(focal, size, distance=1.0, parallel=False).axes
        self._shifts = beside(scene, axes[0])
        low, high = bounds(scene, axes, self._shifts)
        if level is not None:
            low[1], high[1] = level
        if distance is None:
            room = np.array([0.5 * ACROSS * size[0], 0.5 * UPRIGHT * size[1]]) / focal
            distance = float((0.5 * (high - low)[:2] / room).max() - low[2])
        middle = 0.5 * (low + high)[:2] @ axes[:2] - 0.02 * distance * axes[1]
        self.camera = scene.camera(focal, size, distance=distance, parallel=False).moved(middle)
        reach = (1.1 * distance, 1.1 * distance)
        self.ground = Ground(self.camera, tile=tile, heading=scene.heading, middle=np.zeros(2), reach=reach)
        self._labels = [
            (name, float(self.camera.project(shift[0] - scene.paths[-1][0] + shown.root[0])[0]))
            for name, shown, shift in zip(scene.names, scene.figures, self._shifts, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.scene.seconds)

    def view(self, frame: int) -> Camera:
        """The camera of a picture."""
        return self.camera.moved(self.scene.paths[-1][frame])

    def picture(self, frame: int) -> np.ndarray:
        """(H, W, 3) uint8"""
        scene = self.scene
        parts = [shown.at(frame, shift[frame]) for shown, shift in zip(scene.figures, self._shifts, strict=True)]
        camera, solids = self.view(frame), joined(parts)
        canvas = self.ground.picture(camera, *solids)
        draw(canvas, camera, *solids)
        image = to_image(canvas)
        pen, unit = ImageDraw.Draw(image), self.size[1] / 360
        corner = self.size[1] - 12 * unit
        for name, column in self._labels:
            pen.text((column, corner), name, INK, font(15 * unit), anchor="ms")
        if self.clock:
            right, text = self.size[0] - 12 * unit, f"{scene.seconds[frame]:.2f} s"
            pen.text((right, corner), text, FAINT, font(13 * unit), anchor="rs")
        if self.legend:
            draw_legend(pen, 14 * unit, corner, unit)
        return np.asarray(image)


class Row:
    """Bodies side by side, all to one scale, each followed by its own camera over its own ground."""

    def __init__(self, scenes: Sequence[Scene], size: tuple[int, int], tiles: Sequence[float]):
        self.size, focal = size, focal_of(size)
        axes = [scene.camera(focal, size, distance=1.0, parallel=False).axes for scene in scenes]
        framed = [bounds(scene, axis, beside(scene, axis[0])) for scene, axis in zip(scenes, axes, strict=True)]
        widths = np.array([high[0] - low[0] for low, high in framed]) + GAP * max(scene.height for scene in scenes)
        level = np.array([min(low[1] for low, _ in framed), max(high[1] for _, high in framed)])
        near = min(low[2] for low, _ in framed)
        distance = focal * max(widths.sum() / size[0], (level[1] - level[0]) / (UPRIGHT * size[1])) - near
        self._legend_at = (14 * size[1] / 360, 24 * size[1] / 360)
        edges = np.round(size[0] * np.concatenate([[0.0], np.cumsum(widths / widths.sum())])).astype(int)
        last = len(scenes) - 1
        self.films = [
            Film(
                scene,
                (int(edges[k + 1] - edges[k]), size[1]),
                tile,
                distance=float(distance),
                level=level,
                clock=k == last,
                legend=False,
            )
            for k, (scene, tile) in enumerate(zip(scenes, tiles, strict=True))
        ]

    def __len__(self) -> int:
        return len(self.films[0])

    def picture(self, frame: int) -> np.ndarray:
        """(H, W, 3) uint8"""
        image = Image.fromarray(np.concatenate([film.picture(frame) for film in self.films], axis=1))
        draw_legend(ImageDraw.Draw(image), *self._legend_at, self.size[1] / 360)
        return np.asarray(image)


def focal_of(size: tuple[int, int]) -> float:
    """Pixels per unit of tangent; it goes with the picture's height."""
    return 0.5 * size[1] / math.tan(0.5 * FIELD_OF_VIEW)


def bounds(scene: Scene, axes: Array, shifts: list[Array]) -> tuple[Array, Array]:
    """Least and greatest (3,) coordinates of all figures along the camera's ``axes`` (3, 3), measured from its path."""
    lows, highs = [], []
    for axis in axes:
        ends = []
        for shown, shift in zip(scene.figures, shifts, strict=True):
            low, high = shown.extent(axis)
            offset = (shift - scene.paths[-1]) @ axis
            ends.append(((low + offset).min(), (high + offset).max()))
        lows.append(min(low for low, _ in ends))
        highs.append(max(high for _, high in ends))
    return np.array(lows), np.array(highs)


def beside(scene: Scene, right: Array) -> list[Array]:
    """How far each figure is moved ``(T, 3)``: the source left of the body, going along, always clear of it."""
    if len(scene.figures) == 1:
        return [np.zeros_like(scene.paths[0])]
    source, body = scene.figures
    left = body.extent(right)[0] - scene.paths[1] @ right
    room = source.extent(right)[1] - scene.paths[0] @ right
    gap = left.min() - room.max() - 0.12 * scene.height
    follow = scene.paths[1] - scene.paths[0]
    mean = follow.mean(axis=0)
    if np.linalg.norm(follow - mean, axis=1).max() < 0.2 * scene.height:
        follow = np.broadcast_to(mean, follow.shape)
    return [follow + gap * right, np.zeros_like(follow)]


def tile_of(clip: Clip, height: float) -> float:
    """Side of the ground's squares in metres; two of them a whole number of times in a loop's travel, so that it repeats."""
    side = TILE * height / 1.7
    travel = float(np.hypot(*clip.cycle_offset.translation[:2])) if clip.loop else 0.0
    return travel / (2 * round(travel / (2 * side))) if travel > side else side


def draw_legend(pen: ImageDraw.ImageDraw, x: float, y: float, unit: float) -> None:
    """What orange means."""
    colour = tuple(int(255 * c) for c in CONTACT)
    pen.ellipse((x, y - 10 * unit, x + 9 * unit, y - 1 * unit), fill=colour)
    pen.text((x + 15 * unit, y), "contact", FAINT, font(13 * unit), anchor="ls")


def font(height: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Of a height in pixels, never unreadably small."""
    return ImageFont.load_default(max(round(height), 8))


def joined(parts: list[tuple[Capsules, list[Block]]]) -> tuple[Capsules, list[Block]]:
    """The solids of several figures as one."""
    capsules = Capsules(
        *(np.concatenate([getattr(c, name) for c, _ in parts]) for name in ("start", "end", "radius", "colour"))
    )
    return capsules, [block for _, blocks in parts for block in blocks]


def to_image(canvas: np.ndarray) -> Image.Image:
    """A picture ``(H, W, 3)`` of floats in [0, 1]."""
    return Image.fromarray((np.clip(canvas, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))


def pictures(film: Pictures, workers: int = 1, progress: Progress | None = None) -> Iterator[np.ndarray]:
    """All pictures in order, drawn by ``workers`` processes; the same bytes however many there are."""
    total = len(film)
    workers = min(workers, total)
    if workers < 2 or total < MANY:
        for frame in range(total):
            yield film.picture(frame)
            if progress:
                progress(frame + 1, total)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork may inherit a lock of a thread that is not there any more
    with ProcessPoolExecutor(workers, spawn, _keep, (film,)) as pool:
        waiting = [pool.submit(_drawn, frame) for frame in range(min(AHEAD * workers, total))]
        for frame in range(total):
            yield waiting.pop(0).result()
            if progress:
                progress(frame + 1, total)
            if frame + AHEAD * workers < total:
                waiting.append(pool.submit(_drawn, frame + AHEAD * workers))


_kept: Pictures
"""of a worker process: the film it draws"""


def _keep(film: Pictures) -> None:
    global _kept
    _kept = film


def _drawn(frame: int) -> np.ndarray:
    return _kept.picture(frame)


def palette_of(images: Sequence[np.ndarray], colours: int = 256) -> Image.Image:
    """A palette for pictures ``(H, W, 3)`` of one width that does not lose the contacts' colour, rare as it is."""
    width = images[0].shape[1]
    shades = np.multiply.outer(np.linspace(0.35, 1.0, 24), 255 * CONTACT)
    swatch = np.repeat(np.repeat(shades[:, None], width // 24 + 1, 0).reshape(1, -1, 3), SWATCH_ROWS, 0)
    every = np.concatenate([swatch[:, :width].astype(np.uint8), *images])
    return Image.fromarray(every).quantize(colours, Image.Quantize.MEDIANCUT)


def gif(film: Pictures, rate: float, out: Path, *, workers: int = 1, progress: Progress | None = None) -> bytes:
    """One palette for all pictures and no dithering: no flicker, and a small file."""
    if rate > GIF_FASTEST + 1e-6:
        raise InputError(f"expected at most {GIF_FASTEST:.0f} pictures a second in a GIF, found {rate:.1f}", where=out)
    ends = np.round(100 / rate * np.arange(len(film) + 1))
    some = np.unique(np.linspace(0, len(film) - 1, PALETTE_PICTURES).astype(int))
    palette = palette_of([film.picture(int(k)) for k in some])
    indexed = (
        Image.fromarray(p).quantize(palette=palette, dither=Image.Dither.NONE)
        for p in pictures(film, workers, progress)
    )
    content = io.BytesIO()
    next(indexed).save(
        content,
        "GIF",
        save_all=True,
        append_images=indexed,
        duration=[10 * int(d) for d in np.diff(ends)],
        loop=0,
        optimize=False,
    )
    return content.getvalue()


def mp4(film: Pictures, rate: float, out: Path, *, workers: int = 1, progress: Progress | None = None) -> bytes:
    """H.264 by imageio's ffmpeg."""
    import imageio.v2 as imageio

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        try:
            writer = imageio.get_writer(path, format="FFMPEG", fps=rate, codec="libx264", quality=8, macro_block_size=2)  # type: ignore[arg-type]
        except (ImportError, ValueError, RuntimeError) as error:
            raise InputError(
                f"cannot write .mp4: {error}", where=out, hint="pip install imageio-ffmpeg, or choose .gif"
            ) from error
        with writer:
            for picture in pictures(film, workers, progress):
                writer.append_data(picture)
        return path.read_bytes()
