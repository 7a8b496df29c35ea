"""The training loop: the one place where data, bound, gradient and optimiser meet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from backhand._types import Array
from backhand.backend import is_device_array
from backhand.config import DataConfig, TrainConfig
from backhand.data import Data, Split, batch_at, batch_of, batches, steps_per_epoch
from backhand.device import host_backend, placed, to_device, to_host
from backhand.grads import NO_GRAD, grads_like
from backhand.memory import kept_memory
from backhand.model import Model, Weights
from backhand.models import check_labels, model_class, model_name
from backhand.noise import Noise
from backhand.numerics import xp_of
from backhand.optim import TrainingDiverged, clip_scale, global_norm
from backhand.params import assign_constants, constants
from backhand.parts import Team
from backhand.processes import Processes
from backhand.progress import Progress
from backhand.runs import Run, Settings
from backhand.schedules import kl_weight, learning_rate
from backhand.threads import training_threads
from backhand.updates import Update, bounds_of, gradients, no_gradients, update_of


class Result(NamedTuple):
    """What ``fit`` returns; train and valid are nats per example of the last epoch."""

    steps: int
    seconds: float
    train: float | None
    valid: float | None
    finished: str  # the reason, or "" where ``report`` stopped it


def fit(
    model: Model,
    data: Data,
    config: TrainConfig | None = None,
    *,
    run: Run | str | os.PathLike[str] | None = None,
    report: Callable[[dict[str, Any]], bool | None] | None = None,
    processes: Processes | None = None,
) -> Result:
    """Train ``model`` in place.

    config: None takes the run's, or the defaults.  run: a new or empty folder, which
    ``bh.load`` will read; or an open ``Run``, which goes on from its last checkpoint.
    report(row) is called after each step with {step, total} and, at the end of an epoch, also
    with what goes to metrics.jsonl; if it returns True, a checkpoint is written and fit ends.
    processes: those that train together (backhand.processes); all call fit with the same
    arguments, and rank 0 writes and reports.
    Raises ValueError for settings that do not fit together, and TrainingDiverged, before a
    checkpoint is written, when a bound or a gradient is not finite.
    """
    if config is None:
        config = run.settings.training if isinstance(run, Run) else TrainConfig()
    if config.backend == "cuda" and not is_device_array(model.params.vector):
        return _on_device(model, data, config, run=run, report=report, processes=processes)
    processes = processes or Processes()
    vector = model.params.vector
    _check(model, data, config, processes)
    if processes.rank:
        run = report = None
    elif isinstance(run, str | os.PathLike):
        run = _new_run(run, model, data, config)
    data = data.converted(vector.dtype)
    n = len(data.train)
    per_epoch = steps_per_epoch(n, config.batch)
    total = config.steps or config.epochs * per_epoch
    warmup = round(config.kl_warmup * per_epoch)
    chain = getattr(model, "recurrent", False)  # of many small products
    divisible = not config.free_bits and not is_device_array(vector)
    team = Team(lambda: [grads_like(model, defer=chain) for _ in model.objectives], divisible)
    updates = [
        update_of(model, objective, config, grads)
        for objective, grads in zip(model.objectives, team.grads, strict=True)
    ]

    with ExitStack() as settings:
        settings.enter_context(host_backend(config.backend))
        if config.threads:
            size = min(n, config.batch) // processes.size
            settings.enter_context(
                training_threads(config.threads, size, config.k, chain, divisible)
            )
        settings.enter_context(kept_memory())
        if run is not None:
            settings.enter_context(run.locked())
            run.go_on_with(config)
        progress = _restore(run, model, data, updates, processes)
        started, saved = time.monotonic() - progress.seconds, time.monotonic()
        stop = due = False
        while not stop and not _finished(progress, total, config):
            step = progress.step = progress.step + 1
            epoch, index = batch_at(n, config.batch, config.seed, step)
            noise = Noise(config.seed, step)
            rate = learning_rate(
                config.schedule, step, total, config.lr, **config.schedule_settings
            )
            weights = Weights(kl=kl_weight(step, warmup), free_bits=config.free_bits)
            mine = index[processes.part(len(index))]
            work = partial(gradients, model, data.train, config, weights, noise, mine, len(index))
            for bounds in team.run(work, len(mine)) if len(mine) else [no_gradients(team.grads)]:
                for objective, bound in zip(model.objectives, bounds, strict=False):
                    progress.add(bound, objective.name)
            for update in updates:
                processes.sum(update.grads.vector)
            for update in updates:  # all gradients are taken before anything moves
                gradient = update.grads.vector[update.where]
                scale = clip_scale(_norm(gradient, progress), config.clip)
                scale *= len(index) if update.optimizer.of_sum else 1
                update.optimizer.step(vector[update.where], gradient, rate, scale)

            row: dict[str, Any] = {"step": step}
            end_of_epoch = step % per_epoch == 0 or step == total
            progress.seconds = time.monotonic() - started
            if end_of_epoch:
                row |= {"epoch": epoch, "lr": rate, "kl_weight": weights.kl}
                validate = epoch % config.valid_every == 0 or step == total
                valid = data.valid if validate else None
                row |= _close_epoch(model, valid, config, progress, processes)
                if run is not None:
                    run.append(row)
            late = time.monotonic() - saved > 60 * config.checkpoint_minutes
            due = end_of_epoch or processes.share(late)
            if due:
                _save(run, progress, model, data, updates, processes, row.get("best", False))
                saved = time.monotonic()
            if report is not None:
                stop = report(row | {"total": total}) is True
            stop = processes.share(stop)
        if stop and not due:
            _save(run, progress, model, data, updates, processes, best=False)
    finished = _finished(progress, total, config)
    return Result(progress.step, progress.seconds, progress.train, progress.valid, finished)


def _on_device(model: Model, data: Data, config: TrainConfig, **options: Any) -> Result:
    """``fit`` of a model on the host, on the GPU; in the end the host has what was learned."""
    twin = to_device(model)
    try:
        return fit(twin, data, config, **options)
    finally:
        model.params.vector[...] = to_host(twin.params.vector)
        kept = {name: to_host(array) for name, array in constants(twin).items()}
        assign_constants(model, kept)


def try_out(model: Model, data: Data, config: TrainConfig) -> None:
    """One datum forward and backward, so that what cannot train says so before there is a run."""
    check_labels(model, data.train, data.valid)
    model = placed(model, config.backend)
    xp = xp_of(model.params.vector)
    with host_backend(config.backend):
        split = data.train.rows(slice(0, 1))
        split = replace(data, train=split).converted(config.dtype).train
        batch = batch_of(split, np.zeros(1, np.int64), Noise(0), xp)
        weights = Weights(kl=0.0 if config.kl_warmup else 1.0, free_bits=config.free_bits)
        for bound in bounds_of(model, batch, Noise(0), config.k, weights):
            bound.backward(None, NO_GRAD)


def _check(model: Model, data: Data, config: TrainConfig, processes: Processes) -> None:
    if processes.size > 1 and config.free_bits:
        raise ValueError("training.free_bits looks at a whole batch: it needs one process")
    dtype = model.params.vector.dtype
    if config.dtype != dtype:
        raise ValueError(f"the model is {dtype}, training.dtype {config.dtype}: make them the same")
    if len(model.objectives) > 1 and not hasattr(model, "bounds"):
        raise ValueError("a model with several objectives needs a method bounds, one for each")
    if config.patience and data.valid is None:
        raise ValueError("training.patience needs validation data, and these have none")
    check_labels(model, data.train, data.valid)


def _new_run(path: str | os.PathLike[str], model: Model, data: Data, config: TrainConfig) -> Run:
    name = model_name(type(model))
    model_class(name)  # or the run could not be loaded again
    try_out(model, data, config)
    return Run.create(path, Settings(name, model.config, config, DataConfig()))


def _norm(gradient: Array, progress: Progress) -> float:
    try:
        return global_norm(gradient)
    except TrainingDiverged as error:
        raise progress.diverged(str(error)) from error


def _finished(progress: Progress, total: int, config: TrainConfig) -> str:
    """Why there is nothing left to do, or ""."""
    if progress.step >= total:
        return f"{total} steps done"
    if config.patience and progress.waited >= config.patience:
        return f"no better validation bound in {config.patience} validations"
    return ""


def _close_epoch(
    model: Model, valid: Split | None, config: TrainConfig, progress: Progress,
    processes: Processes,
) -> dict[str, Any]:  # fmt: skip
    """The metrics of the epoch, with a validation where there are data for one.

    Its noise is the same every time, so that epochs are compared on equal terms.
    """
    progress.join(processes)
    train = processes.share(progress.take())
    progress.train = train.get("nats")
    row: dict[str, Any] = {"train": train}
    if valid is not None:
        total = Progress(progress.step)
        every = batches(valid, config.batch, xp_of(model.params.vector))
        for batch in islice(every, processes.rank, None, processes.size):
            total.add(model.bound(batch, Noise(config.seed), config.k))
        total.join(processes)
        row["valid"] = processes.share(total.take())
        row["best"] = progress.judge(row["valid"]["nats"])
    row["seconds"] = round(progress.seconds, 3)
    return row


def _save(
    run: Run | None, progress: Progress, model: Model, data: Data, updates: list[Update],
    processes: Processes, best: bool,
) -> None:  # fmt: skip
    progress.join(processes)
    if run is not None:
        run.save(progress, model, data, _slots(updates), best=best)


def _slots(updates: list[Update]) -> dict[str, Any]:
    return {
        f"{i}/{name}": array
        for i, update in enumerate(updates)
        for name, array in update.optimizer.state.items()
    }


def _restore(
    run: Run | None, model: Model, data: Data, updates: list[Update], processes: Processes
) -> Progress:
    """The last checkpoint, where there is one; what rank 0 has, everywhere."""
    found = run.restore(model, data) if run is not None else None
    if processes.size > 1:
        found = _shared(found, model, processes)
    if found is None:
        return Progress()
    progress, slots = found
    for i, update in enumerate(updates):
        prefix = f"{i}/"
        own = {name.removeprefix(prefix): a for name, a in slots.items() if name.startswith(prefix)}
        update.optimizer.load_state(own)
    return progress


def _shared(found: Any, model: Model, processes: Processes) -> Any:
    vector, xp = model.params.vector, xp_of(model.params.vector)
    kept = {name: to_host(array) for name, array in constants(model).items()}
    values, kept, found = processes.share((to_host(vector), kept, found))
    vector[...] = xp.asarray(values)
    assign_constants(model, {name: xp.asarray(array) for name, array in kept.items()})
    if found is not None and processes.rank:
        found[0].forget()  # rank 0 has the sums so far
    return found
