"""Films and strips of a body in motion, with its source's skeleton beside it: `render`.

Drawn by pipeline.raycast, on one CPU core without a display; pictures of the same input have the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from characters.character import Character
from characters.kinematics import forward
from motion.clip import Clip, Trajectory
from motion.errors import InputError, nearest
from motion.files import atomic
from motion.rotation import Array
from pipeline.figure import CONTACT
from pipeline.film import (
    FAINT,
    INK,
    TILE,
    Film,
    Progress,
    Row,
    draw_legend,
    font,
    gif,
    joined,
    mp4,
    tile_of,
    to_image,
)
from pipeline.ground import Ground
from pipeline.raycast import draw
from pipeline.scene import CAMERAS, Beside, Scene, sample

SUFFIXES = (".gif", ".mp4", ".png")
"""film, film, strip of poses"""
FILM_SIZE, STRIP_WIDTH, SIDES = (640, 360), 1600, (64, 2560)
"""pixels: of a film, of a strip, the least and greatest side of either"""
GIF_RATE, FILM_RATE, POSES = 25.0, 30.0, 8
"""pictures per second, poses of a strip"""
LEAST = 24
"""pixels, the least height of a body in a strip"""
STILL_SIZE, PAGE_COLOURS = (420, 300), 96
"""of pictures in a page: pixels, and colours"""
MARK, FAULT = 0.09, (204, 60, 120)
"""of a still's height, radius of the ring around what is at fault; and its colour"""
KEPT = np.concatenate([np.multiply.outer(np.linspace(0.4, 1.0, 7), 255 * CONTACT), [FAULT]]).astype(np.uint8)
"""(8, 3) colours a picture of few must not lose, however rare: the contacts' shades and the ring's"""


