"""Films and strips of a body in motion, with its source's skeleton beside it: `render`.

Drawn by pipeline.raycast, on one CPU core without a display; pictures of the same input have the same bytes.
"""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from characters.character import Character
from characters.kinematics import forward
from motion.clip import Clip, Trajectory
from motion.errors import InputError, nearest
from motion.files import atomic
from motion.motion import Motion
from motion.rotation import Array
from pipeline.figure import CONTACT
from pipeline.ground import Ground
from pipeline.raycast import Block, Capsules, draw
from pipeline.scene import CAMERAS, Scene, Source, sample

SUFFIXES = (".gif", ".mp4", ".png")
"""film, film, strip of poses"""
FILM_SIZE, STRIP_WIDTH, SIDES = (640, 360), 1600, (64, 2560)
"""pixels: of a film, of a strip, the least and greatest side of either"""
GIF_RATE, FILM_RATE, GIF_FASTEST, POSES = 25.0, 30.0, 50.0, 8
"""pictures per second (browsers slow down a GIF with less than two hundredths of a second each), poses of a strip"""
FIELD_OF_VIEW = math.radians(26)
TILE = 0.5
"""metres, side of a ground square of a body 1.7 m tall; of a loop, the nearest side that repeats with the cycle"""
LEAST = 24
"""pixels, the least height of a body in a strip"""
STILL_SIZE, PAGE_COLOURS = (420, 300), 96
"""of pictures in a page: pixels, and colours"""
MARK, FAULT = 0.09, (204, 60, 120)
"""of a still's height, radius of the ring around what is at fault; and its colour"""
INK, FAINT = (52, 58, 68), (120, 126, 136)
PALETTE_PICTURES, SWATCH_ROWS = 4, 60
"""what a GIF's palette is made from: pictures, and rows of pixels in shades of the contact colour"""


Progress = Callable[[int, int], None]


