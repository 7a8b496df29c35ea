"""What a training step is made of: bounds, their gradients, and the optimisers that use them."""

from __future__ import annotations

from typing import NamedTuple

from backhand._types import Array
from backhand.config import TrainConfig
from backhand.data import Split, batch_of
from backhand.grads import Grads
from backhand.model import Batch, Bound, Model, Objective, Weights
from backhand.noise import Noise
from backhand.numerics import xp_of
from backhand.optim import Optimizer, make_optimizer


class Update(NamedTuple):
    """One objective with its gradient, the slice that it trains, and its optimiser."""

    objective: Objective
    grads: Grads
    where: slice
    optimizer: Optimizer


def update_of(model: Model, objective: Objective, config: TrainConfig, grads: Grads) -> Update:
    ranges = [model.params.range_of(part) for part in objective.parts or ("",)]
    where = slice(ranges[0].start, ranges[-1].stop)
    if sum(r.stop - r.start for r in ranges) != where.stop - where.start:
        raise ValueError(f"the parts {objective.parts} of one objective must be neighbours")
    vector = model.params.vector
    optimizer = make_optimizer(
        config.optimizer, where.stop - where.start, vector.dtype, xp=xp_of(vector),
        **config.optimizer_settings,
    )  # fmt: skip
    return Update(objective, grads, where, optimizer)


def bounds_of(
    model: Model, batch: Batch, noise: Noise, k: int, weights: Weights
) -> tuple[Bound, ...]:
    """The bound of each objective, from one forward pass; of a denoising model, corrupted."""
    if not hasattr(model, "bounds"):
        seen = {"seen": model.corrupt(batch, noise, k)} if hasattr(model, "corrupt") else {}
        return (model.bound(batch, noise, k, weights, **seen),)
    found = tuple(model.bounds(batch, noise, k, weights))
    if len(found) != len(model.objectives):
        raise ValueError(f"{len(found)} bounds for {len(model.objectives)} objectives")
    return found


def gradients(
    model: Model, split: Split, config: TrainConfig, weights: Weights, noise: Noise, index: Array,
    total: int, rows: slice, grads: list[Grads],
) -> tuple[Bound, ...]:  # fmt: skip
    """Of some rows of the data ``index``, seeded with -1/total: what is minimised is the mean."""
    xp, index = xp_of(model.params.vector), index[rows]
    bounds = bounds_of(model, batch_of(split, index, noise, xp), noise, config.k, weights)
    d = xp.full(len(index), -1 / total, model.params.vector.dtype)
    for g, bound in zip(grads, bounds, strict=True):
        g.zero()
        bound.backward(d, g)
        g.flush()
    return bounds


def no_gradients(grads: list[Grads]) -> tuple[Bound, ...]:
    """Of no data: gradients of zero."""
    for g in grads:
        g.zero()
        g.flush()
    return ()