def render(
    motion: Clip | Trajectory,
    character: Character,
    out: Path | str,
    *,
    source: Beside | None = None,
    camera: str = "side",
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    frames: int | None = None,
    span: tuple[float, float] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Write a film (.gif, .mp4) or a strip of poses (.png) of a body's clip or trajectory.

    A link whose contact is flagged is lit in orange. A loop's film is one cycle and repeats without a jump.

    Args:
        source: what the motion was made from; drawn beside it as a skeleton.
        camera: a name in CAMERAS, seen from the direction of travel; "side" looks from the right.
        size: width and height in pixels; 640×360 for a film; a strip is 1600 wide and as high as it needs.
        fps: pictures per second of playing time, 25 for .gif, 30 for .mp4.
        frames: pictures of a film (spread evenly over the span, instead of fps), poses of a strip (8).
        span: seconds from and to, the whole motion if None; a loop may run on past its end.
        workers: processes that draw a film; they import the calling script, which must guard its main part.
        progress: called with pictures done and in all.

    Raises:
        InputError: unknown suffix, camera or character, a size or span that cannot be drawn, a folder that cannot be written.
    """
    out = Path(out)
    suffix = out.suffix.lower()
    _check([(motion, character)], out, camera, size, fps, frames, span)
    seconds = _instants([motion], suffix, fps, frames, span)
    scene = Scene.of(motion, character, seconds, source, CAMERAS[camera])
    if suffix == ".png":
        content = png(_strip(scene, size, progress, out))
    else:
        film = Film(scene, size or FILM_SIZE, _tile(motion, character))
        content = (gif if suffix == ".gif" else mp4)(film, _rate(seconds), out, workers=workers, progress=progress)
    with atomic(out) as file:
        file.write(content)
    return out


def render_row(
    performers: Sequence[tuple[Clip | Trajectory, Character]],
    out: Path | str,
    *,
    camera: str = "side",
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    frames: int | None = None,
    span: tuple[float, float] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Write several bodies side by side, to one scale and each over its own ground: a film, or strips one above the other.

    The film is as long as the longest motion: loops run on, one-shots stay where they end. If all are loops of one
    duration it repeats without a jump. Arguments and errors are those of `render`.
    """
    out = Path(out)
    suffix = out.suffix.lower()
    _check(performers, out, camera, size, fps, frames, span)
    motions = [motion for motion, _ in performers]
    seconds = _instants(motions, suffix, fps, frames, span)
    scenes = [Scene.of(motion, character, seconds, None, CAMERAS[camera]) for motion, character in performers]
    if suffix == ".png":
        width = STRIP_WIDTH if size is None else size[0]
        content = png(np.concatenate([_strip(scene, None, None, out, width=width) for scene in scenes]))
    else:
        film = Row(scenes, size or FILM_SIZE, [_tile(motion, character) for motion, character in performers])
        content = (gif if suffix == ".gif" else mp4)(film, _rate(seconds), out, workers=workers, progress=progress)
    with atomic(out) as file:
        file.write(content)
    return out


def _instants(
    motions: Sequence[Clip | Trajectory],
    suffix: str,
    fps: float | None,
    frames: int | None,
    span: tuple[float, float] | None,
) -> Array:
    """Seconds of the pictures; a loop's film ends before it would begin again."""
    longest = max(motion.duration for motion in motions)
    begin, end = (0.0, longest) if span is None else span
    rate = fps or (GIF_RATE if suffix == ".gif" else FILM_RATE)
    loops = all(isinstance(motion, Clip) and motion.loop for motion in motions)
    alike = all(abs(motion.duration - longest) < 0.5 / rate for motion in motions)
    seamless = span is None and loops and alike
    count = frames
    if count is None:
        count = POSES if suffix == ".png" else max(round((end - begin) * rate), 1) + (not seamless)
    share: Array = np.arange(count) / count if seamless else np.linspace(0.0, 1.0, count)
    return begin + (end - begin) * share


def _rate(seconds: Array) -> float:
    return 1.0 / float(np.diff(seconds).mean()) if len(seconds) > 1 else 1.0


def _tile(motion: Clip | Trajectory, character: Character) -> float:
    return tile_of(motion, character.height) if isinstance(motion, Clip) else TILE * character.height / 1.7


def strip(
    motion: Clip | Trajectory,
    character: Character,
    *,
    source: Beside | None = None,
    width: int = STRIP_WIDTH,
    frames: int = POSES,
) -> np.ndarray:
    """A strip of poses ``(H, width, 3)`` uint8, the source's above the body's."""
    seconds = np.linspace(0.0, motion.duration, frames)
    scene = Scene.of(motion, character, seconds, source, CAMERAS["side"])
    return _strip(scene, None, None, Path(motion.name), width=width)


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
    film = Film(scene, size, TILE * character.height / 1.7)
    image = Image.fromarray(film.picture(0))
    link = link_of(character, mark)
    if link is not None:
        at = forward(character, sample(motion, np.array([second]))[0]).positions[0, link]
        column, row = film.view(0).project(at)
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
    performers: Sequence[tuple[Clip | Trajectory, Character]],
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
    for motion, character in performers:
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
        canvas = ground.picture(camera, *joined(parts))
        for part in parts:
            draw(canvas, camera, *part)
        image = to_image(canvas)
        pen = ImageDraw.Draw(image)
        pen.text((margin, 8 * unit), scene.names[number], INK, font(20 * unit), anchor="lt")
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
        pen.text((column, len(canvas) - 10 * unit), f"{scene.seconds[k]:.2f} s", FAINT, font(17 * unit), anchor="ms")
    draw_legend(pen, width - 90 * unit, 24 * unit, unit)
    return np.asarray(image)


def png(image: np.ndarray, *, colours: int | None = None) -> bytes:
    """A picture ``(H, W, 3)`` uint8 as a PNG, of all its colours or of the best few."""
    picture, content = Image.fromarray(image), io.BytesIO()
    if colours is not None:
        best = picture.quantize(colours - len(KEPT), Image.Quantize.MEDIANCUT).getpalette() or []
        palette = Image.new("P", (1, 1))
        palette.putpalette([*best[: 3 * (colours - len(KEPT))], *KEPT.ravel().tolist()])
        picture = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    picture.save(content, "PNG", optimize=True)
    return content.getvalue()
