"""A training from a clip's folder to a run folder: settings, metrics, checkpoints, policy, evaluation."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from motion.errors import InputError, SolveError
from motion.rotation import Array
from train import engine, push
from train import settings as configs
from train.crew import dismiss, muster
from train.disturbance import NONE
from train.env import REASONS, ImitationEnv
from train.evaluate import OTHER_RATES, REPORTED, Evaluation, actor, evaluate
from train.export import export, export_weights
from train.folder import (
    CHECKPOINT,
    CLIP,
    GAINS,
    POLICY,
    WEIGHTS,
    Material,
    forget_results,
    weights,
    write_evaluation,
)
from train.log import Log
from train.ppo import Ppo, load_policy, read_checkpoint
from train.recording import Recorder, Recording
from train.score import Actor, score
from train.settings import RunSettings, Values

SAVE_EVERY, FILM_EVERY = 60.0, 600.0
"""seconds between checkpoints; the least between films"""
PHASE_BINS = 20
"""parts of the clip in which falls are counted"""
SETTLE = 15
"""policy steps a body is watched before the training begins"""

Report = Callable[[dict[str, float]], None]
"""called after each batch with its figures, ``samples`` and ``seconds`` among them"""
Film = Callable[[Path], None]
"""called with the run folder when its checkpoint is worth a film"""


def train(
    source: Path,
    out: Path,
    settings: RunSettings,
    report: Report,
    *,
    char: str | None = None,
    force: bool = False,
    film: Film | None = None,
) -> Evaluation:
    """Train a policy and leave the run folder ``out``.

    Args:
        source: folder with clip.json and gains.json.
        char: the body; the clip's own by default.
        force: also of a clip that failed validation.
        film: called at the end, and on the way at most every `FILM_EVERY` seconds.

    Raises:
        InputError: a clip or gains that do not fit; a training is there already; the disk is full.
        SolveError: the body explodes, or the learning broke; the last good checkpoint is kept.
        KeyboardInterrupt: Ctrl-C, after the batch under way was learnt and saved.
    """
    if (out / CHECKPOINT).exists() or (out / WEIGHTS).exists():
        raise InputError(
            "a training is there already", where=out, hint="--resume goes on with it; --out takes another folder"
        )
    material = Material.load(source, char)
    if not force:
        material.check_quality()
    _check_physics(material, settings)
    configs.save(settings, out)
    material.clip.save(out / CLIP)
    material.gains.save(out / GAINS)
    return _go_on(material, out, settings, 0, report, film)


def resume(out: Path, values: Values, report: Report, *, film: Film | None = None) -> Evaluation:
    """Go on from the checkpoint in ``out``, with some settings changed if ``values`` has any; errors as `train`."""
    if not (out / CHECKPOINT).exists() and (out / WEIGHTS).exists():
        raise InputError(
            "the policy there is finished: its optimiser was not kept",
            where=out,
            hint=f"train anew with --config {out / configs.CONFIG} --out FOLDER",
        )
    before = configs.load(out)
    done = read_checkpoint(out / CHECKPOINT)["samples"]
    settings = configs.resumed(before, done, values)
    material = Material.load(out)
    material.preset(settings.preset)
    if settings != before:
        configs.save(settings, out)
    return _go_on(material, out, settings, done, report, film)


def _go_on(
    material: Material, out: Path, settings: RunSettings, done: int, report: Report, film: Film | None
) -> Evaluation:
    """Learn stage after stage to the end of the samples, then export and evaluate."""
    if done < settings.samples:
        forget_results(out)
        log = Log(out, done)
        try:
            with _interrupts() as interrupted:
                for border in settings.borders():
                    if done < border:
                        done = _stage(material, out, settings, done, border, log, report, film, interrupted)
        finally:
            log.close()
    policy = load_policy(out / CHECKPOINT)
    export(policy, out / POLICY)
    export_weights(policy, out / WEIGHTS)
    found = _evaluate(material, settings, policy, settings.engine, settings.episodes)
    write_evaluation(out, found.to_json(), settings.engine)
    if film is not None:
        film(out)
    return found


class _WatchedEnv(ImitationEnv):
    """Notes at which phases of the clip episodes are cut short."""

    _phases: tuple[np.ndarray, ...] = ()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, Array, np.ndarray, np.ndarray, np.ndarray]:
        out = super().step(action)
        if out[2].any():
            self._phases += (self.phase_at(self.when[out[2]]),)
        return out

    def take_phases(self) -> Array:
        """Those since this was asked last."""
        phases, self._phases = np.concatenate([*self._phases, np.zeros(0)]), ()
        return phases


def _fall_phase(envs: list[_WatchedEnv]) -> float:
    """Middle of the twentieth of the clip in which most episodes were cut short since this was asked last; nan if none."""
    counts, edges = np.histogram(np.concatenate([env.take_phases() for env in envs]), PHASE_BINS, (0.0, 1.0))
    return float(edges[:2].mean() + edges[np.argmax(counts)]) if counts.any() else float("nan")


def _stage(
    material: Material,
    out: Path,
    settings: RunSettings,
    done: int,
    border: int,
    log: Log,
    report: Report,
    film: Film | None,
    interrupted: threading.Event,
) -> int:
    """Learn under one stage's settings from ``done`` to ``border`` samples; a checkpoint a minute. Returns the samples."""
    now = settings.at(done)
    envs = muster(material, now, _WatchedEnv)
    try:
        ppo = Ppo(envs, now.learning, now.seed)
        if done:
            ppo.load(out / CHECKPOINT)
        ppo.save(out / CHECKPOINT)  # a folder that cannot be written to is found now, not after a minute
        start = saved = filmed = time.monotonic()
        while ppo.samples < border:
            figures = {"samples": 0.0, **ppo.iterate(), "fall_phase": _fall_phase(envs)}
            clock = time.monotonic()
            figures |= {"samples": float(ppo.samples), "seconds": log.seconds + clock - start}
            log.write(figures)
            report(figures)
            if interrupted.is_set():
                ppo.save(out / CHECKPOINT)
                raise KeyboardInterrupt(
                    f"interrupted after {ppo.samples:,} samples; the checkpoint is saved, --resume goes on"
                )
            if clock - saved > SAVE_EVERY:
                ppo.save(out / CHECKPOINT)
                saved = clock
                if film is not None and clock - filmed > FILM_EVERY:
                    film(out)
                    filmed = time.monotonic()
        ppo.save(out / CHECKPOINT)
        log.seconds += time.monotonic() - start
        return ppo.samples
    finally:
        dismiss(envs)


