"""Films, strips and plots: written whole, showing what they should."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from scipy.spatial import ConvexHull

from characters.character import Character
from motion import rotation
from motion.clip import Clip, CycleOffset, Trajectory
from motion.errors import InputError
from motion.motion import Motion, Skeleton
from pipeline import figure, picture, plots, sources
from pipeline.film import Film, pictures, tile_of
from pipeline.ground import _outline
from pipeline.raycast import Block, Camera, Capsules, draw
from pipeline.scene import Beside

SMALL = (192, 108)


@pytest.fixture(scope="module")
def body() -> Character:
    return Character.load("humanoid")


@pytest.fixture(scope="module")
def clip(body: Character) -> Clip:
    """A loop of 0.8 s that rocks the hips and travels 1.2 m along x; the left foot is flagged in the first half."""
    count = 48
    phase = np.arange(count) / count
    qpos = np.tile(body.rest, (count, 1))
    qpos[:, 0] = 1.2 * phase
    for side, sign in (("left", 1.0), ("right", -1.0)):
        swing = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), sign * 0.5 * np.sin(2 * np.pi * phase))
        at = body.layout.qpos_at[body.joint(f"{side}_hip")]
        qpos[:, at : at + 4] = rotation.multiply(qpos[:, at : at + 4], swing)
    offset = CycleOffset(np.array([1.2, 0.0, 0.0]), 0.0)
    around = np.concatenate([offset.apply(qpos[-1:], -1), offset.apply(qpos[:1])])
    return Clip(
        name="rock",
        character=body.name,
        loop=True,
        duration=0.8,
        joints=tuple(body.layout.joints),
        phase=phase,
        qpos=qpos,
        qvel=body.layout.velocities(qpos, 0.8 / count, after=around),
        contacts={"left_foot": phase < 0.5, "right_foot": np.zeros(count, dtype=bool)},
        cycle_offset=offset,
    )


@pytest.fixture(scope="module")
def stick() -> Motion:
    """Three joints, 3 m tall, travelling along x."""
    skeleton = Skeleton(
        ("hip", "neck", "head_end", "foot"),
        np.array([-1, 0, 1, 0]),
        np.array([[0, 0, 0], [0, 0, 1.0], [0, 0, 0.5], [0, 0, -1.5]]),
        np.array([False, False, True, False]),
    )
    roots = np.stack([np.linspace(0, 2, 25), np.zeros(25), np.full(25, 1.5)], axis=1)
    return Motion("stick", skeleton, 30.0, roots, np.tile(rotation.IDENTITY, (25, 4, 1)))


@pytest.fixture(scope="module")
def source(stick: Motion) -> Beside:
    return Beside(stick, 0.0, 3.0)


def trajectory(clip: Clip) -> Trajectory:
    return Trajectory("rock", clip.character, clip.joints, clip.fps, clip.qpos, clip.contacts)


def pixels(path: Path, frame: int = 0) -> np.ndarray:
    """(H, W, 3) in [0, 1]"""
    with Image.open(path) as image:
        image.seek(frame)
        return np.asarray(image.convert("RGB")) / 255.0


def blue(image: np.ndarray) -> np.ndarray:
    """Where the body is drawn."""
    return image[..., 2] - image[..., 0] > 0.2


def orange(image: np.ndarray) -> np.ndarray:
    """Where a contact is drawn."""
    return image[..., 0] - image[..., 2] > 0.3


def dark(image: np.ndarray) -> np.ndarray:
    """Where the skeleton is drawn, or text."""
    return (image.max(axis=-1) < 0.45) & (np.ptp(image, axis=-1) < 0.12)


def figures_in(mask: np.ndarray) -> int:
    """Number of stretches of columns that hold something, parted by empty columns."""
    return int((np.diff(np.concatenate([[0], mask.any(axis=0).astype(int)])) == 1).sum())


def test_a_film_shows_body_source_and_contacts(tmp_path: Path, clip: Clip, body: Character, source: Beside) -> None:
    calls = []
    out = picture.render(
        clip, body, tmp_path / "walk.gif", source=source, size=(320, 180), progress=lambda *done: calls.append(done)
    )
    with Image.open(out) as film:
        assert film.size == (320, 180)
        assert film.n_frames == 20  # 0.8 s at 25 a second, and no second copy of the first pose
        playing = sum(film.seek(k) or film.info["duration"] for k in range(film.n_frames))
    assert playing == 800
    assert calls == [(k + 1, 20) for k in range(20)]
    standing, swinging = pixels(out, 4)[:-24], pixels(out, 15)[:-24]  # without the line of text
    for image in (standing, swinging):
        assert blue(image).sum() > 400
        body_columns, source_columns = (np.flatnonzero(m.any(axis=0)) for m in (blue(image), dark(image)))
        assert source_columns.min() < body_columns.min()  # the source stands left of the body
    assert orange(standing).sum() > 20
    assert orange(swinging).sum() == 0


def test_a_loop_film_has_no_seam(clip: Clip, body: Character) -> None:
    """The picture one cycle after the first is the first one: body, camera and ground squares."""
    step = clip.duration / 20
    scene = picture.Scene.of(clip, body, step * np.arange(21), None, picture.CAMERAS["side"])
    film = Film(scene, SMALL, tile_of(clip, body.height))
    camera = film.camera
    first, again = (
        film.ground.picture(camera.moved(scene.paths[0][k]), *scene.figures[0].at(k, np.zeros(3))) for k in (0, 20)
    )
    assert np.abs(first - again).max() < 0.02
    between = film.ground.picture(camera.moved(scene.paths[0][5]), *scene.figures[0].at(5, np.zeros(3)))
    assert np.abs(first - between).max() > 0.05


def test_a_film_of_a_trajectory_and_mp4(tmp_path: Path, clip: Clip, body: Character) -> None:
    import imageio.v3 as iio

    out = picture.render(trajectory(clip), body, tmp_path / "walk.mp4", size=SMALL, span=(0.0, 0.2))
    film = iio.imread(out)
    assert film.shape == (7, 108, 192, 3)  # both ends of 0.2 s at 30 a second
    assert blue(film[3] / 255.0).sum() > 100


def test_a_strip_sets_poses_side_by_side(tmp_path: Path, clip: Clip, body: Character, source: Beside) -> None:
    alone = pixels(picture.render(clip, body, tmp_path / "alone.png", size=(800, 240)))
    assert alone.shape == (240, 800, 3)
    assert figures_in((blue(alone) | orange(alone))[30:]) == 8  # below the legend
    five = pixels(picture.render(clip, body, tmp_path / "five.png", frames=5, source=source))
    assert five.shape[1] == picture.STRIP_WIDTH
    figure_rows = np.flatnonzero(blue(five).any(axis=1))
    assert figures_in(blue(five)) == 5
    above = dark(five)[40 : figure_rows.min() // 2]
    assert figures_in(above) == 5  # a row of five sources above the row of bodies
    assert dark(five)[figure_rows.max() + 5 :].sum() == 0  # the times below are lighter


@pytest.mark.parametrize("camera", list(picture.CAMERAS))
def test_every_camera_shows_the_whole_body(
    tmp_path: Path, clip: Clip, body: Character, source: Beside, camera: str
) -> None:
    out = picture.render(clip, body, tmp_path / "x.gif", camera=camera, frames=3, size=SMALL, source=source)
    for frame in range(3):
        seen = blue(pixels(out, frame))
        assert seen.sum() > 60
        assert not (seen[0].any() | seen[:, 0].any() | seen[:, -1].any())


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, clip: Clip, body: Character, source: Beside) -> None:
    for name in ("a.gif", "a.png"):
        first, second = (
            picture.render(clip, body, tmp_path / sub / name, source=source, frames=3, size=SMALL).read_bytes()
            for sub in "xy"
        )
        assert first == second


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("walk.avi", {}, r"expected a name ending in \.gif, \.mp4, \.png, found '\.avi'"),
        ("walk", {}, "found 'no suffix'"),
        ("walk.gif", {"camera": "sid"}, "unknown camera 'sid'"),
        ("walk.gif", {"size": (33, 108)}, "expected even width and height from 64 to 2560 pixels, found 33×108"),
        ("walk.png", {"size": (2000, 64)}, "too small"),
        ("walk.gif", {"fps": 120.0}, "at most 50 pictures a second in a GIF, found 120.0"),
        ("walk.mp4", {"fps": 0.0}, "positive number of pictures"),
        ("walk.gif", {"span": (0.5, 0.2)}, "found 0.5 to 0.2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    tmp_path: Path, clip: Clip, body: Character, source: Beside, name: str, options: dict, text: str
) -> None:
    with pytest.raises(InputError, match=text):
        picture.render(clip, body, tmp_path / name, source=source, **options)
    assert list(tmp_path.iterdir()) == []


def test_another_bodys_motion_is_refused(tmp_path: Path, clip: Clip) -> None:
    atlas = Character.load("atlas")
    for action in (picture.render, plots.plot_clip):
        with pytest.raises(InputError, match="expected a motion of atlas, found one of humanoid"):
            action(clip, atlas, tmp_path / "x.png")


def test_an_interrupted_film_leaves_the_old_one(tmp_path: Path, clip: Clip, body: Character) -> None:
    out = tmp_path / "walk.gif"
    out.write_bytes(b"old")

    def interrupt(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        picture.render(clip, body, out, size=SMALL, progress=interrupt)
    assert [p.name for p in tmp_path.iterdir()] == ["walk.gif"]
    assert out.read_bytes() == b"old"


def test_a_source_is_scaled_and_set_on_the_ground(stick: Motion) -> None:
    lifted = replace(stick, root_positions=stick.root_positions + [0, 0, 5.0])
    shown = figure.of_source(lifted, np.array([0.0, 0.4]), Beside(lifted, 0.0, 3.0).scale(1.8), 0.02)
    low, high = shown.extent(np.array([0.0, 0.0, 1.0]))
    assert low == pytest.approx(-0.012, abs=0.01)  # knobs are thicker than bones
    assert high == pytest.approx(1.84, abs=0.02)


def test_a_source_that_lies_is_as_large_as_one_that_stands(samples: Path) -> None:
    standing, lying = (sources.read(samples / f"{name}.bvh").height for name in ("walk", "crawl"))
    assert 1.5 < standing < 1.9
    assert lying == pytest.approx(standing, rel=0.01)


def picture_of(camera: Camera, capsules: Capsules, blocks: list[Block]) -> np.ndarray:
    image = np.full((camera.size[1], camera.size[0], 3), 2.0, dtype=np.float32)
    draw(image, camera, capsules, blocks)
    return image


def capsules(*rows: tuple) -> Capsules:
    start, end, radius = (np.array([row[k] for row in rows], dtype=float) for k in range(3))
    return Capsules(start.reshape(-1, 3), end.reshape(-1, 3), radius, np.full((len(rows), 3), 0.5))


def box(centre: tuple, edges: tuple) -> Block:
    normals = np.concatenate([np.eye(3), -np.eye(3)])
    half = 0.5 * np.array(edges)
    corners = centre + half * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return Block(corners, normals, normals @ np.array(centre) + np.tile(half, 2), np.array([0.5, 0.5, 0.5]))


def test_silhouettes_have_the_right_area() -> None:
    """Seen in parallel projection at 100 pixels a metre: a capsule is a rectangle with half discs, a box its face."""
    camera = Camera.looking(np.array([0, 0, 1.0]), np.pi / 2, 0.0, 10.0, 100.0, (200, 200), parallel=True)
    seen = (picture_of(camera, capsules(((0, 0, 0.8), (0, 0, 1.3), 0.2)), []) < 1.5).any(axis=-1)
    assert seen.sum() == pytest.approx(1e4 * (0.5 * 0.4 + np.pi * 0.04), rel=0.02)
    seen = (picture_of(camera, capsules(), [box((0.1, 0, 1.0), (0.6, 1.0, 0.3))]) < 1.5).any(axis=-1)
    assert seen.sum() == 60 * 30
    far = Camera.looking(np.array([0, 0, 1.0]), np.pi / 2, 0.0, 4.0, 400.0, (200, 200))
    seen = (picture_of(far, capsules(((0, 0, 1.0), (0, 0, 1.0), 0.5)), []) < 1.5).any(axis=-1)
    assert seen.sum() == pytest.approx(np.pi * (400 * np.tan(np.arcsin(0.5 / 4.0))) ** 2, rel=0.02)


def test_nearer_hides_farther_and_the_ground_hides_what_is_below() -> None:
    camera = Camera.looking(np.array([0, 0, 0.5]), np.pi / 2, 0.2, 5.0, 300.0, (120, 120))
    near, far = ((0, -1.0, 0.5), (0, -1.0, 0.5), 0.2), ((0, 1.0, 0.5), (0, 1.0, 0.5), 0.2)
    colour = np.array([[1.0, 0, 0], [0, 0, 1.0]])
    for order in (1, -1):
        solids = replace(capsules(*(near, far)[::order]), colour=colour[::order])
        middle = picture_of(camera, solids, [])[60, 60]
        assert middle[0] > 3 * middle[2]
    below = picture_of(camera, capsules(((0, 0, -0.5), (0, 0, -0.5), 0.3)), [box((0, 0, -1.0), (1, 1, 1))])
    assert (below == 2.0).all()


def test_outline_is_the_convex_hull() -> None:
    rng = np.random.default_rng(3)
    for points in (rng.normal(size=(30, 2)), np.array([[0, 0], [2, 0], [1, 0], [2, 1], [0, 1], [0, 0]], dtype=float)):
        edges = _outline(points)
        distances = np.array([points @ normal - offset for normal, offset in edges])
        assert distances.max() < 1e-9
        assert len(edges) == len(ConvexHull(points).vertices)


def test_every_kind_of_shape_is_drawn(body: Character) -> None:
    """A mesh and a cylinder of the same corners as a box or a rim cover what they should."""
    shape = next(s for s in body.shapes if s.kind == "box")
    corners = figure._corners(shape)
    mesh = replace(shape, kind="mesh", size=np.zeros(3), vertices=corners)
    cylinder = replace(shape, kind="cylinder", size=np.array([0.1, 0.4, 0.0]))
    up = np.array([0.0, 0.0, 1.0])
    low, high = figure.of_body(body, body.rest[None], {}).extent(up)
    swapped = replace(body, shapes=tuple(mesh if s is shape else s for s in body.shapes))
    assert np.allclose(figure.of_body(swapped, body.rest[None], {}).extent(up), (low, high))
    rim = figure._corners(cylinder)
    assert np.allclose(np.hypot(rim[:, 0], rim[:, 1]), 0.1)
    assert np.allclose(np.abs(rim[:, 2]), 0.2)


def test_plots_are_written(tmp_path: Path, clip: Clip, body: Character, stick: Motion) -> None:
    first = pixels(plots.plot_clip(clip, body, tmp_path / "clip.png"))
    assert first.std() > 0.05
    for colour in plots.COLOURS[:2]:  # the flagged left foot's bar, and the right foot's line
        wanted = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        assert (np.abs(first - wanted).max(axis=-1) < 0.02).sum() > 50
    again = plots.plot_clip(trajectory(clip), body, tmp_path / "again.svg").read_text("utf-8")
    for label in ("foot height (cm)", "root height (m)", "joint speed (rad/s)", "time (s)"):
        assert label in again
    assert pixels(plots.plot_compare(stick, [(clip, body)], tmp_path / "compare.png")).std() > 0.03
    with pytest.raises(InputError, match=r"expected a name ending in \.png, \.svg, \.pdf, found '\.gif'"):
        plots.plot_clip(clip, body, tmp_path / "clip.gif")


def test_contact_bars_stand_for_the_steps_around_their_samples() -> None:
    flags = np.array([1, 1, 0, 0, 1, 0], dtype=bool)
    spans = plots._spans(0.1 * np.arange(6), flags)
    assert np.allclose(spans, [(-0.05, 0.2), (0.35, 0.1)])


def test_several_bodies_stand_side_by_side(tmp_path: Path, clip: Clip, body: Character) -> None:
    """Each in its own part, the taller one not cut off, and a loop's film still ends before it would begin again."""
    atlas = Character.load("atlas")
    still = Trajectory("stand", "atlas", atlas.specs, 30.0, np.tile(atlas.rest, (25, 1)), {})
    out = picture.render_row([(clip, body), (clip, body)], tmp_path / "two.gif", size=(320, 180))
    with Image.open(out) as film:
        assert film.size == (320, 180)
        assert sum(1 for _ in ImageSequence.Iterator(film)) == 20
    assert figures_in(blue(pixels(out, 4))) == 2
    mixed = picture.render_row([(clip, body), (still, atlas)], tmp_path / "mixed.gif", size=(320, 180), fps=5)
    image = blue(pixels(mixed, 1))
    halves = [np.flatnonzero(half.any(axis=1)) for half in np.array_split(image, 2, axis=1)]
    tall = [np.ptp(rows) for rows in halves]
    assert tall[1] > tall[0]  # to one scale
    assert halves[1].min() > 0
    strip = picture.render_row([(clip, body), (still, atlas)], tmp_path / "two.png", size=(600, 400), frames=3)
    assert pixels(strip).shape[1] == 600


