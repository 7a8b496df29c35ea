"""Every bound on log p(x) that a model has, weighed side by side.

On test data all of them are lower bounds: the ELBO, the same with a posterior fitted to each
datum (backhand.amortisation), L_k for growing k, and AIS.  L_k grows with k; AIS and L_k are not
ordered.  On data simulated from the model the noise behind each datum is known, and AIS run
backwards from it is an upper bound: log p(x) lies between the two, up to their errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from backhand import annealing
from backhand._types import Array
from backhand.amortisation import fit_posterior
from backhand.data import Data, batches
from backhand.device import to_host
from backhand.evaluation import ACTIVE, PIECE, elbo_of
from backhand.kernels import importance_weights
from backhand.model import Batch, Model
from backhand.noise import Noise
from backhand.numerics import xp_of
from backhand.signal_to_noise import signal_to_noise

ELBO_SAMPLES = 100  # per datum, for ELBOs
MOST = 50  # samples in what is repeated: gradients, semi-implicit bounds
SIZE = 100  # data evaluated together
TEST, SIMULATED = "test", "simulated"
NEEDED = ("log_likelihood", "noise_size", "elbo_at", "posterior_means")
UPPER = "ais reverse"


class Settings(NamedTuple):
    """ks: of L_k.  chains, temperatures, leapfrogs: of AIS.  limit: data of each kind."""

    ks: tuple[int, ...] = (1, 5, 50, 5000)
    limit: int = 100
    chains: int = 16
    temperatures: int = 500
    leapfrogs: int = 10
    seed: int = 0


class Row(NamedTuple):
    """nats: mean negative bound; stderr: over the data.  k: samples, or chains, per datum."""

    bound: str
    k: int
    data: str
    nats: float
    stderr: float
    ess: float | None


class Gain(NamedTuple):
    """How much tighter than the ELBO, datum by datum: mean and its standard error."""

    bound: str
    k: int
    data: str
    nats: float
    stderr: float


class Gap(NamedTuple):
    """log p(x) - ELBO in two parts, means over the data with their standard errors.

    reference: the bound that stands for log p(x), the tightest lower one.
    """

    data: str
    reference: str
    approximation: float
    approximation_stderr: float
    amortisation: float
    amortisation_stderr: float


class Comparison(NamedTuple):
    """active_units: of each stochastic layer, or step, with its width.

    snr: {estimator: {k: {part of the model: ratio}}}, of gradients by one batch of 20 data.
    """

    rows: list[Row]
    gains: list[Gain]
    gaps: list[Gap]
    active_units: list[tuple[int, int]]
    snr: dict[str, dict[int, dict[str, float]]]


def compare(
    model: Model,
    data: Data,
    settings: Settings,
    split: str = "test",
    report: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """All bounds of ``model`` on ``settings.limit`` data of a split, and on as many of its own.

    report(line) tells what is being done.  Raises ValueError for a model that has no gradient
    of log p(x | noise), or settings out of range.
    """
    _check(model, settings)
    dtype = model.params.vector.dtype
    chosen = data.split(split).converted(dtype).rows(slice(0, settings.limit))
    drawn = model.sample(settings.limit, Noise(settings.seed))
    xp = xp_of(drawn.x)
    index = xp.arange(settings.limit)
    simulated = [
        (Batch(drawn.x[rows], index[rows]), drawn.noise[rows])  # type: ignore[index]
        for rows in (slice(a, a + SIZE) for a in range(0, settings.limit, SIZE))
    ]
    rows, gains, gaps = [], [], []
    for name, parts in (
        (TEST, [(b, None) for b in batches(chosen, SIZE, xp)]),
        (SIMULATED, simulated),
    ):
        report(f"bounds on {name} data")
        found = _weigh(model, parts, settings, report)
        rows += [_row(bound, k, name, *values) for (bound, k), values in found.items()]
        values = {key: value for key, (value, _) in found.items()}
        elbo = values["elbo", ELBO_SAMPLES]
        gains += [Gain(bound, k, name, *_mean(v - elbo)) for (bound, k), v in values.items()]
        gaps.append(_gap(name, values))
    report("active units, signal-to-noise ratios")
    first = next(batches(chosen, 20, xp))
    return Comparison(
        rows, gains, gaps, _active(model, list(batches(chosen, SIZE, xp)), settings.seed),
        _ratios(model, first, settings),
    )  # fmt: skip


Values = dict[tuple[str, int], tuple[Array, Array | None]]  # (bound, k): bound (n,), ess (n,)


def _weigh(
    model: Model, parts: Iterable[tuple[Batch, Array | None]], settings: Settings,
    report: Callable[[str], None],
) -> Values:  # fmt: skip
    collected: dict[tuple[str, int], list[tuple[Array, Any]]] = {}
    for batch, made_of in parts:
        found = _elbos(model, batch, Noise(settings.seed))
        if hasattr(model, "semi_implicit"):
            found |= _corrupted(model, batch, Noise(settings.seed), settings.ks)
        found |= importance_bounds(model, batch, Noise(settings.seed), settings.ks)
        report(f"annealing of {len(batch.x)} data")
        found |= _annealed(model, batch, made_of, settings)
        for key, values in found.items():
            collected.setdefault(key, []).append(values)
    return {
        key: (
            np.concatenate([to_host(value) for value, _ in found_of]),
            None
            if found_of[0][1] is None
            else np.concatenate([to_host(ess) for _, ess in found_of]),
        )
        for key, found_of in collected.items()
    }


def _elbos(model: Any, batch: Batch, noise: Noise) -> Values:
    """The model's own ELBO, and that of the fitted posterior."""
    fitted = fit_posterior(model, batch, noise)
    value: Any = 0.0
    for first in range(0, ELBO_SAMPLES, PIECE):  # samples in pieces, as in elbo_of
        n = min(PIECE, ELBO_SAMPLES - first)
        piece, _ = model.elbo_at(fitted, batch, noise._replace(first=first), n)
        value = value + piece.astype(np.float64) * (n / ELBO_SAMPLES)
    own = elbo_of(model, batch, noise, ELBO_SAMPLES)["value"]
    return {("elbo", ELBO_SAMPLES): (own, None), ("elbo, fitted q", ELBO_SAMPLES): (value, None)}


