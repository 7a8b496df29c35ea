"""Bias and activation: NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from backhand._types import Array
from backhand.numerics import sigmoid, softplus, sum_rows, xp_of

SLOPE = 0.01  # of leaky_relu below zero


class Saved(NamedTuple):
    y: Array  # (..., O)
    activation: str
    has_bias: bool


def forward(a: Array, b: Array | None, activation: str) -> tuple[Array, Saved]:
    u = a if b is None else a + b  # [bias_activation.1]
    y = ACTIVATIONS[activation][0](u)  # [bias_activation.2]
    return y, Saved(y, activation, b is not None)


def backward(dy: Array, saved: Saved) -> tuple[Array, Array | None]:
    da = dy * ACTIVATIONS[saved.activation][1](saved.y)  # [bias_activation.3]
    if not saved.has_bias:
        return da, None
    return da, sum_rows(da)  # [bias_activation.4]


def _tanh(u: Array) -> Array:
    return xp_of(u).tanh(u)  # type: ignore[no-any-return]


def _relu(u: Array) -> Array:
    return xp_of(u).where(u.real > 0, u, u.dtype.type(0))  # type: ignore[no-any-return]


def _leaky_relu(u: Array) -> Array:
    return xp_of(u).where(u.real > 0, u, u.dtype.type(SLOPE) * u)  # type: ignore[no-any-return]


def _elu(u: Array) -> Array:
    xp = xp_of(u)
    below = xp.where(u.real > 0, u.dtype.type(0), u)  # keeps expm1 from overflowing where unused
    return xp.where(u.real > 0, u, xp.expm1(below))  # type: ignore[no-any-return]


def _one_where_positive(y: Array, otherwise: Array | float) -> Array:
    return xp_of(y).where(y.real > 0, y.dtype.type(1), otherwise)  # type: ignore[no-any-return]


# name -> (f(u), f'(u) as a function of y = f(u)); the derivatives are [bias_activation.5]
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "identity": (lambda u: u.copy(), lambda y: xp_of(y).ones_like(y)),
    "tanh": (_tanh, lambda y: y.dtype.type(1) - y * y),
    "sigmoid": (sigmoid, lambda y: y * (y.dtype.type(1) - y)),
    "relu": (_relu, lambda y: _one_where_positive(y, y.dtype.type(0))),
    "leaky_relu": (_leaky_relu, lambda y: _one_where_positive(y, y.dtype.type(SLOPE))),
    "softplus": (softplus, lambda y: -xp_of(y).expm1(-y)),
    "elu": (_elu, lambda y: _one_where_positive(y, y + y.dtype.type(1))),
}
