"""What a decoder ends in: the parameters of p(x | h) and its log-likelihood.

logp, backward = output(h, x, before)      h (K, B, H), x (B, D) data, logp (K, B) nats
dh = backward(d_logp, g, g_before)

before: layers between h and the output, for which one call is faster than two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from backhand._types import Array
from backhand.distributions import bernoulli, gaussian
from backhand.layers import GaussianHead, Identity, Initial, Linear
from backhand.layers.linear import affine, bernoulli_of, listed
from backhand.noise import Noise
from backhand.numerics import sigmoid, xp_of
from backhand.params import constant


@dataclass(frozen=True)
class OutputConfig:
    """output: "auto" is "bernoulli" for binary data, else "gaussian".

    variance, std (initial or fixed standard deviation, in standardised units) and standardise
    (columns to mean 0 and deviation 1; bounds and samples stay in the data's units) belong to
    "gaussian".  log_scale_bound: 0 for none, see GaussianHead.
    """

    output: Literal["auto", "bernoulli", "gaussian"] = "auto"
    variance: Literal["fixed", "shared", "learned"] = "shared"
    std: float = 1.0
    standardise: bool = True
    log_scale_bound: float = 0.0

    def __post_init__(self) -> None:
        if self.std <= 0 or self.log_scale_bound < 0:
            raise ValueError(
                "std must be positive and log_scale_bound 0 or more: "
                f"{self.std=}, {self.log_scale_bound=}"
            )


@dataclass
class BernoulliOutput:
    """Independent Bernoulli variables; the linear map gives their logits."""

    linear: Linear | Identity

    @classmethod
    def create(cls, initial: Initial, inputs: int, data_mean: Array) -> Self:
        """The bias starts at the logits of the data's mean."""
        linear = Linear.create(initial, inputs, data_mean.size)
        linear.b[...] = logits_of(data_mean)
        return cls(linear)

    def __call__(
        self, h: Array, x: Array, before: Sequence[Any] = ()
    ) -> tuple[Array, Callable[..., Any]]:
        if isinstance(self.linear, Identity):
            _nothing(before)
            logp, back_bernoulli = bernoulli(x, h)  # (K, B)
            return logp, lambda d_logp, g, g_before=(), need_x=True: back_bernoulli(d_logp)
        logp, back_layers = bernoulli_of(h, (*before, self.linear), x)  # (K, B)

        def backward(
            d_logp: Array, g: Any, g_before: Any = (), need_x: bool = True
        ) -> Array | None:
            return back_layers(d_logp, (*listed(before, g_before), g.linear), need_x)  # type: ignore[no-any-return]

        return logp, backward

    def mean(self, h: Array) -> Array:
        return sigmoid(self.linear(h)[0])

    def draw(self, h: Array, noise: Noise, index: Array) -> Array:
        return noise.bernoulli("observation", index, self.mean(h))


@dataclass
class GaussianOutput:
    """Independent Gaussians with one variance for everything, trained or fixed.

    log_std: (1,) where it is trained ("shared"), else None and ``fixed_log_std`` holds it.
    """

    linear: Linear | Identity
    log_std: Array | None
    fixed_log_std: Array | None = constant()

    @classmethod
    def create(
        cls, initial: Initial, inputs: int, data_mean: Array, std: float, trained: bool
    ) -> Self:
        linear = Linear.create(initial, inputs, data_mean.size)
        linear.b[...] = data_mean
        return cls.around(linear, initial.full(math.log(std), 1), trained)

    @classmethod
    def around(cls, linear: Linear | Identity, log_std: Array, trained: bool) -> Self:
        return cls(linear, log_std, None) if trained else cls(linear, None, log_std)

    def _logvar(self, size: int) -> Array:
        s = self.fixed_log_std if self.log_std is None else self.log_std
        assert s is not None
        return xp_of(s).broadcast_to(s + s, (size,))  # type: ignore[no-any-return]

    def __call__(
        self, h: Array, x: Array, before: Sequence[Any] = ()
    ) -> tuple[Array, Callable[..., Any]]:
        mean, back_linear = _after(before, self.linear, h)  # (K, B, D)
        logp, back_gaussian = gaussian(x, mean, self._logvar(mean.shape[-1]))  # (K, B)

        def backward(
            d_logp: Array, g: Any, g_before: Any = (), need_x: bool = True
        ) -> Array | None:
            _, dmean, dlogvar = back_gaussian(d_logp, need_x=False)  # (K, B, D), (D,)
            if self.log_std is not None:
                g.log_std.add(2 * dlogvar.sum(keepdims=True))
            return back_linear(dmean, g.linear, g_before, need_x)  # type: ignore[no-any-return]

        return logp, backward

    def mean(self, h: Array) -> Array:
        return self.linear(h)[0]

    def draw(self, h: Array, noise: Noise, index: Array) -> Array:
        mean = self.mean(h)
        return _around(mean, self._logvar(mean.shape[-1]), noise, index)


@dataclass
class LearnedGaussianOutput:
    """Independent Gaussians whose variances the decoder gives, per datum and dimension."""

    head: GaussianHead

    @classmethod
    def create(
        cls, initial: Initial, inputs: int, data_mean: Array, std: float, bound: float
    ) -> Self:
        head = GaussianHead.create(initial, inputs, data_mean.size, bound)
        head.linear.b[: data_mean.size] = data_mean
        head.linear.b[data_mean.size :] = math.log(std)
        return cls(head)

    def __call__(
        self, h: Array, x: Array, before: Sequence[Any] = ()
    ) -> tuple[Array, Callable[..., Any]]:
        y, back_linear = _after(before, self.head.linear, h)  # (K, B, 2 D)
        p, back_split = self.head.split(y)  # (K, B, D) each
        logp, back_gaussian = gaussian(x, p.mean, p.logvar)  # (K, B)

        def backward(
            d_logp: Array, g: Any, g_before: Any = (), need_x: bool = True
        ) -> Array | None:
            _, dmean, dlogvar = back_gaussian(d_logp, need_x=False)  # (K, B, D) each
            return back_linear(back_split(dmean, dlogvar), g.head.linear, g_before, need_x)  # type: ignore[no-any-return]

        return logp, backward

    def mean(self, h: Array) -> Array:
        return self.head(h)[0].mean

    def draw(self, h: Array, noise: Noise, index: Array) -> Array:
        p = self.head(h)[0]
        return _around(p.mean, p.logvar, noise, index)


def _after(
    before: Sequence[Any], linear: Linear | Identity, h: Array
) -> tuple[Array, Callable[..., Any]]:
    """The linear map behind other layers; backward(dy, g, g_before, need_x)."""
    if isinstance(linear, Identity):
        _nothing(before)
        y, back_linear = linear(h)
        return y, lambda dy, g, g_before, need_x: back_linear(dy, g, need_x)
    y, back_layers = affine(h, (*before, linear))
    return y, lambda dy, g, g_before, need_x: back_layers(
        dy, (*listed(before, g_before), g), need_x
    )


def _nothing(before: Sequence[Any]) -> None:
    if before:
        raise ValueError("an output without a linear map takes no layers before it")


Output = BernoulliOutput | GaussianOutput | LearnedGaussianOutput


def logits_of(p: Array) -> Array:
    """The logits of probabilities, clipped to [0.001, 0.999], in float64."""
    p = np.clip(p.astype(np.float64), 0.001, 0.999)
    return np.log(p / (1 - p))  # type: ignore[no-any-return]


def create_output(
    kind: str, config: OutputConfig, initial: Initial, inputs: int, data_mean: Array
) -> Output:
    """The output layer of that kind, "bernoulli" or "gaussian", and the configured variance."""
    if kind == "bernoulli":
        return BernoulliOutput.create(initial, inputs, data_mean)
    std = config.std
    if config.variance == "learned":
        bound = config.log_scale_bound
        return LearnedGaussianOutput.create(initial, inputs, data_mean, std, bound)
    trained = config.variance == "shared"
    return GaussianOutput.create(initial, inputs, data_mean, std, trained=trained)


def on_canvas(
    kind: str, config: OutputConfig, initial: Initial
) -> BernoulliOutput | GaussianOutput:
    """The output where h itself holds the logits or the means, one for each value of x."""
    if kind == "bernoulli":
        return BernoulliOutput(Identity())
    log_std = initial.full(math.log(config.std), 1)
    return GaussianOutput.around(Identity(), log_std, config.variance == "shared")


def _around(mean: Array, logvar: Array, noise: Noise, index: Array) -> Array:
    eps = noise.normal("observation", index, mean.shape[1:], dtype=mean.dtype)
    return mean + xp_of(mean).exp(logvar.dtype.type(0.5) * logvar) * eps  # type: ignore[no-any-return]