def render(
    motion: Clip | Trajectory,
    character: Character,
    out: Path | str,
    *,
    source: Motion | None = None,
    source_start: float = 0.0,
    same_height: bool = True,
    camera: str = "side",
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    frames: int | None = None,
    span: tuple[float, float] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a film (.gif, .mp4) or a strip of poses (.png) of a body's clip or trajectory.

    A link whose contact is flagged is lit in orange. A loop's film is one cycle and repeats without a jump.

    Args:
        source: what the motion was made from, standardised; drawn beside it as a skeleton.
        source_start: seconds into the source at the motion's time 0.
        same_height: scale the source to the body's height instead of leaving its own.
        camera: a name in CAMERAS, seen from the direction of travel; "side" looks from the right.
        size: width and height in pixels; 640×360 for a film; a strip is 1600 wide and as high as it needs.
        fps: pictures per second of playing time, 25 for .gif, 30 for .mp4.
        frames: pictures of a film (spread evenly over the span, instead of fps), poses of a strip (8).
        span: seconds from and to, the whole motion if None; a loop may run on past its end.
        progress: called with pictures done and in all.

    Raises:
        InputError: unknown suffix, camera or character, a size or span that cannot be drawn, a folder that cannot be written.
    """
    out = Path(out)
    suffix = out.suffix.lower()
    _check(motion, character, out, camera, size, fps, frames, span)
    begin, end = (0.0, motion.duration) if span is None else span
    seamless = span is None and isinstance(motion, Clip) and motion.loop
    count = frames
    if count is None:
        rate = fps or (GIF_RATE if suffix == ".gif" else FILM_RATE)
        count = POSES if suffix == ".png" else max(round((end - begin) * rate), 1) + (not seamless)
    seconds = begin + (end - begin) * (np.arange(count) / count if seamless else np.linspace(0, 1, count))
    beside = None if source is None else Source(source, source_start, same_height)
    scene = Scene.of(motion, character, seconds, beside, CAMERAS[camera])
    if suffix == ".png":
        content = png(_strip(scene, size, progress, out))
    else:
        rate = 1.0 / float(np.diff(seconds).mean()) if count > 1 else 1.0
        tile = _tile(motion, character.height) if isinstance(motion, Clip) else TILE * character.height / 1.7
        film = _Film(scene, size or FILM_SIZE, tile)
        content = (_gif if suffix == ".gif" else _mp4)(film, rate, progress, out)
    with atomic(out) as file:
        file.write(content)
    return out


def strip(
    motion: Clip | Trajectory,
    character: Character,
    *,
    source: Motion | None = None,
    source_start: float = 0.0,
    width: int = STRIP_WIDTH,
    frames: int = POSES,
) -> bytes:
    """A strip of poses as a PNG of few colours, for a page that holds many."""
    seconds = np.linspace(0.0, motion.duration, frames)
    beside = None if source is None else Source(source, source_start, same_height=True)
    scene = Scene.of(motion, character, seconds, beside, CAMERAS["side"])
    return png(_strip(scene, None, None, Path(motion.name), width=width), colours=PAGE_COLOURS)


def still(
    motion: Clip | Trajectory,
    character: Character,
    second: float,
    *,
    mark: str | None = None,
    camera: str = "three-quarter",
    size: tuple[int, int] = STILL_SIZE,
) -> bytes:
    """One instant as a PNG of few colours.

    Args:
        mark: a link or joint to draw a ring around; a name that is neither is left out.
    """
    scene = Scene.of(motion, character, np.array([second]), None, CAMERAS[camera])
    film = _Film(scene, size, TILE * character.height / 1.7)
    image = Image.fromarray(film.picture(0))
    link = link_of(character, mark)
    if link is not None:
        at = forward(character, sample(motion, np.array([second]))[0]).positions[0, link]
        column, row = film.camera.moved(scene.paths[-1][0]).project(at)
        radius = MARK * size[1]
        pen = ImageDraw.Draw(image)
        pen.ellipse((column - radius, row - radius, column + radius, row + radius), outline=FAULT, width=3)
    return png(np.asarray(image), colours=PAGE_COLOURS)


def link_of(character: Character, name: str | None) -> int | None:
    """The link of a link's or joint's name, the first of several named; None if there is none of that name."""
    links = {link.name: i for i, link in enumerate(character.links)}
    joints = {joint.name: joint.child for joint in character.joints}
    known = {**joints, **links}
    first = (name or "").split(",")[0].split(" and ")[0].strip()
    return known.get(first)


def _check(
    motion: Clip | Trajectory,
    character: Character,
    out: Path,
    camera: str,
    size: tuple[int, int] | None,
    fps: float | None,
    frames: int | None,
    span: tuple[float, float] | None,
) -> None:
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"expected a name ending in {', '.join(SUFFIXES)}, found {out.suffix or 'no suffix'!r}",
            where=out,
            hint=".gif and .mp4 are films, .png is a strip of poses",
        )
    if camera not in CAMERAS:
        raise InputError(f"unknown camera {camera!r}", hint=nearest(camera, CAMERAS))
    if [j.name for j in motion.joints] != [j.name for j in character.joints]:
        raise InputError(
            f"expected a motion of {character.name}, found one of {motion.character}",
            where=motion.name,
            hint="choose --char",
        )
    if size is not None and not all(SIDES[0] <= side <= SIDES[1] and side % 2 == 0 for side in size):
        raise InputError(
            f"expected even width and height from {SIDES[0]} to {SIDES[1]} pixels, found {size[0]}×{size[1]}", where=out
        )
    if (fps is not None and not 0 < fps <= 240) or (frames is not None and not 0 < frames <= 100_000):
        raise InputError("expected a positive number of pictures, at most 240 a second", where=out)
    if span is not None and not (0 <= span[0] < span[1] and math.isfinite(span[1])):
        raise InputError(
            f"expected a span from before to, both at least 0 seconds, found {span[0]} to {span[1]}", where=out
        )


class _Film:
    """A camera that follows the body, and beside it the source; distance and height fit all pictures."""

    def __init__(self, scene: Scene, size: tuple[int, int], tile: float):
        self.scene, self.size = scene, size
        focal = 0.5 * size[1] / math.tan(0.5 * FIELD_OF_VIEW)
        axes = scene.camera(focal, size, distance=1.0, parallel=False).axes
        self._shifts = self._beside(axes[0])
        bounds = []
        for shown, shift in zip(scene.figures, self._shifts, strict=True):
            for axis in axes:
                low, high = shown.extent(axis)
                offset = (shift - scene.paths[-1]) @ axis
                bounds.append(((low + offset).min(), (high + offset).max()))
        low, high = (np.array([b[k] for b in bounds]).reshape(-1, 3) for k in (0, 1))
        low, high = low.min(axis=0), high.max(axis=0)
        room = np.array([0.45 * size[0], 0.41 * size[1]]) / focal
        distance = float((0.5 * (high - low)[:2] / room).max() - low[2])
        middle = 0.5 * (low + high)[:2] @ axes[:2] - 0.02 * distance * axes[1]
        self.camera = scene.camera(focal, size, distance=distance, parallel=False).moved(middle)
        reach = (1.1 * distance, 1.1 * distance)
        self.ground = Ground(self.camera, tile=tile, heading=scene.heading, middle=np.zeros(2), reach=reach)
        self._labels = [
            (name, float(self.camera.project(shift[0] - scene.paths[-1][0] + shown.root[0])[0]))
            for name, shown, shift in zip(scene.names, scene.figures, self._shifts, strict=True)
        ]

    def _beside(self, right: Array) -> list[Array]:
        """How far each figure is moved ``(T, 3)``: the source left of the body, going along, always clear of it."""
        scene = self.scene
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

    def __len__(self) -> int:
        return len(self.scene.seconds)

    def picture(self, frame: int) -> np.ndarray:
        """(H, W, 3) uint8"""
        scene = self.scene
        parts = [shown.at(frame, shift[frame]) for shown, shift in zip(scene.figures, self._shifts, strict=True)]
        camera, solids = self.camera.moved(scene.paths[-1][frame]), _joined(parts)
        canvas = self.ground.picture(camera, *solids)
        draw(canvas, camera, *solids)
        image = _to_image(canvas)
        pen, unit = ImageDraw.Draw(image), self.size[1] / 360
        corner = self.size[1] - 12 * unit
        for name, column in self._labels:
            pen.text((column, corner), name, INK, _font(15 * unit), anchor="ms")
        pen.text(
            (self.size[0] - 12 * unit, corner), f"{scene.seconds[frame]:.2f} s", FAINT, _font(13 * unit), anchor="rs"
        )
        _legend(pen, 14 * unit, corner, unit)
        return np.asarray(image)


def _tile(clip: Clip, height: float) -> float:
    """Side of the ground's squares in metres; two of them a whole number of times in a loop's travel, so that it repeats."""
    side = TILE * height / 1.7
    travel = float(np.hypot(*clip.cycle_offset.translation[:2])) if clip.loop else 0.0
    return travel / (2 * round(travel / (2 * side))) if travel > side else side


def _legend(pen: ImageDraw.ImageDraw, x: float, y: float, unit: float) -> None:
    colour = tuple(int(255 * c) for c in CONTACT)
    pen.ellipse((x, y - 10 * unit, x + 9 * unit, y - 1 * unit), fill=colour)
    pen.text((x + 15 * unit, y), "contact", FAINT, _font(13 * unit), anchor="ls")


def _font(height: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(round(height), 8))


def _joined(parts: list[tuple[Capsules, list[Block]]]) -> tuple[Capsules, list[Block]]:
    capsules = Capsules(
        *(np.concatenate([getattr(c, name) for c, _ in parts]) for name in ("start", "end", "radius", "colour"))
    )
    return capsules, [block for _, blocks in parts for block in blocks]


def _strip(
    scene: Scene, size: tuple[int, int] | None, progress: Progress | None, out: Path, width: int = STRIP_WIDTH
) -> np.ndarray:
    """Poses side by side in time's order, a row for each figure, the source's above the body's, times below."""
    width = width if size is None else size[0]
    unit, count = width / STRIP_WIDTH, len(scene.seconds)
    axes = scene.camera(1.0, (2, 2), distance=1.0, parallel=True).axes
    right, up = axes[0], axes[1]
    spans = [np.stack(f.extent(right)) - f.root @ right for f in scene.figures]
    left, reach = np.min([s[0] for s in spans], axis=0), np.max([s[1] for s in spans], axis=0)
    gap = 0.06 * scene.height
    columns = np.concatenate([[0.0], np.cumsum((reach - left)[:-1] + gap)]) - left
    total = float(columns[-1] + reach[-1])
    tops, lows = [], []
    for shown in scene.figures:
        deep = shown.root * [1.0, 1.0, 0.0] @ up
        low, high = shown.extent(up)
        tops.append(float((high - deep).max()) + 0.07 * scene.height)
        lows.append(float(min((low - deep).min(), 0.0)) - 0.10 * scene.height)
    margin, footer, header = 16 * unit, 34 * unit, 30 * unit
    focal = (width - 2 * margin) / total
    tall = sum(t - b for t, b in zip(tops, lows, strict=True))
    if size is not None:
        focal = min(focal, (size[1] - footer - header * len(tops)) / tall)
    if focal * scene.height < LEAST:
        raise InputError(
            f"the strip is too small: {count} poses would be {max(focal * scene.height, 0):.0f} pixels tall",
            where=out,
            hint="choose fewer frames or a larger size",
        )
    rows, tile = [], TILE * scene.height / 1.7
    ground_reach = (0.5 * total + 10.0 * scene.height, 0.9 * scene.height)
    for number, shown in enumerate(scene.figures):
        height = int(round(focal * (tops[number] - lows[number]) + header))
        camera = scene.camera(focal, (width, height), distance=20.0 * scene.height, parallel=True)
        camera = camera.moved(0.5 * total * right + (0.5 * (tops[number] + lows[number]) + 0.5 * header / focal) * up)
        ground = Ground(camera, tile=tile, heading=scene.heading, middle=0.5 * total * right[:2], reach=ground_reach)
        level = right * [1.0, 1.0, 0.0]
        parts = [shown.at(k, columns[k] * level - shown.root[k] * [1.0, 1.0, 0.0]) for k in range(count)]
        canvas = ground.picture(camera, *_joined(parts))
        for part in parts:
            draw(canvas, camera, *part)
        image = _to_image(canvas)
        pen = ImageDraw.Draw(image)
        pen.text((margin, 8 * unit), scene.names[number], INK, _font(20 * unit), anchor="lt")
        rows.append(np.asarray(image))
        if progress:
            progress(number + 1, len(scene.figures))
    body = np.concatenate(rows)
    canvas = np.full(
        (int(round(len(body) + footer)) if size is None else size[1], width, 3), rows[0][0, 0], dtype=np.uint8
    )
    canvas[: len(body)] = body[: len(canvas)]
    image = Image.fromarray(canvas)
    pen = ImageDraw.Draw(image)
    free = 0.0
    for k in range(count):
        column, half = 0.5 * width + focal * (columns[k] - 0.5 * total), 30 * unit
        if column - half < free:
            continue
        free = column + half
        pen.text((column, len(canvas) - 10 * unit), f"{scene.seconds[k]:.2f} s", FAINT, _font(17 * unit), anchor="ms")
    _legend(pen, width - 90 * unit, 24 * unit, unit)
    return np.asarray(image)


def _to_image(canvas: np.ndarray) -> Image.Image:
    return Image.fromarray((np.clip(canvas, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))


def png(image: np.ndarray, *, colours: int | None = None) -> bytes:
    """A picture ``(H, W, 3)`` uint8 as a PNG, of all its colours or of the best few."""
    picture, content = Image.fromarray(image), io.BytesIO()
    if colours is not None:
        picture = picture.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture.save(content, "PNG", optimize=True)
    return content.getvalue()


def _pictures(film: _Film, progress: Progress | None) -> Iterator[np.ndarray]:
    for frame in range(len(film)):
        yield film.picture(frame)
        if progress:
            progress(frame + 1, len(film))


def _gif(film: _Film, rate: float, progress: Progress | None, out: Path) -> bytes:
    """One palette for all pictures and no dithering: no flicker, and a small file."""
    if rate > GIF_FASTEST + 1e-6:
        raise InputError(f"expected at most {GIF_FASTEST:.0f} pictures a second in a GIF, found {rate:.1f}", where=out)
    ends = np.round(100 / rate * np.arange(len(film) + 1))
    some = np.unique(np.linspace(0, len(film) - 1, PALETTE_PICTURES).astype(int))
    shades = np.multiply.outer(np.linspace(0.35, 1.0, 24), 255 * CONTACT)  # rare, and must not be lost
    swatch = np.repeat(np.repeat(shades[:, None], film.size[0] // 24 + 1, 0).reshape(1, -1, 3), SWATCH_ROWS, 0)
    pictures = [swatch[:, : film.size[0]].astype(np.uint8), *(film.picture(int(k)) for k in some)]
    palette = Image.fromarray(np.concatenate(pictures)).quantize(256, Image.Quantize.MEDIANCUT)
    indexed = (
        Image.fromarray(p).quantize(palette=palette, dither=Image.Dither.NONE) for p in _pictures(film, progress)
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


def _mp4(film: _Film, rate: float, progress: Progress | None, out: Path) -> bytes:
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
            for picture in _pictures(film, progress):
                writer.append_data(picture)
        return path.read_bytes()