def test_worker_processes_draw_the_same_film(clip: Clip, body: Character) -> None:
    scene = picture.Scene.of(clip, body, np.linspace(0.0, 0.5, 41), None, picture.CAMERAS["top"])
    film = Film(scene, (64, 64), 0.5)
    calls: list[tuple[int, int]] = []
    drawn = list(pictures(film, 2, lambda done, total: calls.append((done, total))))
    assert calls == [(k + 1, 41) for k in range(41)]
    for frame in (0, 17, 40):
        assert (drawn[frame] == film.picture(frame)).all()


def test_a_still_rings_what_is_at_fault(clip: Clip, body: Character) -> None:
    plain, marked, unknown = (
        np.asarray(Image.open(io.BytesIO(picture.still(clip, body, 0.2, mark=mark))).convert("RGB")).astype(int)
        for mark in (None, "left_foot", "upper left leg")
    )
    ring = (marked[..., 0] > 150) & (marked[..., 1] < 110) & (marked[..., 2] > 80)
    assert ring.sum() > 50
    assert np.flatnonzero(ring.any(axis=1)).mean() > 0.6 * len(ring)  # a foot is low in the picture
    assert (plain == unknown).all()


def test_a_picture_of_few_colours_keeps_a_rare_contact() -> None:
    shades = np.random.default_rng(0).integers(0, 256, (120, 160, 1)) * np.array([0.3, 0.6, 1.0])
    shades[50:54, 70:74] = 255 * figure.CONTACT
    few = Image.open(io.BytesIO(picture.png(shades.astype(np.uint8), colours=picture.PAGE_COLOURS)))
    assert len(np.unique(np.asarray(few))) <= picture.PAGE_COLOURS
    assert orange(np.asarray(few.convert("RGB")) / 255.0)[50:54, 70:74].all()
