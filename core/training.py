"""The training loop: the one place where data, bound, gradient and optimiser meet."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from backhand._types import Array
from backhand.backend import use_backend
from backhand.config import DataConfig, TrainConfig
from backhand.data import Data, Split, batch_at, batch_of, batches, steps_per_epoch
from backhand.grads import Grads, grads_like
from backhand.model import Bound, Model, Objective, Weights
from backhand.models import model_name
from backhand.noise import Noise
from backhand.numerics import xp_of
from backhand.optim import Optimizer, TrainingDiverged, clip_scale, global_norm, make_optimizer
from backhand.runs import Run, Settings
from backhand.schedules import kl_weight, learning_rate
from backhand.threads import blas_threads


class Result(NamedTuple):
    """What ``fit`` returns; train and valid are nats per example of the last epoch."""

    steps: int
    seconds: float
    train: float
    valid: float | None
    finished: str


@dataclass
class Progress:
    """Where a training run stands: with the vectors, all that a resume needs."""

    step: int = 0
    best: float = math.inf  # the smallest validation nats so far
    waited: int = 0  # validations since then
    sums: dict[str, float] = field(default_factory=dict)  # of each term, over this epoch
    seen: dict[str, int] = field(default_factory=dict)  # data in each sum
    train: float = math.nan
    valid: float | None = None
    seconds: float = 0.0
    finished: str = ""

    def add(self, bound: Bound) -> None:
        for name, value in {"nats": -bound.value, **bound.terms}.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.sum(dtype=np.float64))
            self.seen[name] = self.seen.get(name, 0) + len(value)
        if not math.isfinite(self.sums["nats"]):
            raise _diverged(self, "the bound is not finite")

    def take(self) -> dict[str, float]:
        means = {name: value / self.seen[name] for name, value in self.sums.items()}
        self.seen, self.sums = {}, {}
        return means


class Update(NamedTuple):
    """One objective with its gradient, the slice that it trains, and its optimiser."""

    objective: Objective
    grads: Grads
    where: slice
    optimizer: Optimizer


def fit(
    model: Model,
    data: Data,
    config: TrainConfig | None = None,
    *,
    run: Run | str | os.PathLike[str] | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> Result:
    """Train ``model`` in place.

    run: a new or empty folder, which ``bh.load`` will read; or an open ``Run``, which goes on
    from its last checkpoint.

    report(row) is called after each step with {step, total} and, at the end of an epoch, also
    with what goes to metrics.jsonl.  Raises TrainingDiverged, before the checkpoint is
    written, when a bound or a gradient is not finite.
    """
    config = config or TrainConfig()
    if isinstance(run, str | os.PathLike):
        run = Run.create(run, Settings(model_name(type(model)), model.config, config, DataConfig()))
    vector = model.params.vector
    xp = xp_of(vector)
    data = data.converted(vector.dtype)
    n = len(data.train)
    per_epoch = steps_per_epoch(n, config.batch)
    total = config.steps or config.epochs * per_epoch
    warmup = round(config.kl_warmup * per_epoch)
    updates = [_update(model, objective, config) for objective in model.objectives]
    progress = _restore(run, model, updates)
    progress.finished = _finished(progress, total, config)
    started, saved = time.monotonic() - progress.seconds, time.monotonic()

    with ExitStack() as settings:
        if config.threads:
            settings.enter_context(blas_threads(config.threads))
        if config.backend:
            settings.enter_context(use_backend(config.backend))
        while progress.step < total and not progress.finished:
            step = progress.step = progress.step + 1
            epoch, index = batch_at(n, config.batch, config.seed, step)
            batch = batch_of(data.train, index, Noise(config.seed, step))
            rate = learning_rate(
                config.schedule, step, total, config.lr, **config.schedule_settings
            )
            weights = Weights(kl=kl_weight(step, warmup), free_bits=config.free_bits)
            for update in updates:
                bound = getattr(model, update.objective.method)(
                    batch, Noise(config.seed, step), config.k, weights
                )
                progress.add(bound)
                d = xp.full(len(index), -1 / len(index), vector.dtype)  # minimise the mean
                update.grads.zero()
                bound.backward(d, update.grads)
                update.grads.flush()
            for update in updates:
                gradient = update.grads.vector[update.where]
                scale = clip_scale(_norm(gradient, progress), config.clip)
                update.optimizer.step(vector[update.where], gradient, rate, scale)

            row: dict[str, Any] = {"step": step}
            end_of_epoch = step % per_epoch == 0 or step == total
            if end_of_epoch:
                progress.seconds = time.monotonic() - started
                last = step == total
                row |= _close_epoch(model, data, config, progress, epoch, last, rate, weights)
                progress.finished = _finished(progress, total, config)
                if run is not None:
                    run.append(row)
            due = time.monotonic() - saved > 60 * config.checkpoint_minutes
            if run is not None and (end_of_epoch or due):
                progress.seconds = time.monotonic() - started
                run.save(asdict(progress), model, _slots(updates), best=row.get("best", False))
                saved = time.monotonic()
            if report is not None:
                report(row | {"total": total})
    return _result(progress)


def _update(model: Model, objective: Objective, config: TrainConfig) -> Update:
    ranges = [model.params.range_of(part) for part in objective.parts or ("",)]
    where = slice(ranges[0].start, ranges[-1].stop)
    if sum(r.stop - r.start for r in ranges) != where.stop - where.start:
        raise ValueError(f"the parts {objective.parts} of one objective must be neighbours")
    size = where.stop - where.start
    vector = model.params.vector
    optimizer = make_optimizer(
        config.optimizer, size, vector.dtype, xp=xp_of(vector), **config.optimizer_settings
    )
    return Update(objective, grads_like(model), where, optimizer)


def _close_epoch(
    model: Model,
    data: Data,
    config: TrainConfig,
    progress: Progress,
    epoch: int,
    last: bool,
    rate: float,
    weights: Weights,
) -> dict[str, Any]:
    """Validate, and decide whether this is the best; the metrics of the epoch."""
    train = progress.take()
    progress.train = train["nats"]
    row: dict[str, Any] = {"epoch": epoch, "lr": rate, "kl_weight": weights.kl, "train": train}
    if data.valid is not None and (epoch % config.valid_every == 0 or last):
        row["valid"] = _validate(model, data.valid, config)
        progress.valid = row["valid"]["nats"]
        row["best"] = progress.valid < progress.best
        progress.waited = 0 if row["best"] else progress.waited + 1
        progress.best = min(progress.best, progress.valid)
    row["seconds"] = round(progress.seconds, 3)
    return row


def _finished(progress: Progress, total: int, config: TrainConfig) -> str:
    if progress.step >= total:
        return f"{total} steps done"
    if config.patience and progress.waited >= config.patience:
        return f"no better validation bound in {config.patience} validations"
    return ""


def _validate(model: Model, split: Split, config: TrainConfig) -> dict[str, float]:
    """The same noise every time, so that epochs are compared on equal terms."""
    total = Progress()
    for batch in batches(split, config.batch):
        total.add(model.bound(batch, Noise(config.seed), config.k))
    return total.take()


def _norm(gradient: Array, progress: Progress) -> float:
    try:
        return global_norm(gradient)
    except TrainingDiverged as error:
        raise _diverged(progress, str(error)) from error


def _diverged(progress: Progress, what: str) -> TrainingDiverged:
    return TrainingDiverged(
        f"step {progress.step}: {what}; the last checkpoint is intact. Lower the learning rate, "
        "set training.clip, or bound the log-scales (log_scale_bound)"
    )


def _slots(updates: list[Update]) -> dict[str, Any]:
    return {
        f"{i}/{name}": array
        for i, update in enumerate(updates)
        for name, array in update.optimizer.state.items()
    }


def _restore(run: Run | None, model: Model, updates: list[Update]) -> Progress:
    found = run.restore(model) if run is not None else None
    if found is None:
        return Progress()
    state, slots = found
    for i, update in enumerate(updates):
        prefix = f"{i}/"
        own = {name.removeprefix(prefix): a for name, a in slots.items() if name.startswith(prefix)}
        update.optimizer.load_state(own)
    return Progress(**state)


def _result(progress: Progress) -> Result:
    return Result(
        progress.step, progress.seconds, progress.train, progress.valid, progress.finished
    )