def _check_physics(material: Material, settings: RunSettings) -> None:
    """Refuse a body that explodes while it does no more than follow its reference.

    Raises:
        SolveError: in half of the environments within `SETTLE` steps.
    """
    gains, count = material.preset(settings.preset), min(settings.environments, 32)
    world = engine.make(settings.engine, material.character, gains, count, settings.physics)
    try:
        env = ImitationEnv(world, material.clip, replace(settings.task, disturbance=NONE), settings.seed)
        env.reset()
        exploded = np.zeros(count, dtype=bool)
        for _ in range(SETTLE):
            env.step(np.zeros((count, env.action_size)))
            exploded |= env.reason == REASONS.index("exploded")
    finally:
        world.close()
    if 2 * exploded.sum() >= count:
        raise SolveError(
            f"{material.character.name} explodes at a timestep of 1/{1 / settings.physics.timestep:.0f} s:"
            f" {exploded.sum()} of {count} bodies within {SETTLE * env.step_time:.1f} s",
            hint="take softer gains with --preset, or halve the timestep: --set physics.timestep=0.00208333"
            " --set physics.substeps=16",
        )


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Ctrl-C sets the event, so that a batch is finished first; the second one interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def note(*_: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def evaluate_folder(
    folder: Path,
    *,
    engine_name: str | None = None,
    episodes: int = 32,
    seed: int = 0,
    record: Path | None = None,
    values: Values | None = None,
    thorough: bool = True,
) -> Evaluation:
    """Evaluate the policy of a run folder, in the engine it was trained in or in another.

    Args:
        record: file for the poses of NR's episodes.
        values: settings that differ from the training's.
        thorough: also with the policy's own noise and at other rates of the physics, which takes three times as long.
    """
    settings = configs.changed(configs.load(folder), {"seed": seed, **(values or {})})
    policy = load_policy(weights(folder))
    return _evaluate(
        Material.load(folder), settings, policy, engine_name or settings.engine, episodes, record, thorough
    )


def perform_folder(
    folder: Path, seconds: float, *, engine_name: str | None = None, through_falls: bool = False
) -> tuple[Actor, ImitationEnv]:
    """The policy of a run folder and one body to perform from the clip's start, by the rule of NR_free; close its engine.

    Args:
        through_falls: go on after a fall until ``seconds`` are over.
    """
    settings, material = configs.load(folder), Material.load(folder)
    now = settings.at(settings.samples)
    task = replace(now.task.measured(material.clip.loop), resync=False, start="zero", horizon=seconds)
    if through_falls:
        task = replace(task, early_termination="none")
    act, physics = actor(load_policy(weights(folder))), replace(now.physics, threads=1)
    world = engine.make(engine_name or settings.engine, material.character, material.preset(now.preset), 1, physics)
    return act, ImitationEnv(world, material.clip, task, settings.seed)


def record_folder(folder: Path, seconds: float, *, engine_name: str | None = None) -> Recording:
    """One episode of the policy of a run folder by the rule of NR_free, from the clip's start until a fall or ``seconds``."""
    act, env = perform_folder(folder, seconds, engine_name=engine_name)
    recorder = Recorder(engine_name or configs.load(folder).engine)
    try:
        score(act, env, recorder)
    finally:
        env.engine.close()
    return recorder.recording()


def push_folder(
    folder: Path,
    *,
    engine_name: str | None = None,
    largest: float = 1000.0,
    begin: float = push.BEGIN,
    stride: int = push.STRIDE,
) -> dict[str, push.Survived]:
    """Scan the pushes the policy of a run folder survives; from where and in what strides as `push.scan` says."""
    settings, material = configs.load(folder), Material.load(folder)
    now = settings.at(settings.samples)
    horizon = push.LONGEST + material.clip.duration
    task = replace(now.task.measured(material.clip.loop), horizon=horizon)

    def make(count: int) -> ImitationEnv:
        gains = material.preset(now.preset)
        world = engine.make(engine_name or now.engine, material.character, gains, count, now.physics)
        return ImitationEnv(world, material.clip, task, settings.seed)

    return push.scan(actor(load_policy(weights(folder))), make, largest, begin, stride)


def _evaluate(
    material: Material,
    settings: RunSettings,
    policy: Any,
    engine_name: str,
    episodes: int,
    record: Path | None = None,
    thorough: bool = True,
) -> Evaluation:
    """Under the last stage's task; the profile is the training's first, if it is one that is reported."""
    now = settings.at(settings.samples)
    return evaluate(
        actor(policy),
        material.character,
        material.clip,
        material.preset(now.preset),
        now.task,
        engine_name=engine_name,
        physics=now.physics,
        episodes=episodes,
        profile=settings.task.reward if settings.task.reward in REPORTED else REPORTED[0],
        seed=settings.seed + 1,
        noisy=actor(policy, noise=1.0, seed=settings.seed + 1) if thorough else None,
        record=record,
        other_rates=OTHER_RATES if thorough else (),
    )