def _corrupted(model: Any, batch: Batch, noise: Noise, ks: Sequence[int]) -> Values:
    """Of a denoising model, under its corruption: L_dvae, k = 0, and L_k with k more draws."""
    found: Values = {}
    for k in (0, *(k for k in ks if k <= MOST)):
        value: Any = 0.0
        for i in range(ELBO_SAMPLES):  # one by one: each has k + 1 pictures
            piece = noise._replace(first=i * (k + 1))
            value = value + model.semi_implicit(batch, piece, k).astype(np.float64) / ELBO_SAMPLES
        found["semi-implicit, corrupted", k] = value, None
    return found


def importance_bounds(model: Model, batch: Batch, noise: Noise, ks: Sequence[int]) -> Values:
    """L_k for each k, from max(ks) weights per datum: the mean over disjoint groups of k.

    So each L_k is no smaller than L_j for a j that divides k, where both divide max(ks).
    """
    most = max(ks)
    log_w = model.log_weights(batch, noise, most).astype(np.float64)  # (K, B)
    found: Values = {}
    for k in ks:
        groups = most // k
        grouped = log_w[: groups * k].reshape(groups, k, -1).swapaxes(0, 1).reshape(k, -1)
        bound, saved = importance_weights.forward(grouped)  # (groups * B,)
        ess = importance_weights.ess(saved)
        found["iwae", k] = bound.reshape(groups, -1).mean(0), ess.reshape(groups, -1).mean(0)
    return found


def _annealed(model: Any, batch: Batch, made_of: Array | None, settings: Settings) -> Values:
    """AIS, and from the noise that the data were made of also AIS in reverse."""
    noise, chains = Noise(settings.seed), settings.chains
    betas = annealing.temperatures(settings.temperatures)
    sizes = annealing.tune(model, batch, noise, betas, settings.leapfrogs)
    forward = annealing.forward(model, batch, noise, betas, sizes, settings.leapfrogs, chains)
    bound, saved = importance_weights.forward(forward.log_w)
    found: Values = {("ais", chains): (bound, importance_weights.ess(saved))}
    if made_of is not None:
        back = annealing.reverse(
            model, batch, made_of, noise, betas, sizes, settings.leapfrogs, chains
        )
        ess = importance_weights.ess(importance_weights.forward(-back.log_w)[1])
        found[UPPER, chains] = back.upper(), ess
    return found


def _row(bound: str, k: int, data: str, value: Array, ess: Array | None) -> Row:
    mean, stderr = _mean(-value)
    return Row(bound, k, data, mean, stderr, None if ess is None else float(ess.mean()))


def _gap(data: str, values: dict[tuple[str, int], Array]) -> Gap:
    lower = {key: value for key, value in values.items() if key[0] != UPPER}
    elbo, fitted = (values[name, ELBO_SAMPLES] for name in ("elbo", "elbo, fitted q"))
    reference = max(lower, key=lambda key: float(lower[key].mean()))
    return Gap(
        data, f"{reference[0]}, k = {reference[1]}",
        *_mean(lower[reference] - fitted), *_mean(fitted - elbo),
    )  # fmt: skip


def _active(model: Any, parts: list[Batch], seed: int) -> list[tuple[int, int]]:
    """Units whose posterior mean varies over the data by more than 0.01 (Burda et al., 2016)."""
    means = zip(*(model.posterior_means(batch, Noise(seed)) for batch in parts), strict=True)
    layers = [np.concatenate([*map(to_host, layer)]).astype(np.float64) for layer in means]
    return [(int((layer.var(axis=0) > ACTIVE).sum()), layer.shape[1]) for layer in layers]


def _ratios(model: Any, batch: Batch, settings: Settings) -> dict[str, dict[int, dict[str, float]]]:
    """For a model that has a choice of estimators: those that need no setting of their own."""
    estimators = (
        ("elbo", "iwae", "stl", "dreg") if hasattr(model.config, "estimator") else ("elbo",)
    )
    found: dict[str, dict[int, dict[str, float]]] = {}
    for estimator in estimators:
        chosen = model
        if hasattr(model.config, "estimator"):
            config = replace(model.config, estimator=estimator, groups=1, beta=0.0)
            chosen = replace(model, config=config)
        found[estimator] = {
            k: signal_to_noise(chosen, batch, k, model.params.parts, seed=settings.seed)
            for k in settings.ks
            if k <= MOST
        }
    return found


def _mean(values: Array) -> tuple[float, float]:
    n = len(values)
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan


def _check(model: Model, settings: Settings) -> None:
    missing = [name for name in NEEDED if not hasattr(model, name)]
    if missing:
        raise ValueError(f"{type(model).__name__} lacks {', '.join(missing)}, which bounds needs")
    numbers = {"limit": settings.limit, "chains": settings.chains, "leapfrogs": settings.leapfrogs}
    numbers["k"] = min(settings.ks, default=0)
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
