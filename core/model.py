"""The interface that every model has, and the few types that cross it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, Self

from backhand._types import Array, Shape
from backhand.noise import Noise
from backhand.params import Params


class Batch(NamedTuple):
    """Some data: ``index`` (B,) are datum numbers, the key of all noise drawn for them.

    x: (B, ...) vectors or pictures; (B, n, ...) sets; (B, T) token numbers with ``mask``.
    """

    x: Array
    index: Array  # type: ignore[assignment]  # hides tuple.index
    y: Array | None = None
    mask: Array | None = None


class DataSpec(NamedTuple):
    """What a model must know of the data before it sees any.

    shape: of one datum; kind: "binary" {0, 1}, "unit" [0, 1], "real", or "text".
    """

    shape: Shape
    kind: str


class Gaussian(NamedTuple):
    """A diagonal Gaussian: mean and logvar, (..., Z) each."""

    mean: Array
    logvar: Array


class Draw(NamedTuple):
    """Samples x from the model and the means they were drawn around, (n, *shape) each.

    noise (n, U): the standard normals that the means are a function of, where it is that simple.
    """

    x: Array
    mean: Array
    noise: Array | None = None


class Weights(NamedTuple):
    """How the trained objective weighs the terms; the reported bound never does.

    free_bits: nats per latent dimension below which the batch mean of its KL is not reduced.
    """

    likelihood: float = 1.0
    kl: float = 1.0
    free_bits: float = 0.0


UNWEIGHTED = Weights()


class Bound(NamedTuple):
    """A lower bound on log p(x), in nats per example.

    value (B,): the bound.  terms: its parts, (B,) each, unweighted.  objective (B,): what is
    trained, ``value`` unless weights were given.
    backward(d_objective=None, g=NO_GRAD, keep=False) adds to ``g`` the gradient of
    sum(d_objective * objective); None stands for 1/B, the mean.  ``keep`` leaves the saved
    arrays of recurrent models in place for another call.
    kl_units (B, U): the KL of each latent unit of each datum, where the model has such units.
    elbo (B,): the evidence lower bound from the same samples, where ``value`` is a tighter one.
    """

    value: Array
    terms: Mapping[str, Array]
    objective: Array
    backward: Callable[..., None]
    kl_units: Array | None = None
    elbo: Array | None = None


class Objective(NamedTuple):
    """One thing to raise: its name in the logs, and the parts that it trains (none: all).

    A model with several returns their Bounds, in the same order, from ``bounds``, which takes
    what ``bound`` takes: one forward pass for all.  Each has an optimiser of its own.
    """

    name: str = "bound"
    parts: tuple[str, ...] = ()


DEFAULT_OBJECTIVES = (Objective(),)


class Model(Protocol):
    """What ``fit``, ``evaluate`` and the command line ask of a model.

    ``Config`` is a frozen dataclass whose defaults are the CPU preset; ``create`` builds a
    model, with data-dependent initial values where ``x`` (training data) is given.
    ``recurrent = True``, on a class whose weights serve many steps, lets training defer their
    products (``grads_like``).

    A classifier has ``predict`` and ``check_labels`` in place of what comes after ``bound``, which
    is its log p(y | x); its term "error" is 1 where the likeliest label is wrong (models/glimpses).
    """

    Config: type
    config: Any
    spec: DataSpec
    params: Params
    objectives: tuple[Objective, ...]

    @classmethod
    def create(
        cls,
        config: Any,
        spec: DataSpec,
        x: Array | None = None,
        seed: int = 0,
        dtype: Any = "float32",
    ) -> Self: ...

    def over(self, vector: Array) -> Self: ...

    def bound(self, batch: Batch, noise: Noise, k: int = 1, weights: Weights = UNWEIGHTED) -> Bound:
        """A lower bound on log p(x) of each datum, from k samples of its latent variables."""
        ...

    def log_weights(self, batch: Batch, noise: Noise, k: int) -> Array:
        """log p(x, z) - log q(z|x) of k draws per datum, (k, B); beyond that, memory flat in k."""

    def encode(self, batch: Batch) -> Gaussian:
        """The posterior that stands for a datum, mean and logvar (B, ...)."""

    def sample(self, n: int, noise: Noise, given: Any = None) -> Draw: ...

    def reconstruct(self, batch: Batch, noise: Noise) -> Array: ...


__all__ = [
    "DEFAULT_OBJECTIVES",
    "UNWEIGHTED",
    "Batch",
    "Bound",
    "DataSpec",
    "Draw",
    "Gaussian",
    "Model",
    "Objective",
    "Weights",
]
