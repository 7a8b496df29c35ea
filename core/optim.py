"""Optimisers: each is one fused update of a whole parameter vector (or a slice of it), in place.

    optimizer = make_optimizer("adam", n, dtype, beta1=0.9)
    optimizer.step(theta, grad, lr, scale=clip_scale(global_norm(grad), 10.0))

The gradient is that of a loss: every rule goes downhill.  ``scale`` multiplies it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, isfinite, sqrt
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from backhand._types import Array
from backhand.device import to_host
from backhand.kernels import adam
from backhand.kernels.adam.reference import blocks
from backhand.numerics import xp_of
from backhand.params import Entry

# OpenBLAS runs a dot product of more terms on several threads, and then rounds differently.
_NORM_BLOCK = 8192


class TrainingDiverged(RuntimeError):
    """A gradient or a bound is no longer finite."""


def _adam(theta: Array, grad: Array, slots: dict[str, Array], **scalars: Any) -> None:
    """m, v: running means of g and g**2, corrected for their start at zero."""
    adam.update(theta, grad, slots["m"], slots["v"], **scalars)


def _adamax(
    theta: Array, grad: Array, slots: dict[str, Array], *,
    lr: float, scale: float, step: int, beta1: float, beta2: float, eps: float,
) -> None:  # fmt: skip
    """u = max(beta2 * u, |g| + eps);  theta -= lr / (1 - beta1**step) * m / u."""
    xp = xp_of(theta)
    rate = lr / (1 - beta1**step)
    for at, (g, t) in blocks(theta, 2):
        p, m, u = theta[at], slots["m"][at], slots["u"][at]
        xp.multiply(grad[at], scale, out=g)
        m *= beta1
        xp.multiply(g, 1 - beta1, out=t)
        m += t
        u *= beta2
        xp.abs(g, out=g)
        g += eps
        xp.maximum(u, g, out=u)
        xp.divide(m, u, out=t)
        t *= rate
        p -= t


def _rmsprop(
    theta: Array, grad: Array, slots: dict[str, Array], *,
    lr: float, scale: float, step: int, rms_decay: float, eps: float,
) -> None:  # fmt: skip
    """v = rms_decay * v + (1 - rms_decay) * g**2;  theta -= lr * g / (sqrt(v) + eps)."""
    xp = xp_of(theta)
    for at, (g, t) in blocks(theta, 2):
        p, v = theta[at], slots["v"][at]
        xp.multiply(grad[at], scale, out=g)
        v *= rms_decay
        xp.multiply(g, g, out=t)
        t *= 1 - rms_decay
        v += t
        xp.sqrt(v, out=t)
        t += eps
        xp.divide(g, t, out=t)
        t *= lr
        p -= t


def _sgd(
    theta: Array, grad: Array, slots: dict[str, Array], *,
    lr: float, scale: float, step: int, momentum: float,
) -> None:  # fmt: skip
    """velocity = momentum * velocity + g;  theta -= lr * velocity."""
    xp = xp_of(theta)
    for at, (t,) in blocks(theta, 1):
        p, velocity = theta[at], slots["velocity"][at]
        velocity *= momentum
        xp.multiply(grad[at], scale, out=t)
        velocity += t
        xp.multiply(velocity, lr, out=t)
        p -= t


def _iwae_author(
    theta: Array, grad: Array, slots: dict[str, Array], *, lr: float, scale: float, step: int
) -> None:
    """Adam with v begun at 1, a slow m, and eps beside the uncorrected root of v."""
    beta2, eps = 0.999, 1e-4
    _adam(
        theta, grad, slots, lr=lr, scale=scale, step=step, beta1=0.99, beta2=beta2,
        eps=eps / sqrt(1 - beta2**step),
    )  # fmt: skip


class Rule(NamedTuple):
    """An update rule, the vectors that it keeps, and its settings with their defaults.

    start: what the vectors begin with, where not 0.  of_sum: the rule is made for the gradient of
    the sum over the batch, not of the mean.
    """

    update: Callable[..., None]
    slots: tuple[str, ...]
    settings: Mapping[str, float]
    start: Mapping[str, float] = MappingProxyType({})
    of_sum: bool = False


_BETAS = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}

RULES: dict[str, Rule] = {
    "adam": Rule(_adam, ("m", "v"), _BETAS),  # Kingma & Ba 2015, algorithm 1
    "adamw": Rule(_adam, ("m", "v"), _BETAS | {"weight_decay": 0.01}),  # Loshchilov & Hutter 2019
    "adamax": Rule(_adamax, ("m", "u"), _BETAS),  # Kingma & Ba 2015, algorithm 2, eps as in PyTorch
    "rmsprop": Rule(_rmsprop, ("v",), {"rms_decay": 0.9, "eps": 1e-8}),  # Tieleman & Hinton 2012
    "sgd": Rule(_sgd, ("velocity",), {"momentum": 0.9}),  # Polyak 1964, as in Sutskever et al. 2013
    # As in the code of Burda et al. 2016; nothing in it can be set.
    "iwae_author": Rule(_iwae_author, ("m", "v"), {}, {"v": 1.0}, of_sum=True),
}

_BELOW_ONE = ("beta1", "beta2", "rms_decay", "momentum")


class Optimizer:
    """A rule with its state for n parameters."""

    def __init__(
        self, name: str, n: int, dtype: Any, xp: Any, settings: Mapping[str, float]
    ) -> None:
        self.name = name
        self.settings = dict(settings)
        self._rule = RULES[name]
        start = self._rule.start
        self._slots: dict[str, Array] = {
            s: xp.full(n, start.get(s, 0), dtype) for s in self._rule.slots
        }
        self._step = 0
        self._shape, self._dtype = (n,), np.dtype(dtype)

    def step(self, theta: Array, grad: Array, lr: float, scale: float = 1.0) -> None:
        """theta (n,) goes one step down grad * scale; both may be slices of longer vectors."""
        if not (theta.shape == grad.shape == self._shape and 0 <= lr < inf and 0 <= scale < inf):
            self._refuse(theta, grad, lr, scale)
        if not theta.dtype == grad.dtype == self._dtype:
            self._refuse(theta, grad, lr, scale)
        # float(): a NumPy scalar would lift float32 arithmetic to float64.
        self._rule.update(
            theta, grad, self._slots, lr=float(lr), scale=float(scale), step=self._step + 1,
            **self.settings,
        )  # fmt: skip
        self._step += 1

    def _refuse(self, theta: Array, grad: Array, lr: float, scale: float) -> None:
        """Say which of them is wrong."""
        for name, array in (("theta", theta), ("grad", grad)):
            if array.shape != self._shape:
                raise ValueError(
                    f"{self.name}: {name} must have shape {self._shape}, got {array.shape}"
                )
            if array.dtype != self._dtype:
                raise TypeError(
                    f"{self.name}: {name} is {array.dtype}, "
                    f"the optimiser was made for {self._dtype}"
                )
        for name, value in (("lr", lr), ("scale", scale)):
            if not 0 <= value < inf:
                raise ValueError(f"{self.name}: {name} must be finite and >= 0, got {value}")

    @property
    def of_sum(self) -> bool:
        """Whether the gradient is to be that of the sum over a batch, not of the mean."""
        return self._rule.of_sum

    @property
    def state(self) -> dict[str, Array]:
        """The live slots, (n,) each, and ``step``, the number of steps made, () int64."""
        return {**self._slots, "step": np.array(self._step, np.int64)}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Continue from ``state``, which is copied; nothing changes if any of it does not fit."""
        expected = {*self._slots, "step"}
        if state.keys() != expected:
            raise ValueError(
                f"{self.name}: the state must hold {', '.join(sorted(expected))}; "
                f"got {', '.join(sorted(state)) or 'nothing'}; was it saved by another optimizer?"
            )
        for name, slot in self._slots.items():
            got = state[name]
            if got.shape != slot.shape or got.dtype != slot.dtype:
                raise ValueError(
                    f"{self.name}: state {name!r} must be {slot.dtype} of shape {slot.shape}, "
                    f"got {got.dtype} of shape {got.shape}; was it saved by another model?"
                )
        step = state["step"]
        if step.shape != () or step.dtype.kind not in "iu" or step < 0:
            raise ValueError(f"{self.name}: state 'step' must be one integer >= 0, got {step!r}")
        for name, slot in self._slots.items():
            slot[...] = xp_of(slot).asarray(state[name])
        self._step = int(step)


