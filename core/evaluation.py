"""Bounds on log p(x), measured: with a standard error, and with what they are made of.

``elbo``: the evidence lower bound, averaged over k samples per datum.
``iwae``: L_k = log 1/k sum_i w_i (Burda et al., ICLR 2016), exact in k, in float64.
Everything printed as nats is the negative bound: smaller is better.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from backhand._types import Array
from backhand.data import Data, batches
from backhand.model import Batch, Model
from backhand.noise import Noise
from backhand.numerics import log_mean_exp

ACTIVE = 0.01  # variance over the data of a posterior mean, above which its unit is active
WEIGHTS = 1 << 20  # log weights held at once: k times the data evaluated together
BOUNDS = ("elbo", "iwae")


class CollapseWarning(UserWarning):
    """The latent variables carry next to nothing; see docs/my-kl-is-zero.md."""


class Evaluation(NamedTuple):
    """nats: the mean negative bound, in nats per example; stderr: its standard error over the data.

    ess: mean effective sample size of the k importance weights, 1 to k (None for the ELBO).
    terms: likelihood and kl, in nats per example; kl_per_dimension (Z,): E KL(q(z_j|x) || p).
    active_units: dimensions whose posterior mean has variance over 0.01; per_example (n,): the
    bound of each datum, in the order of the data.
    """

    bound: str
    k: int
    n: int
    nats: float
    stderr: float
    ess: float | None
    terms: dict[str, float]
    active_units: int
    kl_per_dimension: Array
    per_example: Array

    def __str__(self) -> str:
        ess = "" if self.ess is None else f", effective sample size {self.ess:.1f}"
        terms = ", ".join(f"{name} {value:.3f}" for name, value in self.terms.items())
        return (
            f"{self.nats:.3f} +- {self.stderr:.3f} nats ({self.bound}, k = {self.k}, "
            f"{self.n} data{ess}): {terms}; "
            f"{self.active_units} of {len(self.kl_per_dimension)} latent units active"
        )


def evaluate(
    model: Model,
    data: Data,
    *,
    bound: str = "elbo",
    k: int = 1,
    split: str = "test",
    seed: int = 0,
    limit: int = 0,
    batch: int = 100,
    report: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """The bound of a model on a split of the data ("train", "valid", "test").

    limit: at most so many data, from the front (0: all).  The noise is keyed by seed and datum:
    results do not depend on ``batch``, up to rounding.  report(done, n) is called as it goes.
    Raises ValueError for an unknown bound or a split that the data do not have.
    """
    if bound not in BOUNDS:
        raise ValueError(f"unknown bound {bound!r}; there are {', '.join(BOUNDS)}")
    if k < 1 or batch < 1 or limit < 0:
        raise ValueError(
            f"k and batch must be at least 1, limit 0 or more: {k=}, {batch=}, {limit=}"
        )
    dtype = model.params.vector.dtype
    chosen = data.converted(dtype).split(split)
    chosen = chosen.rows(slice(0, limit)) if limit else chosen
    noise = Noise(seed)
    collected: dict[str, list[Array]] = {}
    size = batch if bound == "elbo" else max(1, min(batch, WEIGHTS // k))
    measure = _elbo if bound == "elbo" else _iwae
    done = 0
    for part in batches(chosen, size):
        q = model.encode(part)
        mean, logvar = q.mean.astype(np.float64), q.logvar.astype(np.float64)
        kl = 0.5 * (mean * mean + np.expm1(logvar) - logvar)
        values = {**measure(model, part, noise, k, kl), "mean": mean, "kl_units": kl}
        for name, value in values.items():
            collected.setdefault(name, []).append(value)
        done += len(part.x)
        if report is not None:
            report(done, len(chosen))
    found = {name: np.concatenate(parts) for name, parts in collected.items()}
    return _summary(bound, k, found)


def _elbo(model: Model, part: Batch, noise: Noise, k: int, kl: Array) -> dict[str, Array]:
    bound = model.bound(part, noise, k)
    terms = {f"term {name}": value.astype(np.float64) for name, value in bound.terms.items()}
    return {"value": bound.value.astype(np.float64), **terms}


def _iwae(model: Model, part: Batch, noise: Noise, k: int, kl: Array) -> dict[str, Array]:
    log_w = model.log_weights(part, noise, k).astype(np.float64)  # (k, B)
    value = log_mean_exp(log_w, axis=0)
    w = np.exp(log_w - log_w.max(axis=0))
    ess = w.sum(axis=0) ** 2 / (w * w).sum(axis=0)
    kl = kl.sum(axis=1)
    return {"value": value, "ess": ess, "term likelihood": log_w.mean(axis=0) + kl, "term kl": kl}


def _summary(bound: str, k: int, found: dict[str, Array]) -> Evaluation:
    value, units = found["value"], found["kl_units"].mean(axis=0)
    n = len(value)
    active = int((found["mean"].var(axis=0) > ACTIVE).sum())
    if n > 1 and (active == 0 or units.sum() < 0.1):
        warnings.warn(
            f"{active} of {len(units)} latent units are active and the KL is {units.sum():.3g} "
            "nats: the model ignores its latent variables (docs/my-kl-is-zero.md)",
            CollapseWarning,
            stacklevel=3,
        )
    return Evaluation(
        bound, k, n,
        nats=float(-value.mean()),
        stderr=float(value.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan,
        ess=float(found["ess"].mean()) if "ess" in found else None,
        terms={key[5:]: float(v.mean()) for key, v in found.items() if key.startswith("term ")},
        active_units=active,
        kl_per_dimension=units,
        per_example=value,
    )  # fmt: skip


def as_json(result: Evaluation) -> dict[str, Any]:
    """What ``backhand evaluate --json`` prints; numbers that are not finite become null."""
    keep = ("bound", "k", "n", "nats", "stderr", "ess", "terms", "active_units")
    row = {name: getattr(result, name) for name in keep}
    row["kl_per_dimension"] = [round(float(v), 6) for v in result.kl_per_dimension]
    return {
        name: None if isinstance(v, float) and not math.isfinite(v) else v
        for name, v in row.items()
    }
