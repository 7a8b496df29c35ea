"""Bounds on log p(x), measured: with a standard error, and with what they are made of.

``elbo``: the evidence lower bound, averaged over k samples per datum.
``iwae``: L_k = log 1/k sum_i w_i (Burda et al., ICLR 2016), exact in k; the log weights are
those of the model's own precision, what is made of them is float64.
``ais``: annealed importance sampling (backhand.annealing) with k chains per datum.
A classifier has no latent variables: its log p(y | x) is exact, and has the error beside it.
Everything printed as nats is the negative bound: smaller is better.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from backhand import annealing
from backhand._types import Array
from backhand.data import Data, batches
from backhand.device import to_host
from backhand.kernels import importance_weights
from backhand.model import Batch, Model
from backhand.models import check_labels, is_classifier
from backhand.noise import Noise
from backhand.numerics import xp_of

ACTIVE = 0.01  # variance over the data of a posterior mean, above which its unit is active
WEIGHTS = 1 << 20  # log weights held at once: k times the data evaluated together
PIECE = 16  # samples of a datum whose bound is computed at once
BOUNDS = ("elbo", "iwae", "ais")


class CollapseWarning(UserWarning):
    """The latent variables carry next to nothing; see docs/my-kl-is-zero.md."""


class Evaluation(NamedTuple):
    """nats: the mean negative bound, in nats per example; stderr: its standard error over the data.

    ess: mean effective sample size of the k importance weights, 1 to k (None for the ELBO).
    terms: those of the model's bound, in nats per example (of one sample, for iwae); "kl 3" is
    step 3's part of "kl".
    active_units: posterior means (``encode``) whose variance over the data is above 0.01, of
    ``units``.  kl_per_unit (U,): where the model's bound says it.  per_example (n,): the bound
    of each datum, in the order of the data.
    error: of a classifier, the data whose likeliest label is wrong, in %, and the standard error
    of that; ``bound`` is "cross-entropy" then, of log p(y | x), and no units are counted.
    """

    bound: str
    k: int
    n: int
    nats: float
    stderr: float
    ess: float | None
    terms: dict[str, float]
    active_units: int
    units: int
    kl_per_unit: Array | None
    per_example: Array
    error: float | None = None
    error_stderr: float | None = None

    def __str__(self) -> str:
        if self.error is not None:
            return (
                f"{self.error:.2f} +- {self.error_stderr:.2f} % wrong, "
                f"{self.nats:.3f} +- {self.stderr:.3f} nats ({self.bound}, {self.n} data)"
            )
        ess = "" if self.ess is None else f", effective sample size {self.ess:.1f}"
        whole = {name: value for name, value in self.terms.items() if " " not in name}  # no parts
        terms = ", ".join(f"{name} {value:.3f}" for name, value in whole.items())
        return (
            f"{self.nats:.3f} +- {self.stderr:.3f} nats ({self.bound}, k = {self.k}, "
            f"{self.n} data{ess}): {terms}; "
            f"{self.active_units} of {self.units} latent units active"
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
    temperatures: int = 500,
    leapfrogs: int = 10,
    report: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """The bound of a model on a split of the data ("train", "valid", "test").

    temperatures, leapfrogs: of ais.
    limit: at most so many data, from the front (0: all).  The noise is keyed by seed and datum:
    results do not depend on ``batch``, up to rounding.  report(done, n) is called as it goes.
    Raises ValueError for an unknown bound, a split that the data do not have, or data of
    another kind than the model was made for; for a bound or k of a classifier, and data without
    its labels.
    """
    if bound not in BOUNDS:
        raise ValueError(f"unknown bound {bound!r}; there are {', '.join(BOUNDS)}")
    if is_classifier(model) and (bound, k) != ("elbo", 1):
        raise ValueError(
            f"{type(model).__name__} has no latent variables, so log p(y | x) is exact: leave out "
            "bound and k"
        )
    if min(k, batch, leapfrogs) < 1 or limit < 0:
        raise ValueError(
            "k, batch and leapfrogs must be at least 1, limit 0 or more: "
            f"{k=}, {batch=}, {leapfrogs=}, {limit=}"
        )
    if data.spec.kind != model.spec.kind and "binary" in (data.spec.kind, model.spec.kind):
        raise ValueError(
            f"{data.name} holds {data.spec.kind} data, the model was made for {model.spec.kind} "
            "data; load them with the same binarisation"
        )
    check_labels(model, data.split(split))
    chosen = data.split(split).converted(model.params.vector.dtype)
    chosen = chosen.rows(slice(0, limit)) if limit else chosen
    noise = Noise(seed)
    collected: dict[str, list[Array]] = {}
    units, means = _Moments(), _Moments()
    size = batch if bound == "elbo" else max(1, min(batch, WEIGHTS // k))
    done = 0
    xp = xp_of(model.params.vector)
    for part in batches(chosen, size, xp):
        values = elbo_of(model, part, noise, k if bound == "elbo" else 1)
        if bound == "iwae":
            values |= _iwae(model, part, noise, k)
        if bound == "ais":
            values |= _ais(model, part, noise, k, temperatures, leapfrogs)
        if "kl_units" in values:
            units.add(to_host(values.pop("kl_units")))
        if not is_classifier(model):
            means.add(to_host(model.encode(part).mean).reshape(len(part.x), -1))
        for name, value in values.items():
            collected.setdefault(name, []).append(to_host(value))
        done += len(part.x)
        if report is not None:
            report(done, len(chosen))
    found = {name: np.concatenate(parts) for name, parts in collected.items()}
    result = _summary(bound, k, found, units, means)
    return _classified(result, found["term error"]) if is_classifier(model) else result


def elbo_of(model: Model, part: Batch, noise: Noise, k: int) -> dict[str, Array]:
    """The bound and its terms, (B,) each, averaged over k samples taken in pieces."""
    total: dict[str, Array] = {}
    for first in range(0, k, PIECE):
        n = min(PIECE, k - first)
        bound = model.bound(part, noise._replace(first=first), n)
        values = {f"term {name}": value for name, value in bound.terms.items()}
        values["value"] = bound.value if bound.elbo is None else bound.elbo
        if bound.kl_units is not None:
            values["kl_units"] = bound.kl_units
        for name, value in values.items():
            total[name] = total.get(name, 0.0) + value.astype(np.float64) * (n / k)
    return total


def _iwae(model: Model, part: Batch, noise: Noise, k: int) -> dict[str, Array]:
    """log 1/k sum_i w_i and the effective sample size, (B,) each."""
    log_w = model.log_weights(part, noise, k).astype(np.float64)  # (k, B)
    bound, saved = importance_weights.forward(log_w)
    return {"value": bound, "ess": importance_weights.ess(saved)}


def _ais(
    model: Model, part: Batch, noise: Noise, chains: int, temperatures: int, leapfrogs: int
) -> dict[str, Array]:
    """log mean w over the chains, and their effective sample size, (B,) each."""
    if not hasattr(model, "log_likelihood"):
        raise ValueError(f"{type(model).__name__} has no log_likelihood, which ais moves along")
    betas = annealing.temperatures(temperatures)
    annealed: Any = model
    sizes = annealing.tune(annealed, part, noise, betas, leapfrogs)
    log_w = annealing.forward(annealed, part, noise, betas, sizes, leapfrogs, chains).log_w
    bound, saved = importance_weights.forward(log_w)
    return {"value": bound, "ess": importance_weights.ess(saved)}


class _Moments:
    """Mean and variance of each column of rows that come in parts, none of which is kept."""

    def __init__(self) -> None:
        self.n = 0
        self.shift = self.total = self.squares = np.zeros(0)

    def add(self, rows: Array) -> None:
        rows = rows.astype(np.float64)
        if not self.n:  # sums about some point of the column: digits are not lost to its distance
            self.shift = rows.mean(axis=0)
            self.total, self.squares = np.zeros((2, rows.shape[1]))
        away = rows - self.shift
        self.n += len(rows)
        self.total = self.total + away.sum(axis=0)
        self.squares = self.squares + (away * away).sum(axis=0)

    @property
    def mean(self) -> Array:
        return self.shift + self.total / self.n

    @property
    def variance(self) -> Array:
        return self.squares / self.n - (self.total / self.n) ** 2


def _summary(
    bound: str, k: int, found: dict[str, Array], kl: _Moments, means: _Moments
) -> Evaluation:
    value, n = found["value"], len(found["value"])
    active, units = int((means.variance > ACTIVE).sum()), len(means.variance)
    terms = {key[5:]: float(v.mean()) for key, v in found.items() if key.startswith("term ")}
    if n > 1 and means.n and (active == 0 or terms.get("kl", math.inf) < 0.1):
        warnings.warn(
            f"{active} of {units} latent units are active and the KL is {terms['kl']:.3g} nats: "
            "the model ignores its latent variables (docs/my-kl-is-zero.md)"
            if "kl" in terms
            else f"none of {units} latent units is active (docs/my-kl-is-zero.md)",
            CollapseWarning,
            stacklevel=3,
        )
    return Evaluation(
        bound, k, n,
        nats=float(-value.mean()),
        stderr=_stderr(value),
        ess=float(found["ess"].mean()) if "ess" in found else None,
        terms=terms,
        active_units=active,
        units=units,
        kl_per_unit=kl.mean if kl.n else None,
        per_example=value,
    )  # fmt: skip


def _classified(result: Evaluation, wrong: Array) -> Evaluation:
    """With the error in %; wrong (n,) is 0 or 1."""
    percent = 100 * wrong
    return result._replace(
        bound="cross-entropy", error=float(percent.mean()), error_stderr=_stderr(percent)
    )


def _stderr(value: Array) -> float:
    """Of the mean of value (n,)."""
    return float(value.std(ddof=1) / math.sqrt(len(value))) if len(value) > 1 else math.nan


def as_json(result: Evaluation) -> dict[str, Any]:
    """What ``backhand evaluate --json`` prints; numbers that are not finite become null."""
    keep = ("bound", "k", "n", "nats", "stderr", "ess", "terms", "active_units", "units")
    row = {name: getattr(result, name) for name in keep}
    if result.error is not None:
        row |= {"error": result.error, "error_stderr": result.error_stderr}
    if result.kl_per_unit is not None:
        row["kl_per_unit"] = [round(float(v), 6) for v in result.kl_per_unit]
    return {
        name: None if isinstance(v, float) and not math.isfinite(v) else v
        for name, v in row.items()
    }