def make_optimizer(name: str, n: int, dtype: Any, *, xp: Any = np, **settings: float) -> Optimizer:
    """An optimiser for n parameters of ``dtype``, its state as at the start, in ``xp``'s memory."""
    if name not in RULES:
        raise ValueError(f"unknown optimizer {name!r}; there are {', '.join(RULES)}")
    known = RULES[name].settings
    for key, value in settings.items():
        if key not in known:
            raise TypeError(f"{name} has no setting {key!r}; it has {', '.join(known)}")
        limit = 1.0 if key in _BELOW_ONE else float("inf")
        if not (0 <= value < limit) or (key == "eps" and value == 0):
            low = "above 0" if key == "eps" else "at least 0"
            raise ValueError(f"{name}: {key} must be {low} and below {limit}, got {value}")
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"{name}: parameters must be float32 or float64, got {np.dtype(dtype)}")
    values = {key: float(settings.get(key, default)) for key, default in known.items()}
    return Optimizer(name, n, dtype, xp, values)


def global_norm(grad: Array, table: Sequence[Entry] = ()) -> float:
    """The Euclidean norm of grad (n,): blocks in its own precision, their sum in
    double; on a GPU one block.

    Raises TrainingDiverged if it is not finite, or if its square overflows grad's precision
    (an optimiser's would too); names the parameters at fault where their ``table`` is given.
    """
    total = 0.0
    if isinstance(grad, np.ndarray):
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, grad.shape[0], _NORM_BLOCK):
                block = grad[start : start + _NORM_BLOCK]
                total += float(np.dot(block, block))
    else:
        total = float(to_host(xp_of(grad).dot(grad, grad)))
    if not isfinite(total):
        raise TrainingDiverged(f"the gradient is not finite{_culprits(grad, table)}; {_CURE}")
    return sqrt(total)


_CURE = "try a lower learning rate, gradient clipping, or a look at the data for NaN"


def _culprits(grad: Array, table: Sequence[Entry]) -> str:
    bad = []
    for name, _, offset, size in table:
        finite = xp_of(grad).isfinite(grad[offset : offset + size])
        count = size - int(to_host(finite.sum()))
        if count:
            bad.append(f"{name} ({count} of {size})")
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f" in {', '.join(bad[:3])}{more}" if bad else ""


def clip_scale(norm: float, limit: float) -> float:
    """What a gradient of this norm is multiplied by so that its norm is at most ``limit``.

    limit 0: no clipping.  A norm that is not finite raises TrainingDiverged.
    """
    if not isfinite(norm):
        raise TrainingDiverged(f"the norm of the gradient is {norm}; {_CURE}")
    if not (isfinite(limit) and limit >= 0):
        raise ValueError(f"clip must be finite and not negative (0: off), got {limit}")
    return limit / norm if 0 < limit < norm else 1.0
